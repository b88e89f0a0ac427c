//! The history as it is read and followed.

use std::sync::Arc;

use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use omnirelay_runtime::{DrainController, Metrics};
use relay_core::observe::DowngradeEvents;
use relay_core::{Code, Encoding, Protocol, Status};
use relay_transport::{Body, body};

use super::{SOMEBODY, at, checkpoints, wire};
use crate::{Checkpoints, control};

/// One event every second, so that none is suppressed.
fn downgrade(checkpoints: &Checkpoints, seconds: std::ops::Range<i64>) {
    let data = checkpoints.get("data:http").unwrap();
    for second in seconds {
        data.admit(wire(Protocol::Http2, Encoding::Protobuf), SOMEBODY, at(second)).unwrap();
    }
}

fn ask(
    checkpoints: &Checkpoints,
    drain: &DrainController,
    query: &str,
    headers: &[(&'static str, &str)],
) -> Result<Response<Body>, Status> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    let uri = format!("{}{query}", control::DOWNGRADE_EVENTS).parse().unwrap();
    control::answer(checkpoints, &uri, &map, &drain.drain()).unwrap()
}

const STREAM: (&str, &str) = ("accept", "text/event-stream");

async fn frame(body: &mut Body) -> Option<String> {
    let frame = body.frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

fn ids(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.strip_prefix("id: ")).map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn the_latest_are_read_at_once_and_the_limit_holds() {
    let (checkpoints, drain) = (checkpoints(&["data:http"], &Metrics::default()), DrainController::new());
    downgrade(&checkpoints, 0..10);
    let response = ask(&checkpoints, &drain, "?limit=3", &[]).unwrap();
    let bytes = body::collect_limited(response.into_body(), 1 << 20).await.unwrap();
    let latest: DowngradeEvents = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(latest.events.iter().map(|event| event.at).collect::<Vec<_>>(), [at(7), at(8), at(9)]);
    for query in ["?limit=0", "?limit=1025", "?limit=x", "?other=1", "?limit"] {
        assert_eq!(ask(&checkpoints, &drain, query, &[]).unwrap_err().code, Code::InvalidArgument, "{query}");
    }
}

#[tokio::test]
async fn a_watcher_goes_on_where_it_was_and_hears_what_it_missed() {
    let (checkpoints, drain) = (checkpoints(&["data:http"], &Metrics::default()), DrainController::new());
    downgrade(&checkpoints, 0..5);
    let mut body = ask(&checkpoints, &drain, "?limit=2", &[STREAM]).unwrap().into_body();
    assert_eq!(frame(&mut body).await.unwrap(), "retry: 1000\n\n");
    let seen = ids(&frame(&mut body).await.unwrap());
    assert_eq!(seen.len(), 2);
    downgrade(&checkpoints, 5..6);
    let live = frame(&mut body).await.unwrap();
    assert!(live.contains("event: downgraded\ndata: {") && ids(&live).len() == 1, "{live}");

    let again = [STREAM, ("last-event-id", seen[0].as_str())];
    let mut body = ask(&checkpoints, &drain, "", &again).unwrap().into_body();
    frame(&mut body).await.unwrap();
    let resumed = frame(&mut body).await.unwrap();
    assert_eq!(ids(&resumed), [seen[1].clone(), ids(&live)[0].clone()]);

    // Far more than are kept, and a daemon that was started anew in between.
    downgrade(&checkpoints, 10..3010);
    let mut body = ask(&checkpoints, &drain, "", &again).unwrap().into_body();
    frame(&mut body).await.unwrap();
    let gap = frame(&mut body).await.unwrap();
    assert!(gap.starts_with("event: gap\ndata: {\"missed\":1978}\n\n"), "{}", &gap[..80]);
    let stranger = [STREAM, ("last-event-id", "abc-7")];
    let mut body = ask(&checkpoints, &drain, "", &stranger).unwrap().into_body();
    frame(&mut body).await.unwrap();
    assert!(frame(&mut body).await.unwrap().starts_with("event: gap\ndata: {\"missed\":null}\n\n"));
}

#[tokio::test]
async fn watchers_are_bounded_and_end_with_the_drain() {
    let (checkpoints, drain) = (checkpoints(&["data:http"], &Metrics::default()), DrainController::new());
    let mut watching = Vec::new();
    let refused = loop {
        match ask(&checkpoints, &drain, "", &[STREAM]) {
            Ok(response) => watching.push(response.into_body()),
            Err(status) => break status,
        }
    };
    assert_eq!((refused.code, watching.len()), (Code::ResourceExhausted, 64));
    drop(watching.pop());
    let mut body = ask(&checkpoints, &drain, "", &[STREAM]).unwrap().into_body();
    assert!(frame(&mut body).await.is_some());
    drain.start();
    assert_eq!(frame(&mut body).await, None);
    drop(Arc::clone(&checkpoints));
}
