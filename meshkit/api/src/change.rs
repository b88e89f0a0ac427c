//! How a change is asked for: which version the caller saw, whether it is only tried, and why.

use http::header::IF_MATCH;
use http::{HeaderMap, HeaderName};
use meshkit_model::Invalid;
use omnirelay_proto::meshkit::v1;
use relay_core::{Code, Status};
use serde::Deserialize;

use crate::error::invalid;
use crate::verb::Verb;

/// Names a request, so that its repetition is answered alike.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Proves that the caller saw what a destructive verb would do.
pub const CONFIRMATION: HeaderName = HeaderName::from_static("confirmation-token");

/// The name of the status where the caller does not say which version it saw: 428 over REST.
pub const PRECONDITION_REQUIRED: &str = "precondition-required";
/// The name of the status where the record has changed since: 412 over REST.
pub const PRECONDITION_FAILED: &str = "precondition-failed";
/// The name of the status where a destructive verb is not confirmed: 428 over REST.
pub const CONFIRMATION_REQUIRED: &str = "confirmation-required";
/// The name of the status where an idempotency key was used for something else: 422 over REST.
pub const IDEMPOTENCY_KEY_REUSED: &str = "idempotency-key-reused";

/// Which version of a record the caller saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It does not say.
    Unsaid,
    /// None: the record is to be new.
    Nothing,
    /// Whichever there is now (`If-Match: *`).
    Any,
    /// This one.
    Version(u64),
}

impl Seen {
    /// Checks what the caller saw against what there is.
    ///
    /// # Errors
    /// `failed-precondition` where it does not say, `aborted` where it saw another version.
    pub fn check(self, record: &str, found: u64) -> Result<(), Status> {
        match self {
            Self::Any | Self::Nothing => Ok(()),
            Self::Version(version) if version == found => Ok(()),
            Self::Version(version) => Err(Status::new(
                Code::Aborted,
                format!("{record} is at version {found}, not {version}"),
            )
            .with_name(PRECONDITION_FAILED)
            .with_hint("somebody else changed it meanwhile; read it again and decide again")),
            Self::Unsaid => Err(Status::new(
                Code::FailedPrecondition,
                format!("the request does not say which version of {record} it changes"),
            )
            .with_name(PRECONDITION_REQUIRED)
            .with_hint(format!(
                "send the ETag that you read as `If-Match` (gRPC: `options.record_version`); now it is \"{found}\""
            ))),
        }
    }
}

/// A change as it is asked for, over REST and gRPC alike.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What is asked for.
    pub verb: Verb,
    /// Which version the caller saw.
    pub seen: Seen,
    /// Whether nothing is to be written.
    pub dry_run: bool,
    /// Names the request; empty where it has no name.
    pub idempotency_key: String,
    /// Proves that the caller saw a dry run; empty where it did not.
    pub confirmation: String,
    /// Why, for the audit.
    pub reason: String,
    /// The ticket, for the audit.
    pub ticket: String,
}

/// The part of a change that stands in the query of a REST request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ChangeQuery {
    /// Whether nothing is to be written.
    pub dry_run: bool,
}

/// The part of a change that stands in the body of a REST request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Why {
    /// Why, for the audit; up to 1024 bytes.
    pub reason: String,
    /// The ticket, for the audit; up to 256 bytes.
    pub ticket: String,
}

impl Ask {
    /// A change of an existing record as REST asks for it.
    ///
    /// # Errors
    /// `invalid-argument` for a header or a text that is off.
    pub fn of_rest(verb: Verb, headers: &HeaderMap, query: &ChangeQuery, why: Why) -> Result<Self, Status> {
        let seen = match text(headers, &IF_MATCH)? {
            "" => Seen::Unsaid,
            "*" => Seen::Any,
            tag => version_of(tag)?,
        };
        Self {
            verb,
            seen,
            dry_run: query.dry_run,
            idempotency_key: text(headers, &IDEMPOTENCY_KEY)?.to_owned(),
            confirmation: text(headers, &CONFIRMATION)?.to_owned(),
            reason: why.reason,
            ticket: why.ticket,
        }
        .checked()
    }

