//! An owner of shards as a service would write it: it answers calls for what it owns and writes down what it accepted.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{Request, Response};
use meshkit_client::{Credentials, MeshClient, Place, Registration, ShardHost, ShardOwner, v1};
use omnirelay_runtime::bootstrap::{self, Running, Startup};
use omnirelay_runtime::{DrainController, LogFormat, LogOptions};
use relay_client::{Channel, ChannelConfig};
use relay_core::{RpcStyle, Status, headers};
use relay_transport::tls::{ClientTlsConfig, ServerTlsConfig};
use relay_transport::{Body, Listener, ListenerConfig, body, respond};

use crate::check::Accepted;

/// How long a call waits for a shard that is about to come.
const PATIENCE: Duration = Duration::from_secs(1);

struct Arguments {
    id: String,
    address: SocketAddr,
    tls: ClientTlsConfig,
    record: PathBuf,
    endpoints: Vec<String>,
}

impl Arguments {
    fn parse(words: &[String]) -> Option<Self> {
        let [id, address, ca, certificate, key, record, endpoints] = words else { return None };
        Some(Self {
            id: id.clone(),
            address: address.parse().ok()?,
            tls: ClientTlsConfig {
                ca: Some(ca.into()),
                certificate: Some(certificate.into()),
                private_key: Some(key.into()),
                ..ClientTlsConfig::default()
            },
            record: record.into(),
            endpoints: endpoints.split(',').map(ToOwned::to_owned).collect(),
        })
    }
}

/// What it holds is in its record, so there is nothing to make ready and nothing to hand over.
struct Service;

impl ShardOwner for Service {
    async fn warm(&self, _place: &Place) {}
    async fn acquire(&self, place: &Place, fence: u64) {
        tracing::info!(shard = place.shard, fence, "serves");
    }
    async fn drain(&self, place: &Place, fence: u64, successor: &str) {
        tracing::info!(shard = place.shard, fence, successor, "hands over");
    }
    async fn release(&self, place: &Place) {
        tracing::info!(shard = place.shard, "lets go");
    }
}

/// Owns shards until it is told to end.
#[must_use]
pub fn serve(words: &[String]) -> ExitCode {
    let arguments = Arguments::parse(words);
    let log = LogOptions { format: LogFormat::Json, filter: Some("info,meshkit_client=debug".to_owned()) };
    bootstrap::run("owner", &log, |startup| async move { Ok(start(&startup, arguments.unwrap())) })
}

fn start(startup: &Startup, arguments: Arguments) -> Running {
    let server = ServerTlsConfig {
        certificate: arguments.tls.certificate.clone().unwrap(),
        private_key: arguments.tls.private_key.clone().unwrap(),
        client_ca: arguments.tls.ca.clone(),
        ..ServerTlsConfig::default()
    };
    let config = ListenerConfig::new(arguments.address, server);
    let listener = Listener::bind("owner", &config, &startup.metrics).unwrap();
    let client = client(&arguments.endpoints, &arguments.tls);
    let peer = peer(&arguments.id, arguments.address);
    let id: Arc<str> = arguments.id.into();
    let host = ShardHost::spawn(client.clone(), "stock", &*id, Arc::new(Service), startup.drain.clone());
    let record = Arc::new(open(&arguments.record));
    let served = host.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (host, record, id) = (served.clone(), Arc::clone(&record), Arc::clone(&id));
        async move { Ok::<_, Infallible>(answer(&host, &record, &id, request).await) }
    });
    // Who hands its shards over still answers: the listener ends after that.
    let listens = DrainController::new();
    let (drain, guard, ended) = (listens.drain(), startup.drain.guard(), host.clone());
    omnirelay_runtime::spawn("owner-listener", listener.serve(service, drain));
    omnirelay_runtime::spawn("owner-end", async move {
        ended.ended().await;
        listens.start();
        let _open = listens.finished(Duration::from_secs(5)).await;
        drop(guard);
    });
    let ended = host.clone();
    let registration = Registration::new(client, peer).goodbye_after(async move { ended.ended().await });
    let _state = registration.spawn(startup.drain.clone());
    startup.ready(&arguments.address);
    Running { drain_max: Duration::from_secs(20) }
}

fn client(endpoints: &[String], tls: &ClientTlsConfig) -> MeshClient {
    let mut channels: Vec<Channel> = endpoints
        .iter()
        .map(|endpoint| Channel::new(&ChannelConfig::new(endpoint, tls.clone())).unwrap())
        .collect();
    let first = channels.remove(0);
    MeshClient::with_fallbacks(first, channels, Credentials::none())
}

fn peer(id: &str, address: SocketAddr) -> v1::Peer {
    v1::Peer {
        id: id.to_owned(),
        role: "service".to_owned(),
        service: "inventory".to_owned(),
        cluster: "default".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        endpoints: vec![v1::Endpoint {
            url: format!("https://{address}"),
            protocols: vec!["http3".to_owned(), "http2".to_owned()],
        }],
        ..v1::Peer::default()
    }
}

fn open(path: &Path) -> File {
    File::options().create(true).append(true).open(path).unwrap()
}

/// Accepts a call under the fence of its shard, or says that the shard is another's.
async fn answer(host: &ShardHost, record: &File, id: &str, request: Request<Body>) -> Response<Body> {
    let (head, asked) = request.into_parts();
    let Some(key) = head.headers.get(headers::RPC_SHARD_KEY) else { return refused("no key") };
    let Ok(call) = body::collect_limited(asked, 256).await else { return refused("no call") };
    let Ok(entered) = host.enter_soon(key.as_bytes(), PATIENCE).await else { return refused("not owned") };
    let before = micros();
    if !entered.is_valid() {
        return refused("not owned any more");
    }
    let after = micros();
    let accepted = Accepted {
        call: String::from_utf8_lossy(&call).into_owned(),
        shard: entered.shard(),
        fence: entered.fence(),
        owner: id.to_owned(),
        before,
        after,
    };
    // One write, so that lines are whole; it outlives the process.
    match (&*record).write_all(accepted.line().as_bytes()) {
        Ok(()) => Response::new(body::full(format!("{id} {}", entered.fence()))),
        Err(error) => refused(&error.to_string()),
    }
}

fn refused(why: &str) -> Response<Body> {
    respond::status(RpcStyle::Yarpc, &Status::unavailable(why).with_name(headers::STALE_OWNER))
}

/// Microseconds by the clock that all processes of this machine share.
pub(crate) fn micros() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}
