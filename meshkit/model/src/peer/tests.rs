#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use super::*;

fn spec() -> PeerSpec {
    PeerSpec {
        id: PeerId::new("greeter-1").unwrap(),
        role: "service".to_owned(),
        service: "greeter".to_owned(),
        cluster: "local".to_owned(),
        zone: "a".to_owned(),
        version: "0.1.0".to_owned(),
        endpoints: vec![Endpoint {
            url: "https://127.0.0.1:9443".to_owned(),
            protocols: vec![PeerProtocol::Http3, PeerProtocol::Http2],
        }],
        labels: BTreeMap::from([("team".to_owned(), "Growth & more".to_owned())]),
    }
}

/// Changes a good spec and says what validation makes of it.
#[track_caller]
fn check(change: impl FnOnce(&mut PeerSpec), expected: &str) {
    let mut spec = spec();
    change(&mut spec);
    let found = match spec.validate() {
        Ok(()) => "ok".to_owned(),
        Err(invalid) => invalid.to_string(),
    };
    assert_eq!(found, expected);
}

#[test]
fn specs_are_checked_field_by_field() {
    check(|_| {}, "ok");
    check(|s| s.role.clear(), "`role` is empty");
    check(
        |s| s.service = "Greeter".to_owned(),
        "`service` has the character 'G'; only a-z, 0-9, `.` and `-` are allowed",
    );
    check(|s| s.zone = "z".repeat(65), "`zone` has 65 characters; at most 64 are allowed");
    check(|s| s.version = "1\n2".to_owned(), "`version` has a control character");
    check(
        |s| {
            s.labels.insert("a".to_owned(), "v".repeat(257));
        },
        "`labels.a` has 257 bytes; at most 256 are allowed",
    );
    check(
        |s| s.labels = (0..33).map(|n| (format!("k{n}"), String::new())).collect(),
        "`labels` has 33 entries; at most 32 are allowed",
    );
    check(
        |s| s.endpoints = vec![s.endpoints[0].clone(); 9],
        "`endpoints` has 9 entries; at most 8 are allowed",
    );
}

#[test]
fn endpoints_are_https_with_a_port() {
    let url = |url: &str, expected: &str| check(|s| s.endpoints[0].url = url.to_owned(), expected);
    url("https://[::1]:443", "ok");
    url("https://relay.example:65535", "ok");
    url("http://relay:80", "`endpoints[0].url` does not begin with https://");
    url("https://relay", "`endpoints[0].url` names no port; write https://host:port");
    for port in ["0", "65536", "+80", "443/path"] {
        url(
            &format!("https://relay:{port}"),
            &format!(
                "`endpoints[0].url` has the port {port:?}; ports are 1 to 65535 and nothing follows them"
            ),
        );
    }
    for host in ["", "user@relay", "[zz]"] {
        url(
            &format!("https://{host}:443"),
            &format!(
                "`endpoints[0].url` has the host {host:?}; a host name, an IPv4 or an [IPv6] address goes there"
            ),
        );
    }
    check(
        |s| s.endpoints[0].protocols.clear(),
        "`endpoints[0].protocols` is empty; name at least one of http3, http2, http1",
    );
    check(
        |s| s.endpoints[0].protocols.push(PeerProtocol::Http3),
        "`endpoints[0].protocols` names http3 twice",
    );
}

#[test]
fn ids_are_short_and_plain() {
    assert!(PeerId::new("a".repeat(128)).is_ok());
    assert!(PeerId::new("a".repeat(129)).is_err());
    assert!(PeerId::new("").is_err());
    assert!(PeerId::new("a/b").is_err());
    assert!(serde_json::from_str::<PeerId>("\"A\"").is_err());
}

#[test]
fn a_peer_is_one_flat_json_object() {
    let peer = Peer {
        spec: spec(),
        status: PeerStatus::Alive,
        registered_at: Timestamp::UNIX_EPOCH,
        last_seen_at: Timestamp::UNIX_EPOCH,
        hold: None,
        leaving: false,
        label_patch: Default::default(),
        record_version: 3,
    };
    let json = serde_json::to_value(&peer).unwrap();
    assert_eq!(json["id"], "greeter-1");
    assert_eq!(json["status"], "alive");
    assert_eq!(json["recordVersion"], 3);
    assert_eq!(json["endpoints"][0]["protocols"][0], "http3");
    assert_eq!(serde_json::from_value::<Peer>(json).unwrap(), peer);
}
