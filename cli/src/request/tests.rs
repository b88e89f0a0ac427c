#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

use bytes::Bytes;
use clap::Parser as _;
use http::HeaderMap;
use omnirelay_runtime::ErrorKind;
use relay_core::{Code, Encoding};
use serde_json::json;

use super::contract::Contract;
use super::{Call, grpc, yarpc};
use crate::args::{Calling, Cli, Command};

fn args(line: &[&str]) -> Calling {
    let words = ["omnirelay", "request"].iter().chain(line);
    match Cli::try_parse_from(words).unwrap().command {
        Command::Request(request) => request.call,
        other => panic!("{other:?}"),
    }
}

#[test]
fn procedures_are_found_however_they_are_written() {
    for name in [
        "Greeter::Greet",
        "samples.v1.Greeter::Greet",
        "samples.v1.Greeter/Greet",
        "/samples.v1.Greeter/Greet",
    ] {
        assert_eq!(Contract::find(None, name).unwrap().grpc_path(), "/samples.v1.Greeter/Greet", "{name}");
        assert!(yarpc::procedure(name).ends_with("Greeter::Greet"), "{name}");
    }
    for (name, kind) in
        [("Greet", ErrorKind::Usage), ("Greeter::Gret", ErrorKind::NotFound), ("X::Y", ErrorKind::NotFound)]
    {
        let error = Contract::find(None, name).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}");
        assert!(error.hint_text().is_some(), "{name}");
    }
    let near = Contract::find(None, "Greeter::Gret").unwrap_err().report(false);
    assert!(near.contains("samples.v1.Greeter/Greet"), "{near}");
}

#[test]
fn json_becomes_protobuf_and_back() {
    let adjust = Contract::find(None, "Inventory::AdjustStock").unwrap();
    let bytes = adjust.encode(&json!({"item": "apple", "by": -3})).unwrap();
    assert_eq!(adjust.encode(&json!({"item": "apple", "by": "-3"})).unwrap(), bytes);
    // item and count are fields 1 and 2 of the answer as well.
    assert_eq!(adjust.decode(&bytes).unwrap(), r#"{"item":"apple","count":"-3","servedBy":""}"#);
    let unknown = adjust.encode(&json!({"item": "apple", "bye": 1})).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Usage);
    assert!(unknown.report(false).contains("bye"), "{}", unknown.report(false));
    assert!(adjust.decode(b"\xff\xff").is_err());
}

#[test]
fn a_yarpc_call_says_all_about_itself() {
    let line = [
        "greeter",
        "samples.v1.Greeter/Greet",
        "--body",
        r#"{"name":"Ada"}"#,
        "--shard-key",
        "k",
        "--header",
        "trace=1",
    ];
    let args = args(&line);
    let call = Call::prepare(&args).unwrap();
    let request = yarpc::request(&call).unwrap();
    let mut shown: Vec<String> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    shown.sort();
    let expected = [
        "content-type: application/json",
        "context-ttl-ms: 2000",
        "rpc-caller: omnirelay-cli",
        "rpc-encoding: json",
        "rpc-header-trace: 1",
        "rpc-procedure: Greeter::Greet",
        "rpc-service: greeter",
        "rpc-shard-key: k",
    ];
    assert_eq!(shown, expected);
    assert_eq!(request.uri().path(), "/yarpc/v1");
}

#[test]
fn a_grpc_call_is_one_framed_message() {
    let args = args(&["greeter", "Greeter::Greet", "--body", r#"{"name":"Ada"}"#, "--grpc"]);
    let call = Call::prepare(&args).unwrap();
    assert_eq!(call.encoding, Encoding::Protobuf);
    assert_eq!(call.body, Bytes::from_static(b"\n\x03Ada"));
    let request = grpc::request(&call).unwrap();
    assert_eq!(request.uri().path(), "/samples.v1.Greeter/Greet");
    assert_eq!(request.headers()["te"], "trailers");
    assert_eq!(request.headers()["grpc-timeout"], "2000000u");
}

#[test]
fn headers_cannot_be_smuggled() {
    let smuggled = ["greeter", "Greeter::Greet", "--header", "a=b\r\nrpc-caller: root"];
    // Nobody reads such a name as text: it would be as if there were none.
    let foreign = ["greeter", "Größe::Greet", "--caller", "me"];
    for words in [smuggled, foreign] {
        let args = args(&words);
        let call = Call::prepare(&args).unwrap();
        assert_eq!(yarpc::request(&call).unwrap_err().kind(), ErrorKind::Usage, "{words:?}");
    }
}

#[test]
fn broken_bodies_are_refused_before_anything_is_sent() {
    for body in ["{", "@/nonexistent/body.json"] {
        let args = args(&["greeter", "Greeter::Greet", "--body", body]);
        let error = Call::prepare(&args).unwrap_err();
        assert!(error.hint_text().is_some(), "{body}");
    }
}

#[test]
fn answers_of_relays_and_strangers_are_told_apart() {
    let head = |status: u16, headers: &[(&str, &str)]| {
        let mut response = http::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap().into_parts().0
    };
    let ok = yarpc::outcome(&head(200, &[("rpc-status", "success")]), Bytes::from_static(b"{}"));
    assert_eq!(ok.unwrap(), "{}");
    let refused =
        head(404, &[("rpc-status", "error"), ("rpc-error-code", "not-found"), ("rpc-error-message", "gone")]);
    let refused = yarpc::outcome(&refused, Bytes::new()).unwrap_err();
    assert_eq!((refused.code, refused.message.as_str()), (Code::NotFound, "gone"));
    let proxy = yarpc::outcome(&head(502, &[]), Bytes::from_static(b"<html>")).unwrap_err();
    assert_eq!(proxy.code, Code::Unavailable);
    let problem = br#"{"code":"unauthenticated","detail":"who are you","hint":"say so"}"#;
    let problem = yarpc::outcome(&head(401, &[]), Bytes::from_static(problem)).unwrap_err();
    assert_eq!((problem.code, problem.hint.as_deref()), (Code::Unauthenticated, Some("say so")));

    let grpc_head = head(200, &[("content-type", "application/grpc")]);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let whole = Bytes::from_static(b"\0\0\0\0\x02hi");
    assert_eq!(grpc::outcome(&grpc_head, &whole, Some(trailers.clone())).unwrap(), "hi");
    for broken in [&b"\0\0"[..], b"\0\0\0\0\x03hi", b"\x01\0\0\0\x02hi"] {
        let outcome = grpc::outcome(&grpc_head, &Bytes::copy_from_slice(broken), Some(trailers.clone()));
        assert_eq!(outcome.unwrap_err().code, Code::Internal);
    }
    assert_eq!(grpc::outcome(&grpc_head, &whole, None).unwrap_err().code, Code::Internal);
}
