//! Joining, against a real meshkitd.
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

use meshkit_client::{NewKey, v1};
use relay_core::{Code, Protocol};
use serde_json::json;
use support::joining::{bench, change, join, member, request, spec, token};
use support::{ADMIN, Ask, Bench, OBSERVER, OPERATOR, peer};
use x509_parser::extensions::ParsedExtension;

#[tokio::test]
async fn who_joins_is_known_by_what_the_token_says() {
    let bench = bench("");
    let meshkitd = bench.start(&[]);
    let admin = bench.client(&meshkitd, Protocol::Http3, ADMIN);
    let token = token(&admin, spec("")).await;
    let (identity, issued) = join(&bench, &meshkitd, &token, "greeter-7").await.unwrap();
    assert_eq!(issued.spiffe, "spiffe://omnirelay.dev/service/eu-1/greeter-7");
    let authority = std::fs::read_to_string(bench.ca.ca()).unwrap();
    assert_eq!(key_ids(&issued.certificate_chain).1.unwrap(), key_ids(&authority).0.unwrap());

    for protocol in [Protocol::Http3, Protocol::Http2] {
        let client = member(&meshkitd, &identity, protocol);
        client.register(peer("greeter-7", "greeter")).await.unwrap();
        let other = client.register(peer("greeter-8", "greeter")).await.unwrap_err();
        assert_eq!(other.code, Code::PermissionDenied, "it speaks for itself alone");
    }
    let held = admin.get_identity("greeter-7").await.unwrap().value;
    assert_eq!((held.role.as_str(), held.cluster.as_str(), held.certificates.len()), ("service", "eu-1", 1));
    assert_eq!(held.certificates[0].serial, issued.serial);

    // The one use is used up, for another key; the same request is answered again.
    let again = join(&bench, &meshkitd, &token, "greeter-9").await.unwrap_err();
    assert_eq!(
        (again.code, again.message.contains("no uses left")),
        (Code::Unauthenticated, true),
        "{again}"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(identity.identity_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_request_decides_about_nothing_but_its_key() {
    let bench = bench("");
    let meshkitd = bench.start(&[]);
    let admin = bench.client(&meshkitd, Protocol::Http3, ADMIN);
    let token = token(&admin, spec("greeter-7")).await;
    // A request that asks to be an operator, an authority, and another host.
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["meshkitd".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let operator = "spiffe://omnirelay.dev/operator/root";
    params.subject_alt_names.push(rcgen::SanType::URI(operator.try_into().unwrap()));
    let csr = params.serialize_request(&key).unwrap().pem().unwrap();
    let joiner = bench.client(&meshkitd, Protocol::Http3, &token);
    let asked = v1::JoinRequest { csr: csr.clone(), ..v1::JoinRequest::default() };
    let issued = joiner.join(asked.clone()).await.unwrap().value;
    let text = show(&issued.certificate_chain);
    assert!(text.contains("spiffe://omnirelay.dev/service/eu-1/greeter-7"), "{text}");
    assert!(text.contains("localhost") && text.contains("CA:false"), "{text}");
    assert!(!text.contains("operator") && !text.contains("meshkitd"), "{text}");

    // The answer was lost, say: the same request is no second use.
    let repeated = joiner.join(asked).await.unwrap().value;
    assert_ne!(repeated.serial, issued.serial);
    let listed = admin.list_join_tokens(0, "").await.unwrap().value.join_tokens;
    assert_eq!((listed[0].used, listed[0].joined.as_slice()), (1, &["greeter-7".to_owned()][..]));

    for (csr, word) in [
        (String::new(), "missing"),
        ("x".repeat(20_000), "16 KiB"),
        ("no PEM".to_owned(), "PEM"),
        // Signed by another key than the one that it names.
        (csr.replacen("MII", "MIJ", 1), "csr"),
    ] {
        let refused = joiner.join(v1::JoinRequest { csr, ..v1::JoinRequest::default() }).await.unwrap_err();
        assert_eq!(refused.code, Code::InvalidArgument, "{refused}");
        assert!(refused.message.contains(word), "{refused}");
    }
    let hosts = vec!["meshkitd".to_owned()];
    let key = NewKey::generate().unwrap();
    let token = self::token(&admin, spec("greeter-8")).await;
    let joiner = bench.client(&meshkitd, Protocol::Http3, &token);
    let refused = joiner.join(v1::JoinRequest { hosts, ..request(&key, "") }).await.unwrap_err();
    assert_eq!(
        (refused.code, refused.message.contains("meshkitd")),
        (Code::InvalidArgument, true),
        "{refused}"
    );
}

/// What a certificate calls its own key and its authority's (RFC 5280, sections 4.2.1.2 and 4.2.1.1), without which strict
/// clients do not believe it.
fn key_ids(pem: &str) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    let (mut own, mut authoritys) = (None, None);
    for extension in pem.parse_x509().unwrap().extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => own = Some(id.0.to_vec()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                authoritys = id.key_identifier.as_ref().map(|id| id.0.to_vec());
            }
            _ => {}
        }
    }
    (own, authoritys)
}

/// The names of a certificate, and whether it is an authority's.
fn show(pem: &str) -> String {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    let certificate = pem.parse_x509().unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    format!("{} {:?} CA:{}", certificate.subject(), names.value.general_names, certificate.is_ca())
}

#[tokio::test]
async fn strangers_do_not_join_and_names_are_not_taken_over() {
    let bench = bench("");
    let meshkitd = bench.start(&[]);
    let admin = bench.client(&meshkitd, Protocol::Http3, ADMIN);
    let good = token(&admin, v1::JoinTokenSpec { uses: 9, ..spec("") }).await;
    let mut wrong = good.clone();
    wrong.replace_range(22..23, if good[22..23] == *"a" { "b" } else { "a" });
    for token in [wrong.as_str(), "omj1", "omj1.0123456789abcdef.AAAA", OPERATOR, ADMIN] {
        let refused = join(&bench, &meshkitd, token, "greeter-7").await.unwrap_err();
        assert_eq!(refused.code, Code::Unauthenticated, "{refused}");
        assert!(refused.hint.is_some());
    }
    // A join token is no token for anything else.
    let other = bench.client(&meshkitd, Protocol::Http3, &good).list_versions().await.unwrap_err();
    assert_eq!(other.code, Code::Unauthenticated);

    join(&bench, &meshkitd, &good, "greeter-7").await.unwrap();
    let taken = join(&bench, &meshkitd, &good, "greeter-7").await.unwrap_err();
    assert_eq!(taken.code, Code::AlreadyExists, "{taken}");
    admin.register(peer("old-1", "greeter")).await.unwrap();
    let taken = join(&bench, &meshkitd, &good, "old-1").await.unwrap_err();
    assert_eq!((taken.code, taken.message.contains("old-1")), (Code::AlreadyExists, true), "{taken}");
    // Who is given the name by an administrator may have it.
    let given = token(&admin, spec("old-1")).await;
    join(&bench, &meshkitd, &given, "").await.unwrap();

    let id = good.split('.').nth(1).unwrap();
    admin.withdraw_join_token(id, &change()).await.unwrap();
    let withdrawn = join(&bench, &meshkitd, &good, "greeter-8").await.unwrap_err();
    assert_eq!((withdrawn.code, withdrawn.message.contains("withdrawn")), (Code::Unauthenticated, true));

    // All of it is in the audit, and no secret is anywhere.
    let channel = bench.channel(&meshkitd, Protocol::Http3, None);
    let audit = Ask::get(&channel, "/meshkit/audit?limit=1000").token(ADMIN).send().await.text;
    let refused =
        Ask::get(&channel, "/meshkit/audit?action=bootstrap.join&outcome=refused").token(ADMIN).send().await;
    let refusals = refused.json()["entries"].as_array().unwrap().len();
    assert_eq!(refusals, 8, "{}", refused.text);
    assert!(refused.text.contains(&format!("join-token:{id}")) && refused.text.contains("stranger"));
    let secret = good.rsplit('.').next().unwrap();
    let tokens = Ask::get(&channel, "/meshkit/join-tokens").token(ADMIN).send().await.text;
    let key = std::fs::read_to_string(bench.ca.ca_key()).unwrap();
    let key = key.lines().nth(1).unwrap();
    for text in [&audit, &tokens, &meshkitd.log()] {
        assert!(!text.contains(secret) && !text.contains(key));
    }
    assert!(!tokens.contains("digest"), "{tokens}");
}

#[tokio::test]
async fn rest_does_all_of_it_too() {
    let bench = bench("");
    let meshkitd = bench.start(&[]);
    let channel = bench.channel(&meshkitd, Protocol::Http1, None);
    let post = |path: &str, token: &str| Ask::new(&channel, http::Method::POST, path).token(token);
    let body = json!({ "spec": { "role": "service", "cluster": "eu-1" }, "reason": "a test" });
    let key = |ask: Ask| ask.header("idempotency-key", "k-1");
    let dry = post("/meshkit/join-tokens?dryRun=true", ADMIN).json(&body).await.json();
    assert_eq!((dry["outcome"]["dryRun"].as_bool(), dry.get("token")), (Some(true), None));
    let issued = key(post("/meshkit/join-tokens", ADMIN)).json(&body).await;
    assert_eq!((issued.status.as_u16(), issued.etag()), (201, "\"1\""), "{issued:?}");
    let replayed = key(post("/meshkit/join-tokens", ADMIN)).json(&body).await.json();
    assert_eq!((replayed["outcome"]["replayed"].as_bool(), replayed.get("token")), (Some(true), None));
    let issued = issued.json();
    let token = issued["token"].as_str().unwrap();
    let off = json!({ "spec": { "role": "a/b", "cluster": "eu-1" } });
    assert_eq!(post("/meshkit/join-tokens", ADMIN).json(&off).await.problem().0, 400);

    let key = NewKey::generate().unwrap();
    let asked = json!({ "csr": key.request(), "name": "greeter-7" });
    assert_eq!(post("/meshkit/bootstrap:join", "wrong").json(&asked).await.problem().0, 401);
    let joined = post("/meshkit/bootstrap:join", token).json(&asked).await;
    assert_eq!(joined.status.as_u16(), 200, "{joined:?}");
    assert_eq!(joined.json()["spiffe"], "spiffe://omnirelay.dev/service/eu-1/greeter-7");

    let trust = Ask::get(&channel, "/meshkit/trust").token(OBSERVER).send().await.json();
    assert_eq!(trust["trustBundle"], joined.json()["trustBundle"]);
    let path = "/meshkit/identities?filter=role=service";
    let listed = Ask::get(&channel, path).token(OPERATOR).send().await.json();
    assert_eq!(listed["identities"][0]["name"], "greeter-7");

    let path = "/meshkit/identities/greeter-7:revoke";
    assert_eq!(post(path, ADMIN).json(&json!({})).await.problem().0, 428, "nothing says which version");
    let unconfirmed = post(path, ADMIN).header("if-match", "\"1\"").json(&json!({})).await;
    assert_eq!(unconfirmed.problem().0, 428);
    let dry =
        post(&format!("{path}?dryRun=true"), ADMIN).header("if-match", "\"1\"").json(&json!({})).await.json();
    let confirmation = dry["outcome"]["confirmation"]["token"].as_str().unwrap();
    let confirmed = post(path, ADMIN).header("if-match", "\"1\"").header("confirmation-token", confirmation);
    let revoked = confirmed.json(&json!({})).await.json();
    assert!(revoked["identity"]["revokedAt"].is_string(), "{revoked}");
    assert_eq!(post("/meshkit/identities/greeter-7", ADMIN).send().await.problem().0, 404);
}

#[tokio::test]
async fn without_an_authority_nothing_is_issued() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let admin = bench.client(&meshkitd, Protocol::Http3, ADMIN);
    let refused = admin.issue_join_token(spec(""), &change()).await.unwrap_err();
    assert_eq!((refused.code, refused.hint.is_some()), (Code::FailedPrecondition, true), "{refused}");
}

