//! The server of a measurement: a process of its own, as in life. One that shares its threads with its
//! callers is never woken by them, which is a good part of what a call costs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use clap::Args;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_testkit::{Issued, TestCa};
use relay_transport::tls::ServerTlsConfig;

use crate::cpu::process_time;
use crate::peers::{Stack, failed};

#[derive(Args)]
pub(crate) struct ServerArgs {
    #[arg(long)]
    stack: String,
    #[arg(long)]
    certificate: PathBuf,
    #[arg(long)]
    private_key: PathBuf,
}

/// Serves until its standard input ends, that is until whoever started it does: tells its port, and
/// for each line its processor time in nanoseconds.
pub(crate) async fn serve(args: ServerArgs) -> Result<()> {
    let stack = Stack::named(&args.stack)
        .ok_or_else(|| OperatorError::new(ErrorKind::Usage, format!("there is no stack `{}`", args.stack)))?;
    let tls = ServerTlsConfig {
        certificate: args.certificate,
        private_key: args.private_key,
        ..ServerTlsConfig::default()
    };
    let (port, serving) = stack.serve(&tls).await?;
    tell(&port.to_string());
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        for _asked in std::io::stdin().lock().lines().map_while(std::io::Result::ok) {
            tell(&process_time().as_nanos().to_string());
        }
        drop(ended);
    });
    tokio::select! {
        () = serving => {}
        _nobody_asks = end => {}
    }
    Ok(())
}

fn tell(line: &str) {
    // A reader that is gone has closed the input too.
    let _reader_gone = writeln!(std::io::stdout(), "{line}");
}

/// A server that runs; dropped, it is ended.
pub(crate) struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start(stack: Stack, ca: &TestCa) -> Result<Self> {
        let Issued { certificate, private_key, .. } = ca.issue("spiffe://bench/server");
        let io = |error: std::io::Error| failed("the server cannot start", &error);
        let mut child = Command::new(std::env::current_exe().map_err(io)?)
            .args(["server", "--stack", &stack.name(), "--certificate"])
            .arg(&certificate)
            .arg("--private-key")
            .arg(&private_key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(io)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(OperatorError::new(ErrorKind::Internal, "the server has no pipes"));
        };
        let mut server = Self { child, input, output: BufReader::new(output), port: 0 };
        server.port = server.line()?;
        Ok(server)
    }

    /// Its processor time so far.
    pub(crate) fn cpu(&mut self) -> Result<Duration> {
        let asked = self.input.write_all(b"\n");
        asked.map_err(|error| failed("the server takes no question", &error))?;
        self.line().map(Duration::from_nanos)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn line<T: std::str::FromStr>(&mut self) -> Result<T> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line);
        read.map_err(|error| failed("the server says nothing", &error))?;
        let wrong = |_| OperatorError::new(ErrorKind::Unavailable, format!("the server says {line:?}"));
        line.trim().parse().map_err(wrong)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _no_zombie = self.child.wait();
    }
}
