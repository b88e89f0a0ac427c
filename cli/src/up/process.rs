//! A child process of the mesh with its log.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};

use super::events::{Event, Sender};
use crate::dev::Component;
use crate::output::printable;

/// A started process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) component: Component,
    pub(super) pid: u32,
    pub(super) log: PathBuf,
    pub(super) began: Instant,
    /// How long it took to answer; none before it did.
    pub(super) ready: Option<Duration>,
    /// Why it is not ready, as far as it says so.
    pub(super) reason: watch::Receiver<String>,
    /// How it ended; none while it runs.
    pub(super) ended: Option<std::io::Result<ExitStatus>>,
    kill: Option<oneshot::Sender<()>>,
}

impl Process {
    /// Starts a component. Its output goes to a log of its own; the log of the run before is kept
    /// beside it. Its end is told to `events` under `index`.
    pub(super) fn start(
        binary: &Path,
        component: &Component,
        logs: &Path,
        index: usize,
        reason: watch::Receiver<String>,
        events: Sender,
    ) -> Result<Self> {
        let log = logs.join(format!("{}.log", component.name));
        let failed = |error: std::io::Error| {
            OperatorError::new(ErrorKind::Io, format!("{} cannot be started", component.name))
                .at(binary.display().to_string())
                .caused_by(&error)
                .hint("check that the binary is built for this machine and may be executed")
        };
        if log.exists() {
            std::fs::rename(&log, logs.join(format!("{}.previous.log", component.name))).map_err(failed)?;
        }
        let output = File::create(&log).map_err(failed)?;
        let mut command = Command::new(binary);
        command
            .args(&component.args)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            .kill_on_drop(true);
        // Ctrl-C in a terminal reaches its whole process group; these are to hear of the end from
        // us, in order.
        #[cfg(unix)]
        command.process_group(0);
        let began = Instant::now();
        let child = command.spawn().map_err(failed)?;
        let pid = child.id().unwrap_or_default();
        let (kill, killed) = oneshot::channel();
        omnirelay_runtime::spawn("child", watch(child, killed, index, events));
        Ok(Self {
            component: component.clone(),
            pid,
            log,
            began,
            ready: None,
            reason,
            ended: None,
            kill: Some(kill),
        })
    }

    /// Asks the process to drain and end.
    pub(super) fn terminate(&mut self) {
        if self.ended.is_some() {
            return;
        }
        #[cfg(unix)]
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw) {
            // It may have ended by itself a moment ago.
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        #[cfg(not(unix))]
        self.kill();
    }

    /// Ends the process at once.
    pub(super) fn kill(&mut self) {
        if let Some(kill) = self.kill.take() {
            let _gone = kill.send(());
        }
    }

    /// The last lines of the log, safe to print.
    pub(super) fn last_lines(&self, count: usize) -> Vec<String> {
        let text = tail(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines.iter().skip(lines.len().saturating_sub(count)).map(|line| printable(line)).collect()
    }
}

async fn watch(mut child: Child, killed: oneshot::Receiver<()>, index: usize, events: Sender) {
    let ended = tokio::select! {
        ended = child.wait() => ended,
        Ok(()) = killed => match child.start_kill() {
            Ok(()) => child.wait().await,
            Err(error) => Err(error),
        },
    };
    // Nobody listens once the mesh is down.
    let _gone = events.send(Event::Exited(index, ended)).await;
}

/// How much of a log's end is read.
const TAIL_BYTES: u64 = 16 << 10;

fn tail(log: &Path) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// How a process ended, in words.
pub(super) fn describe(ended: &std::io::Result<ExitStatus>) -> String {
    let status = match ended {
        Ok(status) => status,
        Err(error) => return format!("ended unseen: {error}"),
    };
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(status) {
        return format!("was ended by signal {signal}");
    }
    match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => "ended without an exit code".to_owned(),
    }
}
