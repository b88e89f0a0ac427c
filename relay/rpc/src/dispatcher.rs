//! Finds the procedure of a call and has it served.

mod names;
mod service;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use omnirelay_runtime::{Drain, ErrorKind, OperatorError, Result};
use prost_reflect::DescriptorPool;
use relay_core::introspect::ProcedureInfo;
use relay_core::{RpcStyle, Status};
use tokio::sync::Semaphore;
use tower::{Layer, Service};

use crate::DEFAULT_MAX_MESSAGE;
use crate::call::{Call, Told};
use crate::codec::{Contract, Decode, Encode};
use crate::messages::Messages;
use crate::procedure::{Procedure, RpcRequest, RpcResponse, Shape, Wrap, wrap};
use crate::register::{Make, Registration, proto};
use crate::reply::{Answer, StreamAnswer};
use names::Names;
pub use service::{DispatchService, Dispatched};

/// How long a call with one message each way may take whose caller names no deadline.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// How many accepted oneway calls run at once.
const DEFAULT_MAX_ONEWAY: usize = 1024;

/// Finds the procedure of a call and runs it. Procedures are composed once, before serving.
pub struct Dispatcher {
    service: Arc<str>,
    pool: DescriptorPool,
    names: Names,
    layers: Vec<Wrap>,
    settings: Settings,
}

/// What holds for every procedure.
pub(crate) struct Settings {
    /// The service's name as answers repeat it, where a header can hold it.
    pub(crate) service: Option<HeaderValue>,
    pub(crate) max_message: usize,
    pub(crate) timeout: Duration,
    /// Bytes from which a message is compressed where the caller understands it.
    pub(crate) compress_from: Option<usize>,
    pub(crate) oneway: Arc<Semaphore>,
    pub(crate) drain: Option<Drain>,
}

/// A registered procedure.
pub(crate) struct Entry {
    /// `package.Service::Method`, or the name that it was registered with.
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) procedure: Procedure,
}

impl Dispatcher {
    /// Makes a dispatcher for a service, with the encoded descriptor set of its contracts; an empty
    /// one will do where every procedure is [`raw`](crate::raw).
    ///
    /// # Errors
    /// A descriptor set that cannot be decoded.
    pub fn new(service: impl Into<Arc<str>>, descriptor_set: &[u8]) -> Result<Self> {
        let service: Arc<str> = service.into();
        let empty = Self {
            pool: DescriptorPool::new(),
            names: Names::default(),
            layers: Vec::new(),
            settings: Settings {
                service: HeaderValue::from_str(&service).ok(),
                max_message: DEFAULT_MAX_MESSAGE,
                timeout: DEFAULT_TIMEOUT,
                compress_from: None,
                oneway: Arc::new(Semaphore::new(DEFAULT_MAX_ONEWAY)),
                drain: None,
            },
            service,
        };
        empty.contracts(descriptor_set)
    }

    /// Adds contracts: an encoded descriptor set with its imports. Files that are known are skipped.
    ///
    /// # Errors
    /// A descriptor set that cannot be decoded or contradicts another one.
    pub fn contracts(mut self, descriptor_set: &[u8]) -> Result<Self> {
        self.pool.decode_file_descriptor_set(descriptor_set).map_err(|error| {
            OperatorError::new(ErrorKind::Internal, "the descriptor set cannot be decoded").caused_by(&error)
        })?;
        Ok(self)
    }

