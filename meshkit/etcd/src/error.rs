//! Why etcd did not do it.

use relay_client::ChannelError;
use tonic::{Code, Status};

/// A call to etcd that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EtcdError {
    /// No endpoint answered in time.
    #[error("etcd does not answer: {cause}")]
    Unavailable {
        /// Whether one of the tries may have been carried out all the same.
        maybe_done: bool,
        /// What the last try met.
        cause: String,
    },
    /// The user, the password or the certificate is not known, or may not do this. Nothing was done.
    #[error("etcd refuses the user: {0}")]
    Auth(String),
    /// History was asked for that is compacted away. Nothing was done.
    #[error("etcd has compacted that revision away")]
    Compacted,
    /// etcd's database is full. Nothing was done.
    #[error("etcd's database is full: {0}")]
    Full(String),
    /// etcd refuses the request itself. Nothing was done.
    #[error("etcd refuses the request: {0}")]
    Refused(String),
}

/// What a try's failure means for the next one.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// It was not carried out; another endpoint may do better.
    Undone(String),
    /// It may have been carried out.
    Unknown(String),
    /// The token is no longer good.
    StaleToken(String),
    /// Every endpoint would say the same.
    Final(EtcdError),
}

impl Failure {
    pub(crate) fn of(status: &Status) -> Self {
        if let Some(error) = channel_error(status) {
            let words = words(error);
            return if error.is_unsent() { Self::Undone(words) } else { Self::Unknown(words) };
        }
        let text = status.message().trim_start_matches("etcdserver: ").to_owned();
        match status.code() {
            // Two answers to a token: it ran out, or users were changed since it was given.
            Code::Unauthenticated if text.contains("invalid auth token") => Self::StaleToken(text),
            Code::InvalidArgument if text.contains("revision of auth store is old") => Self::StaleToken(text),
            Code::InvalidArgument if text.contains("authentication failed") => {
                Self::Final(EtcdError::Auth(text))
            }
            Code::InvalidArgument if text.contains("user name is empty") => {
                Self::Final(EtcdError::Auth(format!("{text}, but it asks for one")))
            }
            Code::FailedPrecondition if text.contains("authentication is not enabled") => {
                Self::Final(EtcdError::Auth(text))
            }
            Code::Unauthenticated | Code::PermissionDenied => Self::Final(EtcdError::Auth(text)),
            Code::OutOfRange if text.contains("compacted") => Self::Final(EtcdError::Compacted),
            Code::ResourceExhausted if text.contains("database space") => Self::Final(EtcdError::Full(text)),
            // Too many requests wait for the member.
            Code::ResourceExhausted if text.contains("too many requests") => Self::Undone(text),
            Code::Unavailable
            | Code::Unknown
            | Code::Internal
            | Code::Aborted
            | Code::Cancelled
            | Code::DeadlineExceeded => Self::Unknown(text),
            _ => Self::Final(EtcdError::Refused(text)),
        }
    }
}

fn channel_error(status: &Status) -> Option<&ChannelError> {
    let mut next = std::error::Error::source(status);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An error with its sources, each said once.
fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = error.source();
    }
    text
}
