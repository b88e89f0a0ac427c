//! Peers over gRPC and REST, over every protocol.
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
use meshkit_client::{Credentials, MeshClient, PeerFilter, v1};
use relay_core::{Code, Protocol};
use support::{Ask, Bench, OBSERVER, OPERATOR, READER, eventually, peer};

const ALL: [Protocol; 3] = [Protocol::Http1, Protocol::Http2, Protocol::Http3];

#[tokio::test]
async fn registered_over_grpc_is_listed_over_every_protocol() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let client = bench.client(&meshkitd, Protocol::Http3, OBSERVER);
    let registered = client.register(peer("greeter-1", "greeter")).await.unwrap();
    assert_eq!(registered.negotiated.protocol, Protocol::Http3);
    assert_eq!(registered.value.heartbeat_interval_ms, 1_000);
    let written = registered.value.peer.unwrap();
    assert_eq!((written.record_version, written.status()), (1, v1::PeerStatus::Alive));

    for protocol in ALL {
        let channel = bench.channel(&meshkitd, protocol, None);
        let answer = Ask::get(&channel, "/meshkit/peers").token(READER).send().await;
        assert_eq!((answer.status.as_u16(), answer.protocol), (200, protocol));
        let peer = &answer.json()["peers"][0];
        assert_eq!(peer["id"], "greeter-1");
        assert_eq!(peer["status"], "alive");
        assert_eq!(peer["endpoints"][0]["protocols"][0], "http3");
    }
    for protocol in [Protocol::Http2, Protocol::Http3] {
        let client = bench.client(&meshkitd, protocol, READER);
        let found = client.get_peer("greeter-1").await.unwrap();
        assert_eq!((found.value.id.as_str(), found.negotiated.protocol), ("greeter-1", protocol));
        let missing = client.get_peer("greeter-2").await.unwrap_err();
        assert_eq!(missing.code, Code::NotFound);
        assert!(missing.hint.is_some(), "{missing:?}");
    }
}

#[tokio::test]
async fn strangers_and_narrow_scopes_are_refused() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    for protocol in ALL {
        let channel = bench.channel(&meshkitd, protocol, None);
        let ask = || Ask::get(&channel, "/meshkit/peers");
        assert_eq!(ask().send().await.problem(), (401, "unauthenticated".to_owned()));
        let wrong = ask().token("wrong-s3cret").send().await;
        assert_eq!(wrong.problem(), (401, "unauthenticated".to_owned()));
        assert!(!wrong.text.contains("s3cret"));
        let body = serde_json::json!({ "id": "x", "role": "service" });
        let narrow = Ask::new(&channel, Method::POST, "/meshkit/peers").token(READER);
        assert_eq!(narrow.json(&body).await.problem(), (403, "permission-denied".to_owned()));
        let metrics = Ask::get(&channel, "/metrics").token(READER).send().await;
        assert_eq!(metrics.problem(), (403, "permission-denied".to_owned()));
    }
    let client = bench.client(&meshkitd, Protocol::Http3, "wrong-s3cret");
    let refused = client.peers(PeerFilter::default()).await.unwrap_err();
    assert_eq!(refused.code, Code::Unauthenticated);
    let client = bench.client(&meshkitd, Protocol::Http3, READER);
    let refused = client.heartbeat("x", false).await.unwrap_err();
    assert_eq!(refused.code, Code::PermissionDenied);
    assert!(!meshkitd.log().contains("s3cret"));
}

#[tokio::test]
async fn a_certificate_speaks_for_the_peer_it_names() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let service = bench.client_as(&meshkitd, "spiffe://omnirelay.dev/service/greeter-1");
    service.register(peer("greeter-1", "greeter")).await.unwrap();
    service.heartbeat("greeter-1", false).await.unwrap();
    let refused = service.register(peer("greeter-2", "greeter")).await.unwrap_err();
    assert_eq!(refused.code, Code::PermissionDenied);
    assert!(refused.hint.unwrap().contains("`greeter-1`"));
    let operator = bench.client_as(&meshkitd, "spiffe://omnirelay.dev/operator/olga");
    operator.register(peer("greeter-2", "greeter")).await.unwrap();
    let refused = service.heartbeat("greeter-2", true).await.unwrap_err();
    assert_eq!(refused.code, Code::PermissionDenied);
    let unknown = bench.client_as(&meshkitd, "spiffe://omnirelay.dev/nobody/n");
    let refused = unknown.peers(PeerFilter::default()).await.unwrap_err();
    assert_eq!(refused.code, Code::PermissionDenied);
}

