//! An authority at meshkitd, and peers that join by it.

use meshkit_client::{Change, Credentials, Identity, MeshClient, MeshError, NewKey, Seen, v1};
use relay_client::{Channel, ChannelConfig};
use relay_core::Protocol;
use relay_transport::tls::ClientTlsConfig;

use super::{Bench, Meshkitd};

pub fn bench(extra: &str) -> Bench {
    let bench = Bench::new("");
    let text = std::fs::read_to_string(&bench.config).unwrap();
    let dir = bench.ca.dir();
    let bootstrap = format!(
        "[bootstrap]\ncertificate = {:?}\nprivate_key = {:?}\ntrust_domain = \"omnirelay.dev\"\n\
         revocation_list = {:?}\n{extra}\n",
        bench.ca.ca(),
        bench.ca.ca_key(),
        dir.join("crl.pem"),
    );
    std::fs::write(&bench.config, text + &bootstrap).unwrap();
    bench
}

pub fn spec(name: &str) -> v1::JoinTokenSpec {
    v1::JoinTokenSpec {
        role: "service".into(),
        cluster: "eu-1".into(),
        name: name.into(),
        hosts: vec!["localhost".into(), "127.0.0.1".into()],
        uses: 1,
        lifetime_seconds: 600,
    }
}

pub fn change() -> Change {
    Change::of(Seen::Any).reason("a test").ticket("T-1")
}

pub async fn token(admin: &MeshClient, spec: v1::JoinTokenSpec) -> String {
    let issued = admin.issue_join_token(spec, &change()).await.unwrap().value;
    assert!(issued.trust_bundle.contains("BEGIN CERTIFICATE"));
    issued.token
}

pub fn request(key: &NewKey, name: &str) -> v1::JoinRequest {
    v1::JoinRequest { csr: key.request().to_owned(), name: name.to_owned(), hosts: vec![] }
}

/// Joins by a token, and writes what that gives.
pub async fn join(
    bench: &Bench,
    meshkitd: &Meshkitd,
    token: &str,
    name: &str,
) -> Result<(Identity, v1::IssuedCertificate), MeshError> {
    let key = NewKey::generate().unwrap();
    let client = bench.client(meshkitd, Protocol::Http3, token);
    let issued = client.join(request(&key, name)).await?.value;
    let identity = Identity::at(bench.ca.dir().join(format!("of-{name}")));
    identity.write(&key, &issued).unwrap();
    Ok((identity, issued))
}

/// A client that shows an identity.
pub fn member(meshkitd: &Meshkitd, identity: &Identity, protocol: Protocol) -> MeshClient {
    let tls = ClientTlsConfig {
        ca: Some(identity.ca_file()),
        certificate: Some(identity.identity_file()),
        private_key: Some(identity.identity_file()),
        crl: vec![identity.crl_file()],
        ..ClientTlsConfig::default()
    };
    let mut config = ChannelConfig::new(format!("https://{}", meshkitd.address), tls);
    config.protocols = vec![protocol];
    MeshClient::new(Channel::new(&config).unwrap(), Credentials::none())
}

pub async fn revoke(admin: &MeshClient, name: &str) {
    let rehearsed = admin.revoke_identity(name, &change().dry_run()).await.unwrap().value;
    admin.revoke_identity(name, &change().confirmed_by(&rehearsed.outcome)).await.unwrap();
}
