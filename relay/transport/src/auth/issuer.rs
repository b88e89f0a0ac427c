//! Issuers of tokens: whose signatures count here, and what their tokens may do.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Uri};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_core::{Protocol, Scope, Status};
use relay_jwt::{Asked, Claims, KeySet, Refresh, Refusal, Rules, Token};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::Principal;
use super::pattern::takes;
use crate::tls::ClientTlsConfig;

/// How long a caller waits for keys that are being read.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often keys are read where nothing is said: a file is cheap to look at.
const FILE_MS: u64 = 5_000;
const URL_MS: u64 = 300_000;

/// Who signs tokens (JSON Web Tokens) that count here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// What it is called in rules, logs and audits: 1 to 64 of `[a-z0-9.-]`. The holder of its tokens is `jwt:NAME/SUBJECT`.
    pub name: String,
    /// The claim `iss`, letter by letter.
    pub issuer: String,
    /// The claim `aud` is or has one of these: what this daemon is called at the issuer.
    pub audiences: Vec<String>,
    /// The file with its keys (a JSON Web Key Set); either this or `jwks_url`.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// The `https` URL of its keys.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// What the URL is asked over, most wanted first.
    #[serde(default = "over_tcp")]
    pub protocols: Vec<Protocol>,
    /// Whom to believe at the URL, and who we are there.
    #[serde(default)]
    pub tls: ClientTlsConfig,
    /// Milliseconds between two looks at the keys, 100 to 86 400 000: 5 000 for a file and 300 000 for a URL where nothing
    /// is said.
    #[serde(default)]
    pub refresh_interval_ms: Option<u64>,
    /// Seconds that the issuer's clock may differ from ours, at most 300.
    #[serde(default = "half_a_minute")]
    pub clock_skew_s: u32,
    /// What the holders of its tokens may do here; the widest of those that match counts.
    #[serde(default)]
    pub grants: Vec<GrantRule>,
}

/// What a claim is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantRule {
    /// The claim, such as `scope`, `groups`, `sub` or `realm_access.roles`.
    pub claim: String,
    /// One of its words or entries, or the beginning of one followed by `*`.
    pub value: String,
    /// What the holder may do.
    pub scope: Scope,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysAt {
    /// In a file.
    File(PathBuf),
    /// At an URL.
    Url {
        /// `https://host:port`.
        endpoint: String,
        /// What to ask for there.
        path: PathAndQuery,
    },
}

fn over_tcp() -> Vec<Protocol> {
    vec![Protocol::Http2, Protocol::Http1]
}

const fn half_a_minute() -> u32 {
    30
}

impl IssuerConfig {
    /// How often its keys are read.
    #[must_use]
    pub fn refresh_interval(&self) -> Duration {
        let usual = if self.jwks_file.is_some() { FILE_MS } else { URL_MS };
        Duration::from_millis(self.refresh_interval_ms.unwrap_or(usual))
    }

    /// Where its keys are.
    ///
    /// # Errors
    /// Neither or both are said, or the URL is not one that can be asked.
    pub fn keys_at(&self) -> Result<KeysAt, String> {
        match (&self.jwks_file, &self.jwks_url) {
            (Some(file), None) if !file.as_os_str().is_empty() => Ok(KeysAt::File(file.clone())),
            (None, Some(url)) => {
                let off = || format!("`jwks_url` is no `https://host:port/path`: `{}`", url.escape_debug());
                let uri: Uri = url.parse().map_err(|_| off())?;
                match (uri.scheme(), uri.authority(), uri.path_and_query()) {
                    (Some(scheme), Some(authority), Some(path))
                        if *scheme == Scheme::HTTPS && !authority.as_str().contains('@') =>
                    {
                        Ok(KeysAt::Url { endpoint: format!("https://{authority}"), path: path.clone() })
                    }
                    _ => Err(off()),
                }
            }
            _ => Err("name either `jwks_file` or `jwks_url`".to_owned()),
        }
    }

