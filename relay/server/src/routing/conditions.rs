//! What a call has to be beside its service and procedure for a route to take it.

use http::{HeaderMap, HeaderName};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_config::{HeaderCondition, RouteConfig};
use relay_core::RpcMeta;

/// All of them have to hold; most routes have none.
pub(super) struct Conditions {
    callers: Words,
    shard_keys: Words,
    headers: Box<[(HeaderName, Wanted)]>,
}

enum Wanted {
    Exact(Box<str>),
    Prefix(Box<str>),
    Present(bool),
}

/// Texts, and beginnings of texts; none at all is any text.
struct Words(Box<[Word]>);

enum Word {
    Exact(Box<str>),
    Prefix(Box<str>),
}

impl Conditions {
    /// # Errors
    /// A header's name that is none.
    pub(super) fn new(route: &RouteConfig) -> Result<Self> {
        Ok(Self {
            callers: Words::new(&route.callers),
            shard_keys: Words::new(&route.shard_keys),
            headers: route.headers.iter().map(header).collect::<Result<_>>()?,
        })
    }

    pub(super) fn hold(&self, meta: &RpcMeta<'_>, headers: &HeaderMap) -> bool {
        self.callers.take(meta.caller)
            && self.shard_keys.take(meta.shard_key)
            && self.headers.iter().all(|(name, wanted)| wanted.takes(name, headers))
    }
}

fn header(condition: &HeaderCondition) -> Result<(HeaderName, Wanted)> {
    let name = super::header_name(&condition.name)?;
    let wanted = match (&condition.exact, &condition.prefix, condition.present) {
        (Some(exact), None, None) => Wanted::Exact(exact.as_str().into()),
        (None, Some(prefix), None) => Wanted::Prefix(prefix.as_str().into()),
        (None, None, Some(present)) => Wanted::Present(present),
        _ => {
            let problem = format!("the condition on `{name}` is not one of three");
            return Err(
                OperatorError::new(ErrorKind::Config, problem).hint("write `exact`, `prefix` or `present`")
            );
        }
    };
    Ok((name, wanted))
}

impl Wanted {
    /// A header that comes several times is taken where one of its values is.
    fn takes(&self, name: &HeaderName, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(name).iter().map(http::HeaderValue::as_bytes);
        match self {
            Self::Exact(exact) => values.any(|value| value == exact.as_bytes()),
            Self::Prefix(prefix) => values.any(|value| value.starts_with(prefix.as_bytes())),
            Self::Present(present) => values.next().is_some() == *present,
        }
    }
}

impl Words {
    fn new(patterns: &[String]) -> Self {
        let word = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => Word::Prefix(prefix.into()),
            None => Word::Exact(pattern.as_str().into()),
        };
        Self(patterns.iter().map(word).collect())
    }

    fn take(&self, text: Option<&str>) -> bool {
        let takes = |text: &str| {
            self.0.iter().any(|word| match word {
                Word::Exact(exact) => **exact == *text,
                Word::Prefix(prefix) => text.starts_with(&**prefix),
            })
        };
        self.0.is_empty() || text.is_some_and(takes)
    }
}
