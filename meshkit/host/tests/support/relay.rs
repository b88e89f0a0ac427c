//! A real relayd.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use relay_testkit::TestCa;

/// A running relayd; killed when it is dropped.
pub struct Relay {
    /// The URL of the listener for calls.
    pub data: String,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

/// The relay that a variable names, or else the one that cargo built beside meshkitd.
fn relayd() -> PathBuf {
    if let Some(path) = std::env::var_os("OMNIRELAY_RELAYD") {
        return path.into();
    }
    let path = PathBuf::from(env!("CARGO_BIN_EXE_meshkitd")).with_file_name("relayd");
    assert!(path.is_file(), "there is no {}; first run: cargo build --bins", path.display());
    path
}

impl Relay {
    /// Starts a relay and waits until it is ready.
    pub fn start(ca: &TestCa, config: &str) -> Self {
        let file = ca.dir().join("relay.toml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(relayd());
        command.arg("--config").arg(file).args(["--log-format", "json"]).stdin(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let (mut data, mut said) = (String::new(), Vec::new());
        let is_ready = log.by_ref().any(|line| {
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = event["data"].as_str() {
                data = format!("https://{address}");
            }
            said.push(line);
            event["message"] == "ready"
        });
        assert!(is_ready, "relayd ended before it was ready:\n{}", said.join("\n"));
        let said = Arc::new(Mutex::new(said));
        let more = Arc::clone(&said);
        std::thread::spawn(move || log.for_each(|line| more.lock().unwrap().push(line)));
        Self { data, child, log: said }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            // Shown with the test that failed.
            let said = self.log.lock().unwrap().join("\n");
            let _closed = std::io::stderr().write_all(said.as_bytes());
        }
    }
}