    /// What is wrong with it, and what to do.
    fn problem(&self) -> Option<(String, &'static str)> {
        let is_name = (1..=64).contains(&self.name.len())
            && self.name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'));
        if !is_name {
            let problem = format!("`name` is `{}`", self.name.escape_debug());
            return Some((problem, "use 1 to 64 of a-z, 0-9, `.` and `-`"));
        }
        if self.issuer.is_empty() {
            return Some((
                "`issuer` is empty".to_owned(),
                "write the claim `iss` of its tokens, letter by letter",
            ));
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            let remedy =
                "name what this daemon is called there, so that a token for others does not count here";
            return Some(("`audiences` names nobody".to_owned(), remedy));
        }
        if let Err(problem) = self.keys_at() {
            return Some((problem, "the keys are those of its `jwks_uri`, or a copy of them in a file"));
        }
        if self.protocols.is_empty() {
            return Some(("`protocols` is empty".to_owned(), "leave it out for http2 and http1"));
        }
        let interval = self.refresh_interval().as_millis();
        if !(100..=86_400_000).contains(&interval) {
            return Some((format!("`refresh_interval_ms` is {interval}"), "choose 100 to 86400000"));
        }
        if self.clock_skew_s > 300 {
            return Some((format!("`clock_skew_s` is {}", self.clock_skew_s), "choose 0 to 300"));
        }
        let empty = self.grants.iter().any(|grant| grant.claim.is_empty() || grant.value.is_empty());
        empty.then(|| ("an entry of `grants` has no `claim` or no `value`".to_owned(), "name both"))
    }
}

/// What came of reading an issuer's keys.
#[derive(Debug)]
pub enum KeysRead {
    /// Others than before.
    New(KeySet),
    /// The same as before.
    Same,
    /// They cannot be read.
    Failed,
}

/// An issuer, with the keys that are known of it. Whoever keeps them is told where newer ones are wanted.
pub struct Issuer {
    config: IssuerConfig,
    rules: Rules,
    keys: ArcSwapOption<KeySet>,
    refresh: Mutex<Refresh>,
    wanted: mpsc::Sender<()>,
    /// Taken once, by whoever keeps the keys.
    keeper: Mutex<Option<mpsc::Receiver<()>>>,
    /// How many reads have ended.
    reads: watch::Sender<u64>,
}

impl Issuer {
    fn new(config: &IssuerConfig) -> Self {
        let (wanted, keeper) = mpsc::channel(1);
        Self {
            config: config.clone(),
            rules: Rules {
                issuer: config.issuer.clone(),
                audiences: config.audiences.clone(),
                skew_s: config.clock_skew_s,
            },
            keys: ArcSwapOption::empty(),
            refresh: Mutex::new(Refresh::new(config.refresh_interval(), Instant::now())),
            wanted,
            keeper: Mutex::new(Some(keeper)),
            reads: watch::Sender::default(),
        }
    }

    /// What is known of it.
    #[must_use]
    pub const fn config(&self) -> &IssuerConfig {
        &self.config
    }

    /// For whoever keeps the keys, the first time: it hears when newer ones are wanted, and that the issuer is gone.
    #[must_use]
    pub fn keeper(&self) -> Option<mpsc::Receiver<()>> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether somebody keeps its keys.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// The keys are being read; callers who want newer ones wait.
    pub fn reading(&self) {
        self.refresh().begin();
    }

    /// What came of reading them; gives when they are to be read again. Without new ones those that are here stand.
    pub fn read(&self, read: KeysRead) -> Instant {
        let is_success = !matches!(read, KeysRead::Failed);
        if let KeysRead::New(keys) = read {
            self.keys.store(Some(Arc::new(keys)));
        }
        let due = {
            let mut refresh = self.refresh();
            refresh.end(Instant::now(), is_success);
            refresh.due()
        };
        self.reads.send_modify(|reads| *reads += 1);
        due
    }

    /// What a token says, if this issuer signed it. A key that is not known has the keys read anew, at a bounded rate.
    ///
    /// # Errors
    /// `unauthenticated` where it is not believed, `unavailable` where there are no keys yet.
    pub(super) async fn verify(&self, token: &Token<'_>) -> Result<Arc<Claims>, Status> {
        // Before the look, so that no read is missed.
        let mut reads = self.reads.subscribe();
        if let Some(claims) = self.look(token)? {
            return Ok(claims);
        }
        let asked = self.refresh().ask(Instant::now());
        if asked == Asked::Start {
            // Where there is no room it is wanted already.
            let _wanted = self.wanted.try_send(());
        }
        if asked != Asked::TooOften {
            // It may take longer than a caller should wait.
            let _late = tokio::time::timeout(PATIENCE, reads.changed()).await;
        }
        match self.look(token)? {
            Some(claims) => Ok(claims),
            None if self.keys.load().is_some() => Err(refused(Refusal::UnknownKey)),
            None => {
                let name = &self.config.name;
                Err(Status::unavailable(format!("the keys of the issuer `{name}` could not be read yet"))
                    .with_hint("try again; the daemon's log says why they cannot be read"))
            }
        }
    }

