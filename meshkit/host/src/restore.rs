//! Making the store of a backup: while nothing is served.

use std::io::Write as _;

use meshkit_config::StoreBackend;
use meshkit_store::{Restore as Restoring, SqliteStore};
use omnirelay_runtime::config::Layers;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};

use crate::app::refusal;
use crate::args::{Args, Restore};
use crate::reload;

/// Makes the store that the configuration names of a backup, and says on standard output which one it is.
///
/// # Errors
/// A configuration that is off or names etcd, a backup that cannot be used, or a store that is in use or in the way.
pub fn restore(args: &Args, how: &Restore) -> Result<()> {
    let layers = Layers::from_process(args.config.clone(), args.secrets.clone(), args.sets.clone())?;
    let loaded = reload::read(&layers, &args.modules).map_err(|problems| refusal(&problems))?;
    let store = &loaded.value.store;
    if store.backend == StoreBackend::Etcd {
        return Err(OperatorError::new(
            ErrorKind::Conflict,
            "the store is in etcd, which restores its own backups",
        )
        .at(store.place())
        .hint("make the cluster anew with `etcdutl snapshot restore FILE`"));
    }
    let now = jiff::Timestamp::now();
    let restoring = Restoring { actor: &how.actor, now, replace: how.replace, dry_run: how.dry_run };
    let restored = SqliteStore::restore(&how.backup, &store.path, &restoring)?;
    let document = serde_json::json!({
        "store": store.path,
        "backup": how.backup,
        "storeId": restored.identity.id,
        "incarnation": restored.identity.incarnation,
        "revision": restored.revision,
        "aside": restored.aside,
        "dryRun": how.dry_run,
    });
    // The store is restored, whether or not anybody reads that.
    let _closed = writeln!(std::io::stdout(), "{document}");
    Ok(())
}
