//! Every verb under every scope, over REST and gRPC, from the one table; and the reference that is
//! written from it.
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

use meshkit_api::Verb;
use relay_core::{Protocol, Scope};
use support::{ADMIN, Ask, Bench, OBSERVER, OPERATOR, READER};

const CALLERS: [(Option<&str>, Option<Scope>); 6] = [
    (None, None),
    (Some("wrong"), None),
    (Some(READER), Some(Scope::Read)),
    (Some(OBSERVER), Some(Scope::Observe)),
    (Some(OPERATOR), Some(Scope::Operate)),
    (Some(ADMIN), Some(Scope::Admin)),
];

/// Whether a refusal is what the table says: `None` where the caller is to be let in.
fn expected(verb: Verb, scope: Option<Scope>) -> Option<(u16, &'static str)> {
    match (scope, verb.scope()) {
        // Nobody's scope is a join token.
        (None, _) | (_, None) => Some((401, "16")),
        (Some(scope), Some(needed)) if scope < needed => Some((403, "7")),
        _ => None,
    }
}

#[tokio::test]
async fn every_verb_is_open_to_its_scope_and_to_no_lesser_one() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let channel = bench.channel(&meshkitd, Protocol::Http3, None);
    for verb in Verb::ALL {
        let row = verb.row();
        let (method, path) = row.rest.split_once(' ').unwrap();
        let path = path.replace("{namespace}", "x").replace("{id}", "1");
        for (token, scope) in CALLERS {
            let wanted = expected(*verb, scope);
            let authorized = |ask: Ask| match token {
                Some(token) => ask.token(token),
                None => ask,
            };
            let ask = || authorized(Ask::new(&channel, method.parse().unwrap(), &path));
            match wanted {
                Some((status, _)) => {
                    let answer = ask().send().await;
                    assert_eq!(answer.problem().0, status, "{} as {scope:?}", row.rest);
                }
                None => {
                    let (found, _) = ask().head().await;
                    assert!(![401, 403, 405, 501].contains(&found), "{} as {scope:?}: {found}", row.rest);
                }
            }
            let call = Ask::new(&channel, http::Method::POST, &format!("/meshkit.v1.{}", row.rpc));
            let headers = authorized(call).grpc().await;
            let status = headers.get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
            match wanted {
                Some((_, code)) => assert_eq!(status.as_deref(), Some(code), "{} as {scope:?}", row.rpc),
                None => assert!(
                    !matches!(status.as_deref(), Some("7" | "12" | "16")),
                    "{} as {scope:?}: {status:?}",
                    row.rpc
                ),
            }
        }
    }
}

#[test]
fn the_reference_is_what_is_enforced() {
    let path = match std::env::var_os("REFERENCE") {
        Some(path) => std::env::current_dir().unwrap().join(path),
        None => concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/meshkit.md").into(),
    };
    let reference = std::fs::read_to_string(path).unwrap();
    assert!(
        reference.contains(&Verb::reference()),
        "docs/reference/meshkit.md has another table of verbs than meshkit/api/src/verb.rs:\n{}",
        Verb::reference()
    );
}
