//! A registered procedure: bytes in, bytes out, in whichever encoding.

use std::pin::Pin;

use bytes::Bytes;
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions};
use relay_core::{Code, Encoding, Status};

use super::Call;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Handler = Box<dyn Fn(Call, Bytes) -> BoxFuture<Result<Bytes, Status>> + Send + Sync>;

/// A procedure with its message types.
pub(super) struct Procedure {
    name: String,
    request: MessageDescriptor,
    response: MessageDescriptor,
    handler: Handler,
}

impl Procedure {
    pub(super) fn new<Req, Res, F, Fut>(name: String, method: &MethodDescriptor, handler: F) -> Self
    where
        Req: prost::Message + Default + 'static,
        Res: prost::Message + 'static,
        F: Fn(Call, Req) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Res, Status>> + Send + 'static,
    {
        let handler = move |call, bytes: Bytes| -> BoxFuture<Result<Bytes, Status>> {
            match Req::decode(bytes) {
                Ok(request) => {
                    let answer = handler(call, request);
                    Box::pin(async move { Ok(answer.await?.encode_to_vec().into()) })
                }
                Err(error) => {
                    let status = Status::invalid_argument(format!("the message cannot be decoded: {error}"));
                    Box::pin(async move { Err(status) })
                }
            }
        };
        Self { name, request: method.input(), response: method.output(), handler: Box::new(handler) }
    }

    /// `package.Service::Method`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Runs the procedure on one message, for as long as the caller waits.
    pub(super) async fn run(&self, encoding: Encoding, call: Call, message: Bytes) -> Result<Bytes, Status> {
        let timeout = call.timeout;
        let message = match encoding {
            Encoding::Protobuf => message,
            Encoding::Json => self.request_from_json(&message)?,
            Encoding::Raw => {
                return Err(Status::invalid_argument(format!(
                    "`{}` takes json or proto, not raw",
                    self.name
                ))
                .with_hint("set `Rpc-Encoding`"));
            }
        };
        let answer = tokio::time::timeout(timeout, (self.handler)(call, message)).await;
        let answer = answer.map_err(|_elapsed| {
            Status::new(Code::DeadlineExceeded, format!("`{}` took longer than {timeout:?}", self.name))
        })??;
        match encoding {
            Encoding::Json => self.response_to_json(answer),
            Encoding::Protobuf | Encoding::Raw => Ok(answer),
        }
    }

    fn request_from_json(&self, json: &[u8]) -> Result<Bytes, Status> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let message = DynamicMessage::deserialize(self.request.clone(), &mut reader)
            .and_then(|message| reader.end().map(|()| message));
        let message = message.map_err(|error| {
            let fields: Vec<String> = self.request.fields().map(|field| field.json_name().to_owned()).collect();
            Status::invalid_argument(format!("the message is no JSON {}: {error}", self.request.full_name()))
                .with_hint(format!("its fields are {}", fields.join(", ")))
        })?;
        Ok(prost::Message::encode_to_vec(&message).into())
    }

    fn response_to_json(&self, answer: Bytes) -> Result<Bytes, Status> {
        let broken = |error: &dyn std::fmt::Display| {
            Status::internal(format!("the answer cannot be written: {error}"))
        };
        let message =
            DynamicMessage::decode(self.response.clone(), answer).map_err(|error| broken(&error))?;
        let mut json = Vec::new();
        // Fields at their default are written too: a caller in JSON sees every field there is.
        let options = SerializeOptions::new().skip_default_fields(false);
        message
            .serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options)
            .map_err(|error| broken(&error))?;
        Ok(json.into())
    }
}
