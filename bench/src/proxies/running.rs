//! Processes that a measurement starts, and ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use relay_testkit::{Issued, TestCa};
use rustix::process::{Pid, Signal, kill_process};

use super::configs::{NGINX_CONNECTIONS, Settings};
use super::load::Measured;
use super::proxy::{Programs, Proxy, pinned};
use super::row::Row;
use super::{Failure, process};

/// How long a proxy may take to answer its first call.
const START: Duration = Duration::from_secs(15);
/// How long it may take to end when it is asked to.
const END: Duration = Duration::from_secs(3);

/// A process and its children; dropped, they are ended.
struct Running(Child);

impl Running {
    fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let all = process::tree(self.id());
        signal(self.id(), Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < END && matches!(self.0.try_wait(), Ok(None)) {
            // It is the end of a step: nobody else has anything to do meanwhile.
            std::thread::park_timeout(Duration::from_millis(10));
        }
        if matches!(self.0.try_wait(), Ok(None)) {
            all.into_iter().for_each(|process| signal(process, Signal::KILL));
        }
        let _no_zombie = self.0.wait();
    }
}

fn signal(process: u32, signal: Signal) {
    if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        let _ended_already = kill_process(process, signal);
    }
}

/// Where the cores are that work is divided among.
#[derive(Clone, Copy)]
pub(super) struct Cores {
    pub(super) proxy: usize,
    pub(super) load: usize,
}

/// The certificates and the upstream that all proxies share.
pub(super) struct Scene {
    pub(super) programs: Programs,
    pub(super) cores: Cores,
    ca: TestCa,
    issued: Issued,
    pair: PathBuf,
    upstream: Running,
    upstream_port: u16,
}

impl Scene {
    pub(super) fn new(programs: Programs, cores: Cores) -> Result<Self, Failure> {
        let ca = TestCa::new();
        let issued = ca.issue("spiffe://bench/proxy");
        let pair = ca.dir().join("pair.pem");
        let parts = [std::fs::read(&issued.certificate)?, std::fs::read(&issued.private_key)?];
        std::fs::write(&pair, parts.concat())?;
        let mut child = own(cores.load)?
            .arg("upstream")
            .arg("--certificate")
            .arg(&issued.certificate)
            .arg("--private-key")
            .arg(&issued.private_key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("the upstream has no output")?;
        let upstream = Running(child);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let upstream_port = line.trim().parse().map_err(|_| format!("the upstream says {line:?}"))?;
        Ok(Self { programs, cores, ca, issued, pair, upstream, upstream_port })
    }

    /// Asks the upstream itself.
    pub(super) async fn direct(&self, row: Row, shape: &[String]) -> Result<Measured, Failure> {
        self.load(row.direct(), self.upstream_port, self.upstream.id(), shape).await
    }

    async fn load(&self, row: Row, port: u16, watch: u32, shape: &[String]) -> Result<Measured, Failure> {
        let mut command = own(self.cores.load)?;
        command.arg("load").args([
            "--row",
            row.id(),
            "--port",
            &port.to_string(),
            "--watch",
            &watch.to_string(),
        ]);
        command.arg("--ca").arg(self.ca.ca()).args(shape);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (output, errors) = (child.stdout.take(), child.stderr.take());
        let mut running = Running(child);
        let said = tokio::task::spawn_blocking(move || {
            let (mut said, mut complaint) = (String::new(), String::new());
            if let (Some(mut output), Some(mut errors)) = (output, errors) {
                output.read_to_string(&mut said)?;
                errors.read_to_string(&mut complaint)?;
            }
            Ok::<_, std::io::Error>((said, complaint))
        });
        let (said, complaint) = said.await??;
        if running.0.wait()?.success() {
            return Ok(serde_json::from_str(&said)?);
        }
        Err(complaint.trim().into())
    }
}

/// This program again, as a part of the measurement.
fn own(core: usize) -> Result<Command, Failure> {
    let mut command = pinned(core);
    command.arg(std::env::current_exe()?);
    Ok(command)
}

/// A proxy that answers.
pub(super) struct Relaying<'a> {
    scene: &'a Scene,
    row: Row,
    port: u16,
    running: Running,
    _folder: tempfile::TempDir,
}

impl<'a> Relaying<'a> {
    /// Starts a proxy that keeps so many connections beside those of the load.
    pub(super) async fn start(
        scene: &'a Scene,
        proxy: Proxy,
        row: Row,
        idle: usize,
    ) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let (port, admin) = (free_port()?, free_port()?);
        let arguments = proxy.configure(&Settings {
            folder: folder.path(),
            certificate: &scene.issued.certificate,
            private_key: &scene.issued.private_key,
            pair: &scene.pair,
            ca: &scene.ca.ca(),
            port,
            admin,
            upstream: scene.upstream_port,
            nginx_connections: NGINX_CONNECTIONS + idle * if row == Row::Http3 { 8 } else { 1 },
        })?;
        let log = folder.path().join("log");
        let mut command = scene.programs.command(proxy, scene.cores.proxy, folder.path());
        command.args(arguments).stderr(std::fs::File::create(&log)?);
        let running = Running(command.spawn().map_err(|error| format!("setpriv and taskset: {error}"))?);
        let mut relaying = Self { scene, row, port, running, _folder: folder };
        let asked = Instant::now();
        loop {
            let ended = relaying.running.0.try_wait()?;
            let once = relaying.load(&["once".to_owned()]).await;
            match once {
                Ok(_) => return Ok(relaying),
                Err(error) if ended.is_some() || asked.elapsed() > START => {
                    let said = std::fs::read_to_string(&log).unwrap_or_default();
                    return Err(format!("{} does not answer: {error}\n{}", proxy.title(), said.trim()).into());
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Seconds of processor time that it has used so far.
    pub(super) fn cpu(&self) -> Result<f64, Failure> {
        process::cpu(self.running.id())
    }

    /// Puts a load on it.
    pub(super) async fn load(&self, shape: &[String]) -> Result<Measured, Failure> {
        self.scene.load(self.row, self.port, self.running.id(), shape).await
    }
}

/// A port that is free over TCP and UDP alike at this moment.
fn free_port() -> Result<u16, Failure> {
    for _ in 0..100 {
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        let address = tcp.local_addr()?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address.port());
        }
    }
    Err("no port is free over TCP and UDP".into())
}
