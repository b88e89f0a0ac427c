//! Serves procedures from one registration each, as YARPC over HTTP (JSON or protobuf) and as
//! gRPC, over whatever protocol the listener speaks.
//!
//! Read first: [`Dispatcher::unary`].

mod grpc;
mod procedure;
#[cfg(test)]
mod tests;
mod yarpc;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use prost_reflect::DescriptorPool;
use relay_core::introspect::ProcedureInfo;
use relay_core::{Encoding, RpcMeta, RpcStyle, Status};
use relay_transport::{Body, ConnInfo, PeerIdentity, respond};

use procedure::Procedure;

/// The most bytes of one message; gRPC's usual bound.
const MAX_MESSAGE: usize = 4 << 20;
/// How long a call may take whose caller names no deadline.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// What a handler is told of a call beside its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The service that was called.
    pub service: String,
    /// The procedure as it was called.
    pub procedure: String,
    /// Who calls, by its own word.
    pub caller: Option<String>,
    /// Who calls, by its certificate.
    pub identity: Option<PeerIdentity>,
    /// Which shard is meant.
    pub shard_key: Option<String>,
    /// How long the caller waits; the handler is dropped after it.
    pub timeout: Duration,
}

/// Finds the procedure of a call and runs it. Procedures are composed once, at registration.
pub struct Dispatcher {
    service: String,
    pool: DescriptorPool,
    procedures: HashMap<String, Arc<Procedure>>,
}

impl Dispatcher {
    /// Makes a dispatcher for a service, with the encoded descriptor set of its contracts.
    ///
    /// # Errors
    /// A descriptor set that cannot be decoded.
    pub fn new(service: impl Into<String>, descriptor_set: &[u8]) -> Result<Self> {
        let pool = DescriptorPool::decode(descriptor_set).map_err(|error| {
            OperatorError::new(ErrorKind::Internal, "the descriptor set cannot be decoded").caused_by(&error)
        })?;
        Ok(Self { service: service.into(), pool, procedures: HashMap::new() })
    }

    /// Registers a procedure of one message each way by its gRPC path, `/package.Service/Method`.
    /// YARPC callers find it as `package.Service::Method` and as `Service::Method`.
    ///
    /// # Errors
    /// A path that the descriptor set does not know, or one that is registered already.
    pub fn unary<Req, Res, F, Fut>(mut self, path: &str, handler: F) -> Result<Self>
    where
        Req: prost::Message + Default + 'static,
        Res: prost::Message + 'static,
        F: Fn(Call, Req) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Res, Status>> + Send + 'static,
    {
        let wrong = |what: &str| {
            OperatorError::new(ErrorKind::Internal, format!("the procedure `{path}` {what}"))
                .hint("register each `/package.Service/Method` of the contracts once")
        };
        let (full, method) = path
            .strip_prefix('/')
            .and_then(|path| path.split_once('/'))
            .ok_or_else(|| wrong("is no gRPC path"))?;
        let service = self.pool.get_service_by_name(full).ok_or_else(|| wrong("has an unknown service"))?;
        let descriptor = service
            .methods()
            .find(|one| one.name() == method)
            .ok_or_else(|| wrong("has an unknown method"))?;
        let short = service.name().to_owned();
        let names = [format!("{full}/{method}"), format!("{full}::{method}"), format!("{short}::{method}")];
        let procedure = Arc::new(Procedure::new(names[1].clone(), &descriptor, handler));
        for name in names {
            if self.procedures.insert(name, Arc::clone(&procedure)).is_some() {
                return Err(wrong("is registered already"));
            }
        }
        Ok(self)
    }

    /// What can be called, by name.
    #[must_use]
    pub fn procedures(&self) -> Vec<ProcedureInfo> {
        let mut names: Vec<&String> = self.procedures.keys().collect();
        names.sort();
        let info = |name: &String| ProcedureInfo {
            service: self.service.clone(),
            procedure: name.clone(),
            style: if name.contains("::") { "yarpc" } else { "grpc" }.to_owned(),
            outbound: String::new(),
        };
        names.into_iter().map(info).collect()
    }

    /// The dispatcher as a service that a listener serves.
    #[must_use]
    pub fn into_service(self) -> DispatchService {
        DispatchService(Arc::new(self))
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let meta = RpcMeta::of(&head);
        let style = meta.style;
        let call = Call {
            service: meta.service.unwrap_or(&self.service).to_owned(),
            procedure: meta.procedure.unwrap_or_default().to_owned(),
            caller: meta.caller.map(ToOwned::to_owned),
            identity: head.extensions.get::<ConnInfo>().and_then(|info| info.identity.clone()),
            shard_key: meta.shard_key.map(ToOwned::to_owned),
            timeout: meta.timeout.unwrap_or(DEFAULT_TIMEOUT),
        };
        let outcome = match self.find(&meta) {
            Ok(procedure) => respond_to(procedure, style, meta.encoding, call, body).await,
            Err(status) => Err(status),
        };
        outcome.unwrap_or_else(|status| respond::status(style, &status))
    }

    fn find(&self, meta: &RpcMeta<'_>) -> Result<&Procedure, Status> {
        if meta.style == RpcStyle::Http {
            return Err(Status::not_found("this is no call")
                .with_hint("send `Rpc-Service` and `Rpc-Procedure`, or a gRPC content type"));
        }
        if meta.style == RpcStyle::Yarpc && meta.service != Some(&self.service) {
            let service = meta.service.unwrap_or_default();
            return Err(Status::unimplemented(format!("the service `{service}` is not served here"))
                .with_hint(format!("this is `{}`", self.service)));
        }
        let procedure = meta.procedure.unwrap_or_default();
        self.procedures.get(procedure).map(AsRef::as_ref).ok_or_else(|| {
            let mut names: Vec<&str> = self.procedures.values().map(|known| known.name()).collect();
            names.sort_unstable();
            names.dedup();
            Status::unimplemented(format!("the service `{}` has no procedure `{procedure}`", self.service))
                .with_hint(format!("it has {}", names.join(", ")))
        })
    }
}

async fn respond_to(
    procedure: &Procedure,
    style: RpcStyle,
    encoding: Encoding,
    call: Call,
    body: Body,
) -> Result<Response<Body>, Status> {
    match style {
        RpcStyle::Grpc => grpc::answer(procedure, encoding, call, body).await,
        RpcStyle::Yarpc | RpcStyle::Http => yarpc::answer(procedure, encoding, call, body).await,
    }
}

/// A dispatcher being served. Cloning is cheap.
#[derive(Clone)]
pub struct DispatchService(Arc<Dispatcher>);

impl tower::Service<Request<Body>> for DispatchService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let dispatcher = Arc::clone(&self.0);
        Box::pin(async move { Ok(dispatcher.answer(request).await) })
    }
}