    /// What the keys that are here make of a token; none where others may be needed.
    fn look(&self, token: &Token<'_>) -> Result<Option<Arc<Claims>>, Status> {
        let keys = self.keys.load();
        let Some(keys) = keys.as_ref() else { return Ok(None) };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match keys.verify(token, &self.rules, i64::try_from(now.as_secs()).unwrap_or(i64::MAX)) {
            Ok(claims) => Ok(Some(claims)),
            Err(Refusal::UnknownKey) => Ok(None),
            Err(refusal) => Err(refused(refusal)),
        }
    }

    /// Who the holder of a believed token is.
    ///
    /// # Errors
    /// `permission-denied` where nothing that it says is worth a scope.
    pub(super) fn principal(&self, claims: &Claims) -> Result<Principal, Status> {
        let id = self.holder(claims);
        let grants = self.config.grants.iter();
        let held = grants.filter(|grant| claims.words(&grant.claim).any(|word| takes(&grant.value, word)));
        match held.map(|grant| grant.scope).max() {
            Some(scope) => Ok(Principal { id, scope }),
            None => Err(Status::permission_denied(format!("nobody gave `{id}` a scope")).with_hint(format!(
                "add a claim of its token to `grants` of the issuer `{}`",
                self.config.name
            ))),
        }
    }

    /// What a holder is called.
    pub(super) fn holder(&self, claims: &Claims) -> String {
        format!("jwt:{}/{}", self.config.name, claims.subject())
    }

    fn refresh(&self) -> MutexGuard<'_, Refresh> {
        self.refresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("name", &self.config.name).finish_non_exhaustive()
    }
}

/// The issuers of a configuration; those that stand as they are go on with the keys that they have.
///
/// # Errors
/// What is wrong with one of them, or two that cannot be told apart.
pub(super) fn issuers(configs: &[IssuerConfig], before: &[Arc<Issuer>]) -> Result<Vec<Arc<Issuer>>> {
    let wrong = |index: usize, problem: &str| {
        OperatorError::new(ErrorKind::Config, format!("`auth.issuers.{index}`: {problem}"))
    };
    for (index, config) in configs.iter().enumerate() {
        if let Some((problem, remedy)) = config.problem() {
            return Err(wrong(index, &problem).hint(remedy));
        }
        let earlier = configs.iter().take(index);
        if earlier.clone().any(|earlier| earlier.name == config.name || earlier.issuer == config.issuer) {
            return Err(
                wrong(index, "another one has its `name` or its `issuer`").hint("write each issuer once")
            );
        }
    }
    let issuer = |config: &IssuerConfig| match before.iter().find(|known| known.config == *config) {
        Some(known) => Arc::clone(known),
        None => Arc::new(Issuer::new(config)),
    };
    Ok(configs.iter().map(issuer).collect())
}

/// Why a token is not believed, as a status.
pub(super) fn refused(refusal: Refusal) -> Status {
    let hint = match refusal {
        Refusal::Expired => "get a new token from its issuer",
        Refusal::NotYet => "compare the clocks of the issuer and of this machine",
        Refusal::Audience => "ask the issuer for a token for one of `audiences` of the issuer here",
        Refusal::Issuer => "add its issuer to `auth.issuers`, letter by letter as its claim `iss`",
        Refusal::Algorithm => "have it signed by RS256, PS256, ES256 or EdDSA",
        Refusal::UnknownKey => "try again in ten seconds where the issuer has just changed its keys",
        _ => "get a token from one of the issuers that are known here",
    };
    Status::unauthenticated(refusal.to_string()).with_hint(hint)
}

/// The token of `authorization: Bearer TOKEN`.
pub(super) fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
