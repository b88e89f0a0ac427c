//! Where things lie in etcd, and the messages that lie there. All keys are below one prefix:
//!
//! | key | what |
//! | --- | --- |
//! | `meta` | [`Meta`]: which store this is; written once |
//! | `tip` | [`Tip`]: where log, revisions and audit stand |
//! | `log/SEQ` | [`Logged`]: one mutation; `SEQ` counts from 1 without gaps, as 16 hexadecimal digits |
//! | `record/KIND/KEY` | [`Stored`]: a record |
//! | `part/SEQ-ID/N` | [`Part`]: rows of a mutation that is too large for one transaction |
//! | `pending` | the `SEQ` of such a mutation, while its records are being written |
//! | `touched/BUCKET` | [`Touched`]: when peers were heard last |
//! | `keeper` | the node that forgets old history for all |

use data_encoding::HEXLOWER;
use meshkit_model::Kind;

/// What this program writes. A store with a higher number is refused.
pub(super) const VERSION: u32 = 1;

/// Which store this is.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Meta {
    #[prost(uint32, tag = "1")]
    pub(super) layout: u32,
    #[prost(string, tag = "2")]
    pub(super) id: String,
    #[prost(uint64, tag = "3")]
    pub(super) incarnation: u64,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) token_key: Vec<u8>,
    /// The etcd cluster it lies in: a backup comes back in another one.
    #[prost(uint64, tag = "5")]
    pub(super) cluster: u64,
}

/// Where everything stands after a mutation.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Tip {
    #[prost(uint64, tag = "1")]
    pub(super) seq: u64,
    #[prost(uint64, tag = "2")]
    pub(super) revision: u64,
    /// The newest audit entry, and its hash.
    #[prost(uint64, tag = "3")]
    pub(super) audit: u64,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) hash: Vec<u8>,
    /// Changes since the store was made.
    #[prost(uint64, tag = "5")]
    pub(super) changes: u64,
}

/// One mutation: change rows and audit rows at once.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Logged {
    /// Told apart from every other mutation, so that its writer finds it again.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) id: Vec<u8>,
    #[prost(message, required, tag = "2")]
    pub(super) before: Tip,
    #[prost(message, required, tag = "3")]
    pub(super) after: Tip,
    #[prost(int64, tag = "4")]
    pub(super) at: i64,
    #[prost(string, tag = "5")]
    pub(super) actor: String,
    #[prost(string, tag = "6")]
    pub(super) action: String,
    #[prost(string, tag = "7")]
    pub(super) ticket: String,
    #[prost(string, tag = "8")]
    pub(super) reason: String,
    #[prost(message, optional, tag = "9")]
    pub(super) refused: Option<Refusal>,
    #[prost(message, repeated, tag = "10")]
    pub(super) rows: Vec<Row>,
    /// How many parts hold the rows; 0 where they are here.
    #[prost(uint32, tag = "11")]
    pub(super) parts: u32,
}

/// What was refused.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Refusal {
    #[prost(string, tag = "1")]
    pub(super) record: String,
    #[prost(string, tag = "2")]
    pub(super) why: String,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) hash: Vec<u8>,
}

/// One record's change.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Row {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) key: String,
    #[prost(uint64, tag = "3")]
    pub(super) version: u64,
    #[prost(string, optional, tag = "4")]
    pub(super) before: Option<String>,
    /// None where it was deleted.
    #[prost(message, optional, tag = "5")]
    pub(super) after: Option<Stored>,
    /// The hash of its audit entry; none where it has none.
    #[prost(bytes = "vec", optional, tag = "6")]
    pub(super) hash: Option<Vec<u8>>,
}

/// A record.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Stored {
    #[prost(uint64, tag = "1")]
    pub(super) version: u64,
    #[prost(uint64, optional, tag = "2")]
    pub(super) fence: Option<u64>,
    #[prost(string, tag = "3")]
    pub(super) owner: String,
    /// The `SEQ` of the mutation that made it.
    #[prost(uint64, tag = "4")]
    pub(super) made: u64,
    #[prost(string, tag = "5")]
    pub(super) value: String,
}

/// Rows of a large mutation.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Part {
    #[prost(message, repeated, tag = "1")]
    pub(super) rows: Vec<Row>,
}

/// When the peers of one bucket were heard last.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Touched {
    #[prost(message, repeated, tag = "1")]
    pub(super) heard: Vec<Heard>,
}

/// When one peer was heard last.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Heard {
    #[prost(string, tag = "1")]
    pub(super) peer: String,
    #[prost(int64, tag = "2")]
    pub(super) at: i64,
    /// The `made` of the peer's record: a peer that comes back after a deletion was not heard yet.
    #[prost(uint64, tag = "3")]
    pub(super) made: u64,
}

/// The keys below one prefix.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    /// A prefix ends with `/`, whether it is written or not.
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: format!("{}/", prefix.trim_end_matches('/')) }
    }

    pub(super) fn all(&self) -> Vec<u8> {
        self.prefix.clone().into_bytes()
    }

    pub(super) fn meta(&self) -> Vec<u8> {
        self.below("meta")
    }

    pub(super) fn tip(&self) -> Vec<u8> {
        self.below("tip")
    }

    pub(super) fn pending(&self) -> Vec<u8> {
        self.below("pending")
    }

    pub(super) fn keeper(&self) -> Vec<u8> {
        self.below("keeper")
    }

    pub(super) fn logs(&self) -> Vec<u8> {
        self.below("log/")
    }

    pub(super) fn log(&self, seq: u64) -> Vec<u8> {
        self.below(&format!("log/{seq:016x}"))
    }

    pub(super) fn records(&self) -> Vec<u8> {
        self.below("record/")
    }

    pub(super) fn record(&self, kind: &str, key: &str) -> Vec<u8> {
        self.below(&format!("record/{kind}/{key}"))
    }

    /// The kind and the key of a record.
    pub(super) fn record_of(&self, key: &[u8]) -> Option<(Kind, String)> {
        let text = std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)?.strip_prefix("record/")?;
        let (kind, key) = text.split_once('/')?;
        Some((kind.parse().ok()?, key.to_owned()))
    }

    /// The parts of all mutations before `seq` come before this.
    pub(super) fn parts(&self, seq: u64) -> Vec<u8> {
        self.below(&format!("part/{seq:016x}"))
    }

    pub(super) fn part(&self, seq: u64, id: &[u8], number: u32) -> Vec<u8> {
        self.below(&format!("part/{seq:016x}-{}/{number:08x}", HEXLOWER.encode(id)))
    }

    pub(super) fn touched(&self) -> Vec<u8> {
        self.below("touched/")
    }

    pub(super) fn bucket(&self, number: u8) -> Vec<u8> {
        self.below(&format!("touched/{number:02x}"))
    }

    fn below(&self, name: &str) -> Vec<u8> {
        format!("{}{name}", self.prefix).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    #[test]
    fn keys_come_back() {
        for prefix in ["/mesh", "/mesh/", "mesh"] {
            let keys = Keys::new(prefix);
            let key = keys.record(Kind::Shard.as_str(), "orders/7");
            assert_eq!(keys.record_of(&key).unwrap(), (Kind::Shard, "orders/7".to_owned()));
            assert!(keys.part(7, b"x", 0) < keys.parts(8) && keys.part(7, b"x", 0) > keys.parts(7));
        }
        assert_eq!(Keys::new("/mesh").all(), Keys::new("/mesh/").all());
    }
}
