//! The sixteen canonical error codes that gRPC and YARPC share, and OK.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A canonical status code.
///
/// Numbers are gRPC's (<https://grpc.io/docs/guides/status-codes/>), names YARPC's
/// (`yarpcerrors`), HTTP statuses YARPC's mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names are the standard's")]
pub enum Code {
    Ok,
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

/// The text or number is not a canonical code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCode;

/// Where codes begin that HTTP/3 has no word for: outside the registered ones (RFC 9114, section
/// 11.2.3) and not of the form `0x1f * N + 0x21` that is reserved for grease. A peer that does not
/// know them treats them as H3_NO_ERROR (section 9), which without a status is a failure too.
const OWN_RESETS: u64 = 0x4f52_504a;
/// The same numbers over HTTP/2, whose codes have 32 bits.
const OWN_RESETS_OF_HTTP2: u32 = 0x4f52_504a;

/// Code, YARPC name, HTTP status, HTTP/3 code of a reset; in gRPC's order, so that the index is
/// gRPC's number. Names and reset codes are lossless; HTTP statuses are not, so an answer that has
/// one carries the name too.
const TABLE: [(Code, &str, u16, u64); 17] = [
    (Code::Ok, "ok", 200, 0x100),
    (Code::Cancelled, "cancelled", 499, 0x10c),
    (Code::Unknown, "unknown", 500, OWN_RESETS + 2),
    (Code::InvalidArgument, "invalid-argument", 400, OWN_RESETS + 3),
    (Code::DeadlineExceeded, "deadline-exceeded", 504, OWN_RESETS + 4),
    (Code::NotFound, "not-found", 404, OWN_RESETS + 5),
    (Code::AlreadyExists, "already-exists", 409, OWN_RESETS + 6),
    (Code::PermissionDenied, "permission-denied", 403, OWN_RESETS + 7),
    (Code::ResourceExhausted, "resource-exhausted", 429, 0x107),
    (Code::FailedPrecondition, "failed-precondition", 400, OWN_RESETS + 9),
    (Code::Aborted, "aborted", 409, OWN_RESETS + 10),
    (Code::OutOfRange, "out-of-range", 400, OWN_RESETS + 11),
    (Code::Unimplemented, "unimplemented", 501, OWN_RESETS + 12),
    (Code::Internal, "internal", 500, 0x102),
    (Code::Unavailable, "unavailable", 503, OWN_RESETS + 14),
    (Code::DataLoss, "data-loss", 500, OWN_RESETS + 15),
    (Code::Unauthenticated, "unauthenticated", 401, OWN_RESETS + 16),
];

impl Code {
    /// Every code, in gRPC's order.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(code, ..)| *code)
    }

    /// The number that `grpc-status` carries, 0 to 16.
    #[must_use]
    pub const fn grpc(self) -> u8 {
        self as u8
    }

    /// The code of a `grpc-status`; unknown numbers are [`Code::Unknown`], as gRPC asks for.
    #[must_use]
    pub fn from_grpc(number: u32) -> Self {
        usize::try_from(number).ok().and_then(|index| TABLE.get(index)).map_or(Self::Unknown, |row| row.0)
    }

