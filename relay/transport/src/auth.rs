//! Who may: from the caller's certificate or bearer token to a scope.

mod allow;
mod issuer;
mod pattern;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use data_encoding::HEXLOWER_PERMISSIVE;
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_core::{Scope, Status};
use relay_jwt::{Claims, Refusal, Token};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::conn_info::{ConnInfo, PeerIdentity};

pub use allow::AllowRule;
pub use issuer::{GrantRule, Issuer, IssuerConfig, KeysAt, KeysRead};
use issuer::{bearer, issuers, refused};
pub(crate) use pattern::takes as matches;

/// Who is known and what each may do. Nobody is known by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// Holders of client certificates; the first that matches counts.
    pub identities: Vec<IdentityRule>,
    /// Holders of bearer tokens.
    pub tokens: Vec<TokenRule>,
    /// Whose signed tokens (JSON Web Tokens) count.
    pub issuers: Vec<IssuerConfig>,
}

impl AuthConfig {
    /// Whether nobody is known at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.identities.is_empty() && self.tokens.is_empty() && self.issuers.is_empty()
    }
}

/// What the holder of a certificate may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityRule {
    /// A SPIFFE id, or the beginning of one followed by `*`.
    pub spiffe: String,
    /// What it may do.
    pub scope: Scope,
}

/// What the holder of a token may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRule {
    /// What the holder is called in logs and audits.
    pub name: String,
    /// The SHA-256 of the token in hexadecimal: 64 digits. The token itself is kept nowhere.
    pub sha256: String,
    /// What it may do.
    pub scope: Scope,
}

/// A caller who is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The SPIFFE id, `token:NAME`, or `jwt:ISSUER/SUBJECT` with the issuer's name here.
    pub id: String,
    /// What it may do.
    pub scope: Scope,
}

impl Principal {
    /// That it may do what needs `scope`.
    ///
    /// # Errors
    /// `permission-denied` where its scope is less.
    pub fn permit(&self, scope: Scope) -> Result<(), Status> {
        if self.scope >= scope {
            return Ok(());
        }
        Err(Status::permission_denied(format!("`{}` has {} and this needs {scope}", self.id, self.scope))
            .with_hint("ask an administrator of the mesh for a wider scope"))
    }
}

/// Tells callers apart. Answers without locks; who is known can change while it does.
#[derive(Debug)]
pub struct Authenticator(ArcSwap<Known>);

#[derive(Debug)]
struct Known {
    identities: Vec<IdentityRule>,
    tokens: HashMap<[u8; 32], Principal>,
    issuers: Vec<Arc<Issuer>>,
}

impl Authenticator {
    /// Makes an authenticator of a configuration.
    ///
    /// # Errors
    /// A rule without a SPIFFE id, one that an earlier rule hides, a hash that is not 64 hexadecimal
    /// digits, a token or its holder's name that stands twice, or an issuer that cannot be one.
    pub fn new(config: &AuthConfig) -> Result<Self> {
        Self::following(config, &[])
    }

