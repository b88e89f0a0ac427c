//! From typed handlers to procedures: a shape is a way to take a request and a way to give an answer.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use relay_core::{Encoding, Status};

use crate::call::Call;
use crate::codec::{Decode, Encode};
use crate::frame::Encoded;
use crate::messages::Messages;
use crate::procedure::{Input, Output, Procedure, RpcRequest, RpcResponse};
use crate::reply::{Answer, Reply, StreamAnswer};

/// Runs `handler` between what a shape takes and what it gives.
fn procedure<C, Taken, Given, F, Fut>(
    codec: Arc<C>,
    take: fn(&Arc<C>, Encoding, Input) -> Result<Taken, Status>,
    handler: F,
    give: fn(Arc<C>, Encoding, Given) -> Result<RpcResponse, Status>,
) -> Procedure
where
    C: Send + Sync + 'static,
    Taken: 'static,
    Given: 'static,
    F: Fn(Call, Taken) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Given, Status>> + Send + 'static,
{
    Procedure::seated(move |RpcRequest { call, input }| {
        let encoding = call.encoding();
        let answer = take(&codec, encoding, input).map(|request| handler(call, request));
        let codec = Arc::clone(&codec);
        async move { give(codec, encoding, answer?.await?) }
    })
}

fn one<C: Decode<Req>, Req>(codec: &Arc<C>, encoding: Encoding, input: Input) -> Result<Req, Status> {
    match input {
        Input::One(message) => codec.decode(encoding, message),
        Input::Stream(_) => Err(Status::internal("a layer gave many messages to a procedure that takes one")),
    }
}

fn many<C: Decode<Req>, Req>(
    codec: &Arc<C>,
    encoding: Encoding,
    input: Input,
) -> Result<Messages<Req>, Status> {
    let Input::Stream(frames) = input else {
        return Err(Status::internal("a layer gave one message to a procedure that takes many"));
    };
    let codec = Arc::clone(codec);
    Ok(Messages::new(*frames, move |bytes: Bytes| codec.decode(encoding, bytes)))
}

fn response<T>(
    reply: Reply<T>,
    output: impl FnOnce(T) -> Result<Output, Status>,
) -> Result<RpcResponse, Status> {
    let Reply { message, metadata, trailers, compressed, control } = reply;
    Ok(RpcResponse { metadata, trailers, compressed, control, output: output(message)? })
}

#[allow(clippy::needless_pass_by_value, reason = "every shape gives in the same way")]
fn nothing<C>(_codec: Arc<C>, _encoding: Encoding, (): ()) -> Result<RpcResponse, Status> {
    response(Reply::new(()), |()| Ok(Output::One(Encoded::new(b""))))
}

#[allow(clippy::needless_pass_by_value, reason = "every shape gives in the same way")]
fn single<C, A>(codec: Arc<C>, encoding: Encoding, answer: A) -> Result<RpcResponse, Status>
where
    C: Encode<A::Message>,
    A: Answer,
{
    response(answer.into_reply(), |message| Ok(Output::One(codec.encode(encoding, &message)?)))
}

fn streamed<C, A>(codec: Arc<C>, encoding: Encoding, answer: A) -> Result<RpcResponse, Status>
where
    C: Encode<A::Message>,
    A: StreamAnswer,
{
    response(answer.into_reply(), |messages| {
        let encoded = messages.map(move |message| codec.encode(encoding, &message?));
        Ok(Output::Stream(Box::pin(encoded)))
    })
}

pub(crate) fn unary<C, Req, A, F, Fut>(codec: Arc<C>, handler: F) -> Procedure
where
    C: Decode<Req> + Encode<A::Message>,
    A: Answer,
    Req: 'static,
    F: Fn(Call, Req) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<A, Status>> + Send + 'static,
{
    procedure(codec, one, handler, single)
}

pub(crate) fn oneway<C, Req, F, Fut>(codec: Arc<C>, handler: F) -> Procedure
where
    C: Decode<Req>,
    Req: 'static,
    F: Fn(Call, Req) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Status>> + Send + 'static,
{
    procedure(codec, one, handler, nothing)
}

pub(crate) fn server_stream<C, Req, A, F, Fut>(codec: Arc<C>, handler: F) -> Procedure
where
    C: Decode<Req> + Encode<A::Message>,
    A: StreamAnswer,
    Req: 'static,
    F: Fn(Call, Req) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<A, Status>> + Send + 'static,
{
    procedure(codec, one, handler, streamed)
}

pub(crate) fn client_stream<C, Req, A, F, Fut>(codec: Arc<C>, handler: F) -> Procedure
where
    C: Decode<Req> + Encode<A::Message>,
    A: Answer,
    Req: 'static,
    F: Fn(Call, Messages<Req>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<A, Status>> + Send + 'static,
{
    procedure(codec, many, handler, single)
}

pub(crate) fn bidi<C, Req, A, F, Fut>(codec: Arc<C>, handler: F) -> Procedure
where
    C: Decode<Req> + Encode<A::Message>,
    A: StreamAnswer,
    Req: 'static,
    F: Fn(Call, Messages<Req>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<A, Status>> + Send + 'static,
{
    procedure(codec, many, handler, streamed)
}