    /// The name that `Rpc-Error-Code` carries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// The HTTP status that carries this code.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        TABLE[self as usize].2
    }

    /// The code of an HTTP answer that says nothing else, by gRPC's mapping
    /// (`http-grpc-status-mapping.md`) for those it names and by class for the rest.
    #[must_use]
    pub const fn from_http_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Ok,
            400 => Self::InvalidArgument,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::NotFound,
            408 | 504 => Self::DeadlineExceeded,
            409 => Self::Aborted,
            412 | 428 => Self::FailedPrecondition,
            413 | 429 | 431 => Self::ResourceExhausted,
            499 => Self::Cancelled,
            501 => Self::Unimplemented,
            502 | 503 => Self::Unavailable,
            405..=498 => Self::InvalidArgument,
            _ => Self::Unknown,
        }
    }

    /// The HTTP/3 error code that resets a stream whose call failed with this code. Where HTTP/3 has
    /// a word for it, it is that (gRPC proposal G2); never H3_REQUEST_REJECTED, which promises that
    /// nothing was done.
    #[must_use]
    pub const fn h3_reset(self) -> u64 {
        TABLE[self as usize].3
    }

    /// The code of a stream that was reset: what [`Code::h3_reset`] wrote, else gRPC proposal G2.
    #[must_use]
    pub fn from_h3_reset(error: u64) -> Self {
        match error {
            // The end of a stream is no outcome: an explicit status should have come.
            0x100 => Self::Internal,
            0x10b => Self::Unavailable,
            error => TABLE.iter().find(|row| row.3 == error).map_or(Self::Internal, |row| row.0),
        }
    }

    /// The HTTP/2 error code that resets a stream whose call failed with this code: HTTP/2's word for
    /// it, as gRPC maps them, else the number that [`Code::h3_reset`] gives, which a peer that does not
    /// know it treats as INTERNAL_ERROR (RFC 9113, section 7). A deadline that passed is CANCEL, as
    /// gRPC's own servers and clients write it; never REFUSED_STREAM, which promises that nothing was
    /// done.
    #[must_use]
    pub const fn h2_reset(self) -> u32 {
        match self {
            // The end of a stream is no outcome, and no failure is written as success.
            Self::Ok | Self::Internal => 0x2,
            Self::Cancelled | Self::DeadlineExceeded => 0x8,
            Self::ResourceExhausted => 0xb,
            Self::PermissionDenied => 0xc,
            _ => OWN_RESETS_OF_HTTP2 + self as u32,
        }
    }

    /// The code of a stream that was reset: what [`Code::h2_reset`] wrote, else by gRPC's table
    /// (`PROTOCOL-HTTP2.md`, "HTTP2 Transport Mapping").
    #[must_use]
    pub fn from_h2_reset(error: u32) -> Self {
        match error {
            0x7 => Self::Unavailable,
            0x8 => Self::Cancelled,
            0xb => Self::ResourceExhausted,
            0xc => Self::PermissionDenied,
            error => {
                let own = Self::all().skip(1).find(|code| OWN_RESETS_OF_HTTP2 + *code as u32 == error);
                own.unwrap_or(Self::Internal)
            }
        }
    }

    /// The code of a gRPC answer without `grpc-status`, by gRPC's `http-grpc-status-mapping.md`.
    #[must_use]
    pub const fn from_http_status_of_grpc(status: u16) -> Self {
        match status {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502 | 503 | 504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// Whether the same call may do better at another time or at another peer.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable | Self::Aborted | Self::ResourceExhausted)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(name: &str) -> Result<Self, UnknownCode> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0).ok_or(UnknownCode)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_wire_form_gives_the_code_back(number in 1u32..17) {
            let code = Code::from_grpc(number);
            prop_assert_eq!(u32::from(code.grpc()), number);
            prop_assert_eq!(code.name().parse(), Ok(code));
            prop_assert_eq!(Code::from_h3_reset(code.h3_reset()), code);
            prop_assert_ne!(code.h3_reset(), 0x10b);
            let over_http2 = if code == Code::DeadlineExceeded { Code::Cancelled } else { code };
            prop_assert_eq!(Code::from_h2_reset(code.h2_reset()), over_http2);
            prop_assert_ne!(code.h2_reset(), 0x7);
            let is_grease = code.h3_reset().wrapping_sub(0x21).is_multiple_of(0x1f);
            prop_assert!(!is_grease || code.h3_reset() < 0x200);
            prop_assert!((400..600).contains(&code.http_status()));
            prop_assert_ne!(Code::from_http_status(code.http_status()), Code::Ok);
        }

        #[test]
        fn no_reset_and_no_foreign_number_is_a_success(error: u64, number in 17u32..) {
            prop_assert_ne!(Code::from_h3_reset(error), Code::Ok);
            prop_assert_ne!(Code::from_h3_reset(error & 0x1ff), Code::Ok);
            prop_assert_eq!(Code::from_grpc(number), Code::Unknown);
        }

        #[test]
        fn no_reset_of_http2_is_a_success(error: u32) {
            prop_assert_ne!(Code::from_h2_reset(error), Code::Ok);
            prop_assert_ne!(Code::from_h2_reset(error & 0xf), Code::Ok);
        }
    }

    #[test]
    fn resets_mean_what_grpc_says() {
        // PROTOCOL-HTTP2.md: NO_ERROR to FRAME_SIZE_ERROR, COMPRESSION_ERROR, CONNECT_ERROR.
        for error in [0, 1, 2, 3, 4, 5, 6, 9, 0xa, 0xd, 0xffff_ffff] {
            assert_eq!(Code::from_h2_reset(error), Code::Internal, "{error:#x}");
        }
        for (error, code) in [
            (7, Code::Unavailable),
            (8, Code::Cancelled),
            (0xb, Code::ResourceExhausted),
            (0xc, Code::PermissionDenied),
        ] {
            assert_eq!(Code::from_h2_reset(error), code, "{error:#x}");
        }
        // Proposal G2: H3_NO_ERROR, H3_GENERAL_PROTOCOL_ERROR, H3_INTERNAL_ERROR, H3_MESSAGE_ERROR.
        for error in [0x100, 0x101, 0x102, 0x10e] {
            assert_eq!(Code::from_h3_reset(error), Code::Internal, "{error:#x}");
        }
        for (error, code) in
            [(0x107, Code::ResourceExhausted), (0x10b, Code::Unavailable), (0x10c, Code::Cancelled)]
        {
            assert_eq!(Code::from_h3_reset(error), code, "{error:#x}");
        }
    }

    #[test]
    fn the_table_is_in_grpc_order_and_names_are_lossless() {
        for (index, code) in Code::all().enumerate() {
            assert_eq!(usize::from(code.grpc()), index);
            assert_eq!(Code::from_grpc(u32::from(code.grpc())), code);
            assert_eq!(code.name().parse(), Ok(code));
        }
        assert_eq!(Code::from_grpc(17), Code::Unknown);
        assert_eq!("nonsense".parse::<Code>(), Err(UnknownCode));
    }
}
