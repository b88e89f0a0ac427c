//! The new process: it asks for what the old one has, starts, and says so.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{UnixListener, UnixStream};
use tracing::{info, warn};

use super::predecessor::{self, Keeper, SETTLE, Stats};
use super::wire::{AT_ONCE, Message, VERSION, Wire};
use super::{Estate, Heirloom, TakeoverConfig};
use crate::bootstrap::Startup;
use crate::error::{ErrorKind, OperatorError, Result};
use crate::socket_file::SocketFile;

/// Name of the socket that the next process asks at, among estates.
const DOOR: &str = "takeover";
/// Its mode.
const MODE: u32 = 0o600;

/// What a new process has of the one before it: nothing where there was none.
#[derive(Debug)]
pub struct Inheritance {
    service: &'static str,
    /// The old process, until it is known to be gone.
    from: Option<From>,
    estates: Vec<Estate>,
    /// Where the next process asks; none where that is not configured.
    door: Option<(SocketFile, UnixListener)>,
    stats: Stats,
}

#[derive(Debug)]
struct From {
    wire: Wire,
    pid: u32,
    path: PathBuf,
}

impl Inheritance {
    /// Asks the process that listens at the configured socket for what it has. Where nobody does, nothing is inherited and
    /// the socket is made.
    ///
    /// # Errors
    /// A process that does not hand over, and a socket that cannot be made.
    pub async fn of(config: Option<&TakeoverConfig>, startup: &Startup) -> Result<Self> {
        let stats = Stats::new(&startup.metrics);
        let service = startup.service();
        let mut new = Self { service, from: None, estates: Vec::new(), door: None, stats };
        let Some(config) = config else { return Ok(new) };
        if let Some((_key, problem, remedy)) = config.problem() {
            return Err(OperatorError::new(ErrorKind::Config, problem).hint(remedy));
        }
        let path = &config.socket;
        match UnixStream::connect(path).await {
            Ok(stream) => new.ask(Wire(stream), path).await?,
            Err(error) if nobody(&error) => {
                let made = SocketFile::bind(path, MODE);
                let made = made.and_then(|(file, listener)| Ok((file, UnixListener::from_std(listener)?)));
                new.door = Some(made.map_err(|error| unusable(path, &error))?);
            }
            Err(error) => return Err(unusable(path, &error)),
        }
        Ok(new)
    }

    async fn ask(&mut self, mut wire: Wire, path: &Path) -> Result<()> {
        let credentials = wire.0.peer_cred().map_err(|error| unusable(path, &error))?;
        if !predecessor::is_trusted(credentials.uid()) {
            let problem =
                format!("the user {} listens at {}, and not this one", credentials.uid(), path.display());
            return Err(OperatorError::new(ErrorKind::Auth, problem)
                .hint("choose a folder for `takeover.socket` that only this user may write to"));
        }
        let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default();
        info!(service = self.service, from = pid, path = %path.display(), "takeover begins");
        let failed = |error: &io::Error| failed(pid, path, error);
        let hello = Message::Hello { version: VERSION, service: self.service.to_owned() };
        wire.send(&hello, Vec::new()).await.map_err(|error| failed(&error))?;
        let (message, mut estates) = wire.receive(AT_ONCE).await.map_err(|error| failed(&error))?;
        match message {
            Message::Offer { .. } => {}
            Message::Refused { why, hint } => {
                let problem = format!("process {pid} at {} does not hand over: {why}", path.display());
                return Err(OperatorError::new(ErrorKind::Conflict, problem).hint(hint));
            }
            other => return Err(failed(&unexpected(&other))),
        }
        let sockets: usize = estates.iter().map(|estate| estate.descriptors.len()).sum();
        info!(service = self.service, from = pid, sockets, "sockets received");
        let door =
            estates.iter().position(|estate| estate.name == DOOR).map(|index| estates.swap_remove(index));
        let door =
            door.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its own socket is missing"));
        let adopted = door.and_then(|door| adopt(door, path));
        self.door = Some(adopted.map_err(|error| failed(&error))?);
        self.estates = estates;
        self.from = Some(From { wire, pid, path: path.to_owned() });
        Ok(())
    }

    /// What was inherited under a name.
    pub fn take(&mut self, name: &str) -> Option<Estate> {
        let index = self.estates.iter().position(|estate| estate.name == name)?;
        Some(self.estates.swap_remove(index))
    }

