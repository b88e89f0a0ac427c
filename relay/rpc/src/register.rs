//! What is registered: a procedure's names, its handler, its layers.

use std::fmt;
use std::sync::Arc;

use relay_core::Status;
use tower::{Layer, Service};

use crate::call::Call;
use crate::codec::{Contract, Decode, Encode, Raw};
use crate::messages::Messages;
use crate::procedure::{Procedure, RpcRequest, RpcResponse, Shape, Wrap, wrap};
use crate::reply::{Answer, StreamAnswer};
use crate::shapes;

/// A procedure of the contracts, by its gRPC path `/package.Service/Method`. YARPC callers find it
/// as `package.Service::Method` and as `Service::Method`.
pub fn proto(path: impl Into<String>) -> Named<Contract> {
    Named::new(path.into())
}

/// A procedure of bytes, by any name: `Service::Method` or `/package.Service/Method`, which are
/// the same one. A name that ends in `*` answers everything that begins with the rest and that
/// nothing else answers: `Foo::*`, or `*`; of many the longest.
pub fn raw(name: impl Into<String>) -> Named<Raw> {
    Named::new(name.into())
}

/// A procedure without its handler.
pub struct Named<C> {
    name: String,
    codec: std::marker::PhantomData<fn() -> C>,
}

/// A procedure as [`Dispatcher::add`](crate::Dispatcher::add) takes it.
pub struct Registration {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) layers: Vec<Wrap>,
    pub(crate) shape: Shape,
    pub(crate) make: Make,
}

impl Registration {
    /// Adds a second name, `Service::Method` or `/package.Service/Method`.
    #[must_use]
    pub fn alias(mut self, name: impl Into<String>) -> Self {
        self.aliases.push(name.into());
        self
    }

    /// Adds a layer around the handler, within those of the dispatcher; the first one added is the
    /// outermost. It is composed once, when the procedure is registered.
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
}

/// A procedure that waits for its contract, or one that needs none.
pub enum Make {
    /// Composed once the contract is found.
    Contract(Box<dyn FnOnce(Arc<Contract>) -> Procedure + Send>),
    /// Composed.
    Raw(Procedure),
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("name", &self.name)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Named<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How messages of a kind of procedure are read and written.
pub trait Codec: Sized + Send + Sync + 'static {
    /// Composes a procedure, or says what it waits for.
    fn make(build: impl FnOnce(Arc<Self>) -> Procedure + Send + 'static) -> Make;
}

impl Codec for Contract {
    fn make(build: impl FnOnce(Arc<Self>) -> Procedure + Send + 'static) -> Make {
        Make::Contract(Box::new(build))
    }
}

impl Codec for Raw {
    fn make(build: impl FnOnce(Arc<Self>) -> Procedure + Send + 'static) -> Make {
        Make::Raw(build(Arc::new(Self)))
    }
}

impl<C: Codec> Named<C> {
    fn new(name: String) -> Self {
        Self { name, codec: std::marker::PhantomData }
    }

    fn with(self, shape: Shape, make: impl FnOnce(Arc<C>) -> Procedure + Send + 'static) -> Registration {
        let (aliases, layers) = (Vec::new(), Vec::new());
        Registration { name: self.name, aliases, layers, shape, make: C::make(make) }
    }

    /// One message each way.
    pub fn unary<Req, A, F, Fut>(self, handler: F) -> Registration
    where
        C: Decode<Req> + Encode<A::Message>,
        A: Answer,
        Req: 'static,
        F: Fn(Call, Req) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Status>> + Send + 'static,
    {
        self.with(Shape::Unary, |codec| shapes::unary(codec, handler))
    }

    /// One message in; the caller is answered once the call is accepted, and the handler goes on.
    pub fn oneway<Req, F, Fut>(self, handler: F) -> Registration
    where
        C: Decode<Req>,
        Req: 'static,
        F: Fn(Call, Req) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Status>> + Send + 'static,
    {
        self.with(Shape::Oneway, |codec| shapes::oneway(codec, handler))
    }

    /// One message in, a stream out.
    pub fn server_stream<Req, A, F, Fut>(self, handler: F) -> Registration
    where
        C: Decode<Req> + Encode<A::Message>,
        A: StreamAnswer,
        Req: 'static,
        F: Fn(Call, Req) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Status>> + Send + 'static,
    {
        self.with(Shape::ServerStream, |codec| shapes::server_stream(codec, handler))
    }

    /// A stream in, one message out.
    pub fn client_stream<Req, A, F, Fut>(self, handler: F) -> Registration
    where
        C: Decode<Req> + Encode<A::Message>,
        A: Answer,
        Req: 'static,
        F: Fn(Call, Messages<Req>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Status>> + Send + 'static,
    {
        self.with(Shape::ClientStream, |codec| shapes::client_stream(codec, handler))
    }

    /// A stream each way, both at once.
    pub fn bidi<Req, A, F, Fut>(self, handler: F) -> Registration
    where
        C: Decode<Req> + Encode<A::Message>,
        A: StreamAnswer,
        Req: 'static,
        F: Fn(Call, Messages<Req>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Status>> + Send + 'static,
    {
        self.with(Shape::Bidi, |codec| shapes::bidi(codec, handler))
    }
}
