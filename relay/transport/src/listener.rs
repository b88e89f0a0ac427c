//! One address, every protocol.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use omnirelay_runtime::takeover::Estate;
#[cfg(unix)]
use omnirelay_runtime::takeover::Heirloom;
use omnirelay_runtime::{Drain, ErrorKind, Metrics, OperatorError, Result};
use relay_core::Protocol;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tower::Service;

use crate::address::ListenAddress;
use crate::bind::Bound;
use crate::body::Body;
use crate::compress::CompressionConfig;
#[cfg(unix)]
use crate::heirloom::ListenerHeirloom;
use crate::limits::Limits;
use crate::proxy_protocol::{ProxyProtocolConfig, Trusted};
use crate::reconfigure::ListenerControl;
use crate::serve::Shared;
use crate::socket::{Door, Gate};
use crate::stats::{Forwarded, ListenerStats};
use crate::tcp::{self, Setup};
use crate::tls::{self, ServerTls, ServerTlsConfig};
use crate::workers::{MAX_WORKERS, Workers};
use crate::{bind, endpoint};

/// Where and how to listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerConfig {
    /// The address for TCP and for UDP; port 0 lets the system choose one that is free for both. Or
    /// `unix:/path` for a socket file, over which HTTP/1.1 and HTTP/2 are spoken without TLS.
    #[schemars(with = "String")]
    pub address: ListenAddress,
    /// Who the server is, and whom it believes. Everywhere but at a socket file, and where
    /// `plaintext` is set.
    #[serde(default)]
    pub tls: Option<ServerTlsConfig>,
    /// Speak HTTP/1.1 and HTTP/2 (prior knowledge) without TLS; only at a loopback address.
    #[serde(default)]
    pub plaintext: bool,
    /// What is offered; HTTP/3 alone opens no TCP port, and the others alone no UDP port. Without
    /// TLS there is no HTTP/3.
    #[serde(default = "all_protocols")]
    pub protocols: Vec<Protocol>,
    /// Who may say on whose behalf it connects; over TCP.
    #[serde(default)]
    pub proxy_protocol: Option<ProxyProtocolConfig>,
    /// The socket file's mode, as `"0660"`.
    #[serde(default)]
    pub socket_mode: SocketMode,
    /// Threads that QUIC is served on, at most 64; 0 is one a core.
    #[serde(default)]
    pub quic_workers: u32,
    /// What a stranger may make it do.
    #[serde(default)]
    pub limits: Limits,
    /// Which answers are compressed; none without it.
    #[serde(default)]
    pub compression: Option<CompressionConfig>,
}

impl ListenerConfig {
    /// Every protocol over TLS at `address`, with the default bounds.
    #[must_use]
    pub fn new(address: impl Into<ListenAddress>, tls: ServerTlsConfig) -> Self {
        Self { tls: Some(tls), plaintext: false, ..Self::without_tls(address.into()) }
    }

    /// HTTP/1.1 and HTTP/2 without TLS at a socket file, or at a loopback address.
    #[must_use]
    pub fn without_tls(address: ListenAddress) -> Self {
        Self {
            plaintext: address.inet().is_some(),
            address,
            tls: None,
            protocols: all_protocols(),
            proxy_protocol: None,
            socket_mode: SocketMode::default(),
            quic_workers: 0,
            limits: Limits::default(),
            compression: None,
        }
    }