    /// Takes and gives messages of at most so many bytes, compressed and not; 4 MiB otherwise.
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.settings.max_message = bytes;
        self
    }

    /// How long a call that does not stream may take whose caller names no deadline; 30 s otherwise.
    #[must_use]
    pub fn default_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Compresses gRPC messages from so many bytes on where the caller understands gzip and the
    /// handler does not say otherwise; otherwise nothing is compressed unasked.
    #[must_use]
    pub fn compress_from(mut self, bytes: usize) -> Self {
        self.settings.compress_from = Some(bytes);
        self
    }

    /// How many accepted oneway calls run at once; more are answered `resource-exhausted`. 1024
    /// otherwise.
    #[must_use]
    pub fn max_oneway(mut self, calls: usize) -> Self {
        self.settings.oneway = Arc::new(Semaphore::new(calls.min(Semaphore::MAX_PERMITS)));
        self
    }

    /// Lets the process's drain wait for oneway calls that were accepted.
    #[must_use]
    pub fn drain(mut self, drain: Drain) -> Self {
        self.settings.drain = Some(drain);
        self
    }

    /// Adds a layer around every procedure, those registered later too; the first one added is the
    /// outermost. Layers are composed once, by [`Dispatcher::into_service`].
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Procedure> + Send + Sync + 'static,
        L::Service:
            Service<RpcRequest, Response = RpcResponse, Error = Status> + Clone + Send + Sync + 'static,
        <L::Service as Service<RpcRequest>>::Future: Send,
    {
        self.layers.push(wrap(layer));
        self
    }

    /// Registers a procedure of one message each way by its gRPC path: short for [`Dispatcher::add`]
    /// of [`proto`].
    ///
    /// # Errors
    /// As [`Dispatcher::add`].
    pub fn unary<Req, A, F, Fut>(self, path: &str, handler: F) -> Result<Self>
    where
        Contract: Decode<Req> + Encode<A::Message>,
        A: Answer,
        Req: 'static,
        F: Fn(Call, Req) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Status>> + Send + 'static,
    {
        self.add(proto(path).unary(handler))
    }

    /// Registers a procedure whose caller is answered once the call is accepted.
    ///
    /// # Errors
    /// As [`Dispatcher::add`].
    pub fn oneway<Req, F, Fut>(self, path: &str, handler: F) -> Result<Self>
    where
        Contract: Decode<Req>,
        Req: 'static,
        F: Fn(Call, Req) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Status>> + Send + 'static,
    {
        self.add(proto(path).oneway(handler))
    }

    /// Registers a procedure that answers with a stream.
    ///
    /// # Errors
    /// As [`Dispatcher::add`].
    pub fn server_stream<Req, A, F, Fut>(self, path: &str, handler: F) -> Result<Self>
    where
        Contract: Decode<Req> + Encode<A::Message>,
        A: StreamAnswer,
        Req: 'static,
        F: Fn(Call, Req) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Status>> + Send + 'static,
    {
        self.add(proto(path).server_stream(handler))
    }

    /// Registers a procedure that takes a stream.
    ///
    /// # Errors
    /// As [`Dispatcher::add`].
    pub fn client_stream<Req, A, F, Fut>(self, path: &str, handler: F) -> Result<Self>
    where
        Contract: Decode<Req> + Encode<A::Message>,
        A: Answer,
        Req: 'static,
        F: Fn(Call, Messages<Req>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Status>> + Send + 'static,
    {
        self.add(proto(path).client_stream(handler))
    }

    /// Registers a procedure that streams both ways at once.
    ///
    /// # Errors
    /// As [`Dispatcher::add`].
    pub fn bidi<Req, A, F, Fut>(self, path: &str, handler: F) -> Result<Self>
    where
        Contract: Decode<Req> + Encode<A::Message>,
        A: StreamAnswer,
        Req: 'static,
        F: Fn(Call, Messages<Req>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Status>> + Send + 'static,
    {
        self.add(proto(path).bidi(handler))
    }

    /// Registers a procedure with its aliases and layers.
    ///
    /// # Errors
    /// A path that the contracts do not know or know in another shape, and a name that is taken.
    #[allow(
        clippy::should_implement_trait,
        reason = "registering is what a dispatcher is for, not arithmetic"
    )]
    pub fn add(mut self, registration: Registration) -> Result<Self> {
        let Registration { name, aliases, layers, shape, make } = registration;
        let (procedure, own, mut names) = match make {
            Make::Raw(procedure) => (procedure, name.clone(), names::spellings(&name)),
            Make::Contract(build) => {
                let contract = self.contract(&name, shape)?;
                let own = contract.name.clone();
                let names = names::of_contract(&name, &own);
                (build(Arc::new(contract)), own, names)
            }
        };
        names.extend(aliases.iter().flat_map(|alias| names::spellings(alias)));
        let procedure = layers.into_iter().rev().fold(procedure, |inner, layer| layer(inner));
        self.names.insert(Entry { name: own, shape, procedure }, names)?;
        Ok(self)
    }

    /// Gives a registered procedure a second name, as for one that generated code registered.
    ///
    /// # Errors
    /// A procedure that is not registered, and a name that is taken.
    pub fn alias(mut self, alias: &str, of: &str) -> Result<Self> {
        self.names.alias(alias, of)?;
        Ok(self)
    }

    fn contract(&self, path: &str, shape: Shape) -> Result<Contract> {
        let wrong = |what: &str| {
            OperatorError::new(ErrorKind::Internal, format!("the procedure `{path}` {what}"))
                .hint("register each `/package.Service/Method` of the contracts once, in its shape")
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
        let streams = (descriptor.is_client_streaming(), descriptor.is_server_streaming());
        if streams != (shape.streams_in(), shape.streams_out()) {
            return Err(wrong(&format!("is not {} in its contract", shape.name())));
        }
        Ok(Contract {
            name: format!("{full}::{method}"),
            request: descriptor.input(),
            response: descriptor.output(),
        })
    }

    /// What can be called, by name.
    #[must_use]
    pub fn procedures(&self) -> Vec<ProcedureInfo> {
        let info = |name: &str| ProcedureInfo {
            service: self.service.to_string(),
            procedure: name.to_owned(),
            style: if name.contains('/') { "grpc" } else { "yarpc" }.to_owned(),
            outbound: String::new(),
        };
        self.names.all().into_iter().map(info).collect()
    }

    /// The dispatcher as a service that a listener serves.
    #[must_use]
    pub fn into_service(mut self) -> DispatchService {
        for layer in std::mem::take(&mut self.layers).into_iter().rev() {
            self.names.wrap(&layer);
        }
        DispatchService(Arc::new(self))
    }

    /// What holds for every procedure.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The entry of a number that was found here.
    pub(crate) fn entry(&self, index: usize) -> &Entry {
        self.names.entry(index)
    }

    fn find(&self, call: &Told<'_>) -> Result<usize, Status> {
        if call.style() == RpcStyle::Yarpc
            && let Some(other) = call.service.filter(|named| *named != &*self.service)
        {
            let message = format!("the service `{other}` is not served here");
            return Err(Status::unimplemented(message).with_hint(format!("this is `{}`", self.service)));
        }
        let procedure = call.procedure;
        if let Some(index) = self.names.find(procedure) {
            return Ok(index);
        }
        if call.style() == RpcStyle::Http {
            return Err(Status::not_found("this is no call").with_hint(
                "send `Rpc-Service` and `Rpc-Procedure`, a gRPC content type, or JSON to /package.Service/Method",
            ));
        }
        let message = format!("the service `{}` has no procedure `{procedure}`", self.service);
        Err(Status::unimplemented(message).with_hint(format!("it has {}", self.names.own().join(", "))))
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (service, procedures) = (&self.service, self.names.own());
        f.debug_struct("Dispatcher")
            .field("service", service)
            .field("procedures", &procedures)
            .finish_non_exhaustive()
    }
}
