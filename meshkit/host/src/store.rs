//! The store that the configuration names, and its state in the process's own.

use std::sync::Arc;

use meshkit_api::Readiness;
use meshkit_config::{MeshkitConfig, StoreBackend};
use meshkit_store::{
    EtcdConfig, EtcdOptions, EtcdStore, EtcdUser, SqliteOptions, SqliteStore, Store, StoreError, View,
};
use omnirelay_runtime::bootstrap::Startup;
use omnirelay_runtime::config::Loaded;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};

/// Opens the store, reads all of it, and from then on follows it; says besides whether it can be used.
///
/// # Errors
/// A store that cannot be reached, opened or read.
pub(crate) async fn open(loaded: &Loaded<MeshkitConfig>, startup: &Startup) -> Result<(View, Readiness)> {
    let config = &loaded.value.store;
    let readiness = Readiness::ready();
    let store: Arc<dyn Store> = match config.backend {
        StoreBackend::Sqlite => {
            let store = SqliteStore::open(&SqliteOptions::new(&config.path))?;
            let damaged = store.clone();
            stop_when_damaged(async move { damaged.damaged().await }, config.place(), startup);
            Arc::new(store)
        }
        StoreBackend::Etcd => {
            let store = open_etcd(loaded).await?;
            let damaged = store.clone();
            stop_when_damaged(async move { damaged.damaged().await }, config.place(), startup);
            tell_trouble(&store, readiness.clone(), startup);
            Arc::new(store)
        }
    };
    let view = View::open(store).await.map_err(|error| unreadable(config.place(), &error))?;
    Ok((view, readiness))
}

async fn open_etcd(loaded: &Loaded<MeshkitConfig>) -> Result<EtcdStore> {
    let config = &loaded.value.store;
    let user = (!config.user.is_empty())
        .then(|| EtcdUser { name: config.user.clone(), password_file: config.password_file.clone() });
    let client = EtcdConfig { endpoints: config.endpoints.clone(), tls: config.tls.clone(), user };
    EtcdStore::open(&EtcdOptions::new(client, &config.prefix)).await
}

/// Keeps the readiness as etcd is.
fn tell_trouble(store: &EtcdStore, readiness: Readiness, startup: &Startup) {
    let (mut trouble, drain) = (store.trouble(), startup.drain.clone());
    omnirelay_runtime::spawn("store-readiness", async move {
        loop {
            readiness.set(trouble.borrow_and_update().clone());
            tokio::select! {
                () = drain.started() => return,
                changed = trouble.changed() => if changed.is_err() { return },
            }
        }
    });
}

/// Answers from a damaged store may be wrong, and writes to it make it worse.
fn stop_when_damaged(
    damaged: impl Future<Output = String> + Send + 'static,
    place: String,
    startup: &Startup,
) {
    let (failure, drain) = (startup.failure.clone(), startup.drain.clone());
    omnirelay_runtime::spawn("store-damage", async move {
        tokio::select! {
            () = drain.started() => {}
            what = damaged => failure.report(
                OperatorError::new(ErrorKind::Config, "the store is damaged")
                    .at(place)
                    .because(what)
                    .hint("restore it from a backup, or move it away to begin with an empty store"),
            ),
        }
    });
}

fn unreadable(place: String, error: &StoreError) -> OperatorError {
    OperatorError::new(ErrorKind::Io, "the store cannot be read")
        .at(place)
        .caused_by(error)
        .hint("check the disk that holds `store.path`, or the etcd that `store.endpoints` names")
}
