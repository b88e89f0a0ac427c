//! The few words of rtnetlink that a bridge, its cables and their ends need (Linux's `rtnetlink(7)`), so that tests need no `ip`.

use std::io::{Error, Read as _, Result};
use std::net::Ipv4Addr;

use socket2::{Domain, Protocol, Socket, Type};

const AF_INET: u8 = 2;
const AF_NETLINK: i32 = 16;
const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const REPLACE: u16 = 0x100;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_PID: u16 = 19;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const PERMANENT: u16 = 0x80;
const UP: u32 = 1;
const HEADER: usize = 16;

/// The namespace that the process is in.
pub(crate) struct Netlink(Socket);

/// A message or an attribute in the making.
struct Bytes(Vec<u8>);

impl Bytes {
    fn link(index: u32, flags: u32, change: u32) -> Self {
        let mut bytes = Self(vec![0; 4]);
        for word in [index, flags, change] {
            bytes.0.extend(word.to_ne_bytes());
        }
        bytes
    }

    /// An attribute: its length, its kind, and its value up to a whole number of words.
    fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn named(self, name: &str) -> Self {
        let name: Vec<u8> = name.bytes().chain([0]).collect();
        self.with(IFLA_IFNAME, &name)
    }
}

impl Netlink {
    pub(crate) fn open() -> Result<Self> {
        let socket = Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(0)))?;
        Ok(Self(socket))
    }

    /// A bridge, up.
    pub(crate) fn add_bridge(&self, name: &str) -> Result<()> {
        let info = Bytes(Vec::new()).with(INFO_KIND, b"bridge");
        let message = Bytes::link(0, UP, UP).named(name).with(IFLA_LINKINFO, &info.0);
        self.ask(RTM_NEWLINK, CREATE | EXCLUSIVE, &message.0).map(drop)
    }

    /// A cable from a bridge to the namespace of a process, where its end is called `peer`.
    pub(crate) fn add_cable(&self, name: &str, bridge: &str, peer: &str, process: u32) -> Result<()> {
        let end = Bytes::link(0, 0, 0).named(peer).with(IFLA_NET_NS_PID, &process.to_ne_bytes());
        let data = Bytes(Vec::new()).with(VETH_INFO_PEER, &end.0);
        let info = Bytes(Vec::new()).with(INFO_KIND, b"veth").with(INFO_DATA, &data.0);
        let message = Bytes::link(0, 0, 0).named(name).with(IFLA_LINKINFO, &info.0);
        self.ask(RTM_NEWLINK, CREATE | EXCLUSIVE, &message.0)?;
        let bridge = self.index(bridge)?;
        let message = Bytes::link(self.index(name)?, UP, UP).with(IFLA_MASTER, &bridge.to_ne_bytes());
        self.ask(RTM_NEWLINK, 0, &message.0).map(drop)
    }

    /// Plugs an end in or out.
    pub(crate) fn set_up(&self, name: &str, is_up: bool) -> Result<()> {
        let message = Bytes::link(self.index(name)?, if is_up { UP } else { 0 }, UP);
        self.ask(RTM_NEWLINK, 0, &message.0).map(drop)
    }

    /// An address in a network of 256.
    pub(crate) fn add_address(&self, name: &str, address: Ipv4Addr) -> Result<()> {
        let head = [AF_INET, 24, 0, 0].into_iter().chain(self.index(name)?.to_ne_bytes()).collect();
        let message = Bytes(head).with(IFA_LOCAL, &address.octets()).with(IFA_ADDRESS, &address.octets());
        self.ask(RTM_NEWADDR, CREATE | EXCLUSIVE, &message.0).map(drop)
    }

    /// Sends what goes to an address nowhere: to a card that nobody has.
    pub(crate) fn mislead(&self, name: &str, address: Ipv4Addr) -> Result<()> {
        let message = self.neighbour(name, address)?.with(NDA_LLADDR, &[2, 0, 0, 0, 0, 1]);
        self.ask(RTM_NEWNEIGH, CREATE | REPLACE, &message.0).map(drop)
    }

    /// Undoes [`mislead`](Self::mislead).
    pub(crate) fn forget(&self, name: &str, address: Ipv4Addr) -> Result<()> {
        let message = self.neighbour(name, address)?;
        self.ask(RTM_DELNEIGH, 0, &message.0).map(drop)
    }

    fn neighbour(&self, name: &str, address: Ipv4Addr) -> Result<Bytes> {
        let mut head = vec![AF_INET, 0, 0, 0];
        head.extend(self.index(name)?.to_ne_bytes());
        head.extend(PERMANENT.to_ne_bytes());
        head.extend([0, 0]);
        Ok(Bytes(head).with(NDA_DST, &address.octets()))
    }

    fn index(&self, name: &str) -> Result<u32> {
        let answer = self.ask(RTM_GETLINK, 0, &Bytes::link(0, 0, 0).named(name).0)?;
        let index = answer.get(HEADER + 4..HEADER + 8).and_then(|index| index.try_into().ok());
        index.map(u32::from_ne_bytes).ok_or_else(|| Error::other("the kernel's answer is too short"))
    }

    /// Asks the kernel and gives what it answers: a message, or nothing but that it was done.
    fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> Result<Vec<u8>> {
        // A question for a message is answered by it alone, an order by an acknowledgement.
        let acknowledged = if kind == RTM_GETLINK { 0 } else { ACK };
        let length = u32::try_from(HEADER + body.len()).unwrap();
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend((REQUEST | acknowledged | flags).to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        self.0.send(&message)?;
        let mut answer = vec![0; 1 << 16];
        let came = (&self.0).read(&mut answer)?;
        answer.truncate(came);
        let word =
            |at: usize| answer.get(at..at + 4).and_then(|word| word.try_into().ok()).map(i32::from_ne_bytes);
        let is_error = answer.get(4..6) == Some(&NLMSG_ERROR.to_ne_bytes());
        match word(HEADER) {
            Some(code) if is_error && code != 0 => Err(Error::from_raw_os_error(-code)),
            _ => Ok(answer),
        }
    }
}