    /// Makes the one that is to [replace](Self::replace) this one: issuers that stand as they are go on with their keys.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn again(&self, config: &AuthConfig) -> Result<Self> {
        Self::following(config, &self.0.load().issuers)
    }

    fn following(config: &AuthConfig, before: &[Arc<Issuer>]) -> Result<Self> {
        for (index, rule) in config.identities.iter().enumerate() {
            if !rule.spiffe.starts_with("spiffe://") {
                return Err(OperatorError::new(
                    ErrorKind::Config,
                    format!("`auth.identities.{index}.spiffe` is not a SPIFFE id"),
                )
                .hint("write `spiffe://domain/path`, with a last `*` for all that begins so"));
            }
            let mut earlier = config.identities.iter().take(index);
            if let Some(first) = earlier.position(|earlier| matches(&earlier.spiffe, &rule.spiffe)) {
                return Err(OperatorError::new(
                    ErrorKind::Config,
                    format!(
                        "`auth.identities.{index}` never counts: `auth.identities.{first}` covers `{}`",
                        rule.spiffe
                    ),
                )
                .hint("the first that matches counts: put the narrower one first, or remove one"));
            }
        }
        let mut tokens: HashMap<[u8; 32], Principal> = HashMap::new();
        for (index, rule) in config.tokens.iter().enumerate() {
            let hash = unhex(&rule.sha256).ok_or_else(|| {
                OperatorError::new(
                    ErrorKind::Config,
                    format!("`auth.tokens.{index}.sha256` is not 64 hexadecimal digits"),
                )
                .hint("make it with `printf %s \"$TOKEN\" | sha256sum`")
            })?;
            let id = format!("token:{}", rule.name);
            if tokens.values().any(|known| known.id == id) {
                return Err(OperatorError::new(
                    ErrorKind::Config,
                    format!("two entries of `auth.tokens` are called `{}`", rule.name),
                )
                .hint("give each its own name: the audit knows holders by it"));
            }
            if let Some(known) = tokens.insert(hash, Principal { id, scope: rule.scope }) {
                return Err(OperatorError::new(
                    ErrorKind::Config,
                    format!("`auth.tokens.{index}` is the same token as that of `{}`", known.id),
                )
                .hint("give each holder a token of its own, so that one can be taken back alone"));
            }
        }
        let issuers = issuers(&config.issuers, before)?;
        Ok(Self(ArcSwap::from_pointee(Known { identities: config.identities.clone(), tokens, issuers })))
    }

    /// Knows whom `other` knows from now on, and nobody else.
    pub fn replace(&self, other: Self) {
        self.0.store(other.0.into_inner());
    }

    /// Whose tokens count.
    #[must_use]
    pub fn issuers(&self) -> Vec<Arc<Issuer>> {
        self.0.load().issuers.clone()
    }

    /// Who sent a request, and that it may do what needs `scope`.
    ///
    /// A bearer token counts before a certificate.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate), and `permission-denied` where its scope is less.
    pub async fn authorize(
        &self,
        extensions: &Extensions,
        headers: &HeaderMap,
        scope: Scope,
    ) -> Result<Principal, Status> {
        let principal = self.authenticate(extensions, headers).await?;
        principal.permit(scope)?;
        Ok(principal)
    }

    /// Who sent a request, whatever it may do. A signed token by a key that is not known may wait until its issuer's keys
    /// are read anew.
    ///
    /// # Errors
    /// `unauthenticated` where nobody known sent it, `permission-denied` where nobody gave it a scope, `unavailable`
    /// where an issuer's keys are not there yet.
    pub async fn authenticate(
        &self,
        extensions: &Extensions,
        headers: &HeaderMap,
    ) -> Result<Principal, Status> {
        let Some(value) = headers.get(AUTHORIZATION) else { return self.certified(extensions) };
        let Some(text) = bearer(value) else { return Err(unknown_token()) };
        if let Some(principal) = self.0.load().tokens.get(&<[u8; 32]>::from(Sha256::digest(text.as_bytes())))
        {
            return Ok(principal.clone());
        }
        match Token::read(text) {
            // It may be one of those that are kept as hashes, and was mistyped.
            Err(Refusal::Malformed) => Err(unknown_token()),
            Err(refusal) => Err(refused(refusal)),
            Ok(token) => {
                let (issuer, claims) = self.verify(&token).await?;
                issuer.principal(&claims)
            }
        }
    }

    /// What a signed token says, and who signed it.
    async fn verify(&self, token: &Token<'_>) -> Result<(Arc<Issuer>, Arc<Claims>), Status> {
        let known = self.0.load();
        let issuer = known.issuers.iter().find(|issuer| issuer.config().issuer == token.issuer()).cloned();
        // Keys may have to be waited for.
        drop(known);
        let issuer = issuer.ok_or_else(|| refused(Refusal::Issuer))?;
        let claims = issuer.verify(token).await?;
        Ok((issuer, claims))
    }

    /// Who the holder of a client certificate is.
    fn certified(&self, extensions: &Extensions) -> Result<Principal, Status> {
        let id = spiffe(extensions).ok_or_else(|| {
            Status::unauthenticated("neither a client certificate nor a bearer token was shown")
                .with_hint("name a token file or a client certificate in the context")
        })?;
        let known = self.0.load();
        let rule = known.identities.iter().find(|rule| matches(&rule.spiffe, id));
        let rule = rule.ok_or_else(|| {
            Status::permission_denied(format!("nobody gave `{id}` a scope"))
                .with_hint("add it to `auth.identities`")
        })?;
        Ok(Principal { id: id.to_owned(), scope: rule.scope })
    }
}

