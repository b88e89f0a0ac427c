//! A mesh for one test, and the command line that speaks to it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// Slow machines run these tests too.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Finished {
    /// Says what was printed where the command did not end well.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.out, self.err);
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

/// A running mesh in a directory of its own.
pub(crate) struct Mesh {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) base_port: u16,
    up: Child,
    /// What `up` has printed until it was ready.
    pub(crate) greeting: String,
}

impl Mesh {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base_port = free_ports();
        let (up, greeting) = start_up(dir.path(), base_port);
        Self { dir, base_port, up, greeting }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("mesh")
    }

    /// Runs a command with this mesh's context.
    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        let context = self.path().join("cli.toml");
        run(Command::new(cli()).args(args).env("OMNIRELAY_CONTEXT", context))
    }

    /// The processes by name, as `up` told them.
    pub(crate) fn processes(&self) -> Vec<(String, Pid)> {
        let rows =
            self.greeting.lines().filter(|line| line.contains("https://127.0.0.1:") && line.ends_with(" ms"));
        let processes: Vec<(String, Pid)> = rows
            .map(|row| {
                let cells: Vec<&str> = row.split_whitespace().collect();
                let pid = cells[cells.len() - 3].parse().unwrap();
                (cells[0].to_owned(), Pid::from_raw(pid).unwrap())
            })
            .collect();
        assert_eq!(processes.len(), 6, "{}", self.greeting);
        processes
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.up), signal).unwrap();
    }

    /// Waits for `up` to end, and gives what it said since its start.
    pub(crate) fn ended(&mut self) -> (ExitStatus, String) {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.up.try_wait().unwrap() {
                let mut err = String::new();
                self.up.stderr.take().unwrap().read_to_string(&mut err).unwrap();
                return (status, err);
            }
            pause(Duration::from_millis(10));
        }
        panic!("`up` does not end");
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        if self.up.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::TERM);
            let _ended = self.up.wait();
        }
    }
}

/// A command that goes on printing, ended with its owner.
pub(crate) struct Watching(Child, mpsc::Receiver<String>);

impl Watching {
    pub(crate) fn start(mesh: &Mesh, args: &[&str]) -> Self {
        let mut child = Command::new(cli())
            .args(args)
            .env("OMNIRELAY_CONTEXT", mesh.path().join("cli.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self(child, lines)
    }

    /// The next line as a document.
    pub(crate) fn json(&self) -> serde_json::Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    pub(crate) fn line(&self) -> String {
        self.1.recv_timeout(PATIENCE).unwrap()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn start_up(dir: &Path, base_port: u16) -> (Child, String) {
    let mut child =
        up(&dir.join("mesh"), base_port).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (sender, greeting) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        for line in out.lines() {
            text.push_str(&line.unwrap());
            text.push('\n');
            if text.ends_with("Ctrl-C drains and stops it.\n") {
                break;
            }
        }
        sender.send(text)
    });
    let greeting = greeting.recv_timeout(PATIENCE).unwrap_or_default();
    if !greeting.contains("Ctrl-C") {
        let _ended = child.kill();
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        panic!("`up` did not start: {greeting}\n{err}");
    }
    (child, greeting)
}

/// The command that starts a mesh.
pub(crate) fn up(dir: &Path, base_port: u16) -> Command {
    let mut command = Command::new(cli());
    command
        .args(["up", "--dir", dir.to_str().unwrap(), "--base-port", &base_port.to_string()])
        .env("OMNIRELAY_MESHKITD", daemon("OMNIRELAY_MESHKITD", "meshkitd"))
        .env("OMNIRELAY_RELAYD", daemon("OMNIRELAY_RELAYD", "relayd"))
        .env("OMNIRELAY_SAMPLES", daemon("OMNIRELAY_SAMPLES", "omnirelay-samples"))
        .stdin(Stdio::null());
    command
}

pub(crate) fn run(command: &mut Command) -> Finished {
    let output = command.env("NO_COLOR", "1").stdin(Stdio::null()).output().unwrap();
    Finished {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The command line under test.
pub(crate) fn cli() -> PathBuf {
    let named = std::env::var_os("CARGO_BIN_EXE_omnirelay").map(|path| std::path::absolute(path).unwrap());
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_omnirelay").into())
}

/// The daemon that a variable names, or else the one that cargo built beside the command line.
pub(crate) fn daemon(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return std::path::absolute(path).unwrap();
    }
    let path = cli().with_file_name(name);
    assert!(path.is_file(), "there is no {}; first run: cargo build --bins", path.display());
    path
}

/// The first of so many ports that nobody holds. Tests of one process never share them.
pub(crate) fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 400).unwrap();
    for _ in 0..400 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let base = 12_000 + (own + step * 7) % 400 * 50;
        let free = |port| {
            TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok()
        };
        if (base..=base + 22).all(free) {
            return base;
        }
    }
    panic!("no ports are free");
}

/// Whether a process is there; a child that ended and was not waited for is not.
pub(crate) fn is_alive(pid: Pid) -> bool {
    test_kill_process(pid).is_ok()
}

/// Tries until it is so.
pub(crate) fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(found) = check() {
            return found;
        }
        pause(Duration::from_millis(50));
    }
    panic!("{what} does not happen");
}

#[allow(clippy::disallowed_methods, reason = "a test has its thread to itself and no runtime")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
