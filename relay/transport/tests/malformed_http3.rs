//! HTTP/3 as it must not be, on raw QUIC streams (RFC 9114 and RFC 9204).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use support::Server;
use support::h3::{
    CANCEL_PUSH, CONTROL_STREAM, DATA, GET, GOAWAY, H3_CLOSED_CRITICAL_STREAM, H3_EXCESSIVE_LOAD,
    H3_FRAME_ERROR, H3_FRAME_UNEXPECTED, H3_ID_ERROR, H3_MESSAGE_ERROR, H3_MISSING_SETTINGS,
    H3_REQUEST_INCOMPLETE, H3_SETTINGS_ERROR, H3_STREAM_CREATION_ERROR, HEADERS, MAX_PUSH_ID, PUSH_STREAM,
    QPACK_DECOMPRESSION_FAILED, SETTINGS, field, frame, raw, reset_with,
};

/// What follows a stream's type on a control stream of its own.
fn control(frames: &[Vec<u8>]) -> Vec<u8> {
    [vec![CONTROL_STREAM], frames.concat()].concat()
}

#[tokio::test]
async fn a_broken_control_stream_ends_the_connection() {
    let server = Server::start(|_, _| {});
    let settings = frame(SETTINGS, &[]);
    let good = control(std::slice::from_ref(&settings));
    let mut wrong = Vec::new();
    for (what, streams, expected) in [
        ("6.2.1 a second control stream", vec![good.clone(), good.clone()], H3_STREAM_CREATION_ERROR),
        ("6.2.1 no settings first", vec![control(&[frame(GOAWAY, &[0])])], H3_MISSING_SETTINGS),
        ("7.2.4 settings twice", vec![control(&[settings.clone(), settings.clone()])], H3_FRAME_UNEXPECTED),
        ("7.2.1 DATA", vec![control(&[settings.clone(), frame(DATA, b"x")])], H3_FRAME_UNEXPECTED),
        ("7.2.2 HEADERS", vec![control(&[settings.clone(), frame(HEADERS, GET)])], H3_FRAME_UNEXPECTED),
        (
            "7.2.8 a frame type of HTTP/2",
            vec![control(&[settings.clone(), frame(6, &[0; 8])])],
            H3_FRAME_UNEXPECTED,
        ),
        ("7.2.4.1 a setting of HTTP/2", vec![control(&[frame(SETTINGS, &[2, 0])])], H3_SETTINGS_ERROR),
        ("7.2.4 a setting twice", vec![control(&[frame(SETTINGS, &[6, 9, 6, 9])])], H3_SETTINGS_ERROR),
        (
            "6.2.2 a push stream by a client",
            vec![good.clone(), vec![PUSH_STREAM, 0]],
            H3_STREAM_CREATION_ERROR,
        ),
        (
            "7.2.7 a MAX_PUSH_ID that goes down",
            vec![control(&[settings.clone(), frame(MAX_PUSH_ID, &[9]), frame(MAX_PUSH_ID, &[8])])],
            H3_ID_ERROR,
        ),
        (
            "7.2.3 CANCEL_PUSH without a promise",
            vec![control(&[settings.clone(), frame(CANCEL_PUSH, &[0])])],
            H3_ID_ERROR,
        ),
        ("7.2.4 settings that are cut", vec![control(&[frame(SETTINGS, &[6])])], H3_SETTINGS_ERROR),
    ] {
        let peer = raw(&server, &server.client(None)).await.unwrap();
        let mut held = Vec::new();
        for stream in &streams {
            held.push(peer.uni(stream).await);
        }
        let code = peer.closed_with().await;
        if code != Ok(expected) {
            wrong.push(format!("{what}: {code:x?} instead of {expected:#x}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    server.until_refused("malformed", 12).await;
    server.is_healthy().await;
}

#[tokio::test]
async fn a_control_stream_has_to_stay() {
    let server = Server::start(|_, _| {});
    for finish in [true, false] {
        let peer = raw(&server, &server.client(None)).await.unwrap();
        let mut control = peer.control().await;
        // A stream that is reset before its type is read has to be tolerated; after an answer it is.
        let (mut send, recv) = peer.request(&frame(HEADERS, GET)).await;
        send.finish().unwrap();
        assert_eq!(reset_with(recv).await, None);
        if finish {
            control.finish().unwrap();
        } else {
            control.reset(0_u32.into()).unwrap();
        }
        assert_eq!(peer.closed_with().await, Ok(H3_CLOSED_CRITICAL_STREAM), "{finish}");
    }
    server.is_healthy().await;
}

#[tokio::test]
async fn a_broken_request_stream_ends_the_connection() {
    let server = Server::start(|_, _| {});
    let mut wrong = Vec::new();
    for (what, bytes, expected) in [
        ("4.1 DATA before HEADERS", frame(DATA, b"x"), H3_FRAME_UNEXPECTED),
        ("7.2.4 SETTINGS", frame(SETTINGS, &[]), H3_FRAME_UNEXPECTED),
        ("7.2.6 GOAWAY", frame(GOAWAY, &[0]), H3_FRAME_UNEXPECTED),
        ("7.2.7 MAX_PUSH_ID", frame(MAX_PUSH_ID, &[0]), H3_FRAME_UNEXPECTED),
        ("7.2.5 PUSH_PROMISE by a client", frame(5, &[0, 0, 0]), H3_FRAME_UNEXPECTED),
        ("7.2.8 a frame type of HTTP/2", frame(8, &[0; 4]), H3_FRAME_UNEXPECTED),
        (
            "QPACK 2.2 a static index beyond the table",
            frame(HEADERS, &[0, 0, 0xff, 0x40]),
            QPACK_DECOMPRESSION_FAILED,
        ),
        (
            "QPACK 2.2.3 a dynamic index without a table",
            frame(HEADERS, &[0, 0, 0x80]),
            QPACK_DECOMPRESSION_FAILED,
        ),
        (
            "QPACK 4.5.1.1 a required insert count without a table",
            frame(HEADERS, &[2, 0, 0xd1, 0xd7, 0xc1, 0x50, 1, b'a']),
            QPACK_DECOMPRESSION_FAILED,
        ),
        ("QPACK a field section that is cut", frame(HEADERS, &[0, 0, 0x50]), QPACK_DECOMPRESSION_FAILED),
        ("7.1 a frame that is cut", vec![HEADERS, 20, 0, 0], H3_FRAME_ERROR),
    ] {
        let peer = raw(&server, &server.client(None)).await.unwrap();
        let _control = peer.control().await;
        let (mut send, _recv) = peer.request(&bytes).await;
        let _closed_already = send.finish();
        let code = peer.closed_with().await;
        if code != Ok(expected) {
            wrong.push(format!("{what}: {code:x?} instead of {expected:#x}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    server.is_healthy().await;
}

#[tokio::test]
async fn a_malformed_request_costs_its_stream_alone() {
    let server = Server::start(|_, _| {});
    let peer = raw(&server, &server.client(None)).await.unwrap();
    let _control = peer.control().await;
    let with = |last: &[u8]| frame(HEADERS, &[GET, last].concat());
    // POST https://a/read, whose service reads the whole body first.
    let read = [&[0, 0, 0xd4, 0xd7, 0x51, 5][..], b"/read", &[0x50, 1, b'a']].concat();
    let of_length = |length: &str, body: &[u8]| {
        let head = [&read[..], &field("content-length", length)].concat();
        [frame(HEADERS, &head), frame(DATA, body)].concat()
    };
    let twice = [field("content-length", "1"), field("content-length", "2")].concat();
    let cases = [
        ("4.2 capitals", with(&field("X", "1"))),
        ("4.2 connection", with(&field("connection", "x-secret"))),
        ("4.2 proxy-connection", with(&field("proxy-connection", "keep-alive"))),
        ("4.2 keep-alive", with(&field("keep-alive", "timeout=5"))),
        ("4.2 transfer-encoding", with(&field("transfer-encoding", "chunked"))),
        ("4.2 upgrade", with(&field("upgrade", "websocket"))),
        ("4.2 te", with(&field("te", "gzip"))),
        (
            "4.3 a pseudo-header field behind a field",
            frame(HEADERS, &[&[0, 0, 0xd1, 0xdd], &GET[3..]].concat()),
        ),
        ("4.3.1 two methods", with(&[0xd4])),
        ("4.3.1 two authorities", with(&[0x50, 1, b'b'])),
        ("4.3.1 two paths, one written out", with(&field(":path", "/admin"))),
        ("4.3 a status", with(&[0xd9])),
        ("4.3 an unknown one", with(&field(":user", "1"))),
        ("4.3.1 user information", frame(HEADERS, &[&GET[..5], &[0x50, 5], b"u:p@a"].concat())),
        ("4.4 only an authority", frame(HEADERS, &[0, 0, 0xd1, 0x50, 1, b'a'])),
        ("4.4 CONNECT with a path", frame(HEADERS, &[&[0, 0, 0xcf], &GET[3..]].concat())),
        ("4.1.2 two lengths", with(&twice)),
        ("4.1.2 no number", with(&field("content-length", "+0"))),
        ("4.1.2 a longer body", of_length("2", b"abc")),
        ("4.1.2 a shorter body", of_length("4", b"abc")),
        ("4.1.2 no body", frame(HEADERS, &[&read[..], &field("content-length", "4")].concat())),
        (
            "4.3 a pseudo-header field in trailers",
            [frame(HEADERS, &read), frame(DATA, b"abc"), frame(HEADERS, &[0, 0, 0xc1])].concat(),
        ),
    ];
    for (what, bytes, expected) in [
        ("4.1 nothing", vec![], H3_REQUEST_INCOMPLETE),
        ("4.3.1 no path", frame(HEADERS, &[0, 0, 0xd1, 0xd7]), H3_MESSAGE_ERROR),
        ("4.3.1 no method", frame(HEADERS, &[0, 0, 0xd7, 0xc1]), H3_MESSAGE_ERROR),
    ]
    .into_iter()
    .chain(cases.map(|(what, bytes)| (what, bytes, H3_MESSAGE_ERROR)))
    {
        let (mut send, recv) = peer.request(&bytes).await;
        let _stopped_already = send.finish();
        assert_eq!(reset_with(recv).await, Some(expected), "{what}");
    }
    let (mut send, recv) = peer.request(&frame(HEADERS, GET)).await;
    send.finish().unwrap();
    assert_eq!(reset_with(recv).await, None, "the connection goes on");
    for good in [of_length("3", b"abc"), [frame(HEADERS, &read), frame(DATA, b"abc")].concat()] {
        let (mut send, mut recv) = peer.request(&good).await;
        send.finish().unwrap();
        let answer = recv.read_to_end(1 << 10).await.unwrap();
        assert!(answer.ends_with(b"3 bytes"), "{answer:x?}");
    }
    server.until_refused("malformed", 25).await;
}

#[tokio::test]
async fn a_frame_too_long_to_keep_ends_the_connection() {
    let server = Server::start(|config, _| config.limits.max_header_bytes = 1024);
    // Its length is all that comes: nobody waits for the rest.
    let claim = |kind| [&[kind][..], &(0x8000_0000_u32 | 5000).to_be_bytes()].concat();
    for (what, streams, request) in [
        ("settings", control(&[claim(SETTINGS)]), vec![]),
        ("a reserved frame of the control stream", control(&[frame(SETTINGS, &[]), claim(0x21)]), vec![]),
        ("a head", control(&[frame(SETTINGS, &[])]), claim(HEADERS)),
        ("a reserved frame", control(&[frame(SETTINGS, &[])]), [frame(HEADERS, GET), claim(0x21)].concat()),
    ] {
        let peer = raw(&server, &server.client(None)).await.unwrap();
        let _control = peer.uni(&streams).await;
        let _request = peer.request(&request).await;
        assert_eq!(peer.closed_with().await, Ok(H3_EXCESSIVE_LOAD), "{what}");
    }
    server.is_healthy().await;
}

#[tokio::test]
async fn what_is_reserved_or_unknown_is_ignored() {
    let server = Server::start(|_, _| {});
    let peer = raw(&server, &server.client(None)).await.unwrap();
    // Settings, frames and streams of the form 0x1f * N + 0x21 (RFC 9114, section 7.2.8).
    let _control = peer.uni(&control(&[frame(SETTINGS, &[0x21, 7]), frame(0x21, b"frame")])).await;
    let _unknown = peer.uni(&[0x21, 1, 2, 3]).await;
    let bytes = [frame(0x21, b"frame"), frame(HEADERS, GET), frame(0x21, b"")].concat();
    let (mut send, recv) = peer.request(&bytes).await;
    send.finish().unwrap();
    assert_eq!(reset_with(recv).await, None);
}

#[tokio::test]
async fn a_field_section_above_the_bound_costs_its_stream_alone() {
    let server = Server::start(|config, _| config.limits.max_header_bytes = 1024);
    let peer = raw(&server, &server.client(None)).await.unwrap();
    let _control = peer.control().await;
    let mut block = GET.to_vec();
    for _ in 0..40 {
        // A literal of 1 + 60 bytes, which counts 32 more (RFC 9114, section 4.2.2).
        block.extend([0x21, b'x', 60]);
        block.extend([b'a'; 60]);
    }
    let (mut send, mut recv) = peer.request(&frame(HEADERS, &block)).await;
    let _stopped_already = send.finish();
    // `:status: 431` (RFC 6585, section 5), the value in Huffman's code, and a clean end.
    let answer = recv.read_to_end(1 << 10).await.unwrap();
    assert_eq!(answer, frame(HEADERS, &[0, 0, 0x5f, 9, 0x83, 0x69, 0x90, 0xff]));
    server.until_refused("max_header_bytes", 1).await;
    let (mut send, recv) = peer.request(&frame(HEADERS, GET)).await;
    send.finish().unwrap();
    assert_eq!(reset_with(recv).await, None, "the connection goes on");
}
