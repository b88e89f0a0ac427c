//! gRPC's message compression: gzip, in both directions, bounded in both.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression as Level;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue};
use relay_core::{Status, headers};

/// What we understand, as `grpc-accept-encoding` says it.
pub(crate) const ACCEPTED: HeaderValue = HeaderValue::from_static("identity,gzip");
/// What we write.
pub(crate) const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// How the messages that say so are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Identity,
    Gzip,
}

impl Compression {
    /// What `grpc-encoding` says.
    ///
    /// # Errors
    /// `unimplemented` for one that we do not know; the answer has to carry [`ACCEPTED`].
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Status> {
        match headers.get(headers::GRPC_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"" | b"identity") => Ok(Self::Identity),
            Some(b"gzip") => Ok(Self::Gzip),
            Some(other) => {
                let other = String::from_utf8_lossy(other).into_owned();
                Err(Status::unimplemented(format!("messages compressed with `{other}` are not understood"))
                    .with_hint("send `grpc-encoding: gzip` or identity"))
            }
        }
    }

    /// A message that says it is compressed.
    ///
    /// # Errors
    /// `internal` for one that cannot be, `resource-exhausted` above `max` bytes.
    pub(crate) fn expand(self, message: &[u8], max: usize) -> Result<Bytes, Status> {
        if self == Self::Identity {
            return Err(Status::internal("a message is compressed that must not be")
                .with_hint("send `grpc-encoding: gzip` with compressed messages"));
        }
        let mut expanded = Vec::new();
        let most = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        GzDecoder::new(message)
            .take(most)
            .read_to_end(&mut expanded)
            .map_err(|error| Status::internal(format!("a message is no gzip: {error}")))?;
        if expanded.len() > max { Err(too_large(max)) } else { Ok(expanded.into()) }
    }
}

/// Whether a value of `grpc-accept-encoding` says that its sender understands gzip.
pub(crate) fn names_gzip(accepted: &HeaderValue) -> bool {
    let mut names = accepted.as_bytes().split(|byte| *byte == b',');
    names.any(|name| name.trim_ascii() == b"gzip")
}

/// Appends a message as gzip.
pub(crate) fn gzip(message: &[u8], into: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(into, Level::fast());
    encoder.write_all(message)?;
    encoder.finish()
}

pub(crate) fn too_large(max: usize) -> Status {
    Status::resource_exhausted(format!("a message is above {max} bytes"))
        .with_hint("send less in one message, or raise the dispatcher's or client's `max_message`")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use proptest::prelude::*;
    use relay_core::Code;

    use super::*;

    #[test]
    fn a_bomb_is_refused_at_the_bound() {
        let bomb = gzip(&vec![0; 1 << 20], Vec::new()).unwrap();
        assert!(bomb.len() < 8 << 10);
        let refused = Compression::Gzip.expand(&bomb, 1000).unwrap_err();
        assert_eq!(refused.code, Code::ResourceExhausted);
        assert_eq!(Compression::Gzip.expand(&bomb, 1 << 20).unwrap().len(), 1 << 20);
    }

    proptest! {
        #[test]
        fn messages_come_back_and_nothing_panics(message: Vec<u8>) {
            let packed = gzip(&message, Vec::new()).unwrap();
            prop_assert_eq!(Compression::Gzip.expand(&packed, 1 << 16).unwrap(), message.clone());
            let _any = Compression::Gzip.expand(&message, 1 << 16);
            prop_assert!(Compression::Identity.expand(&message, 1 << 16).is_err());
        }
    }
}
