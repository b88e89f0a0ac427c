//! The channels to one peer: one for each set of protocols that the policy can ever leave to a
//! call. With most policies there is one.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use jiff::Timestamp;
use omnirelay_runtime::Result;
use relay_client::{Channel, ChannelConfig, ChannelError};
use relay_core::{Encoding, Negotiated, Protocol, RpcStyle, Status};
use relay_enforcement::{Call, Checkpoint};
use relay_policy::{Protocols, Style, Wire};
use relay_transport::Body;
use relay_transport::tls::ClientTlsConfig;
use tracing::Instrument as _;

/// How a peer is reached.
pub(crate) struct Target<'a> {
    pub(crate) url: &'a str,
    pub(crate) tls: &'a ClientTlsConfig,
    /// Most wanted first.
    pub(crate) protocols: &'a [Protocol],
    pub(crate) connect_timeout: Duration,
    /// Over each protocol; the channel's own bound where it is not said.
    pub(crate) max_connections: Option<usize>,
}

/// The channels to one peer, by [`Protocols::index`].
#[derive(Debug)]
pub(crate) struct Channels {
    url: String,
    by_set: [Option<Channel>; 8],
}

impl Channels {
    pub(crate) fn new(target: &Target<'_>, sets: &[Protocols]) -> Result<Self> {
        let mut by_set: [Option<Channel>; 8] = Default::default();
        let mut all = ChannelConfig::new(target.url, target.tls.clone());
        all.connect_timeout = target.connect_timeout;
        all.max_connections = target.max_connections.unwrap_or(all.max_connections);
        for set in sets {
            let Some(slot) = by_set.get_mut(set.index()) else { continue };
            let mut channel = all.clone();
            channel.protocols = target.protocols.iter().copied().filter(|one| set.contains(*one)).collect();
            *slot = Some(Channel::new(&channel)?);
        }
        Ok(Self { url: target.url.to_owned(), by_set })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The channel for calls that may use these protocols.
    fn get(&self, allowed: Protocols) -> Option<&Channel> {
        self.by_set.get(allowed.index())?.as_ref()
    }

    /// The sets are all that the policy can answer with: another one is a fault of ours.
    fn unforeseen(&self) -> ChannelError {
        ChannelError::Connect {
            endpoint: self.url.clone(),
            protocol: Protocol::Http3,
            source: "the policy allows a set of protocols that was not foreseen".into(),
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Channel> {
        self.by_set.iter().flatten()
    }
}

/// A call that goes out, as its checkpoint sees it.
#[derive(Clone, Copy)]
pub(crate) struct Going<'a> {
    pub(crate) checkpoint: &'a Arc<Checkpoint>,
    pub(crate) style: RpcStyle,
    pub(crate) encoding: Encoding,
    pub(crate) procedure: &'a str,
    /// When the policy was asked, and what it allowed.
    pub(crate) opened: Timestamp,
    pub(crate) allowed: Protocols,
}

impl<'a> Going<'a> {
    /// Asks the policy.
    ///
    /// # Errors
    /// What the policy refuses: nothing is sent.
    pub(crate) fn open(
        checkpoint: &'a Arc<Checkpoint>,
        style: RpcStyle,
        encoding: Encoding,
        procedure: &'a str,
        url: &str,
    ) -> Result<Self, Status> {
        let opened = Timestamp::now();
        let call = Call { procedure, peer: &url };
        let allowed = checkpoint.open(Style::from(style), encoding, call, opened)?;
        Ok(Self { checkpoint, style, encoding, procedure, opened, allowed })
    }

    /// Sends a request over what is allowed and counts how it was carried in the end.
    pub(crate) async fn send(
        &self,
        channels: &Channels,
        request: Request<Body>,
    ) -> Result<Response<Body>, ChannelError> {
        let hoped = Protocol::ALL.into_iter().find(|one| self.allowed.contains(*one));
        let span = self.checkpoint.span(None, self.encoding, self.procedure);
        let mut counted =
            self.checkpoint.counted_hoping(hoped.unwrap_or(Protocol::Http3), self.encoding, span);
        let Some(channel) = channels.get(self.allowed) else { return Err(channels.unforeseen()) };
        let response = channel.send(request).instrument(counted.span()).await?;
        if let Some(Negotiated { protocol, downgrade, .. }) = response.extensions().get().copied() {
            let wire = Wire { protocol, style: Style::from(self.style), encoding: self.encoding };
            let call = Call { procedure: self.procedure, peer: &channels.url };
            counted.over(protocol);
            counted.passed(self.checkpoint.arrived(wire, downgrade, call, self.opened));
        }
        Ok(counted.answered(self.style, response))
    }
}
