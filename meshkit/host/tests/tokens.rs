//! Tokens that an issuer signed, at a real meshkitd: what they may do, whose word counts, and keys that change while it
//! runs, in a file and at an URL.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test says by panicking that it failed, and has no readers from outside"
)]

mod support;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::{Method, Request, Response, StatusCode};
use omnirelay_runtime::{DrainController, Metrics};
use relay_core::Protocol;
use relay_testkit::{TestCa, TokenKey, key_set};
use relay_transport::{Body, Listener, ListenerConfig, body};
use serde_json::{Value, json};
use support::{ADMIN, Ask, Bench, Meshkitd, eventually};

const ISSUER: &str = "https://issuer.test/realm";

fn claims(more: &Value) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({ "iss": ISSUER, "aud": "meshkit", "sub": "alice", "exp": now + 600 });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// `[[auth.issuers]]`, behind the usual configuration.
fn issuer(keys: &str) -> String {
    format!(
        "[[auth.issuers]]\nname = \"corp\"\nissuer = {ISSUER:?}\naudiences = [\"meshkit\"]\n{keys}\ngrants = [\n\
         {{ claim = \"scope\", value = \"mesh.read\", scope = \"mesh.read\" }},\n\
         {{ claim = \"groups\", value = \"sre-*\", scope = \"mesh.operate\" }},\n\
         {{ claim = \"sub\", value = \"root\", scope = \"mesh.admin\" }},\n]\n"
    )
}

/// A meshkitd that believes the keys in a file.
struct Filed {
    bench: Bench,
    keys: PathBuf,
}

impl Filed {
    fn new(keys: &[&TokenKey]) -> Self {
        // The folder is there before the configuration that names a file in it.
        let bench = Bench::new("");
        let file = bench.ca.dir().join("keys.json");
        std::fs::write(&file, key_set(keys)).unwrap();
        let text = std::fs::read_to_string(&bench.config).unwrap();
        let issuer = issuer(&format!("jwks_file = {file:?}\nrefresh_interval_ms = 100"));
        std::fs::write(&bench.config, format!("{text}{issuer}")).unwrap();
        Self { bench, keys: file }
    }

    fn rotate(&self, keys: &[&TokenKey]) {
        let new = self.keys.with_extension("new");
        std::fs::write(&new, key_set(keys)).unwrap();
        std::fs::rename(new, &self.keys).unwrap();
    }
}

/// What a listing of peers answers to whoever shows a token.
async fn listed(bench: &Bench, meshkitd: &Meshkitd, token: &str) -> u16 {
    let channel = bench.channel(meshkitd, Protocol::Http2, None);
    Ask::get(&channel, "/meshkit/peers").token(token).send().await.status.as_u16()
}

#[tokio::test]
async fn claims_are_worth_scopes_and_holders_stand_in_the_audit() {
    let keys = [
        TokenKey::es256("ec"),
        TokenKey::eddsa("ed"),
        TokenKey::rsa("rsa", "RS256"),
        TokenKey::rsa("pss", "PS256"),
    ];
    let filed = Filed::new(&keys.iter().collect::<Vec<_>>());
    let meshkitd = filed.bench.start(&[]);
    let channel = filed.bench.channel(&meshkitd, Protocol::Http3, None);
    for key in &keys {
        let reader = key.sign(&claims(&json!({ "scope": "openid mesh.read" })));
        assert_eq!(Ask::get(&channel, "/meshkit/peers").token(&reader).send().await.status, 200);
        let refused = Ask::get(&channel, "/meshkit/audit").token(&reader).send().await;
        assert_eq!(refused.problem(), (403, "permission-denied".to_owned()));
        assert!(refused.text.contains("jwt:corp/alice"), "{}", refused.text);
        let operator = key.sign(&claims(&json!({ "scope": "mesh.read", "groups": ["dev", "sre-eu"] })));
        assert_eq!(Ask::get(&channel, "/meshkit/audit").token(&operator).send().await.status, 200);
    }
    let nobody = keys[0].sign(&claims(&json!({ "groups": "dev" })));
    assert_eq!(Ask::get(&channel, "/meshkit/peers").token(&nobody).send().await.problem().0, 403);
    let root = keys[1].sign(&claims(&json!({ "sub": "root" })));
    let made = Ask::new(&channel, Method::POST, "/meshkit/clusters").token(&root);
    let made = made.json(&json!({ "spec": { "id": "east" }, "reason": "first" })).await;
    assert!(made.status.is_success(), "{}", made.text);
    let audit = Ask::get(&channel, "/meshkit/audit?limit=200").token(ADMIN).send().await.text;
    for (actor, verb) in [("jwt:corp/root", "cluster.create"), ("jwt:corp/alice", "audit.list")] {
        assert!(audit.contains(&format!("\"actor\":\"{actor}\"")) && audit.contains(verb), "{audit}");
    }
    // gRPC knows them likewise.
    let call = Ask::new(&channel, Method::POST, "/meshkit.v1.AuditService/VerifyAudit").token(&nobody);
    assert_eq!(call.grpc().await["grpc-status"], "7");
}