    /// What is wrong with it as (key, problem, remedy), where it stands at `name`.
    #[must_use]
    pub fn problems(&self, name: &str) -> Vec<(String, String, &'static str)> {
        let mut problems = Vec::new();
        for (key, remedy) in self.limits.problems() {
            let key = format!("{name}.limits.{key}");
            problems.push((key.clone(), format!("`{key}` is out of bounds"), remedy));
        }
        let mut refuse = |broken: bool, key: &str, problem: &str, remedy| {
            if broken {
                let key = format!("{name}.{key}");
                problems.push((key.clone(), format!("`{key}` {problem}"), remedy));
            }
        };
        if let Some((problem, remedy)) = self.compression.as_ref().and_then(CompressionConfig::problem) {
            refuse(true, "compression", problem, remedy);
        }
        let (file, clear) = (self.address.unix().is_some(), self.tls.is_none());
        refuse(self.protocols.is_empty(), "protocols", "is empty", "leave it out for http3, http2 and http1");
        refuse(
            !self.protocols.is_empty() && self.offered().is_empty(),
            "protocols",
            "is HTTP/3 alone, which needs TLS",
            "add `http2`, or a `tls` section",
        );
        refuse(file && !clear, "tls", "is set for a socket file, which has no TLS", "leave it out");
        refuse(
            clear && !file && !self.plaintext,
            "tls",
            "is missing",
            "name a certificate and its key; at a loopback address `plaintext = true` can stand instead",
        );
        refuse(
            self.plaintext && (file || !clear),
            "plaintext",
            "is set beside `tls` or a socket file",
            "leave it out",
        );
        refuse(
            self.plaintext && !self.address.is_local(),
            "plaintext",
            "is set for an address that others than this machine can reach",
            "listen on 127.0.0.1 or [::1], or add a `tls` section",
        );
        refuse(
            file && self.proxy_protocol.is_some(),
            "proxy_protocol",
            "is set for a socket file, where nobody has an address to be trusted by",
            "leave it out",
        );
        if let Some(tls) = &self.tls {
            for (key, path) in [
                ("tls.certificate", Some(&tls.certificate)),
                ("tls.private_key", Some(&tls.private_key)),
                ("tls.client_ca", tls.client_ca.as_ref()),
            ] {
                let empty = path.is_some_and(|path| path.as_os_str().is_empty());
                refuse(empty, key, "is empty", "name a PEM file");
            }
        }
        let workers = "is above 64";
        refuse(self.quic_workers > MAX_WORKERS, "quic_workers", workers, "leave it out for one a core");
        problems
    }

    /// The protocols that can be spoken here.
    fn offered(&self) -> Vec<Protocol> {
        let all = self.protocols.iter().copied();
        all.filter(|one| self.tls.is_some() || *one != Protocol::Http3).collect()
    }
}

fn all_protocols() -> Vec<Protocol> {
    Protocol::ALL.to_vec()
}

/// Who may open a socket file, as `chmod` writes it in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct SocketMode(u32);

impl SocketMode {
    /// The bits of the mode.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl Default for SocketMode {
    fn default() -> Self {
        Self(0o600)
    }
}

impl TryFrom<String> for SocketMode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        match u32::from_str_radix(&text, 8) {
            Ok(mode) if digits && mode <= 0o777 => Ok(Self(mode)),
            _ => Err(format!("`{text}` is no mode of a file; write `\"0600\"`")),
        }
    }
}

impl From<SocketMode> for String {
    fn from(mode: SocketMode) -> Self {
        format!("{:04o}", mode.0)
    }
}

/// A bound listener.
pub struct Listener {
    #[cfg(unix)]
    name: &'static str,
    door: Option<(Arc<Door>, Setup)>,
    gate: watch::Sender<Gate>,
    #[cfg(unix)]
    socket_mode: SocketMode,
    quic: Option<Workers>,
    tls: Option<ServerTls>,
    address: ListenAddress,
    protocols: Vec<Protocol>,
    shared: Shared,
    control: ListenerControl,
}

impl Listener {
    /// Reads the TLS files, then binds. `name` stands in metrics. Inside an async runtime the files
    /// are watched from here on.
    ///
    /// # Errors
    /// TLS files that cannot be used, bounds that make no sense, an address that is taken or not
    /// ours.
    pub fn bind(name: &'static str, config: &ListenerConfig, metrics: &Metrics) -> Result<Self> {
        Self::inherit(name, config, metrics, None)
    }

