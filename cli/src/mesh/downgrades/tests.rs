#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

use relay_core::observe::{DowngradeEvent, EventKind};
use relay_core::{DowngradeReason, Encoding, Protocol};

use crate::output::Look;

use super::stream::{Message, Parser};
use super::{line, table};

fn events() -> [DowngradeEvent; 3] {
    let event = DowngradeEvent {
        id: "19-7".into(),
        at: "2026-06-01T00:00:00.5Z".parse().unwrap(),
        kind: EventKind::Downgraded,
        endpoint: "outbound:greeter".into(),
        peer: "https://127.0.0.1:7420".into(),
        procedure: "Greeter::Greet".into(),
        protocol: Some(Protocol::Http2),
        encoding: Some(Encoding::Json),
        reason: Some(DowngradeReason::NoQuicReply),
        exception: None,
        suppressed: 0,
    };
    let refused = DowngradeEvent {
        kind: EventKind::Refused,
        endpoint: "data:http".into(),
        peer: "192.0.2.1:4711".into(),
        protocol: Some(Protocol::Http1),
        reason: None,
        exception: Some("old-agents".into()),
        suppressed: 12,
        ..event.clone()
    };
    let expired = DowngradeEvent {
        kind: EventKind::Expired,
        peer: String::new(),
        procedure: String::new(),
        protocol: None,
        encoding: None,
        suppressed: 0,
        ..refused.clone()
    };
    [event, refused, expired]
}

#[test]
fn a_table_has_a_line_for_each_event() {
    let expected = "\
AT                        WHAT        ENDPOINT          PROTOCOL  ENCODING  REASON         EXCEPTION   PROCEDURE       PEER                    SUPPRESSED
2026-06-01T00:00:00.500Z  downgraded  outbound:greeter  http2     json      no-quic-reply  -           Greeter::Greet  https://127.0.0.1:7420           0
2026-06-01T00:00:00.500Z  refused     data:http         http1     json      -              old-agents  Greeter::Greet  192.0.2.1:4711                  12
2026-06-01T00:00:00.500Z  expired     data:http         -         -         -              old-agents  -               -                                0
";
    assert_eq!(table(&events()).render(0, Look::default()), expected);
}

#[test]
fn a_watch_has_a_line_for_each_event_with_what_there_is_to_say() {
    let lines: Vec<String> = events().iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "2026-06-01T00:00:00.500Z  downgraded  outbound:greeter  protocol=http2  encoding=json  reason=no-quic-reply  procedure=Greeter::Greet  peer=https://127.0.0.1:7420",
            "2026-06-01T00:00:00.500Z  refused  data:http  protocol=http1  encoding=json  exception=old-agents  procedure=Greeter::Greet  peer=192.0.2.1:4711  suppressed=12",
            "2026-06-01T00:00:00.500Z  expired  data:http  exception=old-agents",
        ]
    );
}

#[test]
fn a_stream_is_the_same_in_pieces_of_any_size() {
    let text = "retry: 1000\n\n: keep-alive\n\nid: a-1\nevent: refused\ndata: {\"ü\":1}\n\nevent: gap\r\ndata: x\r\ndata: y\r\n\r\nid: half";
    let message = |id: Option<&str>, event: &str, data: &str| Message {
        id: id.map(ToOwned::to_owned),
        event: event.to_owned(),
        data: data.to_owned(),
    };
    let expected = [message(Some("a-1"), "refused", "{\"ü\":1}"), message(None, "gap", "x\ny")];
    for size in 1..=text.len() {
        let mut parser = Parser::default();
        let pieces = text.as_bytes().chunks(size);
        let messages: Vec<Message> = pieces.flat_map(|piece| parser.push(piece).unwrap()).collect();
        assert_eq!(messages, expected, "pieces of {size}");
    }
}

#[test]
fn an_endless_line_is_given_up() {
    let mut parser = Parser::default();
    let piece = vec![b'x'; 1 << 16];
    assert!((0..32).any(|_| parser.push(&piece).is_err()));
}
