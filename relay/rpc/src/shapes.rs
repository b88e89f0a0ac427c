//! From typed handlers to procedures: one adapter a shape.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use relay_core::{Encoding, Status};

use crate::BoxFuture;
use crate::call::Call;
use crate::codec::{Decode, Encode};
use crate::frame::{Encoded, Frames};
use crate::messages::Messages;
use crate::procedure::{Input, Output, Procedure, RpcRequest, RpcResponse};
use crate::reply::{Answer, Reply, StreamAnswer};

type Outcome = BoxFuture<Result<RpcResponse, Status>>;

fn one(input: Input) -> Result<Bytes, Status> {
    match input {
        Input::One(message) => Ok(message),
        Input::Stream(_) => Err(Status::internal("a layer gave many messages to a procedure that takes one")),
    }
}

fn many(input: Input) -> Result<Frames, Status> {
    match input {
        Input::Stream(frames) => Ok(*frames),
        Input::One(_) => Err(Status::internal("a layer gave one message to a procedure that takes many")),
    }
}

fn failed(status: Status) -> Outcome {
    Box::pin(std::future::ready(Err(status)))
}

fn response<T>(
    reply: Reply<T>,
    output: impl FnOnce(T) -> Result<Output, Status>,
) -> Result<RpcResponse, Status> {
    let Reply { message, metadata, trailers, compressed, control } = reply;
    Ok(RpcResponse { metadata, trailers, compressed, control, output: output(message)? })
}

fn single<C, A>(codec: &C, encoding: Encoding, answer: A) -> Result<RpcResponse, Status>
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

fn incoming<C, Req>(codec: &Arc<C>, encoding: Encoding, frames: Frames) -> Messages<Req>
where
    C: Decode<Req>,
{
    let codec = Arc::clone(codec);
    Messages::new(frames, move |bytes| codec.decode(encoding, bytes))
}

pub(crate) fn unary<C, Req, A, F, Fut>(codec: Arc<C>, handler: F) -> Procedure
where
    C: Decode<Req> + Encode<A::Message>,
    A: Answer,
    F: Fn(Call, Req) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<A, Status>> + Send + 'static,
{
    Procedure::new(move |RpcRequest { call, input }| {
        let encoding = call.encoding();
        let request = match one(input).and_then(|bytes| codec.decode(encoding, bytes)) {
            Ok(request) => request,
            Err(status) => return failed(status),
        };
        let answer = handler(call, request);
        let codec = Arc::clone(&codec);
        Box::pin(async move { single(&*codec, encoding, answer.await?) })
    })
}

pub(crate) fn oneway<C, Req, F, Fut>(codec: Arc<C>, handler: F) -> Procedure
where
    C: Decode<Req>,
    F: Fn(Call, Req) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Status>> + Send + 'static,
{
    Procedure::new(move |RpcRequest { call, input }| {
        let request = match one(input).and_then(|bytes| codec.decode(call.encoding(), bytes)) {
            Ok(request) => request,
            Err(status) => return failed(status),
        };
        let handled = handler(call, request);
        Box::pin(async move {
            handled.await?;
            response(Reply::new(()), |()| Ok(Output::One(Encoded::new(b""))))
        })
    })
}

pub(crate) fn server_stream<C, Req, A, F, Fut>(codec: Arc<C>, handler: F) -> Procedure
where
    C: Decode<Req> + Encode<A::Message>,
    A: StreamAnswer,
    F: Fn(Call, Req) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<A, Status>> + Send + 'static,
{
    Procedure::new(move |RpcRequest { call, input }| {
        let encoding = call.encoding();
        let request = match one(input).and_then(|bytes| codec.decode(encoding, bytes)) {
            Ok(request) => request,
            Err(status) => return failed(status),
        };
        let answer = handler(call, request);
        let codec = Arc::clone(&codec);
        Box::pin(async move { streamed(codec, encoding, answer.await?) })
    })
}

pub(crate) fn client_stream<C, Req, A, F, Fut>(codec: Arc<C>, handler: F) -> Procedure
where
    C: Decode<Req> + Encode<A::Message>,
    A: Answer,
    Req: 'static,
    F: Fn(Call, Messages<Req>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<A, Status>> + Send + 'static,
{
    Procedure::new(move |RpcRequest { call, input }| {
        let encoding = call.encoding();
        let frames = match many(input) {
            Ok(frames) => frames,
            Err(status) => return failed(status),
        };
        let answer = handler(call, incoming(&codec, encoding, frames));
        let codec = Arc::clone(&codec);
        Box::pin(async move { single(&*codec, encoding, answer.await?) })
    })
}

pub(crate) fn bidi<C, Req, A, F, Fut>(codec: Arc<C>, handler: F) -> Procedure
where
    C: Decode<Req> + Encode<A::Message>,
    A: StreamAnswer,
    Req: 'static,
    F: Fn(Call, Messages<Req>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<A, Status>> + Send + 'static,
{
    Procedure::new(move |RpcRequest { call, input }| {
        let encoding = call.encoding();
        let frames = match many(input) {
            Ok(frames) => frames,
            Err(status) => return failed(status),
        };
        let answer = handler(call, incoming(&codec, encoding, frames));
        let codec = Arc::clone(&codec);
        Box::pin(async move { streamed(codec, encoding, answer.await?) })
    })
}
