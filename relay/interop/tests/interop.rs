//! gRPC's interop cases: our client against our dispatcher over real sockets.
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

mod support;

use relay_interop::cases;
use relay_interop::interop::Interop;
use support::{GRPC, Server, soon};

#[tokio::test]
async fn every_case_passes_over_http3_and_http2() {
    let server = Server::start(Interop::dispatcher().unwrap());
    for protocol in GRPC {
        let channel = server.channel(protocol);
        for case in cases::CASES {
            let outcome = soon(case, cases::run(case, channel.clone())).await;
            assert!(outcome.is_ok(), "{case} over {protocol}: {}", outcome.unwrap_err());
        }
    }
}

#[tokio::test]
async fn every_case_passes_in_process() {
    let service = Interop::dispatcher().unwrap().into_service();
    for case in cases::CASES {
        let outcome = soon(case, cases::run(case, service.clone())).await;
        assert!(outcome.is_ok(), "{case}: {}", outcome.unwrap_err());
    }
}
