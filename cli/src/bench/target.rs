//! What is called, over which connections.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use omnirelay_runtime::{ErrorKind, OperatorError, Result, file};
use relay_client::{Channel, ChannelConfig};
use relay_core::{DowngradeReason, Negotiated, Protocol};
use relay_transport::tls::ClientTlsConfig;
use relay_transport::{Body, body};

use crate::args::{BenchHttp, Calling, WireProtocol};
use crate::context::{Context, Side};
use crate::remote;
use crate::request::{self, Call};

/// The largest body that is sent.
const MAX_BODY_BYTES: u64 = 64 << 20;

/// Something that can be called again and again.
pub(super) struct Target {
    /// What is called, in words.
    pub(super) name: String,
    pub(super) timeout: Duration,
    protocols: Vec<Protocol>,
    endpoint: String,
    tls: ClientTlsConfig,
    what: What,
}

enum What {
    Procedure(Box<Call>),
    Address { head: Box<http::request::Parts>, body: Bytes },
}

/// How a good answer came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    pub(super) protocol: Protocol,
    pub(super) downgrade: Option<DowngradeReason>,
    /// The size of its body.
    pub(super) bytes: u64,
}

impl Target {
    /// A procedure behind a relay.
    pub(super) fn procedure(context: Option<&Path>, args: &Calling) -> Result<Self> {
        let call = Call::prepare(args)?;
        let protocols = request::protocols(args)?;
        let context = Context::read(context)?;
        let endpoint = context.relay(args.relay.as_deref(), Side::Data)?;
        Ok(Self {
            name: format!("{} {} at {endpoint}", args.service, args.procedure),
            timeout: args.timeout,
            protocols,
            tls: remote::context_tls(&context),
            endpoint,
            what: What::Procedure(Box::new(call)),
        })
    }

    /// Any address. Without a context the public authorities are believed.
    pub(super) fn address(context: Option<&Path>, args: &BenchHttp) -> Result<Self> {
        let context = match (Context::read(context), context) {
            (Err(_), None) if !args.authorize => Context::default(),
            (read, _) => read?,
        };
        let odd = |what: &str, hint: &str| Err(OperatorError::new(ErrorKind::Usage, what).hint(hint));
        let uri = args.url.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("https"));
        let Some((uri, authority)) = uri.and_then(|uri| uri.authority().cloned().map(|at| (uri, at))) else {
            return odd(&format!("`{}` is no address", args.url), "write https://HOST:PORT/PATH");
        };
        let Ok(method) = args.method.parse::<Method>() else {
            return odd(&format!("`{}` is no method", args.method), "write GET, POST or another");
        };
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() =
            uri.path_and_query().map_or_else(|| Uri::from_static("/"), |path| path.clone().into());
        for (name, value) in &args.headers {
            match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                (Ok(name), Ok(value)) => request.headers_mut().append(name, value),
                _ => {
                    return odd(
                        &format!("`--header {name}` cannot stand in a header"),
                        "write name=value in ASCII",
                    );
                }
            };
        }
        if args.authorize
            && let Some(bearer) = context.bearer()?
        {
            let (name, value) = remote::authorization(&bearer)?;
            request.headers_mut().insert(name, value);
        }
        let body = match args.body.strip_prefix('@') {
            Some(path) => file::read_at_most(Path::new(path), MAX_BODY_BYTES).map_err(|error| {
                OperatorError::new(ErrorKind::Io, format!("the body cannot be read from {path}"))
                    .caused_by(&error)
                    .hint("check the path after `--body @`; a body has at most 64 MiB")
            })?,
            None => args.body.clone().into_bytes(),
        };
        let tls = match &args.ca {
            Some(ca) => ClientTlsConfig { ca: Some(ca.clone()), ..remote::context_tls(&context) },
            None => remote::context_tls(&context),
        };
        Ok(Self {
            name: format!("{} {}", args.method, args.url),
            timeout: args.timeout,
            protocols: match args.protocol {
                WireProtocol::Auto => vec![Protocol::Http3, Protocol::Http2],
                WireProtocol::Http3 => vec![Protocol::Http3],
                WireProtocol::Http2 => vec![Protocol::Http2],
                WireProtocol::Http1 => vec![Protocol::Http1],
            },
            endpoint: format!("https://{authority}"),
            tls,
            what: What::Address { head: Box::new(request.into_parts().0), body: body.into() },
        })
    }

    /// A connection; over HTTP/1.1 as many as there are calls at once.
    pub(super) fn connection(&self) -> Result<Channel> {
        let mut config = ChannelConfig::new(&self.endpoint, self.tls.clone());
        config.protocols.clone_from(&self.protocols);
        config.connect_timeout = self.timeout;
        config.max_connections = 1;
        Channel::new(&config)
    }

    /// Makes one call and reads its answer to the end.
    pub(super) async fn call(&self, channel: &Channel) -> Result<Came> {
        tokio::time::timeout(self.timeout, self.answered(channel)).await.unwrap_or_else(|_elapsed| {
            let timeout = self.timeout;
            let error = OperatorError::new(ErrorKind::Deadline, format!("no answer within {timeout:?}"));
            Err(error.hint("allow more with `--timeout`, or ask for less at once"))
        })
    }

    async fn answered(&self, channel: &Channel) -> Result<Came> {
        let response = channel.send(self.request()?).await.map_err(OperatorError::from)?;
        let negotiated = response.extensions().get::<Negotiated>().copied();
        let (head, body) = response.into_parts();
        let (bytes, trailers) = body::collect_with_trailers(body, remote::MAX_ANSWER_BYTES)
            .await
            .map_err(|status| remote::status_error(&status))?;
        let came = Came {
            protocol: negotiated.map_or_else(|| Protocol::of(head.version), |negotiated| negotiated.protocol),
            downgrade: negotiated.and_then(|negotiated| negotiated.downgrade),
            bytes: bytes.len() as u64,
        };
        match &self.what {
            What::Procedure(call) => {
                call.outcome(&head, bytes, trailers).map_err(|status| remote::status_error(&status))?;
            }
            What::Address { .. } if head.status.as_u16() >= 400 => {
                return Err(remote::status_error(&remote::http_status(head.status, &bytes)));
            }
            What::Address { .. } => {}
        }
        Ok(came)
    }

    fn request(&self) -> Result<Request<Body>> {
        match &self.what {
            What::Procedure(call) => call.request(),
            What::Address { head, body } => {
                Ok(Request::from_parts((**head).clone(), body::full(body.clone())))
            }
        }
    }
}
