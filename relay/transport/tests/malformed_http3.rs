//! HTTP/3 as it must not be, on raw QUIC streams (RFC 9114 and RFC 9204).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use support::Server;
use support::h3::{
    CANCEL_PUSH, CONTROL_STREAM, DATA, GET, GOAWAY, H3_CLOSED_CRITICAL_STREAM, H3_FRAME_ERROR,
    H3_FRAME_UNEXPECTED, H3_ID_ERROR, H3_MESSAGE_ERROR, H3_MISSING_SETTINGS, H3_REQUEST_INCOMPLETE,
    H3_SETTINGS_ERROR, H3_STREAM_CREATION_ERROR, HEADERS, MAX_PUSH_ID, PUSH_STREAM,
    QPACK_DECOMPRESSION_FAILED, SETTINGS, frame, raw, reset_with,
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
    let mut capital = GET.to_vec();
    capital.extend([0x21, b'X', 1, b'1']);
    for (what, bytes, expected) in [
        ("4.1 nothing", vec![], H3_REQUEST_INCOMPLETE),
        ("4.3.1 no path", frame(HEADERS, &[0, 0, 0xd1, 0xd7]), H3_MESSAGE_ERROR),
        ("4.3.1 no method", frame(HEADERS, &[0, 0, 0xd7, 0xc1]), H3_MESSAGE_ERROR),
        ("4.2 a field in capitals", frame(HEADERS, &capital), H3_MESSAGE_ERROR),
    ] {
        let (mut send, recv) = peer.request(&bytes).await;
        let _stopped_already = send.finish();
        assert_eq!(reset_with(recv).await, Some(expected), "{what}");
    }
    let (mut send, recv) = peer.request(&frame(HEADERS, GET)).await;
    send.finish().unwrap();
    assert_eq!(reset_with(recv).await, None, "the connection goes on");
    server.until_refused("malformed", 4).await;
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
    let length = u16::try_from(block.len()).unwrap() | 0x4000;
    let mut bytes = vec![HEADERS];
    bytes.extend(length.to_be_bytes());
    bytes.extend(block);
    let (mut send, recv) = peer.request(&bytes).await;
    let _stopped_already = send.finish();
    let _either_431_or_reset = reset_with(recv).await;
    server.until_refused("max_header_bytes", 1).await;
    let (mut send, recv) = peer.request(&frame(HEADERS, GET)).await;
    send.finish().unwrap();
    assert_eq!(reset_with(recv).await, None, "the connection goes on");
}