#[tokio::test]
async fn what_is_not_believed_is_refused_with_its_reason_and_stands_in_no_log() {
    let key = TokenKey::rsa("rsa", "RS256");
    let filed = Filed::new(&[&key]);
    let meshkitd = filed.bench.start(&["--set", "log.filter=\"debug\""]);
    let channel = filed.bench.channel(&meshkitd, Protocol::Http2, None);
    let good = claims(&json!({ "scope": "mesh.read" }));
    let expired = claims(&json!({ "exp": 1_000_000_000 }));
    let confused = |alg: &str| key.sign_under(&json!({ "alg": alg, "kid": "rsa" }), &good);
    let unsigned = confused("none");
    let cases = [
        (key.sign(&expired), "expired"),
        (key.sign(&claims(&json!({ "aud": "others" }))), "audience"),
        (key.sign(&claims(&json!({ "iss": "https://evil.test" }))), "issuer"),
        (key.sign(&claims(&json!({ "nbf": 4_000_000_000_u64 }))), "not valid yet"),
        (unsigned.rsplit_once('.').map(|(start, _)| format!("{start}.")).unwrap(), "algorithm"),
        (confused("HS256"), "algorithm"),
        (confused("PS256"), "signature"),
        (TokenKey::es256("rsa").sign(&good), "key"),
        ("eyJhbGciOiJSUzI1NiJ9.garbage.garbage".to_owned(), "not known"),
        ("x".repeat(20_000), "above 16384 bytes"),
    ];
    for (token, reason) in &cases {
        let refused = Ask::get(&channel, "/meshkit/peers").token(token).send().await;
        assert_eq!(refused.problem().0, 401, "{reason}");
        assert_eq!(refused.headers["www-authenticate"], "Bearer");
        assert!(refused.json()["detail"].as_str().unwrap().contains(reason), "{reason}: {}", refused.text);
        assert!(!refused.text.contains(&token[..20]), "{}", refused.text);
    }
    // Above what the listener takes of headers at all; the connection may end with it.
    let large =
        Request::get("/meshkit/peers").header("authorization", format!("Bearer {}", "x".repeat(100_000)));
    if let Ok(answer) = channel.send(large.body(body::empty()).unwrap()).await {
        assert!(
            [StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, StatusCode::UNAUTHORIZED]
                .contains(&answer.status())
        );
    }
    assert_eq!(listed(&filed.bench, &meshkitd, &key.sign(&good)).await, 200);
    let audit = Ask::get(&channel, "/meshkit/audit?limit=200").token(ADMIN).send().await.text;
    let log = meshkitd.log();
    for token in cases.iter().map(|(token, _)| token).chain([&key.sign(&good)]) {
        for part in token.split('.').filter(|part| part.len() >= 20) {
            assert!(!log.contains(&part[..20]) && !audit.contains(&part[..20]), "a token is in a log");
        }
    }
}

