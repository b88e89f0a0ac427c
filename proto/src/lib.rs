//! The wire contracts of OmniRelay as Rust types, generated from the `.proto` files beside this
//! crate by `proto-gen` and committed; `tests/freshness.rs` keeps both in step.
//!
//! Start at [`meshkit::v1`] for the control plane and [`samples::v1`] for the sample services.

/// The control plane's contracts.
pub mod meshkit {
    /// Version 1 of the control plane's contracts.
    #[allow(missing_docs, unused_qualifications, clippy::all, clippy::doc_markdown, reason = "generated")]
    pub mod v1 {
        include!("gen/meshkit.v1.rs");
    }
}

/// The sample services' contracts.
pub mod samples {
    /// Version 1 of the sample services' contracts.
    #[allow(missing_docs, unused_qualifications, clippy::all, clippy::doc_markdown, reason = "generated")]
    pub mod v1 {
        include!("gen/samples.v1.rs");
    }
}

/// The encoded `google.protobuf.FileDescriptorSet` of every contract with its imports, for
/// transcoding between JSON and protobuf by name.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!("gen/descriptors.bin");
