//! The mesh: three etcd, three meshkitd, five owners and two relays, each on its host.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use meshkit_client::{Credentials, MeshClient, ShardFilter, v1};
use relay_client::{Channel, ChannelConfig};
use relay_testkit::{Issued, TestCa, etcd_arguments, etcd_program};

use crate::check::Accepted;
use crate::etcd::Control;
use crate::net::{Host, Net};
use crate::process::Process;
use crate::text;

/// How long anything that has to come may take to come.
const DEADLINE: Duration = Duration::from_secs(60);
/// The roles, how many have them, and where their addresses begin.
const ROLES: [(&str, u8, u8); 4] =
    [("etcd", 3, 11), ("meshkit", 3, 21), ("inventory", 5, 31), ("relay", 2, 41)];

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// What keeps hosts and owns shards.
    pub host: PathBuf,
    /// The control plane.
    pub meshkitd: PathBuf,
    /// The relay.
    pub relayd: PathBuf,
}

/// A running mesh. Everything ends when it is dropped.
pub struct Fleet {
    // Before the hosts, which they stand on.
    processes: BTreeMap<String, Process>,
    hosts: BTreeMap<String, Host>,
    net: Net,
    ca: TestCa,
    etcd: Issued,
    programs: Programs,
    operator: MeshClient,
}

impl Programs {
    /// `host` is the crate's own program; the daemons are named by variables, or lie beside it.
    ///
    /// # Panics
    /// Where a daemon was not built.
    #[must_use]
    pub fn find(host: &str) -> Self {
        let host = std::path::absolute(host).unwrap();
        let find = |variable: &str, name: &str| {
            let named = std::env::var_os(variable).map(PathBuf::from);
            let path = std::path::absolute(named.unwrap_or_else(|| host.with_file_name(name))).unwrap();
            assert!(path.is_file(), "there is no {}; first run: cargo build --bins", path.display());
            path
        };
        Self {
            meshkitd: find("OMNIRELAY_MESHKITD", "meshkitd"),
            relayd: find("OMNIRELAY_RELAYD", "relayd"),
            host,
        }
    }
}

impl Fleet {
    /// Starts everything and waits until every owner has its share. To be called where the test begins: what is started dies
    /// with the thread that started it.
    pub async fn start(programs: Programs) -> Self {
        let mut fleet = Self::hosts_alone(programs);
        for role in ["etcd", "meshkit", "relay", "inventory"] {
            fleet.start_all(role).await;
        }
        fleet.settled(5).await;
        fleet
    }

    /// As [`start`](Self::start), without owners and relays.
    pub async fn start_control_plane(programs: Programs) -> Self {
        let mut fleet = Self::hosts_alone(programs);
        for role in ["etcd", "meshkit"] {
            fleet.start_all(role).await;
        }
        fleet
    }

    fn hosts_alone(programs: Programs) -> Self {
        let (net, ca) = (Net::new(), TestCa::new());
        let mut hosts = BTreeMap::new();
        for (role, count, first) in ROLES {
            for n in 0..count {
                hosts.insert(format!("{role}-{}", n + 1), net.add(&programs.host, first + n));
            }
        }
        let of_etcd: Vec<String> = (11..=13).map(|last| format!("10.77.0.{last}")).collect();
        let etcd = ca.issue_for("spiffe://omnirelay.dev/etcd", &of_etcd);
        let meshkitd = |last: u8| format!("https://10.77.0.{last}:7400");
        let operator = client(&ca, "operator/fleet", &[21, 22, 23].map(meshkitd));
        Self { processes: BTreeMap::new(), hosts, net, ca, etcd, programs, operator }
    }

    async fn start_all(&mut self, role: &str) {
        let names = self.names(role);
        for name in &names {
            self.launch(name);
        }
        for name in &names {
            self.ready(name).await;
        }
    }

    /// The names of those with a role.
    #[must_use]
    pub fn names(&self, role: &str) -> Vec<String> {
        let prefix = format!("{role}-");
        self.hosts.keys().filter(|name| name.starts_with(&prefix)).cloned().collect()
    }

    /// Starts one that does not run and waits until it is ready.
    pub async fn run(&mut self, name: &str) {
        self.launch(name);
        self.ready(name).await;
    }

