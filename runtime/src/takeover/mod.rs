//! A new process takes the sockets of a running one over, and only then does the old one end.
//!
//! Both speak over a Unix socket that the old one listens at. The new one starts up completely beside the old one, which
//! serves as if nothing happened until the new one says that it is ready; then the old one stops accepting, the new one
//! serves, and the old one drains. Where the new one is gone before that, or within a second after it, the old one goes
//! on. What is handed over is a [`Heirloom`], of which this module knows only descriptors.

#[cfg(not(unix))]
mod absent;
#[cfg(unix)]
mod predecessor;
#[cfg(unix)]
mod successor;
#[cfg(unix)]
mod wire;

use std::io;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(not(unix))]
pub use absent::Inheritance;
#[cfg(unix)]
pub use successor::Inheritance;

/// What is handed over: a socket. Other platforms than Unix have none.
#[cfg(unix)]
pub type Descriptor = std::os::fd::OwnedFd;
/// What is handed over: a socket. Other platforms than Unix have none.
#[cfg(not(unix))]
pub type Descriptor = std::convert::Infallible;

/// How a process is followed by a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeoverConfig {
    /// A socket file, by an absolute path in a folder that is there. Whoever starts as the same user with the same path takes
    /// the sockets of the process over that listens there.
    pub socket: PathBuf,
}

impl TakeoverConfig {
    /// What is wrong with it as (key, problem, remedy).
    #[must_use]
    pub fn problem(&self) -> Option<(&'static str, &'static str, &'static str)> {
        if cfg!(not(unix)) {
            return Some(("takeover", "`takeover` needs a Unix system", "leave the section out"));
        }
        let problem = "`takeover.socket` is no absolute path";
        let remedy = "write a path such as `/run/omnirelay/relayd.takeover`";
        (!self.socket.is_absolute()).then_some(("takeover.socket", problem, remedy))
    }
}

/// Descriptors under a name, and what those who know the name have to know of them.
#[derive(Debug)]
pub struct Estate {
    /// Whose they are, `data` say.
    pub name: String,
    /// What they are.
    pub about: serde_json::Value,
    /// In an order that `about` tells.
    pub descriptors: Vec<Descriptor>,
}

/// A part of a process that another process can go on with. Its methods are called one after the other.
pub trait Heirloom: Send + Sync {
    /// Its name among the others of the process.
    fn name(&self) -> &str;

    /// Copies of its descriptors for a new process.
    ///
    /// # Errors
    /// No descriptors to spare.
    fn offer(&self) -> io::Result<Estate>;

    /// In the new process, before the old one lets go: what the old one needs to end in peace.
    ///
    /// # Errors
    /// No descriptors to spare.
    fn claim(&self) -> io::Result<Option<Estate>>;

    /// Accepts nothing new from now on; `needed` is what the new process claimed with.
    ///
    /// # Errors
    /// Something else than what [`claim`](Self::claim) gives.
    fn pause(&self, needed: Option<Estate>) -> io::Result<()>;

    /// Accepts again: the new process is gone.
    fn resume(&self);

    /// The new process has it for good.
    fn release(&self);

    /// In the new process: it is ours for good.
    fn own(&self);

    /// In the new process: the old one has ended.
    fn outlived(&self);
}
