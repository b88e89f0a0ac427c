//! The `relayd` binary as a process of a test's own.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "test support: not every test uses all of it, and it says by panicking what failed"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use relay_testkit::TestCa;

/// A relay of its own, ended with its owner.
pub(crate) struct Relay {
    pub(crate) child: Child,
    /// The URL of the listener for calls.
    pub(crate) data: String,
    /// The URL of the listener for diagnostics.
    pub(crate) admin: String,
    pub(crate) log: BufReader<std::process::ChildStderr>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The TLS of a relay's listeners, as its configuration writes it.
pub(crate) fn server_tls(ca: &TestCa) -> String {
    let own = ca.issue("spiffe://test/relay/one");
    let (certificate, key, authority) = (own.certificate, own.private_key, ca.ca());
    format!("{{ certificate = {certificate:?}, private_key = {key:?}, client_ca = {authority:?} }}")
}

/// The command that starts a relay with a configuration and overrides of it.
pub(crate) fn relayd(ca: &TestCa, config: &str, sets: &[&str]) -> Command {
    let file = ca.dir().join("relay.toml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_relayd"));
    command.arg("--config").arg(file).args(["--log-format", "json"]).stderr(Stdio::piped());
    for set in sets {
        command.args(["--set", set]);
    }
    command
}

impl Relay {
    /// Starts a relay and waits until it answers.
    pub(crate) fn start(ca: &TestCa, config: &str) -> Self {
        let mut child = relayd(ca, config, &[]).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let (mut data, mut admin) = (String::new(), String::new());
        while !line.contains("\"message\":\"ready\"") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "relayd ended before it was ready");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            if event["message"] == "listening" {
                data = event["data"].as_str().unwrap().to_owned();
                admin = event["admin"].as_str().unwrap().to_owned();
            }
        }
        Self { child, data: format!("https://{data}"), admin: format!("https://{admin}"), log }
    }

    /// Asks the relay to end; its exit code.
    pub(crate) fn terminate(&mut self) -> i32 {
        relay_testkit::terminate(self.child.id());
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("\"message\":\"stopped\""), "{rest}");
        self.child.wait().unwrap().code().unwrap()
    }
}
