//! The modules' only clock, and times on the wire.

use meshkit_model::Timestamp;

/// Now, in the precision of a millisecond that records keep.
#[must_use]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// A time as protobuf carries it.
#[must_use]
pub fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() }
}
