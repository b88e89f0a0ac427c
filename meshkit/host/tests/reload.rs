//! meshkitd while its configuration changes.
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

use http::Method;
use relay_core::Protocol;
use serde_json::{Value, json};
use support::{ADMIN, Ask, Bench, OBSERVER, OPERATOR};

#[tokio::test]
async fn scopes_policy_and_bounds_change_while_calls_go_on() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let channel = bench.channel(&meshkitd, Protocol::Http3, None);
    let reload = async |token: &str| {
        let path = "/omnirelay/control/config/reload";
        Ask::new(&channel, Method::POST, path).token(token).send().await
    };
    assert_eq!(reload(OBSERVER).await.status, 403);
    assert_eq!(reload(OPERATOR).await.json()["outcome"], "unchanged");

    // The observer's token is taken back, and a bound and the log change.
    let good = std::fs::read_to_string(&bench.config).unwrap();
    let observer = good.lines().find(|line| line.contains("\"observer\"")).unwrap();
    let changed = format!(
        "{}[listener.limits]\nmax_requests_in_flight = 77\n[log]\nfilter = \"warn\"\n",
        good.replace(observer, "")
    );
    std::fs::write(&bench.config, &changed).unwrap();
    let peers = async |token: &str| Ask::get(&channel, "/meshkit/peers").token(token).send().await.status;
    assert_eq!(peers(OBSERVER).await, 200);
    let applied = reload(OPERATOR).await;
    assert_eq!(applied.json()["outcome"], "applied", "{}", applied.text);
    let keys: Vec<Value> = applied.json()["changed"].as_array().unwrap().clone();
    assert_eq!(
        keys,
        [json!("auth.tokens"), json!("listener.limits.max_requests_in_flight"), json!("log.filter")]
    );
    assert_eq!((peers(OBSERVER).await.as_u16(), peers(OPERATOR).await.as_u16()), (401, 200));

    // What the store is cannot change, and is refused by its line; a start says the same of a broken file.
    std::fs::write(&bench.config, changed.replace("mesh.db", "other.db")).unwrap();
    let refused = reload(ADMIN).await;
    let problem = &refused.json()["problems"][0];
    assert_eq!(
        (refused.status.as_u16(), refused.json()["generation"].as_u64()),
        (422, Some(2)),
        "{}",
        refused.text
    );
    assert!(problem["message"].as_str().unwrap().starts_with("`store.path` cannot change"), "{problem}");
    assert!(problem["location"].as_str().unwrap().contains("meshkit.toml:"), "{problem}");
    let told = Ask::get(&channel, "/omnirelay/control/config").token(OPERATOR).send().await.json();
    assert_eq!(
        (told["generation"].as_u64(), told["history"].as_array().unwrap().len()),
        (Some(2), 4),
        "{told}"
    );
    let startup = Ask::get(&channel, "/omnirelay/control/startup").token(OPERATOR).send().await.json();
    let steps: Vec<&str> =
        startup["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert_eq!(steps, ["process", "configuration", "store", "listeners", "services", "serving"]);
    let (code, _) = meshkitd.terminate();
    assert_eq!(code, Some(0));
}
