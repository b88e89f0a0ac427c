//! A real etcd of several members on loopback addresses of its own, with TLS, client certificates and users.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use relay_transport::tls::ClientTlsConfig;

use crate::{Issued, TestCa, pause, resume};

/// Names the folder that holds `etcd` and `etcdctl`, where they are not on the `PATH`.
const FOLDER: &str = "OMNIRELAY_ETCD";
/// What `etcd` is called under. It ends when it is told to, and when the test's process ends, however that comes: then
/// nobody else removes the folder.
const KEEPER: &str = r#"folder=$0; "$@" & echo $!; read -r _ || gone=1; kill -9 $!; wait $! 2>/dev/null; [ -z "$gone" ] || rm -rf "$folder""#;
/// How long a cluster may take to answer.
const START: Duration = Duration::from_secs(60);

/// An etcd cluster with its data in a temporary folder. It ends when this is dropped, or with the test's process, so
/// that tests may share one that lies in a `static`.
pub struct EtcdCluster {
    ca: TestCa,
    certificate: Issued,
    programs: Programs,
    members: Vec<Member>,
    has_users: bool,
}

struct Programs {
    etcd: PathBuf,
    etcdctl: PathBuf,
}

struct Member {
    arguments: Vec<String>,
    endpoint: String,
    log: PathBuf,
    running: Option<Running>,
}

struct Running {
    keeper: Child,
    stdin: Option<ChildStdin>,
    process: u32,
}

impl Programs {
    fn find() -> Option<Self> {
        let folder = |name: &str| match std::env::var_os(FOLDER) {
            Some(folder) => Some(PathBuf::from(folder).join(name)),
            None => std::env::var_os("PATH").and_then(|path| {
                std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.exists())
            }),
        };
        let (etcd, etcdctl) = (folder("etcd")?, folder("etcdctl")?);
        (etcd.exists() && etcdctl.exists()).then_some(Self { etcd, etcdctl })
    }
}

impl EtcdCluster {
    /// The user that [`EtcdCluster::with_users`] makes, who may do everything below its prefix.
    pub const USER: &str = "meshkit";
    /// The password of that user.
    pub const PASSWORD: &str = "correct horse battery staple";

    /// Starts a cluster and waits until it answers.
    ///
    /// # Panics
    /// Where etcd is not installed, or does not start.
    #[must_use]
    pub fn start(count: usize) -> Self {
        let Some(programs) = Programs::find() else {
            panic!("no etcd: install Debian's etcd-server and etcd-client, or name their folder by {FOLDER}");
        };
        let ca = TestCa::new();
        let hosts = hosts(count);
        let certificate = ca.issue_for("spiffe://omnirelay.dev/etcd", &hosts);
        let peers: Vec<String> =
            hosts.iter().enumerate().map(|(n, host)| format!("m{n}=https://{host}:2380")).collect();
        let members = hosts
            .iter()
            .enumerate()
            .map(|(n, host)| Member {
                arguments: etcd_arguments(&ca, &certificate, n, host, &peers.join(",")),
                endpoint: format!("https://{host}:2379"),
                log: ca.dir().join(format!("m{n}.log")),
                running: None,
            })
            .collect();
        let mut cluster = Self { ca, certificate, programs, members, has_users: false };
        for n in 0..count {
            cluster.launch(n);
        }
        cluster.wait();
        cluster
    }

    /// Turns users on: from here on only those with a password do anything, and [`EtcdCluster::USER`] below `prefix`
    /// alone.
    ///
    /// # Panics
    /// Where etcd refuses.
    #[must_use]
    pub fn with_users(mut self, prefix: &str) -> Self {
        let user = Self::USER;
        let with_password = |user: &str| format!("{user}:{}", Self::PASSWORD);
        self.ctl(&["user", "add", &with_password("root")]);
        self.ctl(&["user", "grant-role", "root", "root"]);
        self.ctl(&["user", "add", &with_password(user)]);
        self.ctl(&["role", "add", user]);
        self.ctl(&["role", "grant-permission", user, "readwrite", "--prefix=true", prefix]);
        self.ctl(&["user", "grant-role", user, user]);
        self.ctl(&["auth", "enable"]);
        std::fs::write(self.password_file(), format!("{}\n", Self::PASSWORD)).unwrap();
        self.has_users = true;
        self
    }