#[test]
fn an_authority_that_nobody_would_believe_is_refused_at_the_start() {
    let bench = bench("");
    let other = relay_testkit::TestCa::new();
    let leaf = bench.ca.issue("spiffe://omnirelay.dev/service/leaf");
    let set = |key: &str, path: &std::path::Path| format!("bootstrap.{key}={path:?}");
    for (sets, code, word) in [
        (vec![set("private_key", &other.ca_key())], 3, "do not belong together"),
        (vec![set("private_key", &bench.ca.ca())], 3, "holds no key"),
        (vec![set("certificate", "/nowhere.pem".as_ref())], 3, "/nowhere.pem"),
        (
            vec![set("certificate", &leaf.certificate), set("private_key", &leaf.private_key)],
            3,
            "not the certificate of an authority",
        ),
        (vec![set("bundle", &other.ca())], 3, "nobody would believe"),
        (vec![set("revocation_list", "/nowhere/crl.pem".as_ref())], 9, "/nowhere/crl.pem"),
        (vec!["bootstrap.trust_domain=\"A b\"".to_owned()], 3, "trust domain"),
    ] {
        let args: Vec<&str> = sets.iter().flat_map(|set| ["--set", set.as_str()]).collect();
        let output = bench.refused(&args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(
            stderr.contains(word) && stderr.contains("hint:") && !stderr.contains("panic"),
            "{word}: {stderr}"
        );
        assert!(!stderr.contains("PRIVATE KEY"), "{stderr}");
    }
}
