//! What happens to processes, told to the one place that decides.

use std::process::ExitStatus;
use std::time::Duration;

use tokio::sync::mpsc;

/// Something happened to the process of that index.
#[derive(Debug)]
pub(super) enum Event {
    Ready(usize, Duration),
    Exited(usize, std::io::Result<ExitStatus>),
}

/// Room for every event that the few processes of a mesh can cause at once.
const ROOM: usize = 64;

pub(super) type Sender = mpsc::Sender<Event>;
pub(super) type Receiver = mpsc::Receiver<Event>;

pub(super) fn channel() -> (Sender, Receiver) {
    mpsc::channel(ROOM)
}