    async fn ready(&mut self, name: &str) {
        if !name.starts_with("etcd") {
            return self.processes.get_mut(name).unwrap().ready().await;
        }
        let control = self.etcd_control();
        let running: Vec<usize> =
            (0..3).filter(|n| self.processes.contains_key(&format!("etcd-{}", n + 1))).collect();
        // One that comes back has to be followed by the others before the next may go.
        eventually("etcd answers", async || running.len() < 3 || control.is_healthy()).await;
    }

    fn launch(&mut self, name: &str) {
        assert!(!self.processes.contains_key(name), "{name} runs");
        let command = self.command(name);
        self.processes.insert(name.to_owned(), Process::start(command, &self.log(name)));
    }

    fn command(&self, name: &str) -> Command {
        let host = &self.hosts[name];
        let own = host.address;
        let daemon = |program: &Path, text: String| {
            let file = self.ca.dir().join(format!("{name}.toml"));
            std::fs::write(&file, text).unwrap();
            let mut command = host.command(program);
            command.arg("--config").arg(file).args(["--log-format", "json"]);
            command
        };
        match name.rsplit_once('-').unwrap() {
            ("etcd", number) => {
                let n: usize = number.parse().unwrap();
                let all: Vec<String> =
                    (0..3).map(|n| format!("m{n}=https://10.77.0.{}:2380", 11 + n)).collect();
                let arguments = etcd_arguments(&self.ca, &self.etcd, n - 1, &own.to_string(), &all.join(","));
                let mut command = host.command(&etcd_program("etcd"));
                command.args(arguments);
                command
            }
            ("meshkit", _) => {
                let all = self.addresses("meshkit");
                let text = text::meshkitd(&self.ca, name, own, &all, &self.etcd_endpoints());
                daemon(&self.programs.meshkitd, text)
            }
            ("relay", _) => daemon(
                &self.programs.relayd,
                text::relayd(&self.ca, name, own, &self.endpoints("meshkit", 7400)),
            ),
            _ => {
                let spiffe = format!("spiffe://omnirelay.dev/service/{name}");
                let issued = self.ca.issue_for(&spiffe, &[own.to_string()]);
                let mut command = host.command(&self.programs.host);
                command.args(["owner", name, &format!("{own}:7420")]);
                command.arg(self.ca.ca()).arg(issued.certificate).arg(issued.private_key);
                command.arg(self.record(name)).arg(self.endpoints("meshkit", 7400).join(","));
                command
            }
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self, name: &str) {
        println!("{name} is killed");
        drop(self.processes.remove(name).unwrap());
    }

    /// SIGTERM, and waits for its end.
    pub async fn terminate(&mut self, name: &str) {
        let ended = self.processes.remove(name).unwrap().terminate().await;
        let in_order = ended.success() || name.starts_with("etcd");
        assert!(in_order, "{name} ended with {ended}");
    }

    /// SIGSTOP.
    pub fn pause(&self, name: &str) {
        println!("{name} stands still");
        relay_testkit::pause(self.processes[name].id());
    }

    /// SIGCONT.
    pub fn resume(&self, name: &str) {
        relay_testkit::resume(self.processes[name].id());
    }

    /// Cuts a host off: nothing reaches it, and it reaches nobody.
    pub fn cut(&self, name: &str) {
        println!("{name} is cut off");
        self.net.plug(&self.hosts[name], false);
    }

    /// Ends [`cut`](Self::cut).
    pub fn heal(&self, name: &str) {
        self.net.plug(&self.hosts[name], true);
    }

    /// Lets a host hear everybody while nothing that it says arrives, or ends that.
    pub fn mute(&mut self, name: &str, is_mute: bool) {
        println!("{name} is {}", if is_mute { "mute" } else { "heard again" });
        let mut others: Vec<Ipv4Addr> =
            self.hosts.iter().filter(|(other, _)| *other != name).map(|(_, host)| host.address).collect();
        others.push(crate::net::HERE);
        self.hosts.get_mut(name).unwrap().mute(&others, is_mute);
    }

    /// A client with the rights of an operator.
    #[must_use]
    pub fn operator(&self) -> &MeshClient {
        &self.operator
    }

    /// A client of one meshkitd alone, with the rights of an administrator.
    #[must_use]
    pub fn admin_at(&self, name: &str) -> MeshClient {
        let endpoint = format!("https://{}:7400", self.hosts[name].address);
        client(&self.ca, "admin/fleet", &[endpoint])
    }

    /// A channel to a relay.
    #[must_use]
    pub fn channel(&self, relay: &str) -> Channel {
        let url = format!("https://{}:7410", self.hosts[relay].address);
        let tls = self.ca.client_tls(Some("spiffe://omnirelay.dev/operator/caller"));
        Channel::new(&ChannelConfig::new(url, tls)).unwrap()
    }

    /// All shards as the control plane knows them.
    pub async fn shards(&self) -> Vec<v1::Shard> {
        let operator = self.operator.clone().with_timeout(Duration::from_secs(2));
        match operator.shards(ShardFilter::default()).await {
            Ok(answer) => answer.value,
            Err(_) => {
                self.operator.close().await;
                Vec::new()
            }
        }
    }

    /// Waits until so many owners serve all shards, and nobody is about to hand one over.
    pub async fn settled(&self, owners: usize) {
        eventually(&format!("{owners} owners share"), async || {
            let shards = self.shards().await;
            let is_quiet = |shard: &v1::Shard| !shard.leader.is_empty() && shard.successor.is_empty();
            let mut serving: Vec<&str> = shards.iter().map(|shard| shard.leader.as_str()).collect();
            serving.sort_unstable();
            serving.dedup();
            !shards.is_empty() && shards.iter().all(is_quiet) && serving.len() == owners
        })
        .await;
    }

    /// Which etcd leads.
    pub async fn etcd_leader(&self) -> String {
        let control = self.etcd_control();
        loop {
            if let Some(leader) = control.leader() {
                return format!("etcd-{}", leader + 1);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn etcd_control(&self) -> Control {
        Control::new(&self.ca, &self.etcd, self.etcd_endpoints())
    }

    /// All that owners accepted.
    #[must_use]
    pub fn accepted(&self) -> Vec<Accepted> {
        let records = self.names("inventory").into_iter().map(|name| {
            let text = std::fs::read_to_string(self.record(&name)).unwrap_or_default();
            let lines: Vec<Accepted> = text.lines().map(|line| Accepted::read(line).unwrap()).collect();
            lines
        });
        records.flatten().collect()
    }

    fn record(&self, name: &str) -> PathBuf {
        self.ca.dir().join(format!("{name}.record"))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.ca.dir().join(format!("{name}.log"))
    }

    fn addresses(&self, role: &str) -> Vec<Ipv4Addr> {
        self.names(role).iter().map(|name| self.hosts[name].address).collect()
    }

    fn endpoints(&self, role: &str, port: u16) -> Vec<String> {
        self.addresses(role).iter().map(|address| format!("https://{address}:{port}")).collect()
    }

    fn etcd_endpoints(&self) -> Vec<String> {
        self.endpoints("etcd", 2379)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Some(folder) = std::env::var_os("FLEET_LOGS") {
            std::fs::create_dir_all(&folder).unwrap();
            for name in self.hosts.keys() {
                let _not_there =
                    std::fs::copy(self.log(name), Path::new(&folder).join(format!("{name}.log")));
                let _not_there =
                    std::fs::copy(self.record(name), Path::new(&folder).join(format!("{name}.record")));
            }
        } else if std::thread::panicking() {
            println!(
                "name a folder by FLEET_LOGS to keep the logs of all processes and the records of the owners"
            );
        }
    }
}

fn client(ca: &TestCa, who: &str, endpoints: &[String]) -> MeshClient {
    let tls = ca.client_tls(Some(&format!("spiffe://omnirelay.dev/{who}")));
    let channel = |endpoint: &String| Channel::new(&ChannelConfig::new(endpoint, tls.clone())).unwrap();
    let (first, others) = endpoints.split_first().unwrap();
    MeshClient::with_fallbacks(channel(first), others.iter().map(channel).collect(), Credentials::none())
}

/// Asks again and again until the answer is yes.
///
/// # Panics
/// Where it never is.
pub async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !ask().await {
        assert!(began.elapsed() < DEADLINE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
