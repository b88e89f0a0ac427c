//! Serves and calls procedures: unary, oneway, server-, client- and bidirectional streaming; as
//! gRPC and as YARPC over HTTP; in protobuf, JSON and raw bytes; over whatever protocol the
//! listener or the channel speaks.
//!
//! Read first: [`Dispatcher`] finds the procedure of a call, [`proto`] and [`raw`] register one,
//! [`Client`] calls. [`Call`] is what a handler is told, [`Reply`] what it may say beside its
//! message, [`Messages`] a stream that arrives. `docs/guide/rpc.md` shows each shape.

mod call;
pub mod client;
mod codec;
mod compression;
mod dispatcher;
mod frame;
mod messages;
pub mod metadata;
mod procedure;
mod register;
mod reply;
mod seat;
mod serve;
mod shapes;

pub use call::Call;
pub use client::{Ask, Carrier, Client, StreamAsk, Streaming, YarpcClient};
pub use codec::{Contract, Decode, Encode, Raw};
pub use dispatcher::{DispatchService, Dispatched, Dispatcher};
pub use frame::{Encoded, Frames};
pub use messages::Messages;
pub use procedure::{Input, Output, Outputs, Procedure, RpcRequest, RpcResponse, Shape};
pub use register::{Codec, Make, Named, Registration, proto, raw};
pub use reply::{Answer, Control, Reply, ReplyStream, StreamAnswer};
pub use seat::Running;
// What generated code and handlers speak of.
pub use futures_util::Stream;
pub use omnirelay_runtime::OperatorError;
pub use relay_core::{Code, Status};

/// A future whose type is erased.
pub type BoxFuture<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

/// The most bytes of one message where nothing else is said; gRPC's usual bound.
pub const DEFAULT_MAX_MESSAGE: usize = 4 << 20;