#[tokio::test]
async fn listings_are_filtered_paged_and_conditional() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let client = bench.client(&meshkitd, Protocol::Http2, OBSERVER);
    for n in 0..7 {
        let service = if n % 2 == 0 { "greeter" } else { "inventory" };
        client.register(peer(&format!("p{n}"), service)).await.unwrap();
    }
    let channel = bench.channel(&meshkitd, Protocol::Http3, None);
    let get = async |path: &str| Ask::get(&channel, path).token(READER).send().await;
    let mut path = "/meshkit/peers?service=greeter&limit=3".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = get(&path).await.json();
        let ids = page["peers"].as_array().unwrap().iter();
        seen.extend(ids.map(|peer| peer["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        path = format!("/meshkit/peers?service=greeter&limit=3&cursor={cursor}");
        let other = format!("/meshkit/peers?service=inventory&cursor={cursor}");
        assert_eq!(get(&other).await.problem(), (400, "invalid-argument".to_owned()));
    }
    assert_eq!(seen, ["p0", "p2", "p4", "p6"]);
    let pages = client.peers(PeerFilter { service: "inventory".to_owned(), ..PeerFilter::default() });
    assert_eq!(pages.await.unwrap().value.len(), 3);

    for path in ["/meshkit/peers", "/meshkit/peers/p1"] {
        let first = get(path).await;
        let again = Ask::get(&channel, path).token(READER).header("if-none-match", first.etag());
        let again = again.send().await;
        assert_eq!((again.status.as_u16(), again.text.as_str()), (304, ""));
        assert_eq!(again.etag(), first.etag());
    }
    let before = get("/meshkit/peers").await;
    client.register(peer("p9", "greeter")).await.unwrap();
    let again = Ask::get(&channel, "/meshkit/peers").token(READER);
    let again = again.header("if-none-match", before.etag()).send().await;
    assert_eq!(again.status.as_u16(), 200);
}

#[tokio::test]
async fn bad_requests_name_what_is_off() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let channel = bench.channel(&meshkitd, Protocol::Http2, None);
    for (path, words) in [
        ("/meshkit/peers?colour=red", "colour"),
        ("/meshkit/peers?status=well", "alive, suspect, dead, left"),
        ("/meshkit/peers?limit=1001", "1 to 1000"),
        ("/meshkit/peers?limit=-1", "invalid digit"),
        ("/meshkit/peers?cursor=zzz", "begin again"),
        ("/meshkit/peers/UPPER", "`id`"),
        ("/meshkit/peers/p1?x=1", "x"),
    ] {
        let answer = Ask::get(&channel, path).token(READER).send().await;
        assert_eq!(answer.problem(), (400, "invalid-argument".to_owned()), "{path}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(words), "{path}: {detail}");
    }
    let post = async |path: &str, body: serde_json::Value| {
        Ask::new(&channel, Method::POST, path).token(OBSERVER).json(&body).await
    };
    for (body, words) in [
        (serde_json::json!({ "id": "a" }), "role"),
        (serde_json::json!({ "id": "a", "role": "service", "rôle": 1 }), "rôle"),
        (
            serde_json::json!({ "id": "a", "role": "service", "endpoints": [{ "url": "http://x:1", "protocols": ["http3"] }] }),
            "endpoints[0].url",
        ),
        (serde_json::json!("x"), "expected struct"),
    ] {
        let answer = post("/meshkit/peers", body).await;
        assert_eq!(answer.problem().0, 400);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(words), "{detail}");
    }
    let answer = post("/meshkit/peers/a:dance", serde_json::json!({})).await;
    assert_eq!(answer.problem(), (404, "not-found".to_owned()));
    let answer = Ask::get(&channel, "/nowhere").token(OPERATOR).send().await;
    assert_eq!(answer.problem(), (404, "not-found".to_owned()));
    let answer = Ask::new(&channel, Method::DELETE, "/meshkit/peers").token(OPERATOR).send().await;
    assert_eq!(answer.problem().0, 405);
}

