//! Header names of YARPC over HTTP and of gRPC.
//!
//! Source: YARPC's `transport/http` and `transport/grpc` packages; gRPC's
//! `PROTOCOL-HTTP2.md`. YARPC over gRPC uses the same names as metadata.

use http::HeaderName;

/// Who calls.
pub const RPC_CALLER: HeaderName = HeaderName::from_static("rpc-caller");
/// Which service is called.
pub const RPC_SERVICE: HeaderName = HeaderName::from_static("rpc-service");
/// Which of its procedures.
pub const RPC_PROCEDURE: HeaderName = HeaderName::from_static("rpc-procedure");
/// How the body is encoded: `json`, `proto`, `raw`.
pub const RPC_ENCODING: HeaderName = HeaderName::from_static("rpc-encoding");
/// Which shard is meant.
pub const RPC_SHARD_KEY: HeaderName = HeaderName::from_static("rpc-shard-key");
/// Which traffic group is meant.
pub const RPC_ROUTING_KEY: HeaderName = HeaderName::from_static("rpc-routing-key");
/// Which service routes for the called one.
pub const RPC_ROUTING_DELEGATE: HeaderName = HeaderName::from_static("rpc-routing-delegate");
/// How many milliseconds the caller still waits.
pub const CONTEXT_TTL_MS: HeaderName = HeaderName::from_static("context-ttl-ms");
/// `success` or `error`.
pub const RPC_STATUS: HeaderName = HeaderName::from_static("rpc-status");
/// The canonical code's name.
pub const RPC_ERROR_CODE: HeaderName = HeaderName::from_static("rpc-error-code");
/// The error's name in the service's vocabulary.
pub const RPC_ERROR_NAME: HeaderName = HeaderName::from_static("rpc-error-name");
/// The [`RPC_ERROR_NAME`] of an owner that was one: nothing was done, and the call belongs elsewhere.
pub const STALE_OWNER: &str = "stale-owner";
/// The error in words.
pub const RPC_ERROR_MESSAGE: HeaderName = HeaderName::from_static("rpc-error-message");
/// An encoded `google.rpc.Status` in base64; OmniRelay's own, as YARPC over HTTP has no place for
/// error details.
pub const RPC_ERROR_DETAILS: HeaderName = HeaderName::from_static("rpc-error-details");
/// What begins the name of an application's own header of YARPC over HTTP.
pub const RPC_HEADER_PREFIX: &str = "rpc-header-";
/// gRPC's outcome.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// gRPC's outcome in words, percent-encoded.
pub const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// An encoded `google.rpc.Status` in base64.
pub const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// How messages that say so are compressed.
pub const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// Which compressions the sender understands.
pub const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// How long the caller still waits.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// After how many milliseconds a client may try again (gRPC proposal A6).
pub const GRPC_RETRY_PUSHBACK_MS: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
/// The path of RPC over HTTP where nothing else is configured.
pub const DEFAULT_RPC_PATH: &str = "/yarpc/v1";
