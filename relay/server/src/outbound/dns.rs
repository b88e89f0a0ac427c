//! Peers by name, looked up again when the answer's time to live is over.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::base::Rtype;
use domain::base::iana::Rcode;
use domain::base::name::Name;
use domain::rdata::{A, Aaaa};
use domain::resolv::StubResolver;
use domain::resolv::stub::conf::{ResolvConf, ServerConf, Transport};
use omnirelay_runtime::Drain;
use relay_config::DnsConfig;
use tokio::sync::watch;

use crate::outbound::source::{Following, PeerSpec, RouteSource, Snapshot};

/// Peers that are looked up at name servers.
pub(super) struct Dns {
    name: String,
    port: u16,
    least: Duration,
    most: Duration,
    resolver: StubResolver,
}

/// Addresses and for how long they hold.
type Found = (Vec<IpAddr>, Duration);

impl Dns {
    pub(super) fn new(config: &DnsConfig) -> Self {
        let conf = if config.servers.is_empty() {
            ResolvConf::default()
        } else {
            let mut conf = ResolvConf::new();
            for server in &config.servers {
                // What does not fit into a datagram is asked for over TCP.
                conf.servers.push(ServerConf::new(*server, Transport::UdpTcp));
            }
            conf.finalize();
            conf
        };
        Self {
            name: config.name.clone(),
            port: config.port,
            least: Duration::from_millis(config.min_ttl_ms),
            most: Duration::from_millis(config.max_ttl_ms),
            resolver: StubResolver::from_conf(conf),
        }
    }

    async fn run(self, snapshots: watch::Sender<Snapshot>, drain: Drain) {
        loop {
            let wait = match self.look_up().await {
                Ok((addresses, ttl)) => {
                    let snapshot = self.snapshot(addresses);
                    // The first is told although it may be what was known before: it is known now.
                    snapshots.send_replace(snapshot);
                    ttl.clamp(self.least, self.most)
                }
                Err(cause) => {
                    tracing::warn!(name = self.name, cause, "peers cannot be looked up");
                    snapshots.send_modify(|_| ());
                    self.least
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = snapshots.closed() => return,
                () = drain.started() => return,
            }
        }
    }

    /// All addresses of both families.
    ///
    /// # Errors
    /// No answer, an answer that is a failure, or one without an address.
    async fn look_up(&self) -> Result<Found, String> {
        let name: Name<Vec<u8>> = self.name.parse().map_err(|_| "it is no name".to_owned())?;
        let (a, aaaa) = tokio::join!(self.ask(&name, Rtype::A), self.ask(&name, Rtype::AAAA));
        let (addresses, ttl) = match (a, aaaa) {
            // Addresses of one family alone would take the peers of the other away.
            (Err(cause), _) | (_, Err(cause)) => return Err(cause),
            (Ok((mut a, first)), Ok((aaaa, second))) => {
                a.extend(aaaa);
                (a, first.min(second))
            }
        };
        if addresses.is_empty() { Err("it has no address".to_owned()) } else { Ok((addresses, ttl)) }
    }

    async fn ask(&self, name: &Name<Vec<u8>>, kind: Rtype) -> Result<Found, String> {
        let answer = self.resolver.query((name, kind)).await.map_err(|error| error.to_string())?;
        let code = answer.header().rcode();
        if code != Rcode::NOERROR && code != Rcode::NXDOMAIN {
            return Err(format!("a name server answers {code}"));
        }
        let unreadable = |error: domain::base::wire::ParseError| error.to_string();
        let (mut addresses, mut ttl) = (Vec::new(), Duration::MAX);
        let records = answer.answer().map_err(unreadable)?;
        for record in records.limit_to_in::<A>() {
            let record = record.map_err(unreadable)?;
            ttl = ttl.min(record.ttl().into_duration());
            addresses.push(IpAddr::V4(record.data().addr()));
        }
        for record in records.limit_to_in::<Aaaa>() {
            let record = record.map_err(unreadable)?;
            ttl = ttl.min(record.ttl().into_duration());
            addresses.push(IpAddr::V6(record.data().addr()));
        }
        Ok((addresses, ttl))
    }

    fn snapshot(&self, mut addresses: Vec<IpAddr>) -> Snapshot {
        // Name servers turn their answers around; the peers are the same.
        addresses.sort_unstable();
        addresses.dedup();
        let spec = |address: IpAddr| PeerSpec {
            url: format!("https://{}", std::net::SocketAddr::new(address, self.port)),
            server_name: Some(self.name.clone()),
            weight: 1,
            zone: String::new(),
            id: None,
        };
        addresses.into_iter().map(spec).collect()
    }
}

impl RouteSource for Dns {
    fn first(&self) -> Snapshot {
        Arc::default()
    }

    fn follow(self: Box<Self>, snapshots: watch::Sender<Snapshot>, drain: Drain) -> Following {
        Box::pin(self.run(snapshots, drain))
    }
}
