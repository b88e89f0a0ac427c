//! Compressed messages, each way.

use futures_util::stream;
use relay_rpc::{Ask, Carrier, Code};

use super::streams::parameters;
use super::unary::{large_request, payload};
use super::{Outcome, same};
use crate::testing::{
    BoolValue, ResponseParameters, SimpleRequest, StreamingInputCallRequest, StreamingOutputCallRequest,
    TestServiceClient,
};

fn told(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}

pub(super) async fn client_unary<S: Carrier>(client: &TestServiceClient<S>) -> Outcome {
    let expecting = || SimpleRequest { expect_compressed: told(true), ..large_request() };
    // The probe: a server that does not look would take this one.
    let probe = client.unary_call(expecting()).await.err().map(|status| status.code);
    same("the probe's code", probe, Some(Code::InvalidArgument))?;
    client.unary_call(Ask::new(expecting()).compressed()).await?;
    let plain = SimpleRequest { expect_compressed: told(false), ..large_request() };
    client.unary_call(plain).await?;
    Ok(())
}

pub(super) async fn server_unary<S: Carrier>(client: &TestServiceClient<S>) -> Outcome {
    for compressed in [true, false] {
        let request = SimpleRequest { response_compressed: told(compressed), ..large_request() };
        let reply = client.unary_call(request).await?;
        same("whether the answer came compressed", reply.is_compressed(), compressed)?;
        let size = reply.into_message().payload.map(|payload| payload.body.len());
        same("the answer's size", size, Some(314_159))?;
    }
    Ok(())
}

pub(super) async fn client_streaming<S: Carrier>(client: &TestServiceClient<S>) -> Outcome {
    let message =
        |size, expect| StreamingInputCallRequest { payload: payload(size), expect_compressed: told(expect) };
    let probe = client.streaming_input_call(stream::iter([message(27_182, true)])).await;
    same("the probe's code", probe.err().map(|status| status.code), Some(Code::InvalidArgument))?;
    let ask = Ask::new(stream::iter([message(27_182, true), message(45_904, false)])).compressed();
    let sum = client.streaming_input_call(ask).await?.into_message().aggregated_payload_size;
    same("the sum", sum, 73_086)
}

pub(super) async fn server_streaming<S: Carrier>(client: &TestServiceClient<S>) -> Outcome {
    let wanted = [(31_415, true), (92_653, false)];
    let request = StreamingOutputCallRequest {
        response_parameters: wanted
            .map(|(size, compressed)| ResponseParameters { compressed: told(compressed), ..parameters(size) })
            .to_vec(),
        ..StreamingOutputCallRequest::default()
    };
    let mut answers = client.streaming_output_call(request).await?;
    for (size, compressed) in wanted {
        let answer = answers.message().await?.and_then(|answer| answer.payload);
        same("an answer's size", answer.map(|payload| payload.body.len()), Some(size))?;
        same("whether it came compressed", answers.is_compressed(), compressed)?;
    }
    same("what follows", answers.message().await?, None)
}
