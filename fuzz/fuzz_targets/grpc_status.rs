//! A gRPC outcome: headers as a peer wrote them, and a message as we write it.

use http::HeaderMap;
use relay_core::{Code, Status};
use relay_transport::respond::{put_grpc_status, read_grpc_status};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "grpc_status",
    run,
    words: &[
        "grpc-status: ",
        "grpc-message: ",
        "%",
        "%2",
        "%zz",
        "%25",
        "%00",
        "%C3%BC",
        "\n",
        "16",
        "-1",
        "4294967296",
    ],
};

fn run(data: &[u8]) {
    let _foreign = read_grpc_status(&super::headers(data));
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut headers = HeaderMap::new();
    let status = Status::new(Code::Internal, text);
    put_grpc_status(&mut headers, &status);
    let back = read_grpc_status(&headers);
    // Whitespace at a header's ends is not the header's: HTTP takes it off.
    let trimmed = |status: &Status| status.message.trim_matches(' ').to_owned();
    assert_eq!(back.as_ref().map(trimmed), Some(trimmed(&status)), "a message came back changed");
}
