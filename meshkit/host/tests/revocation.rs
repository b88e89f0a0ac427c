//! Renewing and being revoked, against a real meshkitd.
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

use meshkit_client::{Credentials, MeshClient, NewKey};
use omnirelay_runtime::DrainController;
use relay_client::{Channel, ChannelConfig};
use relay_core::{Code, Protocol};
use relay_transport::tls::ClientTlsConfig;
use support::joining::{bench, change, join, member, revoke, spec, token};
use support::{ADMIN, Meshkitd, OBSERVER, eventually, peer};

/// What is promised: a revoked peer is out in less than this.
const OUT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_revoked_peer_is_out_within_five_seconds() {
    let bench = bench("");
    let meshkitd = bench.start(&[]);
    let admin = bench.client(&meshkitd, Protocol::Http3, ADMIN);
    let mut open = Vec::new();
    for (name, protocol) in [("greeter-1", Protocol::Http3), ("greeter-2", Protocol::Http2)] {
        let token = token(&admin, spec(name)).await;
        let (identity, _) = join(&bench, &meshkitd, &token, name).await.unwrap();
        let client = member(&meshkitd, &identity, protocol);
        client.register(peer(name, "greeter")).await.unwrap();
        let events = client.watch_revocations().await.unwrap();
        open.push((name, identity, client, events, protocol));
    }
    for (name, identity, client, mut events, protocol) in open {
        revoke(&admin, name).await;
        // The open connection is ended, with whatever goes over it.
        let ended = async { while let Ok(Some(_)) = events.message().await {} };
        tokio::time::timeout(OUT, ended)
            .await
            .unwrap_or_else(|_| panic!("{name} is still in over {protocol}"));
        let refused = client.heartbeat(name, false).await.unwrap_err();
        assert_eq!(refused.code, Code::Unavailable, "{refused}");
        // A new one is not let in, nor is the certificate renewed.
        let again = member(&meshkitd, &identity, protocol);
        assert_eq!(again.list_versions().await.unwrap_err().code, Code::Unavailable);
        assert!(again.renew_certificate(NewKey::generate().unwrap().request()).await.is_err());
    }
    assert!(meshkitd.log().contains("\"revoked\""), "the log says why");
    // A new token lets it in again.
    let token = token(&admin, spec("greeter-1")).await;
    let (identity, _) = join(&bench, &meshkitd, &token, "greeter-1").await.unwrap();
    member(&meshkitd, &identity, Protocol::Http3).list_versions().await.unwrap();
}

#[tokio::test]
async fn revocations_outlive_a_restart_and_reach_certificates_of_others() {
    let bench = bench("");
    let meshkitd = bench.start(&[]);
    let admin = bench.client(&meshkitd, Protocol::Http3, ADMIN);
    // One that the authority issued before there was a meshkitd.
    let spiffe = "spiffe://omnirelay.dev/service/elder";
    let issued = bench.ca.issue(spiffe);
    let tls = ClientTlsConfig {
        ca: Some(bench.ca.ca()),
        certificate: Some(issued.certificate.clone()),
        private_key: Some(issued.private_key.clone()),
        ..ClientTlsConfig::default()
    };
    let client = |meshkitd: &Meshkitd| {
        let config = ChannelConfig::new(format!("https://{}", meshkitd.address), tls.clone());
        MeshClient::new(Channel::new(&config).unwrap(), Credentials::none())
    };
    client(&meshkitd).list_versions().await.unwrap();
    let serial = format!("{:x}", issued.serial);
    let rehearsed = admin.revoke_certificate(&serial, &change().dry_run()).await.unwrap().value.outcome;
    let done = admin.revoke_certificate(&serial, &change().confirmed_by(&rehearsed)).await.unwrap().value;
    assert_eq!(done.record.reason, "a test");
    eventually("it is refused", async || client(&meshkitd).list_versions().await.is_err()).await;
    let again = admin.revoke_certificate(&serial, &change()).await.unwrap().value;
    assert!(again.outcome.unchanged);
    let _ended = meshkitd.terminate();
    std::fs::remove_file(bench.ca.dir().join("crl.pem")).unwrap();
    let meshkitd = bench.start(&[]);
    assert!(client(&meshkitd).list_versions().await.is_err(), "from the first handshake on");
    assert!(std::fs::read_to_string(bench.ca.dir().join("crl.pem")).unwrap().contains("BEGIN X509 CRL"));
}

#[tokio::test]
async fn an_identity_is_kept_by_itself() {
    let bench = bench("certificate_lifetime_s = 60");
    let meshkitd = bench.start(&[]);
    let admin = bench.client(&meshkitd, Protocol::Http3, ADMIN);
    let first = token(&admin, spec("greeter-1")).await;
    let (identity, _) = join(&bench, &meshkitd, &first, "greeter-1").await.unwrap();
    let client = member(&meshkitd, &identity, Protocol::Http3);
    let before = std::fs::read_to_string(identity.identity_file()).unwrap();
    let renewed = client.renew_certificate(NewKey::generate().unwrap().request()).await.unwrap().value;
    assert_eq!(renewed.spiffe, "spiffe://omnirelay.dev/service/eu-1/greeter-1");
    let controller = DrainController::new();
    identity.clone().keep(&client, &controller.drain());
    // Revocations reach it, and the certificate is renewed before its minute is over.
    let held = || std::fs::read_to_string(identity.crl_file()).unwrap();
    let list = held();
    let second = token(&admin, spec("greeter-2")).await;
    join(&bench, &meshkitd, &second, "greeter-2").await.unwrap();
    revoke(&admin, "greeter-2").await;
    eventually("the list is written", async || held() != list).await;
    let replaced = async {
        while std::fs::read_to_string(identity.identity_file()).unwrap() == before {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), replaced).await.unwrap();
    let fresh = member(&meshkitd, &identity, Protocol::Http3);
    fresh.register(peer("greeter-1", "greeter")).await.unwrap();
    assert_eq!(admin.get_identity("greeter-1").await.unwrap().value.certificates.len(), 3);
    drop(controller);
}

#[tokio::test]
async fn who_did_not_join_is_not_renewed() {
    let bench = bench("");
    let meshkitd = bench.start(&[]);
    let client = bench.client_as(&meshkitd, "spiffe://omnirelay.dev/service/elder");
    let key = NewKey::generate().unwrap();
    let refused = client.renew_certificate(key.request()).await.unwrap_err();
    assert_eq!((refused.code, refused.hint.is_some()), (Code::FailedPrecondition, true), "{refused}");
    let refused = bench.client(&meshkitd, Protocol::Http3, OBSERVER).renew_certificate(key.request()).await;
    assert_eq!(refused.unwrap_err().code, Code::FailedPrecondition);
}