#[tokio::test]
async fn keys_in_a_file_change_while_meshkitd_runs() {
    let (old, new) = (TokenKey::es256("old"), TokenKey::es256("new"));
    let filed = Filed::new(&[&old]);
    let meshkitd = filed.bench.start(&[]);
    let claims = claims(&json!({ "scope": "mesh.read" }));
    let (by_old, by_new) = (old.sign(&claims), new.sign(&claims));
    assert_eq!(listed(&filed.bench, &meshkitd, &by_old).await, 200);
    assert_eq!(listed(&filed.bench, &meshkitd, &by_new).await, 401);
    filed.rotate(&[&old, &new]);
    eventually("the new key counts", async || listed(&filed.bench, &meshkitd, &by_new).await == 200).await;
    assert_eq!(listed(&filed.bench, &meshkitd, &by_old).await, 200);
    filed.rotate(&[&new]);
    eventually("the old key counts no more", async || listed(&filed.bench, &meshkitd, &by_old).await == 401)
        .await;
    assert_eq!(listed(&filed.bench, &meshkitd, &by_new).await, 200);
    std::fs::write(&filed.keys, "half").unwrap();
    eventually("it is said", async || meshkitd.log().contains("cannot be read; those that are here stand"))
        .await;
    assert_eq!(listed(&filed.bench, &meshkitd, &by_new).await, 200);
    // Without keys it would start into a mesh that knows nobody.
    drop(meshkitd);
    let refused = filed.bench.refused(&[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("keys.json") && said.contains("JSON Web Key Set"),
        "{said}"
    );
}

/// An issuer's `jwks_uri`, which counts how often it is asked.
struct Published {
    url: String,
    document: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicU64>,
    _drain: DrainController,
}

impl Published {
    fn start(ca: &TestCa, keys: &[&TokenKey]) -> Self {
        let (document, asked) = (Arc::new(Mutex::new(Some(key_set(keys)))), Arc::new(AtomicU64::new(0)));
        let listener = ListenerConfig::new(([127, 0, 0, 1], 0), ca.server_tls("spiffe://test/issuer"));
        let listener = Listener::bind("issuer", &listener, &Metrics::default()).unwrap();
        let url = format!("https://{}/keys?of=realm", listener.local_addr());
        let (answers, count) = (Arc::clone(&document), Arc::clone(&asked));
        let service = tower::service_fn(move |request: Request<Body>| {
            count.fetch_add(1, Ordering::Relaxed);
            assert_eq!(request.uri().path_and_query().unwrap(), "/keys?of=realm");
            let document = answers.lock().unwrap().clone();
            let mut response = Response::new(body::full(document.clone().unwrap_or_default()));
            if document.is_none() {
                *response.status_mut() = StatusCode::BAD_GATEWAY;
            }
            async move { Ok::<_, Infallible>(response) }
        });
        let drain = DrainController::new();
        omnirelay_runtime::spawn("issuer", listener.serve(service, drain.drain()));
        Self { url, document, asked, _drain: drain }
    }

    fn publish(&self, keys: &[&TokenKey]) {
        *self.document.lock().unwrap() = Some(key_set(keys));
    }

    fn fail(&self) {
        *self.document.lock().unwrap() = None;
    }
}

/// A meshkitd that believes the keys at an URL.
fn asking(published: &Published, ca: TestCa, interval_ms: u64) -> Bench {
    let authority = ca.ca();
    let keys = format!(
        "jwks_url = {:?}\ntls = {{ ca = {authority:?} }}\nrefresh_interval_ms = {interval_ms}",
        published.url
    );
    Bench::of(ca, &issuer(&keys))
}

#[tokio::test]
async fn keys_at_an_url_change_while_meshkitd_runs() {
    let (old, new) = (TokenKey::eddsa("old"), TokenKey::eddsa("new"));
    let ca = TestCa::new();
    let published = Published::start(&ca, &[&old]);
    let bench = asking(&published, ca, 200);
    let meshkitd = bench.start(&[]);
    let claims = claims(&json!({ "scope": "mesh.read" }));
    let (by_old, by_new) = (old.sign(&claims), new.sign(&claims));
    assert_eq!(listed(&bench, &meshkitd, &by_old).await, 200);
    published.publish(&[&new]);
    eventually("the old key counts no more", async || listed(&bench, &meshkitd, &by_old).await == 401).await;
    assert_eq!(listed(&bench, &meshkitd, &by_new).await, 200);
    published.fail();
    eventually("it is said", async || meshkitd.log().contains("it answers 502")).await;
    assert_eq!(listed(&bench, &meshkitd, &by_new).await, 200, "what was good stands");
    let channel = bench.channel(&meshkitd, Protocol::Http2, None);
    let metrics = Ask::get(&channel, "/metrics").token(ADMIN).send().await.text;
    let counted = |line: &str| metrics.lines().any(|found| found.starts_with(line) && !found.ends_with(" 0"));
    assert!(counted("omnirelay_jwks_reads_total{issuer=\"corp\",outcome=\"failed\"}"), "{metrics}");
    assert!(counted("omnirelay_jwks_keys{issuer=\"corp\"} 1"), "{metrics}");
    assert!(counted("omnirelay_jwks_last_success_timestamp_seconds{issuer=\"corp\"}"), "{metrics}");
}

#[tokio::test]
async fn a_new_key_counts_at_once_and_a_flood_of_unknown_ones_asks_the_issuer_seldom() {
    let (old, new) = (TokenKey::es256("old"), TokenKey::es256("new"));
    let ca = TestCa::new();
    let published = Published::start(&ca, &[&old]);
    let bench = asking(&published, ca, 3_600_000);
    let meshkitd = bench.start(&[]);
    let claims = claims(&json!({ "scope": "mesh.read" }));
    assert_eq!(listed(&bench, &meshkitd, &old.sign(&claims)).await, 200);
    published.publish(&[&old, &new]);
    assert_eq!(listed(&bench, &meshkitd, &new.sign(&claims)).await, 200, "without a wait for the interval");
    let began = Instant::now();
    let channel = bench.channel(&meshkitd, Protocol::Http2, None);
    let flood = (0..300).map(|number| {
        let token = old.sign_under(&json!({ "alg": "ES256", "kid": format!("made-up-{number}") }), &claims);
        let channel = channel.clone();
        async move { Ask::get(&channel, "/meshkit/peers").token(&token).send().await.status.as_u16() }
    });
    assert!(futures_util::future::join_all(flood).await.iter().all(|status| *status == 401));
    // One at the start, two that unknown keys bring about at once, and one more in ten seconds.
    let bound = 3 + began.elapsed().as_secs() / 10 + 1;
    let asked = published.asked.load(Ordering::Relaxed);
    assert!((2..=bound).contains(&asked), "asked {asked} times, at most {bound}");
    assert_eq!(listed(&bench, &meshkitd, &old.sign(&claims)).await, 200);
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_keeps_no_meshkitd_from_starting() {
    let key = TokenKey::es256("one");
    let ca = TestCa::new();
    let published = Published::start(&ca, &[&key]);
    published.fail();
    let bench = asking(&published, ca, 200);
    let meshkitd = bench.start(&[]);
    let token = key.sign(&claims(&json!({ "scope": "mesh.read" })));
    assert_eq!(listed(&bench, &meshkitd, &token).await, 503, "nobody can know yet");
    assert_eq!(listed(&bench, &meshkitd, ADMIN).await, 200);
    published.publish(&[&key]);
    eventually("the keys come", async || listed(&bench, &meshkitd, &token).await == 200).await;
}

#[tokio::test]
async fn issuers_come_and_go_with_the_configuration() {
    let key = TokenKey::es256("one");
    let bench = Bench::new("");
    let file = bench.ca.dir().join("keys.json");
    std::fs::write(&file, key_set(&[&key])).unwrap();
    let meshkitd = bench.start(&[]);
    let token = key.sign(&claims(&json!({ "scope": "mesh.read" })));
    assert_eq!(listed(&bench, &meshkitd, &token).await, 401);
    let without = std::fs::read_to_string(&bench.config).unwrap();
    let with = format!("{without}{}", issuer(&format!("jwks_file = {file:?}")));
    std::fs::write(&bench.config, with).unwrap();
    let channel = bench.channel(&meshkitd, Protocol::Http2, None);
    let reload = async || {
        Ask::new(&channel, Method::POST, "/omnirelay/control/config/reload").token(ADMIN).send().await
    };
    assert_eq!(reload().await.status, 200);
    assert_eq!(listed(&bench, &meshkitd, &token).await, 200);
    std::fs::write(&bench.config, without).unwrap();
    assert_eq!(reload().await.status, 200);
    assert_eq!(listed(&bench, &meshkitd, &token).await, 401);
}
