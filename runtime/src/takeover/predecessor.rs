//! The old process: it waits for the one that follows, hands over, and ends.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::net::{UnixListener, UnixStream};
use tracing::{info, warn};

use super::wire::{AT_ONCE, Message, VERSION, Wire};
use super::{Estate, Heirloom, successor};
use crate::bootstrap::Failure;
use crate::drain::Drain;
use crate::metrics::Metrics;
use crate::socket_file::SocketFile;

/// How long a new process may take to start.
const START: Duration = Duration::from_secs(120);
/// How long the old process keeps what it has accepted as it was, and can go on, once the new one serves: whoever has just
/// connected gets its first call in.
pub(super) const SETTLE: Duration = Duration::from_secs(1);

/// Hands over to whoever asks.
pub(super) struct Keeper {
    pub(super) file: SocketFile,
    pub(super) heirlooms: Vec<Arc<dyn Heirloom>>,
    pub(super) failure: Failure,
    pub(super) stats: Stats,
}

/// Why a process that asked has not taken over.
#[derive(Debug)]
enum Failed {
    /// It did not even begin.
    Refused(io::Error),
    /// It did not come to its end.
    GaveUp(io::Error),
}

impl Keeper {
    /// Waits for those who ask, until the drain.
    pub(super) async fn run(self, service: &'static str, listener: UnixListener, drain: Drain) {
        loop {
            let stream = tokio::select! {
                () = drain.started() => return,
                stream = next(&listener) => stream,
            };
            // What has begun goes to its end, or to that of this process, even if it ends meanwhile.
            let handing_over = async {
                let (pid, mut wire) = self.hand_over(service, stream, &listener).await?;
                // From here on the new process answers at the socket.
                match tokio::time::timeout(SETTLE, wire.ended()).await {
                    Ok(()) => {
                        self.resume();
                        let why = "it ended as soon as it served";
                        Err(Failed::GaveUp(io::Error::new(io::ErrorKind::UnexpectedEof, why)))
                    }
                    Err(_settled) => Ok((pid, wire)),
                }
            };
            match handing_over.await {
                Err(Failed::Refused(why)) => {
                    self.stats.count("refused");
                    warn!(service, %why, "a takeover is refused");
                }
                Err(Failed::GaveUp(why)) => {
                    self.stats.count("gave-up");
                    warn!(service, %why, "the new process has not taken over; this one goes on");
                }
                Ok((pid, wire)) => {
                    self.stats.count("handed-over");
                    return self.end(pid, wire);
                }
            }
        }
    }

    /// Hands over to one process, and refuses the others that ask meanwhile.
    async fn hand_over(
        &self,
        service: &'static str,
        stream: UnixStream,
        listener: &UnixListener,
    ) -> Result<(u32, Wire), Failed> {
        let handing_over = async {
            let (pid, mut wire) = begin(service, stream).await.map_err(Failed::Refused)?;
            info!(service, to = pid, "a new process takes over");
            let taken = match self.offer(&mut wire, listener).await {
                Ok(claims) => self.let_go(&mut wire, claims).await.inspect_err(|_broken| self.resume()),
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                // If it is still there, it must not take our silence for our end.
                refuse(wire, &error.to_string(), "start it again").await;
                return Err(Failed::GaveUp(error));
            }
            info!(service, to = pid, "the new process serves");
            Ok((pid, wire))
        };
        let mut handing_over = std::pin::pin!(handing_over);
        loop {
            tokio::select! {
                outcome = &mut handing_over => return outcome,
                stream = next(listener) => {
                    crate::spawn("takeover-refusal", async move {
                        if let Ok((_pid, wire)) = begin(service, stream).await {
                            let why = "another process is taking over at this moment";
                            refuse(wire, why, "wait until it has started").await;
                        }
                    });
                }
            }
        }
    }