    /// Says that this process has started, and returns once the old one accepts nothing more. What it inherited and has not
    /// taken is given up.
    ///
    /// # Errors
    /// An old process that does not let go, and goes on instead.
    pub async fn claim(&mut self, heirlooms: &[Arc<dyn Heirloom>]) -> Result<()> {
        for estate in self.estates.drain(..) {
            warn!(
                service = self.service,
                name = estate.name,
                "nothing here goes on with sockets of that name"
            );
        }
        let Some(From { wire, pid, path }) = &mut self.from else { return Ok(()) };
        let failed = |error: &io::Error| failed(*pid, path, error);
        let mut claims = Vec::new();
        for heirloom in heirlooms {
            claims.extend(heirloom.claim().map_err(|error| failed(&error))?);
        }
        let claiming = async {
            // Where this fails, the old process has said why before it closed the connection, or is gone.
            let _unheard = wire.send_estates(claims, |estates| Message::Ready { estates }).await;
            match wire.receive(AT_ONCE).await?.0 {
                Message::Paused => Ok(()),
                other => Err(unexpected(&other)),
            }
        };
        match claiming.await {
            Ok(()) => Ok(()),
            Err(error) if is_gone(&error) => {
                warn!(service = self.service, from = *pid, "the old process is gone before it let go");
                self.from = None;
                heirlooms.iter().for_each(|heirloom| heirloom.outlived());
                Ok(())
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// This process serves: the old one may end. From here on the next one can ask.
    ///
    /// # Errors
    /// An old process that takes that back, as it has waited for too long.
    pub async fn serving(mut self, heirlooms: Vec<Arc<dyn Heirloom>>, startup: &Startup) -> Result<()> {
        let inherited = self.from.is_some();
        if let Some(From { mut wire, pid, path }) = self.from.take() {
            let sent = wire.send(&Message::Serving, Vec::new()).await;
            sent.map_err(|error| failed(pid, &path, &error))?;
            let (service, guard) = (self.service, startup.drain.guard());
            let outliving = heirlooms.clone();
            crate::spawn("takeover-predecessor", async move {
                wire.ended().await;
                info!(service, from = pid, "the old process has ended");
                outliving.iter().for_each(|heirloom| heirloom.outlived());
                // What comes for the old process goes through this one until then.
                drop(guard);
            });
        }
        heirlooms.iter().for_each(|heirloom| heirloom.own());
        if let Some((file, listener)) = self.door {
            if let Err(error) = file.own(MODE) {
                warn!(%error, path = %file.path().display(), "the mode of the takeover socket cannot be set");
            }
            let keeper = Keeper { file, heirlooms, failure: startup.failure.clone(), stats: self.stats };
            let (service, drain) = (self.service, startup.drain.clone());
            crate::spawn("takeover", async move {
                if inherited {
                    // Until then the old process may still go on.
                    tokio::time::sleep(2 * SETTLE).await;
                }
                keeper.run(service, listener, drain).await;
            });
        }
        Ok(())
    }
}

/// The socket that the next process asks at, as an estate.
pub(super) fn door(file: &SocketFile, listener: OwnedFd) -> Estate {
    let about = serde_json::json!({ "inode": file.inode() });
    Estate { name: DOOR.to_owned(), about, descriptors: vec![listener] }
}

fn adopt(mut door: Estate, path: &Path) -> io::Result<(SocketFile, UnixListener)> {
    let missing = || io::Error::new(io::ErrorKind::InvalidData, "its own socket is incomplete");
    let inode = door.about.get("inode").and_then(serde_json::Value::as_u64).ok_or_else(missing)?;
    let listener = std::os::unix::net::UnixListener::from(door.descriptors.pop().ok_or_else(missing)?);
    listener.set_nonblocking(true)?;
    Ok((SocketFile::adopt(path, inode)?, UnixListener::from_std(listener)?))
}

fn nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn unexpected(message: &Message) -> io::Error {
    let what = match message {
        Message::Refused { why, .. } => format!("it refuses: {why}"),
        _ => "it answers out of turn".to_owned(),
    };
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn failed(pid: u32, path: &Path, error: &io::Error) -> OperatorError {
    let problem = format!("sockets cannot be taken over from process {pid} at {}", path.display());
    OperatorError::new(ErrorKind::Unavailable, problem)
        .caused_by(error)
        .hint("it goes on as if nothing had happened; look at its log, or end it and start without it")
}

fn unusable(path: &Path, error: &io::Error) -> OperatorError {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "make the folder first, with mode 0700",
        io::ErrorKind::PermissionDenied => {
            "start as the user of the running process, in a folder that it may write to"
        }
        io::ErrorKind::AlreadyExists => {
            "a file that is no socket is there: move it away, or choose another path"
        }
        io::ErrorKind::AddrInUse => "another process starts there just now; start again",
        _ => "check the path: it has at most 107 bytes",
    };
    OperatorError::new(ErrorKind::Io, format!("the takeover socket {} cannot be used", path.display()))
        .caused_by(error)
        .hint(hint)
}
