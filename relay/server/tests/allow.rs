//! Who may call through the `relayd` binary: routes that name certificates and tokens.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, Request, Response};
use relay_client::{Channel, ChannelConfig};
use relay_core::Protocol;
use relay_testkit::{TestCa, TokenKey, key_set};
use relay_transport::{Body, body};
use serde_json::{Value, json};
use support::{Relay, Upstream, call, config, relayd, text};

/// Answers, and counts what comes.
fn upstream(ca: &TestCa) -> (Upstream, Arc<AtomicU32>) {
    let calls = Arc::<AtomicU32>::default();
    let count = Arc::clone(&calls);
    let upstream = Upstream::start(ca, move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Response::new(body::full("fine")) }
    });
    (upstream, calls)
}

fn claims(more: &Value) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({ "iss": "https://issuer.test", "aud": "shop", "sub": "ada", "exp": now + 600 });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// Routes `a` to `d` for four kinds of callers, and `open` for everybody.
fn rest(ca: &TestCa, key: &TokenKey) -> String {
    let file = ca.dir().join("keys.json");
    std::fs::write(&file, key_set(&[key])).unwrap();
    let route = |service: &str, allow: &str| {
        format!("[[routes]]\nservice = {service:?}\noutbound = \"up\"\nallow = [{allow}]\n")
    };
    let issuer = format!(
        "[[auth.issuers]]\nname = \"corp\"\nissuer = \"https://issuer.test\"\naudiences = [\"shop\"]\n\
         jwks_file = {file:?}\nrefresh_interval_ms = 100\n"
    );
    [
        issuer,
        route("a", r#"{ spiffe = "spiffe://test/service/*" }"#),
        route("b", r#"{ issuer = "corp", claims = { scope = "orders.write" } }"#),
        route("c", r#"{ spiffe = "spiffe://test/service/caller", issuer = "corp" }"#),
        route("d", r#"{ spiffe = "spiffe://test/robot" }, { issuer = "corp", claims = { groups = "eu-*", sub = "ada" } }"#),
        route("open", ""),
    ]
    .concat()
}

struct Caller(Channel);

impl Caller {
    fn new(ca: &TestCa, relay: &Relay, spiffe: Option<&str>) -> Self {
        let mut config = ChannelConfig::new(relay.data.as_str(), ca.client_tls(spiffe));
        config.protocols = vec![Protocol::Http3];
        Self(Channel::new(&config).unwrap())
    }

    /// What comes of a call: `ok`, or the code of the refusal.
    async fn call(&self, service: &str, token: Option<&str>) -> String {
        let mut request = call(service, "p", "{}");
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let answer = self.0.send(request).await.unwrap();
        let code = answer.headers().get("rpc-error-code").map(|code| code.to_str().unwrap().to_owned());
        text(answer).await;
        code.unwrap_or_else(|| "ok".to_owned())
    }
}

#[tokio::test]
async fn routes_are_for_those_whom_they_name() {
    let ca = TestCa::new();
    let (up, calls) = upstream(&ca);
    let key = TokenKey::es256("one");
    let relay = Relay::start(&ca, &config(&ca, &[&up.url], "", &rest(&ca, &key)));
    let service = Caller::new(&ca, &relay, Some("spiffe://test/service/caller"));
    let robot = Caller::new(&ca, &relay, Some("spiffe://test/robot"));
    let nobody = Caller::new(&ca, &relay, None);
    let writer =
        key.sign(&claims(&json!({ "scope": "orders.read orders.write", "groups": ["us-1", "eu-1"] })));
    let reader = key.sign(&claims(&json!({ "scope": "orders.read" })));
    let expired = key.sign(&claims(&json!({ "exp": 1_000_000_000 })));
    let (writer, reader, expired) = (Some(&*writer), Some(&*reader), Some(&*expired));
    let cases: [(&Caller, &str, Option<&str>, &str); 20] = [
        (&service, "open", None, "ok"),
        (&nobody, "open", Some("garbage"), "ok"),
        (&service, "a", None, "ok"),
        // What it shows is for somebody else: no rule asks for a token.
        (&service, "a", Some("garbage"), "ok"),
        (&robot, "a", writer, "permission-denied"),
        (&nobody, "a", None, "unauthenticated"),
        (&nobody, "b", writer, "ok"),
        (&nobody, "b", reader, "permission-denied"),
        (&nobody, "b", None, "unauthenticated"),
        (&nobody, "b", expired, "unauthenticated"),
        (&nobody, "b", Some("garbage"), "unauthenticated"),
        (&service, "b", None, "permission-denied"),
        (&service, "c", reader, "ok"),
        (&service, "c", None, "permission-denied"),
        (&robot, "c", reader, "permission-denied"),
        (&nobody, "c", reader, "unauthenticated"),
        (&robot, "d", None, "ok"),
        (&robot, "d", expired, "ok"),
        (&service, "d", writer, "ok"),
        (&service, "d", reader, "permission-denied"),
    ];
    for (number, (caller, service, token, expected)) in cases.into_iter().enumerate() {
        assert_eq!(caller.call(service, token).await, expected, "case {number}");
    }
    let let_in = cases.iter().filter(|case| case.3 == "ok").count();
    assert_eq!(calls.load(Ordering::Relaxed) as usize, let_in, "what is refused goes nowhere");
}

#[tokio::test]
async fn a_refusal_is_written_as_grpc_and_the_key_may_change_meanwhile() {
    let ca = TestCa::new();
    let (up, _) = upstream(&ca);
    let (key, next) = (TokenKey::eddsa("one"), TokenKey::eddsa("two"));
    let relay = Relay::start(&ca, &config(&ca, &[&up.url], "", &rest(&ca, &key)));
    let nobody = Caller::new(&ca, &relay, None);
    let grpc = async |token: &str| -> HeaderMap {
        let request =
            Request::post("/b.B/Call").header("content-type", "application/grpc").header("te", "trailers");
        let request = request.header("rpc-service", "b").header("authorization", format!("Bearer {token}"));
        let request: Request<Body> = request.body(body::full(vec![0; 5])).unwrap();
        nobody.0.send(request).await.unwrap().headers().clone()
    };
    let token = |key: &TokenKey| key.sign(&claims(&json!({ "scope": "orders.write" })));
    let refused = grpc(&token(&next)).await;
    assert_eq!(refused["grpc-status"], "16", "{refused:?}");
    assert!(refused["grpc-message"].to_str().unwrap().contains("key"), "{refused:?}");
    assert_eq!(nobody.call("b", Some(&token(&key))).await, "ok");
    let file = ca.dir().join("keys.json");
    std::fs::write(file.with_extension("new"), key_set(&[&next])).unwrap();
    std::fs::rename(file.with_extension("new"), &file).unwrap();
    let changed = async {
        while nobody.call("b", Some(&token(&key))).await != "unauthenticated" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), changed).await.unwrap();
    assert_eq!(nobody.call("b", Some(&token(&next))).await, "ok");
}

#[test]
fn rules_that_could_take_nobody_are_refused_with_their_line() {
    let ca = TestCa::new();
    let key = TokenKey::es256("one");
    let good = config(&ca, &["https://127.0.0.1:1"], "", &rest(&ca, &key));
    for (wrong, said) in [
        (r#"allow = [{ issuer = "crop" }]"#, "no issuer is called `crop`"),
        (r#"allow = [{}]"#, "names nobody"),
        (r#"allow = [{ spiffe = "test/robot" }]"#, "not a SPIFFE id"),
        (r#"allow = [{ claims = { sub = "ada" } }]"#, "without an `issuer`"),
    ] {
        let broken = format!("{good}[[routes]]\nservice = \"z\"\noutbound = \"up\"\n{wrong}\n");
        let ended = relayd(&ca, &broken, &[]).output().unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && stderr.contains(said), "{wrong}: {stderr}");
    }
}