    /// Offers everything, and waits for the new process to start.
    async fn offer(&self, wire: &mut Wire, listener: &UnixListener) -> io::Result<Vec<Estate>> {
        let mut estates = vec![successor::door(&self.file, listener.as_fd().try_clone_to_owned()?)];
        for heirloom in &self.heirlooms {
            estates.push(heirloom.offer()?);
        }
        wire.send_estates(estates, |estates| Message::Offer { estates }).await?;
        match wire.receive(START).await? {
            (Message::Ready { .. }, claims) => Ok(claims),
            _ => Err(out_of_turn()),
        }
    }

    /// Accepts nothing more, and waits until the new process serves.
    async fn let_go(&self, wire: &mut Wire, mut claims: Vec<Estate>) -> io::Result<()> {
        for heirloom in &self.heirlooms {
            let own = claims.iter().position(|claim| claim.name == heirloom.name());
            heirloom.pause(own.map(|index| claims.swap_remove(index)))?;
        }
        wire.send(&Message::Paused, Vec::new()).await?;
        match wire.receive(AT_ONCE).await? {
            (Message::Serving, _) => Ok(()),
            _ => Err(out_of_turn()),
        }
    }

    fn resume(&self) {
        self.heirlooms.iter().for_each(|heirloom| heirloom.resume());
    }

    /// Ends this process, where it does not end already.
    fn end(&self, pid: u32, wire: Wire) {
        self.failure.succeeded(pid);
        self.heirlooms.iter().for_each(|heirloom| heirloom.release());
        self.file.leave();
        // Open until the process ends: that is how the new one knows.
        crate::spawn("takeover-successor", async move {
            let _wire = wire;
            std::future::pending::<()>().await;
        });
    }
}

/// Finds out who asks, and for what.
async fn begin(service: &'static str, stream: UnixStream) -> io::Result<(u32, Wire)> {
    let credentials = stream.peer_cred()?;
    let mut wire = Wire(stream);
    if !is_trusted(credentials.uid()) {
        let why = format!("the user {} may not take over", credentials.uid());
        refuse(wire, &why, "start as the user of the running process").await;
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let hello = match wire.receive(AT_ONCE).await {
        Ok((hello, _)) => hello,
        Err(error) => {
            refuse(wire, &error.to_string(), "start a daemon of the same product and version").await;
            return Err(error);
        }
    };
    let why = match hello {
        Message::Hello { version: VERSION, service: of } if of == service => {
            let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default();
            return Ok((pid, wire));
        }
        Message::Hello { version, service: of } if of == service => {
            format!("it hands over by version {VERSION}, and version {version} was asked for")
        }
        Message::Hello { service: of, .. } => format!("this is {service}, and {of} asks"),
        _ => "it is asked out of turn".to_owned(),
    };
    refuse(wire, &why, "end the running process first, or give each its own `takeover.socket`").await;
    Err(io::Error::new(io::ErrorKind::InvalidData, why))
}

async fn refuse(mut wire: Wire, why: &str, hint: &str) {
    let refusal = Message::Refused { why: why.to_owned(), hint: hint.to_owned() };
    // Who asked may be gone.
    let _unheard = wire.send(&refusal, Vec::new()).await;
}

/// Whether a user may have our sockets, or give us some.
pub(super) fn is_trusted(user: u32) -> bool {
    user == rustix::process::geteuid().as_raw()
}

fn out_of_turn() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it speaks out of turn")
}

async fn next(listener: &UnixListener) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((stream, _unnamed)) => return stream,
            // No descriptors left, say.
            Err(_error) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

/// What became of those who asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Stats(Family<ByOutcome, Counter>);

impl Stats {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let stats = Self::default();
        for outcome in ["handed-over", "gave-up", "refused"] {
            let _zero = stats.0.get_or_create(&ByOutcome { outcome });
        }
        let help = "Processes that asked for our sockets, by what became of it";
        metrics.register(|registry| registry.register("omnirelay_takeovers", help, stats.0.clone()));
        stats
    }

    fn count(&self, outcome: &'static str) {
        self.0.get_or_create(&ByOutcome { outcome }).inc();
    }
}
