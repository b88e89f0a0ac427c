//! The sixteen canonical error codes that gRPC and YARPC share, and OK.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A canonical status code.
///
/// Numbers are gRPC's (<https://grpc.io/docs/guides/status-codes/>), names YARPC's
/// (`yarpcerrors`), HTTP statuses YARPC's mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// Code, YARPC name, HTTP status; in gRPC's order, so that the index is gRPC's number.
const TABLE: [(Code, &str, u16); 17] = [
    (Code::Ok, "ok", 200),
    (Code::Cancelled, "cancelled", 499),
    (Code::Unknown, "unknown", 500),
    (Code::InvalidArgument, "invalid-argument", 400),
    (Code::DeadlineExceeded, "deadline-exceeded", 504),
    (Code::NotFound, "not-found", 404),
    (Code::AlreadyExists, "already-exists", 409),
    (Code::PermissionDenied, "permission-denied", 403),
    (Code::ResourceExhausted, "resource-exhausted", 429),
    (Code::FailedPrecondition, "failed-precondition", 400),
    (Code::Aborted, "aborted", 409),
    (Code::OutOfRange, "out-of-range", 400),
    (Code::Unimplemented, "unimplemented", 501),
    (Code::Internal, "internal", 500),
    (Code::Unavailable, "unavailable", 503),
    (Code::DataLoss, "data-loss", 500),
    (Code::Unauthenticated, "unauthenticated", 401),
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
    use super::*;

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
