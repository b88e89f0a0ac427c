//! The way into namespaces: a test calls itself again as the root of namespaces of its own, which no other privilege is needed for.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Says that this process is in namespaces of its own.
const INSIDE: &str = "OMNIRELAY_FLEET_INSIDE";

/// One fleet at a time has the machine.
static TURN: Mutex<()> = Mutex::new(());

/// Runs a test in user and network namespaces of its own. `name` is the test's own.
///
/// # Panics
/// Where the test failed, or the kernel makes no namespaces for this user.
pub fn inside(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap_or_else(|error| panic!("no `unshare`, which is in Debian's util-linux: {error}"));
    assert!(
        status.success(),
        "{name} failed in its namespaces; where nothing else was said, look whether this user may make some: \
         `unshare --user --map-root-user --net true`"
    );
}
