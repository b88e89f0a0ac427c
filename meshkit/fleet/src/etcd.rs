//! etcd's own command line about the fleet's members.

use std::path::PathBuf;
use std::process::Command;

use relay_testkit::{Issued, TestCa, etcd_program};

/// Speaks with all members as an operator does.
pub(crate) struct Control {
    program: PathBuf,
    endpoints: Vec<String>,
    ca: PathBuf,
    certificate: Issued,
}

impl Control {
    pub(crate) fn new(ca: &TestCa, certificate: &Issued, endpoints: Vec<String>) -> Self {
        Self { program: etcd_program("etcdctl"), endpoints, ca: ca.ca(), certificate: certificate.clone() }
    }

    /// Whether every member answers.
    pub(crate) fn is_healthy(&self) -> bool {
        self.run(&["endpoint", "health", "--command-timeout=2s"]).is_some()
    }

    /// Which member leads, from 0; none where nobody knows.
    pub(crate) fn leader(&self) -> Option<usize> {
        let said = self.run(&["endpoint", "status", "--command-timeout=2s", "--write-out=fields"])?;
        let of = |name: &str| -> Vec<String> {
            let value = |line: &str| Some(line.strip_prefix(&format!("\"{name}\" : "))?.to_owned());
            said.lines().filter_map(value).collect()
        };
        let leaders = of("Leader");
        of("MemberID").iter().position(|member| Some(member) == leaders.first())
    }

    fn run(&self, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new(&self.program);
        command.env("ETCDCTL_API", "3").arg("--endpoints").arg(self.endpoints.join(","));
        command.arg("--cacert").arg(&self.ca).arg("--cert").arg(&self.certificate.certificate);
        command.arg("--key").arg(&self.certificate.private_key).args(arguments);
        let ran = command.output().unwrap();
        ran.status.success().then(|| String::from_utf8_lossy(&ran.stdout).into_owned())
    }
}
