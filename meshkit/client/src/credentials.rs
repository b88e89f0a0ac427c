//! How the client proves who it is, beside its certificate.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderValue;
use relay_core::{Code, Status};

/// A bearer token, or none where the channel's client certificate is enough.
///
/// `Debug` shows where a token comes from and never the token.
#[derive(Clone, Default)]
pub struct Credentials(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    None,
    Token(Arc<str>),
    File(Arc<PathBuf>),
}

impl Credentials {
    /// Nothing beside the channel's certificate.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// A bearer token.
    #[must_use]
    pub fn token(token: &str) -> Self {
        Self(Source::Token(token.trim().into()))
    }

    /// A file that holds a bearer token. It is read for every call, so that a token can be
    /// replaced under a running process.
    pub fn token_file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(Arc::new(path.into())))
    }

    /// The value of `Authorization`, marked as sensitive.
    pub(crate) async fn authorization(&self) -> Result<Option<HeaderValue>, Status> {
        let value = match &self.0 {
            Source::None => return Ok(None),
            Source::Token(token) => header(token),
            Source::File(path) => {
                let text = tokio::fs::read_to_string(&**path).await.map_err(|error| {
                    refused(format!("the token file {} cannot be read: {error}", path.display()))
                })?;
                header(text.trim())
            }
        };
        value.map(Some).ok_or_else(|| {
            refused(format!("{self:?} holds no token: one line of printable characters is expected"))
        })
    }
}

fn header(token: &str) -> Option<HeaderValue> {
    if token.is_empty() {
        return None;
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn refused(message: String) -> Status {
    Status::new(Code::Unauthenticated, message).with_hint("name a readable file that holds the token alone")
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::None => f.write_str("no token"),
            Source::Token(_) => f.write_str("a token given as a value"),
            Source::File(path) => write!(f, "the token file {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    #[tokio::test]
    async fn tokens_are_sent_and_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "s3cret\n").unwrap();
        for credentials in [Credentials::token("s3cret"), Credentials::token_file(&path)] {
            let value = credentials.authorization().await.unwrap().unwrap();
            assert_eq!(value.to_str().unwrap(), "Bearer s3cret");
            assert!(!format!("{credentials:?} {value:?}").contains("s3cret"));
        }
        assert_eq!(Credentials::none().authorization().await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_no_token_is_refused_without_showing_it() {
        let directory = tempfile::tempdir().unwrap();
        let missing = Credentials::token_file(directory.path().join("missing"));
        for credentials in [missing, Credentials::token(""), Credentials::token("s3\ncret")] {
            let status = credentials.authorization().await.unwrap_err();
            assert_eq!(status.code, Code::Unauthenticated);
            assert!(!status.message.contains("cret:"), "{}", status.message);
            assert!(status.hint.is_some());
        }
    }
}
