//! HTTP/1.1 and HTTP/2 over any connection that is up.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use omnirelay_runtime::Drain;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::Service;

use crate::body::{Body, BoxError};
use crate::ends::{End, ends};
use crate::exchange::Next;
use crate::replay::Replay;
use crate::response_body::Requests;
use crate::serve::{Conn, Incoming, Shared};
use crate::stats::Bound;
use crate::turn::in_turn;

/// Streams that HTTP/2 keeps for being reset, before they are seen or by our own fault
/// (CVE-2023-44487, CVE-2025-8671).
const RESET_STREAMS: usize = 64;

/// How long an HTTP/1.1 connection stays open without a request once the drain has begun.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// Serves one connection until it ends. From the drain on, or once `unwelcome` resolves, what is
/// in flight finishes and nothing new is accepted; `unwelcome` gives how long that may take.
pub(crate) async fn serve<T, S>(
    io: Replay<T>,
    http2: bool,
    conn: Arc<Conn>,
    service: S,
    shared: Shared,
    drain: Drain,
    unwelcome: impl Future<Output = Duration> + Send + 'static,
) -> Result<(), BoxError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let next = Next::default();
    let last = next.clone();
    let builder = builder(&shared, http2, next.clone());
    let stats = shared.stats.clone();
    let mut ends = ends(Arc::clone(&conn), drain.clone(), unwelcome);
    let stalled = io.stalled();
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let request = request.map(|body| Incoming::of_hyper(body, http2, &shared.stats));
        let (shared, service, conn) = (shared.clone(), service.clone(), Arc::clone(&conn));
        let (exchange, drain) = (next.begin(), drain.clone());
        // In a box of its own: what wraps it is moved several times before it runs.
        Box::pin(async move {
            let mut answer = shared.call(service, &conn, exchange, request).await;
            if !http2 && drain.is_draining() {
                // hyper closes after it.
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        })
    });
    let serving = builder.serve_connection(TokioIo::new(io), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        biased;
        end = &mut ends => match end {
            End::Excess => return Err("too many requests were given up".into()),
            End::Drain => {
                if http2 {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                } else {
                    part(serving, &last).await
                }
            }
            End::Unwelcome(grace) => {
                serving.as_mut().graceful_shutdown();
                match tokio::time::timeout(grace, serving).await {
                    Ok(ended) => ended,
                    Err(_elapsed) => return Err("the peer is believed no more".into()),
                }
            }
        },
        ended = async {
            if http2 { in_turn(serving.as_mut()).await } else { serving.as_mut().await }
        } => ended,
    };
    ended.inspect_err(|error| {
        if stalled.load(Ordering::Relaxed) {
            stats.refused(Bound::SendTime);
        } else if let Some(bound) = bound(error.as_ref(), http2) {
            stats.refused(bound);
        }
    })
}

/// Ends an HTTP/1.1 connection. The next answer says that it is the last; where nothing is asked, it is closed after a
/// while and not at once, since HTTP/1.1 has no goodbye: a request could be on its way, and would be lost.
async fn part<C: GracefulConnection>(mut serving: Pin<&mut C>, last: &Next) -> C::Output {
    loop {
        let before = last.idle();
        if let Ok(ended) = tokio::time::timeout(ON_ITS_WAY, serving.as_mut()).await {
            return ended;
        }
        if before.zip(last.idle()).is_some_and(|(before, now)| before.ptr_eq(&now)) {
            serving.as_mut().graceful_shutdown();
            return serving.await;
        }
    }
}

/// Which bound a connection has met, where it was one.
fn bound(error: &(dyn Error + 'static), http2: bool) -> Option<Bound> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return match error.reason() {
                Some(h2::Reason::ENHANCE_YOUR_CALM) if !error.is_remote() => Some(Bound::Flood),
                Some(_) if error.is_library() => Some(Bound::Malformed),
                _ => None,
            };
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_timeout() {
                return Some(if http2 { Bound::Idle } else { Bound::HeaderTime });
            }
            if error.is_parse() {
                return Some(if error.is_parse_too_large() { Bound::HeaderBytes } else { Bound::Malformed });
            }
        }
        if let Some(error) = error.downcast_ref::<io::Error>()
            && error.kind() == io::ErrorKind::TimedOut
        {
            return Some(Bound::Idle);
        }
        next = error.source();
    }
    None
}

fn builder(shared: &Shared, http2: bool, next: Next) -> auto::Builder<Requests> {
    let limits = shared.limits();
    let requests = Requests { patience: limits.send_timeout(), stats: shared.stats.clone(), next };
    let mut builder = auto::Builder::new(requests);
    let bytes = usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX);
    let fields = usize::try_from(limits.max_header_count).unwrap_or(usize::MAX);
    // hyper refuses less than 8 KiB for HTTP/1 and reads that much at a time anyway.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout())
        .max_headers(fields)
        .max_buf_size(bytes.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams_per_connection)
        .max_header_list_size(limits.max_header_bytes)
        .max_pending_accept_reset_streams(Some(RESET_STREAMS))
        .max_local_error_reset_streams(Some(RESET_STREAMS))
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .keep_alive_interval(limits.idle_timeout() / 2)
        .keep_alive_timeout(limits.idle_timeout() / 2);
    if http2 { builder.http2_only() } else { builder.http1_only() }
}
