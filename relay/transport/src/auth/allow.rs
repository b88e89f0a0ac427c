//! Who may call, where not everybody may: rules over certificates and tokens.

use std::collections::BTreeMap;

use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap};
use relay_core::Status;
use relay_jwt::{Claims, Token};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::issuer::{bearer, refused};
use super::pattern::takes;
use super::{AuthConfig, Authenticator, spiffe};

/// Somebody who may call: all that is said has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AllowRule {
    /// The SPIFFE id of the caller's certificate, or the beginning of one followed by `*`.
    pub spiffe: Option<String>,
    /// The `name` of the issuer (`auth.issuers`) whose token the caller shows.
    pub issuer: Option<String>,
    /// What the token says: a word or entry of each of these claims, or the beginning of one followed by `*`.
    pub claims: BTreeMap<String, String>,
}

impl AllowRule {
    /// What is wrong with it beside who is known, and what to do.
    #[must_use]
    pub fn problem(&self, auth: &AuthConfig) -> Option<(String, &'static str)> {
        if self.issuer.is_none() && !self.claims.is_empty() {
            return Some(("`claims` without an `issuer`".to_owned(), "name the issuer whose word counts"));
        }
        if self.spiffe.is_none() && self.issuer.is_none() {
            let remedy = "name a `spiffe` id or an `issuer`; leave `allow` out for everybody";
            return Some(("a rule that names nobody".to_owned(), remedy));
        }
        if let Some(pattern) = self.spiffe.as_ref().filter(|pattern| !pattern.starts_with("spiffe://")) {
            let problem = format!("`{}` is not a SPIFFE id", pattern.escape_debug());
            return Some((problem, "write `spiffe://domain/path`, with a last `*` for all that begin so"));
        }
        let issuer = self.issuer.as_ref()?;
        let is_known = auth.issuers.iter().any(|known| known.name == *issuer);
        (!is_known).then(|| {
            (format!("no issuer is called `{}`", issuer.escape_debug()), "name one of `auth.issuers`")
        })
    }

    fn takes_certificate(&self, spiffe: Option<&str>) -> bool {
        self.spiffe.as_deref().is_none_or(|pattern| spiffe.is_some_and(|id| takes(pattern, id)))
    }

    fn takes_token(&self, issuer: &str, claims: &Claims) -> bool {
        let says =
            |(claim, pattern): (&String, &String)| claims.words(claim).any(|word| takes(pattern, word));
        self.issuer.as_deref() == Some(issuer) && self.claims.iter().all(says)
    }
}

impl Authenticator {
    /// That one of the rules takes whoever sent a request. A token is looked at only where a rule asks for one: it may
    /// be for somebody behind us.
    ///
    /// # Errors
    /// `unauthenticated` where it shows nothing that could be known, or a token that is not believed;
    /// `permission-denied` where no rule is for it; `unavailable` where an issuer's keys are not there yet.
    pub async fn admit(
        &self,
        rules: &[AllowRule],
        extensions: &Extensions,
        headers: &HeaderMap,
    ) -> Result<(), Status> {
        let spiffe = spiffe(extensions);
        let by_certificate = |rule: &&AllowRule| rule.takes_certificate(spiffe);
        if rules.iter().filter(by_certificate).any(|rule| rule.issuer.is_none()) {
            return Ok(());
        }
        let mut by_token = rules.iter().filter(by_certificate).peekable();
        let shown = by_token.peek().and_then(|_| bearer(headers.get(AUTHORIZATION)?));
        let Some(text) = shown else { return Err(unknown(spiffe)) };
        let token = Token::read(text).map_err(refused)?;
        let (issuer, claims) = self.verify(&token).await?;
        if by_token.any(|rule| rule.takes_token(&issuer.config().name, &claims)) {
            return Ok(());
        }
        Err(may_not(&issuer.holder(&claims)))
    }
}

/// Whoever shows no token, or is asked for none.
fn unknown(spiffe: Option<&str>) -> Status {
    match spiffe {
        Some(id) => may_not(id),
        None => Status::unauthenticated("the caller shows nothing that it could be known by")
            .with_hint("call with a client certificate or a bearer token that `allow` of the route names"),
    }
}

fn may_not(id: &str) -> Status {
    Status::permission_denied(format!("`{id}` may not call this")).with_hint("add it to `allow` of the route")
}
