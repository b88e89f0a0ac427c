#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn spec() -> JoinTokenSpec {
    JoinTokenSpec {
        role: "relay".into(),
        cluster: "eu-1".into(),
        name: String::new(),
        hosts: vec!["*.relays.example".into(), "10.0.0.7".into(), "relay.example".into()],
        uses: 2,
        lifetime_seconds: 60,
    }
}

fn token() -> JoinToken {
    JoinToken {
        id: "0123456789abcdef".into(),
        digest: "d".into(),
        expires_at: JoinToken::end(&spec(), at(0)),
        spec: spec(),
        joined: vec![],
        withdrawn: false,
        issued_at: at(0),
        issued_by: "olga".into(),
        ticket: String::new(),
        record_version: 1,
    }
}

#[test]
fn a_token_lets_in_as_many_as_it_says_and_repetitions_besides() {
    let token = token();
    token.admits("a", at(59)).unwrap();
    assert!(token.admits("a", at(60)).unwrap_err().problem.contains("ended"));
    let used = token.used_by("x", "a").used_by("x", "a").used_by("y", "b");
    assert_eq!(used.used(), 2);
    assert!(used.admits("c", at(1)).unwrap_err().problem.contains("no uses left"));
    used.admits("b", at(1)).unwrap();
    let withdrawn = JoinToken { withdrawn: true, ..used };
    assert!(withdrawn.admits("b", at(1)).unwrap_err().problem.contains("withdrawn"));
}

#[test]
fn a_name_is_the_tokens_or_the_joiners() {
    assert_eq!(spec().name_for("relay-7").unwrap(), "relay-7");
    for off in ["", "..", "Relay", "a/b", &"x".repeat(129)] {
        assert!(spec().name_for(off).is_err(), "{off}");
    }
    let named = JoinTokenSpec { name: "relay-7".into(), uses: 1, ..spec() };
    assert_eq!(named.name_for("").unwrap(), "relay-7");
    assert_eq!(named.name_for("relay-7").unwrap(), "relay-7");
    assert!(named.name_for("relay-8").is_err());
    assert!(JoinTokenSpec { uses: 2, ..named }.validate().is_err());
}

#[test]
fn hosts_are_within_what_the_token_allows() {
    let hosts = |asked: &[&str]| {
        let asked: Vec<String> = asked.iter().map(|host| (*host).to_owned()).collect();
        spec().hosts_for(&asked)
    };
    assert_eq!(hosts(&[]).unwrap(), ["10.0.0.7", "relay.example"]);
    assert_eq!(hosts(&["a.relays.example"]).unwrap(), ["a.relays.example"]);
    for off in [
        "b.a.relays.example",
        "relays.example",
        "10.0.0.8",
        "*.relays.example",
        "meshkitd",
        "A.relays.example",
    ] {
        assert!(hosts(&[off]).is_err(), "{off}");
    }
    for off in ["*.", "*", "a b", "-a.example", "http://a", "a..b"] {
        assert!(JoinTokenSpec { hosts: vec![off.into()], ..spec() }.validate().is_err(), "{off}");
    }
}

#[test]
fn bounds_hold() {
    spec().validate().unwrap();
    for off in [
        JoinTokenSpec { role: String::new(), ..spec() },
        JoinTokenSpec { role: "a/b".into(), ..spec() },
        JoinTokenSpec { cluster: "..".into(), ..spec() },
        JoinTokenSpec { uses: 0, ..spec() },
        JoinTokenSpec { uses: 501, ..spec() },
        JoinTokenSpec { lifetime_seconds: 0, ..spec() },
        JoinTokenSpec { lifetime_seconds: u32::MAX, ..spec() },
        JoinTokenSpec { hosts: vec!["a.example".into(); 17], ..spec() },
    ] {
        assert!(off.validate().is_err(), "{off:?}");
    }
}

#[test]
fn an_identity_keeps_what_counts_and_no_more_than_it_may() {
    let certificate = |serial: u8, issued: i64| HeldCertificate {
        serial: format!("{serial:02x}"),
        issued_at: at(issued),
        expires_at: at(issued + 100),
    };
    let mut identity = Identity {
        name: "relay-7".into(),
        role: "relay".into(),
        cluster: "eu-1".into(),
        spiffe: Identity::spiffe("omnirelay.dev", "relay", "eu-1", "relay-7"),
        hosts: vec![],
        certificates: vec![],
        joined_at: at(0),
        revoked_at: None,
        record_version: 1,
    };
    assert_eq!(identity.spiffe, "spiffe://omnirelay.dev/relay/eu-1/relay-7");
    assert!(identity.renews(at(0)).is_err(), "it has none");
    for serial in 0..8 {
        identity = identity.with(certificate(serial, serial.into()), at(serial.into())).unwrap();
    }
    assert!(identity.clone().with(certificate(9, 9), at(9)).is_err());
    let later = identity.clone().with(certificate(9, 102), at(102)).unwrap();
    assert_eq!(later.certificates.len(), 6, "those of 3 to 7 and the new one");
    assert!(identity.is_held(at(106)) && !identity.is_held(at(107)));
    identity.renews(at(106)).unwrap();
    identity.revoked_at = Some(at(50));
    assert!(identity.renews(at(60)).unwrap_err().problem.contains("revoked"));
}

#[test]
fn serials_have_one_form() {
    for (text, form) in
        [("0A:1b", "0a1b"), ("a1b", "0a1b"), ("00a1", "a1"), (&"ff".repeat(20), &"ff".repeat(20))]
    {
        assert_eq!(Revocation::serial_of(text).unwrap(), form);
    }
    for off in ["", ":", "00", "xyz", "1 2", &"ff".repeat(21)] {
        assert!(Revocation::serial_of(off).is_err(), "{off}");
    }
}
