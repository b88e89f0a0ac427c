//! meshkitd on an etcd.

use relay_testkit::EtcdCluster;

use super::Bench;

/// What all keys begin with.
pub const PREFIX: &str = "/omnirelay/";

/// A configuration with the store in an etcd.
pub fn bench(cluster: &EtcdCluster) -> Bench {
    let tls = cluster.tls();
    let text = format!(
        "backend = \"etcd\"\nendpoints = {:?}\nprefix = \"{PREFIX}mesh\"\n\
         tls = {{ ca = {:?}, certificate = {:?}, private_key = {:?} }}\n\
         user = {:?}\npassword_file = {:?}",
        cluster.endpoints(),
        tls.ca.unwrap(),
        tls.certificate.unwrap(),
        tls.private_key.unwrap(),
        EtcdCluster::USER,
        cluster.password_file(),
    );
    Bench::with_store(&text, "")
}