    /// A change of an existing record as gRPC asks for it.
    ///
    /// # Errors
    /// `invalid-argument` for a text that is off.
    pub fn of_grpc(verb: Verb, options: Option<v1::ChangeOptions>) -> Result<Self, Status> {
        let options = options.unwrap_or_default();
        let seen = match (options.any_version, options.record_version) {
            (true, 0) => Seen::Any,
            (false, 0) => Seen::Unsaid,
            (false, version) => Seen::Version(version),
            (true, _) => {
                let both =
                    Invalid::new("options.any_version", "is set beside a record_version; send one of them");
                return Err(invalid(&both));
            }
        };
        Self {
            verb,
            seen,
            dry_run: options.dry_run,
            idempotency_key: options.idempotency_key,
            confirmation: options.confirmation_token,
            reason: options.reason,
            ticket: options.ticket,
        }
        .checked()
    }

    /// The same for a record that is to be new: there is no version to have seen.
    #[must_use]
    pub fn for_new(mut self) -> Self {
        self.seen = Seen::Nothing;
        self
    }

    fn checked(self) -> Result<Self, Status> {
        for (field, text, max) in [
            ("reason", &self.reason, 1024),
            ("ticket", &self.ticket, 256),
            ("idempotencyKey", &self.idempotency_key, 256),
            ("confirmationToken", &self.confirmation, 512),
        ] {
            if text.len() > max {
                let problem = format!("has {} bytes; at most {max} are allowed", text.len());
                return Err(invalid(&Invalid::new(field, problem)));
            }
            if text.chars().any(char::is_control) {
                return Err(invalid(&Invalid::new(field, "has a control character")));
            }
        }
        Ok(self)
    }
}

/// The text of a header that may be sent once; empty where it is not there.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Status> {
    let mut values = headers.get_all(name).iter();
    let off = |problem: &str| invalid(&Invalid::new(name.as_str(), problem));
    match (values.next(), values.next()) {
        (None, _) => Ok(""),
        (Some(_), Some(_)) => Err(off("is sent more than once")),
        (Some(value), None) => value.to_str().map(str::trim).map_err(|_| off("is not printable ASCII")),
    }
}

/// The version that an ETag of a record names. Weak ones are taken too: what an ETag of ours is weak
/// for, such as when a peer was last seen, is nothing that a change could overwrite.
fn version_of(tag: &str) -> Result<Seen, Status> {
    let opaque = tag.strip_prefix("W/").unwrap_or(tag);
    let version = opaque.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    version.and_then(|version| version.parse().ok()).map(Seen::Version).ok_or_else(|| {
        let problem = format!("is {tag:?}; send the one ETag that you read, such as \"7\", or `*`");
        invalid(&Invalid::new("if-match", problem))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    fn seen(value: &str) -> Result<Seen, Status> {
        let mut headers = HeaderMap::new();
        headers.insert(IF_MATCH, value.parse().unwrap());
        let ask = Ask::of_rest(Verb::PeersCordon, &headers, &ChangeQuery::default(), Why::default());
        ask.map(|ask| ask.seen)
    }

    #[test]
    fn if_match_is_one_version_or_any() {
        assert_eq!(seen("\"7\"").unwrap(), Seen::Version(7));
        assert_eq!(seen("W/\"7\"").unwrap(), Seen::Version(7));
        assert_eq!(seen("*").unwrap(), Seen::Any);
        for value in ["7", "\"7\", \"8\"", "\"x\"", "\"-1\""] {
            assert_eq!(seen(value).unwrap_err().code, Code::InvalidArgument, "{value}");
        }
    }

    #[test]
    fn a_version_is_required_and_checked() {
        let name = |seen: Seen| seen.check("peer/a", 7).err().and_then(|status| status.name);
        assert_eq!(name(Seen::Version(7)), None);
        assert_eq!(name(Seen::Any), None);
        assert_eq!(name(Seen::Version(6)).as_deref(), Some(PRECONDITION_FAILED));
        assert_eq!(name(Seen::Unsaid).as_deref(), Some(PRECONDITION_REQUIRED));
    }
}
