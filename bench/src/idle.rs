//! Memory of a server with idle HTTP/3 connections.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use h3::client::SendRequest;
use omnirelay_runtime::Result;
use quinn::crypto::rustls::QuicClientConfig;
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::quic::{Connection, Opener, Side};
use relay_transport::tls;
use serde::Serialize;

use crate::Output;
use crate::peers::{Stack, failed};
use crate::server::Server;
use crate::table;

#[derive(Args)]
pub(crate) struct IdleArgs {
    /// How many connections; one call is made on each before it rests.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Seconds of rest before the server's memory is read.
    #[arg(long, default_value_t = 3.0)]
    rest: f64,
    /// Whose server: `omnirelay http3`, `h3+quinn http3`, or `quinn`, on whose connections nothing is said.
    #[arg(long, default_value = "omnirelay http3")]
    stack: String,
}

#[derive(Serialize)]
struct Outcome {
    connections: usize,
    /// The server's resident memory without a connection, in bytes.
    before: u64,
    /// With all connections at rest.
    after: u64,
    per_connection: u64,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) async fn run(args: &IdleArgs, output: Output) -> Result<()> {
    let measured =
        measure(args).await.map_err(|error| failed("the idle measurement failed", error.as_ref()))?;
    let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let row = vec![
        measured.connections.to_string(),
        mebibytes(measured.before),
        mebibytes(measured.after),
        format!("{:.1} KiB", measured.per_connection as f64 / 1024.0),
    ];
    table::write(output, &measured, &["idle connections", "RSS before", "RSS after", "each"], &[row]);
    Ok(())
}

async fn measure(args: &IdleArgs) -> Result<Outcome, Failure> {
    let ca = TestCa::new();
    let stack = Stack::IDLE.into_iter().find(|stack| stack.name() == args.stack);
    let stack = stack.ok_or_else(|| format!("there is no stack `{}`", args.stack))?;
    let server = Server::start(stack, &ca)?;
    let status = PathBuf::from(format!("/proc/{}/status", server.id()));
    let before = resident(&status)?;
    let tls_config =
        tls::client_config(&ca.client_tls(None), &[Protocol::Http3]).map_err(|error| error.to_string())?;
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls_config)?));
    let mut transport = quinn::TransportConfig::default();
    transport.max_idle_timeout(None);
    config.transport_config(Arc::new(transport));
    let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into())?;
    let calls = stack != Stack::Quinn;
    let open: Vec<Open> = stream::iter(0..args.connections)
        .map(|_| connect(&endpoint, config.clone(), server.port, calls))
        .buffer_unordered(32)
        .try_collect()
        .await?;
    tokio::time::sleep(Duration::from_secs_f64(args.rest)).await;
    let after = resident(&status)?;
    drop(server);
    let connections = open.len();
    let each = after.saturating_sub(before) / u64::try_from(connections)?.max(1);
    Ok(Outcome { connections, before, after, per_connection: each })
}

/// A connection, open for as long as this is held.
struct Open {
    _quic: quinn::Connection,
    _http: Option<SendRequest<Opener, Bytes>>,
}

async fn connect(
    endpoint: &quinn::Endpoint,
    config: quinn::ClientConfig,
    port: u16,
    calls: bool,
) -> Result<Open, Failure> {
    let connection = endpoint.connect_with(config, ([127, 0, 0, 1], port).into(), "localhost")?.await?;
    if !calls {
        return Ok(Open { _quic: connection, _http: None });
    }
    let quic = connection.clone();
    let (mut driver, mut sender) = h3::client::builder()
        .send_grease(false)
        .build(Connection::new(connection, Side::Client, 64 << 10))
        .await?;
    omnirelay_runtime::spawn("idle-connection", async move { driver.wait_idle().await });
    let mut stream = sender.send_request(http::Request::post("https://localhost/").body(())?).await?;
    stream.send_data(Bytes::from_static(b"hello")).await?;
    stream.finish().await?;
    stream.recv_response().await?;
    while stream.recv_data().await?.is_some() {}
    Ok(Open { _quic: quic, _http: Some(sender) })
}

/// A process's resident memory in bytes.
fn resident(status: &Path) -> Result<u64, Failure> {
    let text = std::fs::read_to_string(status)?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kibibytes * 1024)
}
