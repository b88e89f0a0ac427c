//! One message each way.

use futures_util::stream;
use http::HeaderValue;
use relay_rpc::{Ask, Carrier, Client, Code, Reply, Status, metadata};

use super::{Outcome, same};
use crate::interop::{ECHO_INITIAL, ECHO_TRAILING};
use crate::testing::{
    EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest, StreamingOutputCallRequest,
    TestServiceClient,
};

/// Bytes of the large message and of its answer.
const LARGE_REQUEST: usize = 271_828;
const LARGE_RESPONSE: usize = 314_159;

pub(super) fn payload(size: usize) -> Option<Payload> {
    Some(Payload { r#type: 0, body: vec![0; size] })
}

pub(super) fn large_request() -> SimpleRequest {
    SimpleRequest {
        response_size: i32::try_from(LARGE_RESPONSE).unwrap_or_default(),
        payload: payload(LARGE_REQUEST),
        ..SimpleRequest::default()
    }
}

pub(super) async fn empty<S: Carrier>(client: &TestServiceClient<S>) -> Outcome {
    let reply = client.empty_call(Empty {}).await?;
    same("the answer", reply.into_message(), Empty {})
}

pub(super) async fn large<S: Carrier>(client: &TestServiceClient<S>) -> Outcome {
    let reply = client.unary_call(large_request()).await?.into_message();
    let expected = payload(LARGE_RESPONSE);
    if reply.payload == expected { Ok(()) } else { Err("the payload is another one".into()) }
}

pub(super) async fn custom_metadata<S: Carrier>(client: &TestServiceClient<S>) -> Outcome {
    let (initial, trailing) = (HeaderValue::from_static("test_initial_metadata_value"), [0xab, 0xab, 0xab]);
    let bin = metadata::encode_bin(&trailing);
    let unary = Ask::new(SimpleRequest { response_size: 1, payload: payload(1), ..SimpleRequest::default() })
        .with_metadata(ECHO_INITIAL, initial.clone())
        .with_metadata(ECHO_TRAILING, bin.clone());
    let reply = client.unary_call(unary).await?;
    same("the header", reply.metadata().get(ECHO_INITIAL), Some(&initial))?;
    let back = reply.trailers().get(ECHO_TRAILING).and_then(metadata::decode_bin);
    same("the trailer", back.as_deref(), Some(trailing.as_slice()))?;

    let one = StreamingOutputCallRequest {
        response_parameters: vec![ResponseParameters { size: 1, ..ResponseParameters::default() }],
        payload: payload(1),
        ..StreamingOutputCallRequest::default()
    };
    let duplex = Ask::new(stream::iter([one]))
        .with_metadata(ECHO_INITIAL, initial.clone())
        .with_metadata(ECHO_TRAILING, bin);
    let mut answers = client.full_duplex_call(duplex).await?;
    same("the header", answers.metadata().get(ECHO_INITIAL), Some(&initial))?;
    while answers.message().await?.is_some() {}
    let back = answers.trailers().and_then(|trailers| trailers.get(ECHO_TRAILING));
    same("the trailer", back.and_then(metadata::decode_bin).as_deref(), Some(trailing.as_slice()))
}

pub(super) async fn status_code_and_message<S: Carrier>(client: &TestServiceClient<S>) -> Outcome {
    let wanted = EchoStatus { code: 2, message: "test status message".to_owned() };
    let expected = Some(Status::new(Code::Unknown, &wanted.message));
    let unary = SimpleRequest { response_status: Some(wanted.clone()), ..SimpleRequest::default() };
    same("the status", client.unary_call(unary).await.err(), expected.clone())?;
    let one =
        StreamingOutputCallRequest { response_status: Some(wanted), ..StreamingOutputCallRequest::default() };
    let failed = match client.full_duplex_call(stream::iter([one])).await {
        Ok(mut answers) => answers.message().await.err(),
        Err(status) => Some(status),
    };
    same("the status", failed, expected)
}

pub(super) async fn special_status_message<S: Carrier>(client: &TestServiceClient<S>) -> Outcome {
    let message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n".to_owned();
    let wanted = EchoStatus { code: 2, message: message.clone() };
    let unary = SimpleRequest { response_status: Some(wanted), ..SimpleRequest::default() };
    same("the status", client.unary_call(unary).await.err(), Some(Status::new(Code::Unknown, message)))
}

pub(super) async fn unimplemented<S: Carrier>(client: &Client<S>, path: &str) -> Outcome {
    let refused: Result<Reply<Empty>, Status> = client.unary(path, Empty {}).await;
    same("the code", refused.err().map(|status| status.code), Some(Code::Unimplemented))
}
