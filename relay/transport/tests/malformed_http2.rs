//! HTTP/2 as it must not be: h2spec's cases and the known floods, frame by frame (RFC 9113).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use support::Server;
use support::h2::{
    ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GET, GOAWAY, HEADERS, Outcome, PADDED, PING, POST, PRIORITY,
    PROTOCOL_ERROR, PUSH_PROMISE, Peer, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, frame, get,
};

/// What each may be answered with: where the RFC leaves a choice there are several.
type Case = (&'static str, Vec<u8>, &'static [Outcome]);

const WHOLE: u8 = END_HEADERS | END_STREAM;
const PROTOCOL: &[Outcome] = &[Outcome::Goaway(PROTOCOL_ERROR)];
/// h2 names a fixed-size frame of another size, and some values, PROTOCOL_ERROR, which RFC 9113,
/// section 7 keeps for what has no name of its own; the connection ends all the same.
const SIZE: &[Outcome] = &[Outcome::Goaway(FRAME_SIZE_ERROR), Outcome::Goaway(PROTOCOL_ERROR)];
const STREAM_PROTOCOL: &[Outcome] = &[Outcome::Reset(PROTOCOL_ERROR), Outcome::Goaway(PROTOCOL_ERROR)];

fn settings(id: u16, value: u32) -> Vec<u8> {
    let mut payload = id.to_be_bytes().to_vec();
    payload.extend(value.to_be_bytes());
    frame(SETTINGS, 0, 0, &payload)
}

