//! What a request says about itself: a line with its path, then its headers.

use std::time::Duration;

use relay_core::{RpcMeta, RpcStyle};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "rpc_meta",
    run,
    words: &[
        "rpc-caller: ",
        "rpc-service: ",
        "rpc-procedure: ",
        "rpc-encoding: ",
        "rpc-shard-key: ",
        "context-ttl-ms: ",
        "content-type: ",
        "application/grpc",
        "application/grpc+json",
        "application/json",
        "grpc-timeout: ",
        "proto",
        "::",
        "/",
        "\n",
        "H",
        "S",
        "n",
    ],
};

fn run(data: &[u8]) {
    let (path, lines) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (data.get(..end).unwrap_or_default(), data.get(end..).unwrap_or_default()),
        None => (data, &[][..]),
    };
    let Ok(uri) = http::Uri::try_from(path) else { return };
    let mut request = http::Request::new(());
    *request.uri_mut() = uri;
    *request.headers_mut() = super::headers(lines);
    let (parts, ()) = request.into_parts();
    let meta = RpcMeta::of(&parts);
    assert!(
        meta.timeout.is_err()
            || meta.timeout.is_ok_and(|timeout| timeout <= Some(Duration::from_secs(24 * 3600))),
        "longer than a day"
    );
    match meta.style {
        RpcStyle::Grpc => {
            let (service, procedure) = (meta.grpc_service(), meta.procedure.unwrap_or_default());
            assert!(
                service.is_none_or(|service| procedure.starts_with(service)),
                "a service of another procedure"
            );
        }
        RpcStyle::Yarpc | RpcStyle::Http => assert_eq!(meta.grpc_service(), None),
    }
}
