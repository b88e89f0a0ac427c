//! The service that gRPC's interop cases call
//! (<https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md>, Server features).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use http::HeaderName;
use omnirelay_runtime::Result;
use relay_rpc::{Call, Code, Control, Dispatcher, Messages, Reply, ReplyStream, Status};

use crate::DESCRIPTOR_SET;
use crate::testing::{
    BoolValue, EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest, SimpleResponse,
    StreamingInputCallRequest, StreamingInputCallResponse, StreamingOutputCallRequest,
    StreamingOutputCallResponse, TestService, TestServiceServer,
};

/// Metadata that comes back as a header.
pub const ECHO_INITIAL: HeaderName = HeaderName::from_static("x-grpc-test-echo-initial");
/// Metadata that comes back as a trailer.
pub const ECHO_TRAILING: HeaderName = HeaderName::from_static("x-grpc-test-echo-trailing-bin");
/// The most bytes of a payload that is made for a caller.
const MAX_PAYLOAD: usize = 4 << 20;
/// The longest that an answer waits for a caller.
const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// The interop service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interop;

impl Interop {
    /// A dispatcher that serves it.
    ///
    /// # Errors
    /// None but those of the committed contract.
    pub fn dispatcher() -> Result<Dispatcher> {
        TestServiceServer::register(Dispatcher::new("interop", DESCRIPTOR_SET)?, &Arc::new(Self))
    }
}

/// Gives metadata back that was asked for.
fn echo<T>(call: &Call, mut reply: Reply<T>) -> Reply<T> {
    if let Some(value) = call.metadata(ECHO_INITIAL.as_str()) {
        reply = reply.with_metadata(ECHO_INITIAL, value.clone());
    }
    if let Some(value) = call.metadata(ECHO_TRAILING.as_str()) {
        reply = reply.with_trailer(ECHO_TRAILING, value.clone());
    }
    reply
}

fn asked_status(status: Option<EchoStatus>) -> Result<(), Status> {
    match status {
        Some(EchoStatus { code, message }) if code != 0 => {
            Err(Status::new(Code::from_grpc(u32::try_from(code).unwrap_or(2)), message))
        }
        _ => Ok(()),
    }
}

fn payload(size: i32) -> Result<Option<Payload>, Status> {
    let size = usize::try_from(size).ok().filter(|size| *size <= MAX_PAYLOAD);
    let size =
        size.ok_or_else(|| Status::invalid_argument("no such size").with_hint("ask for 0 to 4 MiB"))?;
    Ok(Some(Payload { r#type: 0, body: vec![0; size] }))
}

fn expect_compressed(expected: Option<BoolValue>, compressed: bool) -> Result<(), Status> {
    match expected {
        Some(BoolValue { value: true }) if !compressed => {
            Err(Status::invalid_argument("the message came uncompressed"))
        }
        _ => Ok(()),
    }
}

/// One answer of a stream, once its time has come.
async fn timely(
    parameters: ResponseParameters,
    control: &Control,
) -> Result<StreamingOutputCallResponse, Status> {
    let interval = Duration::from_micros(u64::try_from(parameters.interval_us).unwrap_or_default());
    if !interval.is_zero() {
        tokio::time::sleep(interval.min(MAX_INTERVAL)).await;
    }
    control.set_compression(parameters.compressed.is_some_and(|compressed| compressed.value));
    Ok(StreamingOutputCallResponse { payload: payload(parameters.size)? })
}

impl TestService for Interop {
    async fn empty_call(&self, call: Call, _request: Empty) -> Result<Reply<Empty>, Status> {
        Ok(echo(&call, Reply::new(Empty {})))
    }

    async fn unary_call(&self, call: Call, request: SimpleRequest) -> Result<Reply<SimpleResponse>, Status> {
        expect_compressed(request.expect_compressed, call.is_compressed())?;
        asked_status(request.response_status)?;
        let response =
            SimpleResponse { payload: payload(request.response_size)?, ..SimpleResponse::default() };
        let reply = echo(&call, Reply::new(response));
        Ok(match request.response_compressed {
            Some(compressed) => reply.with_compression(compressed.value),
            None => reply,
        })
    }

    async fn streaming_output_call(
        &self,
        call: Call,
        request: StreamingOutputCallRequest,
    ) -> Result<Reply<ReplyStream<StreamingOutputCallResponse>>, Status> {
        asked_status(request.response_status)?;
        let control = Control::default();
        let wanted = VecDeque::from(request.response_parameters);
        let answers = stream::try_unfold((wanted, control.clone()), |(mut wanted, control)| async move {
            let Some(parameters) = wanted.pop_front() else {
                return Ok(None);
            };
            Ok(Some((timely(parameters, &control).await?, (wanted, control))))
        });
        Ok(echo(&call, Reply::new(answers).with_control(&control).boxed()))
    }

    async fn streaming_input_call(
        &self,
        call: Call,
        mut requests: Messages<StreamingInputCallRequest>,
    ) -> Result<Reply<StreamingInputCallResponse>, Status> {
        let mut size = 0_usize;
        while let Some(request) = requests.message().await? {
            expect_compressed(request.expect_compressed, requests.is_compressed())?;
            size += request.payload.map_or(0, |payload| payload.body.len());
        }
        let aggregated_payload_size = i32::try_from(size).unwrap_or(i32::MAX);
        Ok(echo(&call, Reply::new(StreamingInputCallResponse { aggregated_payload_size })))
    }

    async fn full_duplex_call(
        &self,
        call: Call,
        requests: Messages<StreamingOutputCallRequest>,
    ) -> Result<Reply<ReplyStream<StreamingOutputCallResponse>>, Status> {
        let control = Control::default();
        let state = (requests, VecDeque::new(), control.clone());
        let answers = stream::try_unfold(state, |(mut requests, mut wanted, control)| async move {
            loop {
                if let Some(parameters) = wanted.pop_front() {
                    let answer = timely(parameters, &control).await?;
                    return Ok(Some((answer, (requests, wanted, control))));
                }
                let Some(request) = requests.message().await? else {
                    return Ok(None);
                };
                asked_status(request.response_status)?;
                wanted.extend(request.response_parameters);
            }
        });
        Ok(echo(&call, Reply::new(answers).with_control(&control).boxed()))
    }
}
