//! Streams, and their ends.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use relay_rpc::{Ask, Carrier, Code};
use tokio::sync::mpsc;

use super::unary::{empty, payload};
use super::{Outcome, same};
use crate::testing::{
    ResponseParameters, StreamingInputCallRequest, StreamingOutputCallRequest, TestServiceClient,
};

const REQUESTS: [usize; 4] = [27_182, 8, 1_828, 45_904];
const RESPONSES: [usize; 4] = [31_415, 9, 2_653, 58_979];

pub(super) fn parameters(size: usize) -> ResponseParameters {
    ResponseParameters { size: i32::try_from(size).unwrap_or_default(), ..ResponseParameters::default() }
}

fn input(size: usize) -> StreamingInputCallRequest {
    StreamingInputCallRequest { payload: payload(size), ..StreamingInputCallRequest::default() }
}

fn output(request: usize, response: usize) -> StreamingOutputCallRequest {
    StreamingOutputCallRequest {
        response_parameters: vec![parameters(response)],
        payload: payload(request),
        ..StreamingOutputCallRequest::default()
    }
}

pub(super) async fn client_streaming<S: Carrier>(client: &TestServiceClient<S>) -> Outcome {
    let reply = client.streaming_input_call(stream::iter(REQUESTS.map(input))).await?.into_message();
    same("the sum", reply.aggregated_payload_size, 74_922)
}

pub(super) async fn server_streaming<S: Carrier>(client: &TestServiceClient<S>) -> Outcome {
    let request = StreamingOutputCallRequest {
        response_parameters: RESPONSES.map(parameters).to_vec(),
        ..StreamingOutputCallRequest::default()
    };
    let mut answers = client.streaming_output_call(request).await?;
    for size in RESPONSES {
        let answer = answers.message().await?.and_then(|answer| answer.payload);
        same("an answer's size", answer.map(|payload| payload.body.len()), Some(size))?;
    }
    same("what follows", answers.message().await?, None)
}

/// Each request is sent only once the answer to the one before has come.
pub(super) async fn ping_pong<S: Carrier>(client: &TestServiceClient<S>) -> Outcome {
    let (send, receive) = mpsc::channel(1);
    let requests =
        stream::unfold(receive, |mut receive| async move { Some((receive.recv().await?, receive)) });
    let mut pings = REQUESTS.into_iter().zip(RESPONSES).map(|(request, response)| output(request, response));
    // Before the call: a server may begin its answer only with its first message.
    if let Some(first) = pings.next() {
        send.send(first).await?;
    }
    let mut answers = client.full_duplex_call(requests).await?;
    for response in RESPONSES {
        let answer = answers.message().await?.and_then(|answer| answer.payload);
        same("an answer's size", answer.map(|payload| payload.body.len()), Some(response))?;
        if let Some(next) = pings.next() {
            send.send(next).await?;
        }
    }
    drop(send);
    same("what follows", answers.message().await?, None)
}

pub(super) async fn empty_stream<S: Carrier>(client: &TestServiceClient<S>) -> Outcome {
    let mut answers = client.full_duplex_call(stream::empty()).await?;
    same("what comes", answers.message().await?, None)
}

pub(super) async fn cancel_after_begin<S: Carrier>(client: &TestServiceClient<S>) -> Outcome {
    let forever = stream::iter([input(1)]).chain(stream::pending());
    let mut call = Box::pin(client.streaming_input_call(forever));
    let early = call.as_mut().now_or_never().is_some();
    drop(call);
    same("whether an answer came", early, false)?;
    empty(client).await
}

pub(super) async fn cancel_after_first_response<S: Carrier>(client: &TestServiceClient<S>) -> Outcome {
    let forever = stream::iter([output(REQUESTS[0], RESPONSES[0])]).chain(stream::pending());
    let mut answers = client.full_duplex_call(forever).await?;
    same("whether an answer came", answers.message().await?.is_some(), true)?;
    drop(answers);
    empty(client).await
}

pub(super) async fn timeout_on_sleeping_server<S: Carrier>(client: &TestServiceClient<S>) -> Outcome {
    let forever = stream::iter([output(REQUESTS[0], 1)].map(|mut request| {
        for parameters in &mut request.response_parameters {
            parameters.interval_us = 30_000_000;
        }
        request
    }));
    let ask = Ask::new(forever.chain(stream::pending())).with_timeout(Duration::from_millis(1));
    let failed = match client.full_duplex_call(ask).await {
        Ok(mut answers) => answers.message().await.err(),
        Err(status) => Some(status),
    };
    same("the code", failed.map(|status| status.code), Some(Code::DeadlineExceeded))
}