#[tokio::test]
async fn rest_registers_and_beats_as_grpc_does() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let channel = bench.channel(&meshkitd, Protocol::Http3, None);
    let post = async |path: &str, body: serde_json::Value| {
        Ask::new(&channel, Method::POST, path).token(OBSERVER).json(&body).await
    };
    let beat = "/meshkit/peers/rest-1:heartbeat";
    assert_eq!(post(beat, serde_json::json!({})).await.problem().0, 404);
    let spec = serde_json::json!({ "id": "rest-1", "role": "service", "labels": { "team": "a" } });
    let made = post("/meshkit/peers", spec.clone()).await;
    assert_eq!(
        (made.status.as_u16(), &made.headers["location"]),
        (201, &"/meshkit/peers/rest-1".parse().unwrap())
    );
    assert_eq!(made.json()["heartbeatIntervalMs"], 1_000);
    let again = post("/meshkit/peers", spec).await;
    assert_eq!(again.status.as_u16(), 200);
    assert_eq!(again.json()["peer"]["recordVersion"], 1, "nothing new was said");
    let empty = Ask::new(&channel, Method::POST, beat).token(OBSERVER).send().await;
    assert_eq!(empty.status.as_u16(), 200);
    assert_eq!(post(beat, serde_json::json!({ "leaving": true })).await.status.as_u16(), 200);
    let client = bench.client(&meshkitd, Protocol::Http3, READER);
    let left = client.get_peer("rest-1").await.unwrap().value;
    assert_eq!((left.status(), left.record_version), (v1::PeerStatus::Left, 2));
    assert_eq!(post(beat, serde_json::json!({})).await.problem().0, 404, "it has to register again");
}

#[tokio::test]
async fn silence_leads_to_suspicion_and_death_and_a_word_back_to_life() {
    let bench =
        Bench::new("[registry]\nheartbeat_interval_ms = 50\nsuspect_after_ms = 400\ndead_after_ms = 800\n");
    let meshkitd = bench.start(&[]);
    let client = bench.client(&meshkitd, Protocol::Http3, OBSERVER);
    client.register(peer("greeter-1", "greeter")).await.unwrap();
    let mut seen = Vec::new();
    eventually("death", async || {
        let status = client.get_peer("greeter-1").await.unwrap().value.status();
        if seen.last() != Some(&status) {
            seen.push(status);
        }
        status == v1::PeerStatus::Dead
    })
    .await;
    assert!(seen.is_sorted_by_key(|status| i32::from(*status)), "{seen:?}");
    eventually("life", async || {
        client.heartbeat("greeter-1", false).await.unwrap();
        let status = client.get_peer("greeter-1").await.unwrap().value.status();
        status == v1::PeerStatus::Alive
    })
    .await;
    let filter = PeerFilter { status: Some(v1::PeerStatus::Left), ..PeerFilter::default() };
    assert_eq!(client.peers(filter).await.unwrap().value, []);
}

#[tokio::test]
async fn a_token_file_is_read_anew_and_metrics_count() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let path = bench.ca.dir().join("token");
    std::fs::write(&path, "wrong").unwrap();
    let channel = bench.channel(&meshkitd, Protocol::Http3, None);
    let client = MeshClient::new(channel.clone(), Credentials::token_file(&path));
    assert!(client.peers(PeerFilter::default()).await.is_err());
    std::fs::write(&path, OBSERVER).unwrap();
    client.register(peer("greeter-1", "greeter")).await.unwrap();
    eventually("the sweep counts", async || {
        let metrics = Ask::get(&channel, "/metrics").token(OBSERVER).send().await;
        metrics.text.contains("meshkit_registry_peers{status=\"alive\"} 1")
            && metrics.text.contains("meshkit_registry_registrations_total 1")
    })
    .await;
}