    /// The client URL of each member.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| member.endpoint.clone()).collect()
    }

    /// The authority that all of its certificates are from.
    #[must_use]
    pub fn ca(&self) -> &TestCa {
        &self.ca
    }

    /// Certificates with which etcd lets a client in.
    #[must_use]
    pub fn tls(&self) -> ClientTlsConfig {
        ClientTlsConfig {
            ca: Some(self.ca.ca()),
            certificate: Some(self.certificate.certificate.clone()),
            private_key: Some(self.certificate.private_key.clone()),
            ..ClientTlsConfig::default()
        }
    }

    /// The file with the password of [`EtcdCluster::USER`].
    #[must_use]
    pub fn password_file(&self) -> PathBuf {
        self.ca.dir().join("password")
    }

    /// Ends a member without asking.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&mut self, member: usize) {
        drop(self.members[member].running.take().unwrap());
    }

    /// Starts a member that was killed. It has its data again.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn restart(&mut self, member: usize) {
        assert!(self.members[member].running.is_none(), "it runs");
        self.launch(member);
    }

    /// Stops a member where it is: its connections stay, and nobody answers.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn pause(&self, member: usize) {
        pause(self.members[member].running.as_ref().unwrap().process);
    }

    /// Lets a member go on that was paused.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn proceed(&self, member: usize) {
        resume(self.members[member].running.as_ref().unwrap().process);
    }

    /// Which member leads.
    ///
    /// # Panics
    /// Where none says that it does.
    #[must_use]
    pub fn leader(&self) -> usize {
        let said = self.ctl(&["endpoint", "status", "--write-out=fields"]);
        let of = |name: &str| -> Vec<String> {
            let value = |line: &str| Some(line.strip_prefix(&format!("\"{name}\" : "))?.to_owned());
            said.lines().filter_map(value).collect()
        };
        let (members, leaders) = (of("MemberID"), of("Leader"));
        members.iter().position(|member| *member == leaders[0]).unwrap()
    }

    /// Runs etcd's own command line as root and gives what it printed.
    ///
    /// # Panics
    /// Where it fails.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        self.try_ctl(arguments).unwrap_or_else(|error| panic!("etcdctl {arguments:?}: {error}"))
    }

    fn try_ctl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.programs.etcdctl);
        command
            .env("ETCDCTL_API", "3")
            .arg("--endpoints")
            .arg(self.endpoints().join(","))
            .arg("--cacert")
            .arg(self.ca.ca())
            .arg("--cert")
            .arg(&self.certificate.certificate)
            .arg("--key")
            .arg(&self.certificate.private_key);
        if self.has_users {
            command.arg("--user").arg(format!("root:{}", Self::PASSWORD));
        }
        let ran = command.args(arguments).output().unwrap();
        match ran.status.success() {
            true => Ok(String::from_utf8_lossy(&ran.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&ran.stderr).into_owned()),
        }
    }

    fn launch(&mut self, n: usize) {
        let member = &mut self.members[n];
        let log = std::fs::File::options().create(true).append(true).open(&member.log).unwrap();
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER])
            .arg(self.ca.dir())
            .arg(&self.programs.etcd)
            .args(&member.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(keeper.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        let stdin = keeper.stdin.take();
        member.running = Some(Running { keeper, stdin, process: said.trim().parse().unwrap() });
    }

    /// Waits until every member answers.
    ///
    /// # Panics
    /// Where one does not.
    pub fn wait(&self) {
        let until = Instant::now() + START;
        while let Err(error) = self.try_ctl(&["endpoint", "health", "--command-timeout=5s"]) {
            assert!(Instant::now() < until, "etcd does not start: {error}\n{}", self.logs());
        }
    }

    fn logs(&self) -> String {
        let tail = |path: &Path| {
            let mut text = String::new();
            let _read = std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text));
            text.lines().rev().take(5).collect::<Vec<_>>().join("\n")
        };
        self.members.iter().map(|member| tail(&member.log)).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.stdin.take() {
            stdin.write_all(b"end\n").unwrap();
        }
        self.keeper.wait().unwrap();
    }
}

/// Loopback addresses that nobody else uses, by chance: a port of 127.0.0.1 that is free now may be taken when a
/// member comes back to it, and processes in sandboxes of their own may share addresses and have the same number.
fn hosts(count: usize) -> Vec<String> {
    for attempt in 0..1_000_u32 {
        let [.., high, low] = RandomState::new().hash_one(attempt).to_be_bytes();
        let hosts: Vec<String> = (1..=count).map(|n| format!("127.{}.{low}.{n}", high.max(1))).collect();
        let is_free =
            |host: &String| [2379, 2380].iter().all(|port| TcpListener::bind((host.as_str(), *port)).is_ok());
        if hosts.iter().all(is_free) {
            return hosts;
        }
    }
    panic!("no loopback address is free");
}

/// Where one of etcd's programs is.
///
/// # Panics
/// Where it is not installed.
#[must_use]
pub fn etcd_program(name: &str) -> PathBuf {
    let Some(programs) = Programs::find() else {
        panic!("no etcd: install Debian's etcd-server and etcd-client, or name their folder by {FOLDER}");
    };
    programs.etcd.with_file_name(name)
}

/// What the member `n` of a cluster is called with that listens at `host`; `cluster` names all as `m0=https://HOST:2380,…`.
#[must_use]
pub fn etcd_arguments(ca: &TestCa, certificate: &Issued, n: usize, host: &str, cluster: &str) -> Vec<String> {
    let path = |path: &Path| path.display().to_string();
    let (client, peer) = (format!("https://{host}:2379"), format!("https://{host}:2380"));
    let (cert, key) = (path(&certificate.certificate), path(&certificate.private_key));
    [
        ("name", format!("m{n}")),
        ("data-dir", path(&ca.dir().join(format!("m{n}")))),
        ("listen-client-urls", client.clone()),
        ("advertise-client-urls", client),
        ("listen-peer-urls", peer.clone()),
        ("initial-advertise-peer-urls", peer),
        ("initial-cluster", cluster.to_owned()),
        ("initial-cluster-state", "new".to_owned()),
        ("cert-file", cert.clone()),
        ("key-file", key.clone()),
        ("trusted-ca-file", path(&ca.ca())),
        ("client-cert-auth", "true".to_owned()),
        ("peer-cert-file", cert),
        ("peer-key-file", key),
        ("peer-trusted-ca-file", path(&ca.ca())),
        ("peer-client-cert-auth", "true".to_owned()),
        ("log-level", "error".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| format!("--{name}={value}"))
    .collect()
}
