//! Following the mesh over SSE and gRPC, across restarts.
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

use std::time::Duration;

use http::Method;
use meshkit_client::{PeerChange, PeerFilter};
use relay_core::Protocol;
use serde_json::json;
use support::events::Events;
use support::{ADMIN, Ask, Bench, OBSERVER, peer};

#[tokio::test]
async fn events_come_in_order_over_every_protocol_and_resume_by_their_id() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let client = bench.client(&meshkitd, Protocol::Http3, OBSERVER);
    for (n, protocol) in [Protocol::Http1, Protocol::Http2, Protocol::Http3].into_iter().enumerate() {
        let channel = bench.channel(&meshkitd, protocol, None);
        let service = format!("s{n}");
        let path = format!("/meshkit/peers:watch?service={service}");
        let mut events = Events::open(&channel, &path, None).await;
        assert_eq!(events.any().await.name, "bookmark", "it is in step");
        for m in 0..3 {
            client.register(peer(&format!("p{n}-{m}"), &service)).await.unwrap();
            client.register(peer(&format!("other{n}-{m}"), "other")).await.unwrap();
        }
        let first = events.next().await;
        assert_eq!((first.name.as_str(), &first.data["key"]), ("put", &json!(format!("p{n}-0"))));
        assert_eq!(first.data["record"]["service"], service.as_str());
        drop(events);
        let mut resumed = Events::open(&channel, &path, Some(&first.id)).await;
        for m in 1..3 {
            // From history also those are told as deleted that may never have passed the filter.
            let event = resumed.next_of(&format!("p{n}-")).await;
            assert_eq!((event.name.as_str(), &event.data["key"]), ("put", &json!(format!("p{n}-{m}"))));
            assert!(event.data["revision"].as_u64() > first.data["revision"].as_u64());
        }
        // It leaves the filter: its record is not told any more.
        client.register(peer(&format!("p{n}-1"), "elsewhere")).await.unwrap();
        let gone = resumed.next_of(&format!("p{n}-")).await;
        assert_eq!((gone.name.as_str(), &gone.data["key"]), ("deleted", &json!(format!("p{n}-1"))));
        assert!(gone.data.get("record").is_none());
        for odd in ["zzz", "%00", &first.id[1..]] {
            let answer = Ask::get(&channel, &format!("{path}&resume={odd}")).token(OBSERVER).send().await;
            assert_eq!(answer.problem(), (400, "invalid-argument".to_owned()), "{odd}");
        }
        let other = format!("/meshkit/peers:watch?service=other&resume={}", first.id);
        let answer = Ask::get(&channel, &other).token(OBSERVER).send().await;
        assert_eq!(answer.problem(), (400, "invalid-argument".to_owned()));
    }
}

#[tokio::test]
async fn configuration_and_clusters_are_followed_too() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let channel = bench.channel(&meshkitd, Protocol::Http3, None);
    let mut configs = Events::open(&channel, "/meshkit/config:watch", None).await;
    let mut clusters = Events::open(&channel, "/meshkit/clusters:watch?state=active", None).await;
    assert_eq!((configs.any().await.name, clusters.any().await.name), ("bookmark".into(), "bookmark".into()));
    for value in ["1", "2"] {
        let ask = Ask::new(&channel, Method::PATCH, "/meshkit/config").token(ADMIN).header("if-match", "*");
        let done = ask.json(&json!({"content": {"settings": {"a": value}}})).await;
        assert_eq!(done.status.as_u16(), 200, "{done:?}");
        let event = configs.next().await;
        assert_eq!(event.data["record"]["content"]["settings"]["a"], value, "no account of a past version");
    }
    let spec = json!({"spec": {"id": "eu-1"}});
    let made = Ask::new(&channel, Method::POST, "/meshkit/clusters").token(ADMIN).json(&spec).await;
    assert_eq!(made.status.as_u16(), 201, "{made:?}");
    assert_eq!(clusters.next().await.data["record"]["state"], "active");
}

#[tokio::test]
async fn the_sdk_goes_on_where_it_was_when_meshkitd_comes_back() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let client = bench.client(&meshkitd, Protocol::Http3, OBSERVER);
    client.register(peer("a", "greeter")).await.unwrap();
    let filter = PeerFilter { service: "greeter".to_owned(), ..PeerFilter::default() };
    let watching = bench.client(&meshkitd, Protocol::Http2, OBSERVER);
    let mut watch = watching.watch_peers(filter);
    let next = async |watch: &mut meshkit_client::PeerWatch| {
        tokio::time::timeout(Duration::from_secs(30), watch.next()).await.unwrap().unwrap()
    };
    let PeerChange::Listed(peers) = next(&mut watch).await else { panic!("no listing") };
    assert_eq!(peers.iter().map(|peer| peer.id.as_str()).collect::<Vec<_>>(), ["a"]);
    client.register(peer("b", "greeter")).await.unwrap();
    let PeerChange::Put(put) = next(&mut watch).await else { panic!("no change") };
    assert_eq!(put.id, "b");
    let address = meshkitd.address.to_string();
    meshkitd.kill();
    let meshkitd = bench.start(&["--set", &format!("listener.address={address}")]);
    let client = bench.client(&meshkitd, Protocol::Http3, OBSERVER);
    client.register(peer("c", "greeter")).await.unwrap();
    let PeerChange::Put(put) = next(&mut watch).await else { panic!("not resumed") };
    assert_eq!(put.id, "c", "neither a loss nor a repetition");
    client.register(peer("b", "elsewhere")).await.unwrap();
    assert_eq!(next(&mut watch).await, PeerChange::Deleted("b".to_owned()));
}