fn connection_errors() -> Vec<Case> {
    let open = frame(HEADERS, END_HEADERS, 1, &get("/never", &[]));
    let with_open = |bytes: Vec<u8>| [open.clone(), bytes].concat();
    vec![
        ("6.5 SETTINGS on a stream", frame(SETTINGS, 0, 1, &[]), PROTOCOL),
        ("6.5 SETTINGS of a wrong size", frame(SETTINGS, 0, 0, &[0; 5]), SIZE),
        ("6.5 an acknowledgement with settings", frame(SETTINGS, ACK, 0, &[0; 6]), SIZE),
        ("6.5.2 ENABLE_PUSH of 2", settings(2, 2), PROTOCOL),
        (
            "6.5.2 a window above 2^31-1",
            settings(4, 1 << 31),
            &[Outcome::Goaway(FLOW_CONTROL_ERROR), Outcome::Goaway(PROTOCOL_ERROR)],
        ),
        ("6.5.2 MAX_FRAME_SIZE below 16384", settings(5, 16_383), PROTOCOL),
        ("6.5.2 MAX_FRAME_SIZE above 2^24-1", settings(5, 1 << 24), PROTOCOL),
        ("6.7 PING of a wrong size", frame(PING, 0, 0, &[0; 7]), SIZE),
        ("6.7 PING on a stream", frame(PING, 0, 1, &[0; 8]), PROTOCOL),
        ("6.8 GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8]), PROTOCOL),
        ("6.9 WINDOW_UPDATE of a wrong size", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), SIZE),
        ("6.9 WINDOW_UPDATE of 0", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), PROTOCOL),
        (
            "6.9.1 a connection's window above 2^31-1",
            frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()),
            &[Outcome::Goaway(FLOW_CONTROL_ERROR)],
        ),
        (
            "6.9.1 a stream's window above 2^31-1",
            with_open(frame(WINDOW_UPDATE, 0, 1, &0x7fff_ffff_u32.to_be_bytes())),
            &[Outcome::Reset(FLOW_CONTROL_ERROR), Outcome::Goaway(FLOW_CONTROL_ERROR)],
        ),
        ("6.1 DATA on stream 0", frame(DATA, 0, 0, &[1]), PROTOCOL),
        ("5.1 DATA on an idle stream", frame(DATA, END_STREAM, 1, &[1]), PROTOCOL),
        ("6.1 padding longer than the frame", with_open(frame(DATA, PADDED, 1, &[9, 0])), PROTOCOL),
        ("6.2 HEADERS on stream 0", frame(HEADERS, WHOLE, 0, GET), PROTOCOL),
        ("5.1.1 HEADERS on an even stream", frame(HEADERS, WHOLE, 2, GET), PROTOCOL),
        ("6.3 PRIORITY on stream 0", frame(PRIORITY, 0, 0, &[0; 5]), PROTOCOL),
        ("6.4 RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, &[0; 4]), PROTOCOL),
        ("6.4 RST_STREAM on an idle stream", frame(RST_STREAM, 0, 1, &[0; 4]), PROTOCOL),
        ("6.4 RST_STREAM of a wrong size", with_open(frame(RST_STREAM, 0, 1, &[0; 3])), SIZE),
        ("6.6 PUSH_PROMISE by a client", with_open(frame(PUSH_PROMISE, END_HEADERS, 1, &[0; 4])), PROTOCOL),
        ("6.10 CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, GET), PROTOCOL),
        (
            "6.2 something between HEADERS and CONTINUATION",
            [frame(HEADERS, END_STREAM, 1, GET), frame(PING, 0, 0, &[0; 8])].concat(),
            PROTOCOL,
        ),
        (
            "6.10 CONTINUATION of another stream",
            [frame(HEADERS, END_STREAM, 1, GET), frame(CONTINUATION, END_HEADERS, 3, &[])].concat(),
            PROTOCOL,
        ),
        ("4.2 a frame above MAX_FRAME_SIZE", frame(PING, 0, 0, &vec![0; 16_385]), SIZE),
        (
            "4.3 a header block that cannot be read",
            frame(HEADERS, WHOLE, 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            &[Outcome::Goaway(COMPRESSION_ERROR), Outcome::Goaway(PROTOCOL_ERROR)],
        ),
        (
            "5.1.1 a stream below one that was opened",
            [frame(HEADERS, END_HEADERS, 5, &get("/never", &[])), frame(HEADERS, WHOLE, 3, GET)].concat(),
            &[Outcome::Goaway(PROTOCOL_ERROR), Outcome::Goaway(STREAM_CLOSED), Outcome::Reset(STREAM_CLOSED)],
        ),
    ]
}

fn stream_errors() -> Vec<Case> {
    let fields = |fields: &[(&str, &str)]| frame(HEADERS, WHOLE, 1, &get("/", fields));
    let block = |block: &[u8]| frame(HEADERS, WHOLE, 1, block);
    vec![
        ("8.2 a field in capitals", fields(&[("X-A", "1")]), STREAM_PROTOCOL),
        ("8.2.2 a field of the connection", fields(&[("connection", "close")]), STREAM_PROTOCOL),
        ("8.2.2 te of something else", fields(&[("te", "gzip")]), STREAM_PROTOCOL),
        ("8.3 an unknown pseudo-header", fields(&[(":x", "1")]), STREAM_PROTOCOL),
        ("8.3 one of a response", fields(&[(":status", "200")]), STREAM_PROTOCOL),
        ("8.3.1 neither path nor authority", block(&[0x82, 0x87]), &[Outcome::Answer]),
        ("8.3.1 no path", block(&[0x82, 0x87, 0x01, 1, b'a']), STREAM_PROTOCOL),
        ("8.3.1 no method", block(&GET[1..]), STREAM_PROTOCOL),
        ("8.3.1 no scheme", block(&[0x82, 0x84]), STREAM_PROTOCOL),
        ("8.3.1 two methods", block(&[0x82, 0x82, 0x87, 0x84]), STREAM_PROTOCOL),
        (
            "8.3 a pseudo-header after a field",
            block(&[0x82, 0x87, 0x00, 1, b'x', 1, b'1', 0x84]),
            STREAM_PROTOCOL,
        ),
        (
            "8.1.1 less than its content-length",
            [
                frame(HEADERS, END_HEADERS, 1, &[POST, &[0x0f, 0x0d, 1, b'9']].concat()),
                frame(DATA, END_STREAM, 1, b"abc"),
            ]
            .concat(),
            STREAM_PROTOCOL,
        ),
    ]
}

#[tokio::test]
async fn each_gets_its_error_and_the_listener_stays_healthy() {
    let server = Server::start(|_, _| {});
    let mut wrong = Vec::new();
    for (what, bytes, expected) in connection_errors().into_iter().chain(stream_errors()) {
        let mut peer = Peer::new(&server).await;
        peer.send(&bytes).await;
        let outcome = peer.outcome().await;
        if !expected.contains(&outcome) {
            wrong.push(format!("{what}: {outcome:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    server.until_refused("malformed", 20).await;
    server.is_healthy().await;
    server.drain.start();
    server.serving.await.unwrap();
}

#[tokio::test]
async fn a_broken_preface_ends_the_connection() {
    let server = Server::start(|_, _| {});
    for broken in [&b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n"[..], b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let mut peer = Peer::silent(&server).await;
        peer.send(broken).await;
        assert!(matches!(peer.outcome().await, Outcome::Goaway(PROTOCOL_ERROR) | Outcome::Closed));
    }
    server.until_refused("malformed", 1).await;
    server.is_healthy().await;
}

#[tokio::test]
async fn what_is_unknown_is_ignored() {
    let server = Server::start(|_, _| {});
    let mut peer = Peer::new(&server).await;
    peer.send(&frame(0x16, 0xff, 0, b"frame")).await;
    peer.send(&settings(0x7777, 7)).await;
    peer.send(&frame(PING, 0xfe, 0, &[0; 8])).await;
    assert_eq!(peer.outcome().await, Outcome::Pong);
}

/// Sends a flood until the listener ends it or `most` have been sent; says how it ended.
async fn flood(peer: &mut Peer, most: u32, mut next: impl FnMut(u32) -> Vec<u8>) -> Option<Outcome> {
    for count in 0..most {
        if !peer.send(&next(count)).await {
            return Some(peer.outcome().await);
        }
    }
    None
}

#[tokio::test]
async fn an_endless_header_block_ends_the_connection() {
    let server = Server::start(|_, _| {});
    let mut peer = Peer::new(&server).await;
    peer.send(&frame(HEADERS, END_STREAM, 1, GET)).await;
    let mut block = Vec::new();
    (0..100).for_each(|_| support::h2::literal(&mut block, "x", "aaaaaaaaaaaaaaaa"));
    let ended = flood(&mut peer, 100_000, |_| frame(CONTINUATION, 0, 1, &block)).await;
    assert!(ended.is_some(), "the flood goes on (CVE-2024-27316)");
    server.until_empty().await;
    server.is_healthy().await;
}

#[tokio::test]
async fn floods_of_small_frames_leave_the_listener_healthy() {
    let server = Server::start(|_, _| {});
    // Nothing is read: whatever the listener answers has to wait (CVE-2019-9512, -9515, -9518).
    for (kind, payload) in [(SETTINGS, &[][..]), (PING, &[0; 8]), (PRIORITY, &[0, 0, 0, 0, 1]), (DATA, &[])] {
        let mut peer = Peer::new(&server).await;
        let stream = u32::from(matches!(kind, PRIORITY | DATA));
        if stream == 1 {
            peer.send(&frame(HEADERS, END_HEADERS, 1, &get("/never", &[]))).await;
        }
        let many: Vec<u8> = (0..200).flat_map(|_| frame(kind, 0, stream, payload)).collect();
        // A listener that stops reading is as good as one that ends the connection.
        let sending = flood(&mut peer, 500, |_| many.clone());
        let _ended = tokio::time::timeout(std::time::Duration::from_secs(2), sending).await;
        server.is_healthy().await;
    }
}

#[tokio::test]
async fn streams_that_we_are_made_to_reset_end_the_connection() {
    // CVE-2025-8671: each stream is opened well and then broken, so that we have to reset it.
    let server = Server::start(|_, _| {});
    let mut peer = Peer::new(&server).await;
    let block = get("/never", &[]);
    let ended = flood(&mut peer, 20_000, |count| {
        let stream = 1 + 2 * count;
        [
            frame(HEADERS, WHOLE, stream, &block),
            frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes()),
        ]
        .concat()
    })
    .await;
    assert!(
        matches!(ended, Some(Outcome::Goaway(ENHANCE_YOUR_CALM) | Outcome::Closed | Outcome::Reset(_))),
        "{ended:?}"
    );
    server.until_empty().await;
    assert!(server.refused("flood") + server.refused("max_resets_per_second") >= 1);
    server.is_healthy().await;
}
