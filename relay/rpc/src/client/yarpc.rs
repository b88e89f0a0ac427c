//! Calls as YARPC over HTTP.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use prost::Message;
use relay_core::{Encoding, RpcStyle, Status, headers};
use relay_transport::{body, respond};
use tokio::time::Instant;

use super::{Ask, Carrier, carry, metadata_of};
use crate::DEFAULT_MAX_MESSAGE;
use crate::reply::Reply;
use crate::serve::within;

/// How long a call may take that does not say it: YARPC has no call without a deadline.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A YARPC client of one service, over any service that carries HTTP. Dropping a call cancels it.
#[derive(Clone, Debug)]
pub struct YarpcClient<S> {
    carrier: S,
    service: HeaderValue,
    caller: HeaderValue,
    path: Uri,
    timeout: Duration,
    max_message: usize,
}

impl<S: Carrier> YarpcClient<S> {
    /// A client that calls `service` as `caller`.
    ///
    /// # Errors
    /// `invalid-argument` for a name that cannot stand in a header.
    pub fn new(carrier: S, service: &str, caller: &str) -> Result<Self, Status> {
        Ok(Self {
            carrier,
            service: value(service)?,
            caller: value(caller)?,
            path: Uri::from_static(headers::DEFAULT_RPC_PATH),
            timeout: DEFAULT_TIMEOUT,
            max_message: DEFAULT_MAX_MESSAGE,
        })
    }

    /// How long calls may take that do not say it themselves; 30 s otherwise.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The path of RPC over HTTP; `/yarpc/v1` otherwise.
    #[must_use]
    pub fn path(mut self, path: Uri) -> Self {
        self.path = path;
        self
    }

    /// Takes answers of at most so many bytes; 4 MiB otherwise.
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Calls a procedure, `Service::Method`, in protobuf.
    ///
    /// # Errors
    /// The procedure's status, or why there is none.
    pub async fn unary<Req, Res>(
        &self,
        procedure: &str,
        ask: impl Into<Ask<Req>>,
    ) -> Result<Reply<Res>, Status>
    where
        Req: Message,
        Res: Message + Default,
    {
        let ask = ask.into();
        let bytes = Bytes::from(ask.message.encode_to_vec());
        let reply = self.call(procedure, Encoding::Protobuf, bytes, ask).await?;
        let message = Res::decode(reply.message.clone())
            .map_err(|error| Status::internal(format!("the answer cannot be decoded: {error}")))?;
        Ok(reply.map(|_bytes| message))
    }

    /// Calls a procedure with bytes in an encoding of the caller's choice.
    ///
    /// # Errors
    /// As [`YarpcClient::unary`].
    pub async fn bytes(
        &self,
        procedure: &str,
        encoding: Encoding,
        ask: impl Into<Ask<Bytes>>,
    ) -> Result<Reply<Bytes>, Status> {
        let ask = ask.into();
        let bytes = ask.message.clone();
        self.call(procedure, encoding, bytes, ask).await
    }

    /// Calls a procedure whose answer says only that it was accepted, in protobuf.
    ///
    /// # Errors
    /// As [`YarpcClient::unary`].
    pub async fn oneway<Req: Message>(
        &self,
        procedure: &str,
        ask: impl Into<Ask<Req>>,
    ) -> Result<(), Status> {
        let ask = ask.into();
        let bytes = Bytes::from(ask.message.encode_to_vec());
        self.call(procedure, Encoding::Protobuf, bytes, ask).await.map(|_empty| ())
    }

    async fn call<T>(
        &self,
        procedure: &str,
        encoding: Encoding,
        bytes: Bytes,
        ask: Ask<T>,
    ) -> Result<Reply<Bytes>, Status> {
        let timeout = ask.timeout.unwrap_or(self.timeout);
        let mut request = Request::new(body::full(bytes));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        let into = request.headers_mut();
        let content_type = match encoding {
            Encoding::Json => "application/json",
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Raw => "application/octet-stream",
        };
        into.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        into.insert(headers::RPC_SERVICE, self.service.clone());
        into.insert(headers::RPC_CALLER, self.caller.clone());
        into.insert(headers::RPC_PROCEDURE, value(procedure)?);
        into.insert(headers::RPC_ENCODING, HeaderValue::from_static(encoding.yarpc()));
        // A call that has less than a millisecond left still has some.
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        into.insert(headers::CONTEXT_TTL_MS, HeaderValue::from(millis));
        if let Some(key) = ask.shard_key {
            into.insert(headers::RPC_SHARD_KEY, key);
        }
        metadata_of(RpcStyle::Yarpc, ask.metadata, into);
        let work = async {
            let (head, body) = carry(&self.carrier, request).await?.into_parts();
            let failed = respond::read_yarpc_status(head.status, &head.headers);
            let bytes = body::collect_limited(body, self.max_message).await?;
            match failed {
                Some(mut status) => {
                    if status.message.is_empty() {
                        status.message = String::from_utf8_lossy(&bytes).into_owned();
                    }
                    Err(status)
                }
                None => {
                    let mut reply = Reply::new(bytes);
                    reply.metadata = custom(&head.headers);
                    Ok(reply)
                }
            }
        };
        within(Some(Instant::now() + timeout), procedure, work).await
    }
}

/// The application's headers of an answer by their plain names.
fn custom(headers: &HeaderMap) -> HeaderMap {
    let custom = crate::metadata::custom(RpcStyle::Yarpc, headers);
    custom.filter_map(|(name, value)| Some((HeaderName::try_from(name).ok()?, value.clone()))).collect()
}

fn value(text: &str) -> Result<HeaderValue, Status> {
    HeaderValue::from_str(text)
        .map_err(|_| Status::invalid_argument(format!("`{text}` cannot stand in a header")))
}
