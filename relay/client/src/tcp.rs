//! HTTP/2 and HTTP/1.1 over TLS over TCP.

use http::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use omnirelay_runtime::Result;
use relay_core::Protocol;
use relay_transport::tls::{self, ClientTlsConfig};
use relay_transport::{Body, BoxError, Http2Incoming};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

use crate::connector::{Connector, Target};
use crate::http2::{self, Pool};
use crate::outgoing::Outgoing;

/// Why a request got no answer over TCP.
pub(crate) enum TcpError {
    /// No connection came about.
    Connect(BoxError),
    /// The connection took no more requests, or the peer did nothing with this one.
    Refused(BoxError),
    /// Whether it was carried out is unknown.
    Broken(BoxError),
}

/// The ways to one target over TCP.
pub(crate) struct Tcp {
    first: Protocol,
    connector: Connector,
    client: Kind,
}

enum Kind {
    /// HTTP/2 alone: a pool of a few connections.
    Http2(Pool),
    /// Whatever ALPN settles on; HTTP/1.1 takes a connection a call.
    Alpn(Box<Client<Connector, Body>>),
}

impl Tcp {
    /// `protocols` are those that go over TCP, most wanted first; `None` where there is none.
    ///
    /// # Errors
    /// TLS files that cannot be used.
    pub(crate) fn new(target: Target, tls: &ClientTlsConfig, protocols: &[Protocol]) -> Result<Option<Self>> {
        let Some(first) = protocols.first().copied() else { return Ok(None) };
        let tls = TlsConnector::from(Arc::new(tls::client_config(tls, protocols)?));
        let keep_alive = target.keep_alive;
        let connector = Connector { target, tls };
        let client = if protocols == [Protocol::Http2] {
            Kind::Http2(Pool::new(connector.clone()))
        } else {
            let client = Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .pool_max_idle_per_host(64)
                .http2_keep_alive_interval(keep_alive.http2_ping_after)
                .http2_keep_alive_timeout(keep_alive.dead_after)
                .http2_initial_stream_window_size(http2::STREAM_WINDOW)
                .http2_initial_connection_window_size(http2::CONNECTION_WINDOW)
                .build(connector.clone());
            Kind::Alpn(Box::new(client))
        };
        Ok(Some(Self { first, connector, client }))
    }

    /// The protocol that is wanted most.
    pub(crate) fn first(&self) -> Protocol {
        self.first
    }

    /// Whether the peer can be reached: opens a connection where there is none to use.
    pub(crate) async fn reach(&self) -> Result<(), BoxError> {
        match &self.client {
            Kind::Http2(pool) => pool.reach().await,
            Kind::Alpn(_) => Ok(self.connector.connect().await.map(drop)?),
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(&self, outgoing: &Outgoing) -> Result<Response<Body>, TcpError> {
        match &self.client {
            Kind::Http2(pool) => pool.send(outgoing).await,
            Kind::Alpn(client) => alpn(client, outgoing.request()).await,
        }
    }

    /// Closes the connections once nothing is in flight on them.
    pub(crate) fn close(&self) {
        if let Kind::Http2(pool) = &self.client {
            pool.close();
        }
    }
}

async fn alpn(client: &Client<Connector, Body>, request: Request<Body>) -> Result<Response<Body>, TcpError> {
    match client.request(request).await {
        Ok(response) if response.version() == http::Version::HTTP_2 => {
            Ok(response.map(|incoming| Http2Incoming::new(incoming).into()))
        }
        Ok(response) => Ok(response.map(Body::from)),
        Err(error) if error.is_connect() => Err(TcpError::Connect(error.into())),
        Err(error) if http2::did_nothing(&error) => Err(TcpError::Refused(error.into())),
        Err(error) => Err(TcpError::Broken(error.into())),
    }
}
