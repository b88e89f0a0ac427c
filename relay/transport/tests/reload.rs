//! Certificates that change while a listener serves, and peers that are believed no more.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

mod support;

use std::time::Duration;

use relay_core::Protocol;
use relay_transport::tls::{ReloadInterval, ServerTlsConfig};
use support::{Server, eventually, h3, http1, http2};

const ASK: &str = "GET /who HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

fn server() -> Server {
    Server::start(|config, ca| {
        let crl = vec![ca.revoke(&[])];
        let never = ReloadInterval(0);
        config.tls = Some(ServerTlsConfig { crl, reload_interval_ms: never, ..config.tls.clone().unwrap() });
    })
}

#[tokio::test]
async fn new_connections_see_a_new_certificate_and_old_ones_stay() {
    let server = server();
    let client = server.client(None);
    let serial = |stream: &tokio_rustls::client::TlsStream<tokio::net::TcpStream>| {
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let before = server.tls(&client, Protocol::Http1).await.unwrap();
    let quic = h3::connect(&server, &client).await.unwrap();
    let old = serial(&before);

    let _new = server.ca.issue("spiffe://test/server");
    server.tls.as_ref().unwrap().reload().unwrap();

    let after = server.tls(&client, Protocol::Http1).await.unwrap();
    assert_ne!(serial(&after), old);
    let quic_after = h3::raw(&server, &client).await.unwrap();
    let identity = quic_after.connection.peer_identity().unwrap();
    let chain = identity.downcast::<Vec<rustls_pki_types::CertificateDer<'static>>>().unwrap();
    assert_eq!(chain[0].to_vec(), serial(&after));
    assert!(http1(before, ASK).await.contains("200 OK"), "the old connection lives on");
    assert!(h3::get(&quic, "/who").await.unwrap().starts_with("http3"));
}

#[tokio::test]
async fn changed_files_are_noticed_and_broken_ones_refused() {
    let server = Server::start(|config, _| {
        let soon = ReloadInterval(20);
        config.tls = Some(ServerTlsConfig { reload_interval_ms: soon, ..config.tls.clone().unwrap() });
    });
    let files = server.ca.issue("spiffe://test/server");
    let path = files.certificate.display();
    let reloads = |outcome| {
        let line = format!("omnirelay_tls_reloads_total{{certificate=\"{path}\",outcome=\"{outcome}\"}}");
        server.metrics.render().lines().find_map(|one| one.strip_prefix(&line)?.trim().parse::<u64>().ok())
    };
    eventually(|| reloads("loaded").is_some(), || "the change was not noticed".to_owned()).await;
    let expiry = format!("omnirelay_tls_certificate_expiry_seconds{{certificate=\"{path}\"}}");
    assert!(server.metric(&expiry) > 86_400, "rcgen's certificates last for centuries");

    for broken in ["not a certificate", ""] {
        std::fs::write(&files.certificate, broken).unwrap();
        let before = reloads("refused").unwrap_or(0);
        eventually(|| reloads("refused").unwrap_or(0) > before, || "nothing was refused".to_owned()).await;
        server.is_healthy().await;
    }
    let before = reloads("refused").unwrap();
    let _expired = server.ca.issue_expired("spiffe://test/server");
    eventually(|| reloads("refused").unwrap() > before, || "it was not refused".to_owned()).await;
    server.is_healthy().await;
}

#[tokio::test]
async fn a_revoked_client_is_refused_by_name_and_its_open_connections_end() {
    let server = server();
    let bad = server.client(Some("spiffe://test/bad"));
    let good = server.client(Some("spiffe://test/good"));
    let bad_serial = 2; // the server's is 1
    let open =
        [server.tls(&bad, Protocol::Http1).await.unwrap(), server.tls(&good, Protocol::Http1).await.unwrap()];
    let bad_quic = h3::connect(&server, &bad).await.unwrap();
    let good_quic = h3::connect(&server, &good).await.unwrap();
    assert!(h3::get(&bad_quic, "/who").await.unwrap().contains("spiffe://test/bad"));

    let _list = server.ca.revoke(&[bad_serial]);
    server.tls.as_ref().unwrap().reload().unwrap();

    let closed = tokio::time::timeout(support::LONG, bad_quic.peer.connection.closed()).await.unwrap();
    assert!(closed.to_string().contains("closed by peer"), "{closed}");
    assert!(h3::get(&good_quic, "/who").await.unwrap().contains("spiffe://test/good"));
    let [bad_open, good_open] = open;
    assert!(!http1(bad_open, ASK).await.contains("200 OK"));
    assert!(http1(good_open, ASK).await.contains("spiffe://test/good"));

    // TLS 1.3 tells a client only after its own handshake is complete.
    let again = server.tls(&bad, Protocol::Http2).await.unwrap();
    assert!(http2(again, "/who").await.is_err());
    let told = match h3::raw(&server, &bad).await {
        Ok(peer) => peer.connection.closed().await,
        Err(refused) => refused,
    };
    // RFC 8446, section 6: certificate_revoked is 44.
    let quinn::ConnectionError::ConnectionClosed(close) = &told else { panic!("{told}") };
    assert_eq!(close.error_code, quinn::TransportErrorCode::crypto(44));
    let refused = "omnirelay_tls_refused_peers_total{peer=\"client\",reason=\"revoked\"}";
    assert!(server.metric(refused) >= 4, "{}", server.metric(refused));
}

#[tokio::test]
async fn a_revoked_certificate_is_not_resumed() {
    let server = server();
    let bad = server.client(Some("spiffe://test/bad"));
    // The ticket comes with the answer.
    assert!(http1(server.tls(&bad, Protocol::Http1).await.unwrap(), ASK).await.contains("200 OK"));
    let _list = server.ca.revoke(&[2]);
    server.tls.as_ref().unwrap().reload().unwrap();
    let answered = match server.tls(&bad, Protocol::Http1).await {
        Ok(stream) => http1(stream, ASK).await,
        Err(refused) => refused.to_string(),
    };
    assert!(!answered.contains("200 OK"), "{answered}");
}

#[tokio::test]
async fn expired_and_foreign_clients_are_refused_with_the_reason() {
    let server = server();
    let expired = server.ca.issue_expired("spiffe://test/late");
    let mut late = server.client(None);
    (late.certificate, late.private_key) = (Some(expired.certificate), Some(expired.private_key));
    let other = relay_testkit::TestCa::new();
    let elsewhere = other.issue("spiffe://elsewhere/a");
    let mut foreign = server.client(None);
    (foreign.certificate, foreign.private_key) = (Some(elsewhere.certificate), Some(elsewhere.private_key));
    for (client, reason) in [(late, "expired"), (foreign, "unknown-authority")] {
        let line = format!("omnirelay_tls_refused_peers_total{{peer=\"client\",reason=\"{reason}\"}}");
        let answered = match server.tls(&client, Protocol::Http1).await {
            Ok(stream) => http1(stream, ASK).await,
            Err(refused) => refused.to_string(),
        };
        assert!(!answered.contains("200 OK"), "{reason}: {answered}");
        assert!(server.metric(&line) >= 1);
    }
}

#[tokio::test]
async fn a_client_refuses_a_revoked_server_from_the_next_connection_on() {
    let server = server();
    let mut client = server.client(None);
    client.crl = vec![server.ca.revoke(&[])];
    client.reload_interval_ms = ReloadInterval(0);
    assert!(http1(server.tls(&client, Protocol::Http1).await.unwrap(), ASK).await.contains("200 OK"));
    let _list = server.ca.revoke(&[1]);
    let refused = server.tls(&client, Protocol::Http1).await.unwrap_err().to_string();
    assert!(refused.contains("Revoked"), "{refused}");
    tokio::time::timeout(Duration::from_secs(5), async {
        assert!(h3::raw(&server, &client).await.is_err());
    })
    .await
    .unwrap();
}
