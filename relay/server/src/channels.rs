//! The channels to one peer: one for each set of protocols that the policy can ever leave to a
//! call. With most policies there is one.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Request, Response};
use jiff::Timestamp;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_client::{Channel, ChannelConfig, ChannelError, KeepAlive};
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
    pub(crate) keep_alive: KeepAlive,
}

/// The channels to one peer, by [`Protocols::index`].
#[derive(Debug)]
pub(crate) struct Channels {
    /// With every protocol that the peer may be called over.
    config: ChannelConfig,
    by_set: [OnceLock<Channel>; 8],
}

impl Channels {
    /// The channels for the sets that are foreseen.
    pub(crate) fn new(target: &Target<'_>, sets: &[Protocols]) -> Result<Self> {
        let mut config = ChannelConfig::new(target.url, target.tls.clone());
        config.protocols = target.protocols.to_vec();
        config.connect_timeout = target.connect_timeout;
        config.max_connections = target.max_connections.unwrap_or(config.max_connections);
        config.keep_alive = target.keep_alive;
        let channels = Self { config, by_set: Default::default() };
        sets.iter().try_for_each(|set| channels.make(*set).map(drop))?;
        Ok(channels)
    }

    /// The channel for calls that may use these protocols: made where a changed policy asks for a set that
    /// was not foreseen.
    fn make(&self, allowed: Protocols) -> Result<&Channel> {
        let slot = self.by_set.get(allowed.index()).ok_or_else(unforeseen)?;
        if let Some(channel) = slot.get() {
            return Ok(channel);
        }
        let mut config = self.config.clone();
        config.protocols.retain(|one| allowed.contains(*one));
        if config.protocols.is_empty() {
            // The endpoint offers others by now.
            config.protocols = Protocol::ALL.into_iter().filter(|one| allowed.contains(*one)).collect();
        }
        let channel = Channel::new(&config)?;
        Ok(slot.get_or_init(|| channel))
    }

    pub(crate) fn url(&self) -> &str {
        &self.config.endpoint
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Channel> {
        self.by_set.iter().filter_map(OnceLock::get)
    }
}

/// The indexes of sets are what they are: another one is a fault of ours.
fn unforeseen() -> OperatorError {
    OperatorError::new(ErrorKind::Internal, "the policy allows a set of protocols that there is not")
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
        let channel = channels.make(self.allowed).map_err(|error| ChannelError::Connect {
            endpoint: channels.url().to_owned(),
            protocol: hoped.unwrap_or(Protocol::Http3),
            source: error.into(),
        })?;
        let response = channel.send(request).instrument(counted.span()).await?;
        if let Some(Negotiated { protocol, downgrade, .. }) = response.extensions().get().copied() {
            let wire = Wire { protocol, style: Style::from(self.style), encoding: self.encoding };
            let call = Call { procedure: self.procedure, peer: &channels.url() };
            counted.over(protocol);
            counted.passed(self.checkpoint.arrived(wire, downgrade, call, self.opened));
        }
        Ok(counted.answered(self.style, response))
    }
}