/// The SPIFFE id of the caller's certificate.
fn spiffe(extensions: &Extensions) -> Option<&str> {
    extensions.get::<ConnInfo>()?.identity.as_ref().map(PeerIdentity::spiffe)
}

fn unknown_token() -> Status {
    Status::unauthenticated("the bearer token is not known").with_hint(
        "check the token file; a restarted development mesh keeps its token, a new one has another",
    )
}

/// The bytes of 64 hexadecimal digits.
fn unhex(text: &str) -> Option<[u8; 32]> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    fn authenticator() -> Authenticator {
        let config = AuthConfig {
            issuers: vec![],
            identities: vec![],
            tokens: vec![TokenRule {
                name: "dev".into(),
                // printf %s secret | sha256sum
                sha256: "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b".into(),
                scope: Scope::Observe,
            }],
        };
        Authenticator::new(&config).unwrap()
    }

    async fn ask(header: Option<&str>, scope: Scope) -> Result<Principal, Status> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(AUTHORIZATION, header.parse().unwrap());
        }
        authenticator().authorize(&Extensions::new(), &headers, scope).await
    }

    #[tokio::test]
    async fn a_token_has_its_scope_and_all_below() {
        assert_eq!(ask(Some("Bearer secret"), Scope::Read).await.unwrap().id, "token:dev");
        assert_eq!(ask(Some("bearer secret"), Scope::Observe).await.unwrap().scope, Scope::Observe);
        let refused = ask(Some("Bearer secret"), Scope::Operate).await.unwrap_err();
        assert_eq!(refused.code, relay_core::Code::PermissionDenied);
    }

    #[tokio::test]
    async fn strangers_are_refused_without_an_echo_of_their_token() {
        for header in [None, Some("Bearer wrong"), Some("Basic secret"), Some("secret"), Some("Bearer")] {
            let refused = ask(header, Scope::Read).await.unwrap_err();
            assert_eq!(refused.code, relay_core::Code::Unauthenticated, "{header:?}");
            assert!(!refused.message.contains("wrong"));
        }
    }

    #[test]
    fn patterns_end_at_their_star() {
        assert!(matches("spiffe://d/relay/*", "spiffe://d/relay/a"));
        assert!(!matches("spiffe://d/relay/*", "spiffe://d/relays"));
        assert!(!matches("spiffe://d/relay", "spiffe://d/relay/a"));
    }

    #[test]
    fn broken_hashes_are_refused() {
        for sha256 in ["", "zz", "2bb80d", &"é".repeat(32), &"+1".repeat(32)] {
            let rule = TokenRule { name: "x".into(), sha256: sha256.to_owned(), scope: Scope::Read };
            let config = AuthConfig { tokens: vec![rule], ..AuthConfig::default() };
            assert!(Authenticator::new(&config).is_err(), "{sha256}");
        }
    }

    #[track_caller]
    fn refused(identities: &[&str], tokens: &[(&str, char)]) -> String {
        let scope = Scope::Read;
        let identities =
            identities.iter().map(|spiffe| IdentityRule { spiffe: (*spiffe).to_owned(), scope }).collect();
        let tokens = tokens.iter().map(|(name, digit)| TokenRule {
            name: (*name).to_owned(),
            sha256: digit.to_string().repeat(64),
            scope,
        });
        Authenticator::new(&AuthConfig { identities, tokens: tokens.collect(), issuers: vec![] })
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_rule_that_never_counts_is_refused() {
        let hidden = refused(&["spiffe://a/*", "spiffe://a/operator"], &[]);
        assert!(hidden.contains("auth.identities.1") && hidden.contains("auth.identities.0"), "{hidden}");
        let same = refused(&[], &[("ada", 'a'), ("bob", 'a')]);
        assert!(same.contains("token:ada"), "{same}");
        let named = refused(&[], &[("ada", 'a'), ("ada", 'b')]);
        assert!(named.contains("`ada`"), "{named}");
    }

    #[test]
    fn a_narrower_rule_may_stand_before_a_wider_one() {
        let rule = |spiffe: &str, scope| IdentityRule { spiffe: spiffe.to_owned(), scope };
        let identities = vec![rule("spiffe://a/operator", Scope::Operate), rule("spiffe://a/*", Scope::Read)];
        assert!(Authenticator::new(&AuthConfig { identities, ..AuthConfig::default() }).is_ok());
    }
}
