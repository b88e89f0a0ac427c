//! The way to each address: a connection, the messages that wait for one, or the time to leave it alone.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::conn_info::PeerIdentity;

/// Messages that wait for a connection; older ones make room.
const WAITING: usize = 16;
/// How long an address where nobody answers is left alone.
const ALONE: Duration = Duration::from_secs(1);

enum Way {
    Dialing(VecDeque<Bytes>),
    Open(quinn::Connection, PeerIdentity),
    Broken(Instant),
}

#[derive(Default)]
pub(super) struct Pool(HashMap<SocketAddr, Way>);

/// What is to be done with a message.
pub(super) enum Next {
    /// It goes over this connection.
    Send(quinn::Connection, Bytes),
    /// It waits; a connection has to be made.
    Dial,
    /// It waits.
    Wait,
    /// It is lost.
    Drop,
}

impl Pool {
    /// The way of a message; `most` addresses are remembered.
    pub(super) fn way(&mut self, to: SocketAddr, message: Bytes, now: Instant, most: usize) -> Next {
        match self.0.get_mut(&to) {
            Some(Way::Open(connection, _)) if connection.close_reason().is_none() => {
                return Next::Send(connection.clone(), message);
            }
            Some(Way::Dialing(waiting)) => {
                if waiting.len() == WAITING {
                    waiting.pop_front();
                }
                waiting.push_back(message);
                return Next::Wait;
            }
            Some(Way::Broken(until)) if now < *until => return Next::Drop,
            _ => {}
        }
        if self.0.len() >= most {
            self.0.retain(|_, way| match way {
                Way::Dialing(_) => true,
                Way::Open(connection, _) => connection.close_reason().is_none(),
                Way::Broken(until) => now < *until,
            });
        }
        if self.0.len() >= most {
            return Next::Drop;
        }
        self.0.insert(to, Way::Dialing(VecDeque::from([message])));
        Next::Dial
    }

    /// The connection to an address, where there is one.
    pub(super) fn open(&self, to: SocketAddr) -> Option<(quinn::Connection, PeerIdentity)> {
        match self.0.get(&to)? {
            Way::Open(connection, identity) if connection.close_reason().is_none() => {
                Some((connection.clone(), identity.clone()))
            }
            _ => None,
        }
    }

    /// Messages go over this connection from now on; gives those that waited for it. A later connection
    /// counts: an earlier one may be to a process that is gone.
    pub(super) fn opened(
        &mut self,
        to: SocketAddr,
        connection: quinn::Connection,
        identity: PeerIdentity,
    ) -> VecDeque<Bytes> {
        match self.0.insert(to, Way::Open(connection, identity)) {
            Some(Way::Dialing(waiting)) => waiting,
            _ => VecDeque::new(),
        }
    }

    /// No connection came about; gives how many messages waited for it.
    pub(super) fn failed(&mut self, to: SocketAddr, now: Instant) -> usize {
        match self.0.get(&to) {
            // Meanwhile the other end called.
            Some(Way::Open(..)) => 0,
            other => {
                let lost = if let Some(Way::Dialing(waiting)) = other { waiting.len() } else { 0 };
                self.0.insert(to, Way::Broken(now + ALONE));
                lost
            }
        }
    }

    /// A connection has ended.
    pub(super) fn ended(&mut self, to: SocketAddr, connection: &quinn::Connection) {
        if let Some(Way::Open(open, _)) = self.0.get(&to)
            && open.stable_id() == connection.stable_id()
        {
            self.0.remove(&to);
        }
    }
}
