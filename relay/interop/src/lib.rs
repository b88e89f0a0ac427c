//! gRPC's interop service and cases on this project's dispatcher and client, and the service that
//! `docs/guide/rpc.md` quotes. Tests serve and call them over real sockets.
//!
//! Read first: [`interop::Interop`] is the service, [`cases`] the calls, [`journal`] the guide's.

pub mod cases;
pub mod interop;
pub mod journal;

/// The contract of gRPC's interop cases.
#[allow(missing_docs, unused_qualifications, clippy::all, clippy::doc_markdown, reason = "generated")]
pub mod testing {
    include!("gen/grpc.testing.rs");
}

/// The contract of the guide's service.
#[allow(missing_docs, unused_qualifications, clippy::all, clippy::doc_markdown, reason = "generated")]
pub mod guide {
    include!("gen/guide.v1.rs");
}

/// The descriptor set of both.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!("gen/descriptors.bin");
