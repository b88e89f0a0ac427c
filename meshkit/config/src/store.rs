//! What is wrong with `[store]`.

use omnirelay_runtime::config::Problems;
use relay_transport::tls::ClientTlsConfig;

use crate::model::{MeshkitConfig, StoreBackend, StoreConfig};

pub(crate) fn check(store: &StoreConfig, found: &mut Problems<'_, MeshkitConfig>) {
    let foreign: &[(&str, bool)] = match store.backend {
        StoreBackend::Sqlite => {
            if store.path.as_os_str().is_empty() {
                let remedy = "name a file, such as `/var/lib/meshkit/mesh.db`";
                found.say("store.path", "`store.path` is empty", remedy);
            }
            &[
                ("endpoints", !store.endpoints.is_empty()),
                ("prefix", !store.prefix.is_empty()),
                ("tls", store.tls != ClientTlsConfig::default()),
                ("user", !store.user.is_empty()),
                ("password_file", !store.password_file.as_os_str().is_empty()),
            ]
        }
        StoreBackend::Etcd => {
            check_etcd(store, found);
            &[("path", !store.path.as_os_str().is_empty())]
        }
    };
    for (key, is_set) in foreign {
        if *is_set {
            let (other, remedy) = match store.backend {
                StoreBackend::Sqlite => ("SQLite", "leave it out, or write `backend = \"etcd\"`"),
                StoreBackend::Etcd => ("etcd", "leave it out, or write `backend = \"sqlite\"`"),
            };
            found.say(&format!("store.{key}"), &format!("`store.{key}` means nothing to {other}"), remedy);
        }
    }
}

fn check_etcd(store: &StoreConfig, found: &mut Problems<'_, MeshkitConfig>) {
    if store.endpoints.is_empty() {
        let remedy = "name the client URL of each member, such as `https://etcd-1:2379`";
        found.say("store.endpoints", "`store.endpoints` is empty", remedy);
    }
    for (index, endpoint) in store.endpoints.iter().enumerate() {
        if !endpoint.starts_with("https://") {
            let key = format!("store.endpoints.{index}");
            found.say(&key, &format!("`{endpoint}` is not an endpoint"), "write `https://host:port`");
        }
    }
    let prefix = store.prefix.trim_matches('/');
    if prefix.is_empty() || store.prefix.len() > 128 || store.prefix.chars().any(char::is_control) {
        let remedy = "name what all keys begin with in up to 128 bytes, such as `/omnirelay/mesh`";
        found.say("store.prefix", &format!("`store.prefix` is `{}`", store.prefix.escape_debug()), remedy);
    }
    let (user, password) = (!store.user.is_empty(), !store.password_file.as_os_str().is_empty());
    if user && !password {
        let remedy = "name the file that holds the password";
        found.say("store.user", "`store.user` has no `store.password_file`", remedy);
    }
    if password && !user {
        let remedy = "name the user whose password it is";
        found.say("store.password_file", "`store.password_file` has no `store.user`", remedy);
    }
}