    /// Binds as [`bind`](Self::bind) does, but goes on with the sockets of another process where it was given what their
    /// [`heirloom`](Self::heirloom) offers. It then neither accepts nor receives before it is served.
    ///
    /// # Errors
    /// Those of [`bind`](Self::bind), and sockets that are not what was said of them.
    pub fn inherit(
        name: &'static str,
        config: &ListenerConfig,
        metrics: &Metrics,
        inherited: Option<Estate>,
    ) -> Result<Self> {
        if let Some((_key, problem, remedy)) = config.problems(name).into_iter().next() {
            return Err(OperatorError::new(ErrorKind::Config, problem).hint(remedy));
        }
        tls::stats::register(metrics);
        let protocols = config.offered();
        let over_stream: Vec<Protocol> =
            protocols.iter().copied().filter(|one| *one != Protocol::Http3).collect();
        let tls = config.tls.as_ref().map(ServerTls::load).transpose().map_err(|error| error.under("tls"))?;
        let wants_quic = protocols.contains(&Protocol::Http3);
        let Bound { door, sockets, address } =
            bind::bind(config, !over_stream.is_empty(), wants_quic, inherited)
                .map_err(|error| error.under("address"))?;
        let mut configs = None;
        let quic = match (sockets, &tls) {
            (Some(sockets), Some(tls)) => {
                ListenerStats::udp_buffer(name, metrics, sockets.buffer);
                let quic = endpoint::server_config(tls.rustls(&[Protocol::Http3])?, &config.limits)?;
                let (sender, changes) = watch::channel(quic.clone());
                configs = Some(sender);
                Some(Workers::new(sockets, &quic, tls.clone(), changes, &Forwarded::new(name, metrics))?)
            }
            _ => None,
        };
        let acceptor = match &tls {
            Some(tls) => Some((TlsAcceptor::from(Arc::new(tls.rustls(&over_stream)?)), tls.clone())),
            None => None,
        };
        if let Some(tls) = &tls {
            tls.watch();
        }
        let setup = Setup {
            address: address.clone(),
            tls: acceptor,
            trusted: config.proxy_protocol.as_ref().map(Trusted::new),
            protocols: over_stream,
        };
        let stats = ListenerStats::new(name, metrics);
        let udp_port = quic.as_ref().map(|_| address.port());
        let shared = Shared::new(&config.limits, config.compression.as_ref(), stats, udp_port);
        let control = ListenerControl::new(shared.clone(), tls.clone(), configs);
        let door = door.map(|door| (door, setup));
        #[cfg(unix)]
        let socket_mode = config.socket_mode;
        let gate = watch::Sender::new(Gate::Open);
        Ok(Self {
            #[cfg(unix)]
            name,
            door,
            gate,
            #[cfg(unix)]
            socket_mode,
            quic,
            tls,
            address,
            protocols,
            shared,
            control,
        })
    }

    /// Hands its sockets over to another process while it serves.
    #[cfg(unix)]
    #[must_use]
    pub fn heirloom(&self) -> Arc<dyn Heirloom> {
        let door = self.door.as_ref().map(|(door, _)| Arc::downgrade(door)).unwrap_or_default();
        let place = (self.address.clone(), self.socket_mode.bits());
        Arc::new(ListenerHeirloom::new(self.name, place, (door, self.gate.clone()), self.quic.as_ref()))
    }

    /// The bound address; the port is the real one.
    #[must_use]
    pub fn local_addr(&self) -> ListenAddress {
        self.address.clone()
    }

    /// What it speaks.
    #[must_use]
    pub fn protocols(&self) -> &[Protocol] {
        &self.protocols
    }

    /// Threads that serve QUIC beside the runtime: none where one worker is on the runtime itself.
    #[must_use]
    pub fn quic_workers(&self) -> usize {
        self.quic.as_ref().map_or(0, Workers::count)
    }

    /// Its certificates, to have them read anew at once; none without TLS.
    #[must_use]
    pub fn tls(&self) -> Option<ServerTls> {
        self.tls.clone()
    }

    /// Changes its bounds and certificates while it serves.
    #[must_use]
    pub fn control(&self) -> ListenerControl {
        self.control.clone()
    }

    /// Its counters.
    #[must_use]
    pub fn stats(&self) -> ListenerStats {
        self.shared.stats.clone()
    }

    /// Serves until the drain has begun and every request is answered.
    pub async fn serve<S>(self, service: S, drain: Drain)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let streams = async {
            if let Some((door, setup)) = self.door {
                let door = (door, self.gate.subscribe());
                tcp::serve(door, setup, service.clone(), self.shared.clone(), drain.clone()).await;
            }
        };
        let quic = async {
            if let Some(workers) = self.quic {
                workers.serve(service.clone(), self.shared.clone(), drain.clone()).await;
            }
        };
        tokio::join!(streams, quic);
    }
}
