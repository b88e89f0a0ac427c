//! A process on a host: its log, its end, and a next life under the same name.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long one may take to be ready, or to end.
const DEADLINE: Duration = Duration::from_secs(60);

/// One life of a process. It is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    /// Where this life begins in the log.
    begins: u64,
}

impl Process {
    /// Starts what `command` says. Both of its outputs go to the end of `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let begins = file.metadata().unwrap().len();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log: log.to_owned(), begins }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the log of this life says that it is ready.
    pub(crate) async fn ready(&mut self) {
        let began = Instant::now();
        while !self.said().contains("\"message\":\"ready\"") {
            let ended = self.child.try_wait().unwrap();
            let is_late = began.elapsed() > DEADLINE;
            assert!(
                ended.is_none() && !is_late,
                "not ready ({ended:?}): {}\n{}",
                self.log.display(),
                self.said()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGTERM, and its end.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        relay_testkit::terminate(self.id());
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < DEADLINE, "it does not end: {}\n{}", self.log.display(), self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What this life has logged.
    pub(crate) fn said(&self) -> String {
        let mut text = Vec::new();
        let mut file = File::open(&self.log).unwrap();
        file.seek(SeekFrom::Start(self.begins)).unwrap();
        file.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}
