//! One etcd for all tests of a file, and a place in it for each.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use meshkit_etcd::{ClientTlsConfig, Config, UserConfig};
use meshkit_store::EtcdOptions;
use relay_testkit::EtcdCluster;

/// All stores of tests lie below it.
pub const PREFIX: &str = "/mesh/";

/// The etcd that the tests of one file share.
pub fn shared() -> &'static EtcdCluster {
    static SHARED: OnceLock<EtcdCluster> = OnceLock::new();
    SHARED.get_or_init(|| EtcdCluster::start(3).with_users(PREFIX))
}

/// A store in a cluster where nobody else's is.
pub fn options(cluster: &EtcdCluster) -> EtcdOptions {
    static PLACES: AtomicU32 = AtomicU32::new(0);
    let user = UserConfig { name: EtcdCluster::USER.to_owned(), password_file: cluster.password_file() };
    let client = Config { endpoints: cluster.endpoints(), tls: cluster.tls(), user: Some(user) };
    EtcdOptions::new(client, format!("{PREFIX}{}", PLACES.fetch_add(1, Ordering::Relaxed)))
}

/// Options for a child's environment.
pub fn words(options: &EtcdOptions) -> String {
    let client = &options.client;
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().unwrap().display().to_string();
    let tls = &client.tls;
    let password = client.user.as_ref().unwrap().password_file.display().to_string();
    let words = [
        options.prefix.clone(),
        client.endpoints.join(","),
        path(&tls.ca),
        path(&tls.certificate),
        path(&tls.private_key),
        password,
    ];
    words.join("|")
}

/// What [`words`] said.
pub fn from_words(words: &str) -> EtcdOptions {
    let words: Vec<&str> = words.split('|').collect();
    let [prefix, endpoints, ca, certificate, key, password] = words.as_slice() else { panic!("{words:?}") };
    let tls = ClientTlsConfig {
        ca: Some(ca.into()),
        certificate: Some(certificate.into()),
        private_key: Some(key.into()),
        ..ClientTlsConfig::default()
    };
    let user = UserConfig { name: EtcdCluster::USER.to_owned(), password_file: password.into() };
    let endpoints = endpoints.split(',').map(ToOwned::to_owned).collect();
    EtcdOptions::new(Config { endpoints, tls, user: Some(user) }, *prefix)
}
