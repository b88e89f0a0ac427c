//! A client of etcd that keeps going: calls fail over between endpoints, watches resume where they were, leases are
//! granted anew. It is generated from the part of etcd's API that the store uses and calls over
//! [`relay_client::Channel`], as everything here does
//! ([ADR 9](../../../docs/adr/0009-our-own-client-of-etcd.md) says why it is not `etcd-client`).
//!
//! Read first: [`Client`], then [`Watch`]. What decides is sans-IO and lies apart: [`endpoints`], [`resume`],
//! [`lease`].

mod client;
mod credentials;
pub mod endpoints;
mod error;
pub mod lease;
mod leased;
pub mod resume;
mod watch;
mod wire;

pub use client::{Client, Config};
pub use credentials::UserConfig;
pub use error::EtcdError;
pub use leased::Leased;
pub use relay_transport::tls::ClientTlsConfig;
pub use watch::{Told, Watch};

/// etcd's messages.
#[allow(missing_docs, unused_qualifications, clippy::all, reason = "generated")]
pub mod api {
    include!("gen/etcdserverpb.rs");
}

/// The end of the range of all keys that begin with `prefix`, as etcd takes it.
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // etcd's word for "to the end of all keys".
    vec![0]
}

/// Any number, for delays that must not be equal on two nodes; no secret is made of it.
fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {
    use super::prefix_end;

    #[test]
    fn a_prefix_ends_where_the_next_one_begins() {
        assert_eq!(prefix_end(b"a/"), b"a0");
        assert_eq!(prefix_end(b"a\xff\xff"), b"b");
        assert_eq!(prefix_end(b"\xff"), b"\0");
    }
}
