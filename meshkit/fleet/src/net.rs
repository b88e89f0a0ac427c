//! Hosts: network namespaces, each with a cable to one bridge. This process stands on the bridge.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::netlink::Netlink;

const BRIDGE: &str = "bridge0";
/// What a host calls its own end.
const OWN: &str = "eth0";
/// Where this process stands.
pub(crate) const HERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

/// The bridge that all hosts are on.
pub(crate) struct Net {
    netlink: Netlink,
}

/// A host. It ends with this process, or when it is dropped.
pub(crate) struct Host {
    pub(crate) address: Ipv4Addr,
    cable: String,
    keeper: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Net {
    /// Makes the bridge in the namespace of this process.
    pub(crate) fn new() -> Self {
        let netlink = Netlink::open().unwrap();
        netlink.set_up("lo", true).unwrap();
        netlink.add_bridge(BRIDGE).unwrap_or_else(|error| panic!("the kernel makes no bridge: {error}"));
        netlink.add_address(BRIDGE, HERE).unwrap();
        Self { netlink }
    }

    /// Adds a host; `program` is what keeps it ([`serve`]).
    pub(crate) fn add(&self, program: &Path, last: u8) -> Host {
        let mut keeper = Command::new("unshare")
            .args(["--net", "--"])
            .arg(program)
            .arg("host")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(keeper.stdout.take().unwrap());
        let (address, cable) = (Ipv4Addr::new(10, 77, 0, last), format!("host{last}"));
        let mut host = Host { address, cable, keeper, said };
        host.hears("ready");
        self.netlink.add_cable(&host.cable, BRIDGE, OWN, host.keeper.id()).unwrap();
        host.order(&format!("address {address}"));
        host
    }

    /// Pulls the plug of a host, or puts it back.
    pub(crate) fn plug(&self, host: &Host, is_in: bool) {
        self.netlink.set_up(&host.cable, is_in).unwrap();
    }
}

impl Host {
    /// Runs a command on this host. It dies with the thread that starts it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.keeper.id()));
        command.args(["--", "setpriv", "--pdeathsig", "KILL", "--"]).arg(program);
        command
    }

    /// Lets nothing that this host sends arrive at others, or everything again. It goes on hearing them.
    pub(crate) fn mute(&mut self, others: &[Ipv4Addr], is_mute: bool) {
        for other in others {
            let verb = if is_mute { "mislead" } else { "forget" };
            self.order(&format!("{verb} {other}"));
        }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.keeper.stdin.as_mut().unwrap(), "{order}").unwrap();
        self.hears("done");
    }

    fn hears(&mut self, wanted: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), wanted, "the keeper of {} has trouble", self.address);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ended = self.keeper.wait();
    }
}

/// Keeps the host that this process is in, and carries out orders that come line by line until there are no more.
///
/// # Errors
/// What cannot be carried out.
pub fn serve() -> std::io::Result<()> {
    let netlink = Netlink::open()?;
    netlink.set_up("lo", true)?;
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = line?;
        let (verb, address) = line.split_once(' ').unwrap_or_default();
        let address: Ipv4Addr = address.parse().map_err(std::io::Error::other)?;
        match verb {
            "address" => {
                netlink.add_address(OWN, address)?;
                netlink.set_up(OWN, true)?;
            }
            "mislead" => netlink.mislead(OWN, address)?,
            "forget" => netlink.forget(OWN, address)?,
            _ => return Err(std::io::Error::other(format!("nobody knows how to `{line}`"))),
        }
        println!("done");
    }
    Ok(())
}
