//! What all proxies call: a process of its own that answers at once, over HTTP/1.1 or HTTP/2 as the proxy likes.

use std::convert::Infallible;
use std::io::Write as _;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::row::{GRPC_PATH, Row};
use super::{Failure, tls};

#[derive(Args)]
pub(crate) struct UpstreamArgs {
    #[arg(long)]
    certificate: PathBuf,
    #[arg(long)]
    private_key: PathBuf,
}

/// Tells its port and serves until it is ended.
pub(crate) async fn serve(args: &UpstreamArgs) -> Result<(), Failure> {
    let acceptor = TlsAcceptor::from(tls::server(&args.certificate, &args.private_key)?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(1000);
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let (acceptor, builder) = (acceptor.clone(), builder.clone());
        omnirelay_runtime::spawn("upstream-connection", async move {
            // Whoever breaks a connection off complains itself.
            let Ok(stream) = acceptor.accept(socket).await else { return };
            let _broken_off = builder.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let is_grpc = request.uri().path() == GRPC_PATH;
    request.into_body().collect().await?;
    let mut response = Response::new(());
    let headers = response.headers_mut();
    if !is_grpc {
        headers.insert("rpc-status", HeaderValue::from_static("success"));
        return Ok(response.map(|()| Full::new(Row::Http2.body()).boxed()));
    }
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let trailers = std::future::ready(Some(Ok(trailers)));
    Ok(response.map(|()| Full::new(Row::Grpc.body()).with_trailers(trailers).boxed()))
}
