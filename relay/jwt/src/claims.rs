//! What was signed, and what it has to say to be believed.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// The longest subject, in characters (OpenID Connect Core, section 2: 255).
const MAX_SUBJECT: usize = 255;

/// What a token says, once its signature held.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Claims(Map<String, Value>);

/// What a token has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The issuer, letter by letter.
    pub issuer: String,
    /// The token is for one of these at least.
    pub audiences: Vec<String>,
    /// By how many seconds its issuer's clock may differ from ours.
    pub skew_s: u32,
}

impl Claims {
    /// The holder: the claim `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.0.get("sub").and_then(Value::as_str).unwrap_or_default()
    }

    /// The words of a claim: those of a text, told apart by spaces as in `scope` (RFC 8693, section 4.2), or the texts
    /// of a list as in `groups`. A name that is no claim is looked for below others by its dots, as in
    /// `realm_access.roles`.
    pub fn words<'a>(&'a self, claim: &str) -> impl Iterator<Item = &'a str> {
        let value = self.find(claim);
        let text = value.and_then(Value::as_str).into_iter().flat_map(str::split_ascii_whitespace);
        let list = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        text.chain(list)
    }

    fn find(&self, claim: &str) -> Option<&Value> {
        if let Some(value) = self.0.get(claim) {
            return Some(value);
        }
        let mut names = claim.split('.');
        let first = self.0.get(names.next()?)?;
        names.try_fold(first, |value, name| value.get(name))
    }

    /// A time in seconds since 1970 (`NumericDate`, RFC 7519, section 2: it may have a fraction); `Err` where it is
    /// there and no number.
    fn time(&self, claim: &str) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.0.get(claim) else { return Ok(None) };
        #[allow(
            clippy::cast_possible_truncation,
            reason = "a float saturates, and the fraction is below the skew"
        )]
        let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64));
        seconds.map(Some).ok_or(Refusal::Malformed)
    }
}

impl Rules {
    /// That the claims meet the rules at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// The first that is not met.
    pub fn check(&self, claims: &Claims, now: i64) -> Result<(), Refusal> {
        if claims.0.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(Refusal::Issuer);
        }
        let audience = claims.0.get("aud");
        let one = audience.and_then(Value::as_str);
        let mut several = audience.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let is_ours = |name: &str| self.audiences.iter().any(|ours| ours == name);
        if !one.is_some_and(is_ours) && !several.any(is_ours) {
            return Err(Refusal::Audience);
        }
        let skew = i64::from(self.skew_s);
        let expires = claims.time("exp")?.ok_or(Refusal::NoExpiry)?;
        if now >= expires.saturating_add(skew) {
            return Err(Refusal::Expired);
        }
        if claims.time("nbf")?.is_some_and(|begins| now < begins.saturating_sub(skew)) {
            return Err(Refusal::NotYet);
        }
        let subject = claims.subject();
        let is_plain = !subject.chars().any(|c| c.is_control() || c.is_whitespace());
        if subject.is_empty() || subject.chars().count() > MAX_SUBJECT || !is_plain {
            return Err(Refusal::Subject);
        }
        Ok(())
    }
}
