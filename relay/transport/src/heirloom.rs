//! A listener that another process goes on with: what it says of its sockets, and when it lets go of them.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Weak};

use omnirelay_runtime::socket_file::SocketFile;
use omnirelay_runtime::takeover::{Estate, Heirloom};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::address::ListenAddress;
use crate::socket::{Door, Gate};
use crate::workers::{Key, Switch, Workers};

/// What stands beside the descriptors of a listener: first the one for streams, then those for datagrams.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Deed {
    pub(crate) address: ListenAddress,
    /// Whether there is one for streams.
    pub(crate) streams: bool,
    /// The file of a socket that has one.
    #[serde(default)]
    pub(crate) inode: Option<u64>,
    /// What is to be known of those for datagrams.
    #[serde(default)]
    pub(crate) datagrams: Option<Datagrams>,
}

/// How connections are told apart.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Datagrams {
    pub(crate) key: Key,
    /// Of the process that gets them.
    pub(crate) generation: u8,
}

/// What a new process says of a listener that it goes on with, beside ways for datagrams, one a socket.
#[derive(Debug, Serialize, Deserialize)]
struct Claim {
    /// Whether the file of its socket is in use.
    file: bool,
}

/// A listener among what a process hands over.
pub(crate) struct ListenerHeirloom {
    name: &'static str,
    address: ListenAddress,
    socket_mode: u32,
    door: Weak<Door>,
    gate: watch::Sender<Gate>,
    key: Option<Key>,
    switches: Vec<Arc<Switch>>,
    /// Of the process that asked last: one that failed is not followed by another of its generation.
    generation: AtomicU8,
    /// Whether the new process uses the file of the socket.
    file_stays: AtomicBool,
}

impl ListenerHeirloom {
    pub(crate) fn new(
        name: &'static str,
        (address, socket_mode): (ListenAddress, u32),
        (door, gate): (Weak<Door>, watch::Sender<Gate>),
        quic: Option<&Workers>,
    ) -> Self {
        let switches = quic.map(|quic| quic.switches().to_vec()).unwrap_or_default();
        let first = switches.first().map(|switch| switch.place());
        let generation = AtomicU8::new(first.map_or(0, |(_, generation)| generation));
        let key = first.map(|(key, _)| key.clone());
        Self {
            name,
            address,
            socket_mode,
            door,
            gate,
            key,
            switches,
            generation,
            file_stays: AtomicBool::new(false),
        }
    }

    fn file(&self, then: impl FnOnce(&SocketFile)) {
        if let Some(Door::Unix(door)) = self.door.upgrade().as_deref() {
            then(&door.file);
        }
    }
}

impl Heirloom for ListenerHeirloom {
    fn name(&self) -> &str {
        self.name
    }

    fn offer(&self) -> io::Result<Estate> {
        let mut descriptors = Vec::new();
        let door = self.door.upgrade();
        if let Some(door) = &door {
            descriptors.push(door.copy()?);
        }
        for switch in &self.switches {
            descriptors.push(switch.copy()?);
        }
        let mut inode = None;
        self.file(|file| inode = Some(file.inode()));
        let generation = self.generation.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let datagrams = self.key.clone().map(|key| Datagrams { key, generation });
        let deed = Deed { address: self.address.clone(), streams: door.is_some(), inode, datagrams };
        Ok(Estate { name: self.name.to_owned(), about: serde_json::to_value(deed)?, descriptors })
    }

    fn claim(&self) -> io::Result<Option<Estate>> {
        let inherited = self.switches.iter().filter(|switch| switch.is_inherited());
        let descriptors = inherited.map(|switch| switch.claim()).collect::<io::Result<Vec<_>>>()?;
        let mut file = false;
        self.file(|made| file = made.is_left());
        let about = serde_json::to_value(Claim { file })?;
        Ok(Some(Estate { name: self.name.to_owned(), about, descriptors }))
    }

    fn pause(&self, needed: Option<Estate>) -> io::Result<()> {
        if let Some(Estate { about, descriptors: ways, .. }) = needed {
            let claim: Claim = serde_json::from_value(about)?;
            // Without ways to its connections it goes on receiving: the new process has other sockets, or none.
            if !ways.is_empty() && ways.len() != self.switches.len() {
                let what = format!("{} ways for {} sockets", ways.len(), self.switches.len());
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            for (switch, way) in self.switches.iter().zip(ways) {
                switch.yield_to(way)?;
            }
            self.file_stays.store(claim.file, Ordering::Relaxed);
        }
        self.gate.send_replace(Gate::Paused);
        Ok(())
    }

    fn resume(&self) {
        self.switches.iter().for_each(|switch| switch.resume());
        self.gate.send_if_modified(|gate| {
            let paused = *gate == Gate::Paused;
            if paused {
                *gate = Gate::Open;
            }
            paused
        });
    }

    fn release(&self) {
        if self.file_stays.load(Ordering::Relaxed) {
            self.file(SocketFile::leave);
        }
        self.gate.send_replace(Gate::Released);
    }

    fn own(&self) {
        self.file(|file| {
            if let Err(error) = file.own(self.socket_mode) {
                tracing::warn!(%error, listener = self.name, "the socket file's mode cannot be set");
            }
        });
    }

    fn outlived(&self) {
        self.switches.iter().for_each(|switch| switch.outlived());
    }
}
