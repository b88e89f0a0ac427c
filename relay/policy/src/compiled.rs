//! The policy of one endpoint as a table, so that a call's decision is one look.

use jiff::Timestamp;
use relay_core::{Encoding, Protocol};

use crate::config::matches;
use crate::endpoint::Endpoint;
use crate::evaluate::Policy;
use crate::wire::{Protocols, Style, Wire};

/// What the policy says of the calls at one endpoint. Deciding allocates nothing and takes no lock.
#[derive(Clone, Debug)]
pub struct Compiled {
    cells: [Cell; Wire::COUNT],
    grants: Box<[Grant]>,
    exceptions: Box<[Granted]>,
    /// What its calls should use.
    pub preferred: Option<Protocol>,
    /// What its calls should use.
    pub preferred_encoding: Option<Encoding>,
}

/// An exception as a compiled policy keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Its name.
    pub name: String,
    /// When it ends.
    pub expires: Timestamp,
}

/// What the policy says of one call. The numbers are indexes into [`Compiled::exceptions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The rule allows it.
    Allowed,
    /// Only this exception allows it.
    Excepted(usize),
    /// Nothing allows it; the exception, where there is one, has expired.
    Refused(Option<usize>),
}

#[derive(Clone, Copy, Debug)]
enum Cell {
    Allowed,
    /// What these grants say; none of them refuses.
    Granted {
        from: u32,
        to: u32,
    },
}

#[derive(Clone, Debug)]
struct Grant {
    exception: usize,
    expires: Timestamp,
    /// Patterns; none stands for every call.
    procedures: Box<[String]>,
}

impl Policy {
    /// The policy of one endpoint as a table.
    #[must_use]
    pub fn compile(&self, endpoint: &Endpoint) -> Compiled {
        let ground = self.ground(endpoint);
        let mut cells = [Cell::Granted { from: 0, to: 0 }; Wire::COUNT];
        let (mut grants, mut exceptions) = (Vec::new(), Vec::<Granted>::new());
        for wire in Wire::all() {
            let Some(cell) = cells.get_mut(wire.index()) else { continue };
            if ground.allows(wire) {
                *cell = Cell::Allowed;
                continue;
            }
            let from = bounded(grants.len());
            for exception in self.granting(endpoint, &ground, wire) {
                let known = exceptions.iter().position(|one| one.name == exception.name);
                let index = known.unwrap_or_else(|| {
                    exceptions.push(Granted { name: exception.name.clone(), expires: exception.expires });
                    exceptions.len() - 1
                });
                let procedures = exception.procedures.clone().into();
                grants.push(Grant { exception: index, expires: exception.expires, procedures });
            }
            *cell = Cell::Granted { from, to: bounded(grants.len()) };
        }
        Compiled {
            cells,
            grants: grants.into(),
            exceptions: exceptions.into(),
            preferred: self.preferred(endpoint),
            preferred_encoding: self.preferred_encoding(endpoint),
        }
    }
}

/// Configuration of at most 4 MiB has no 2^32 exceptions.
fn bounded(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Compiled {
    /// Whether a call may go. A call without a procedure has an empty one.
    #[must_use]
    pub fn decide(&self, wire: Wire, procedure: &str, now: Timestamp) -> Decision {
        let Some(Cell::Granted { from, to }) = self.cells.get(wire.index()).copied() else {
            return Decision::Allowed;
        };
        let grants = self.grants.get(from as usize..to as usize).unwrap_or_default();
        let mut expired = None;
        for grant in grants.iter().filter(|grant| grant.takes(procedure)) {
            if now < grant.expires {
                return Decision::Excepted(grant.exception);
            }
            expired = Some(grant.exception);
        }
        Decision::Refused(expired)
    }

    /// The exceptions that something at this endpoint hangs on.
    #[must_use]
    pub fn exceptions(&self) -> &[Granted] {
        &self.exceptions
    }

    /// Which of the offered protocols a call may go over now.
    #[must_use]
    pub fn protocols(
        &self,
        offered: Protocols,
        style: Style,
        encoding: Encoding,
        procedure: &str,
        now: Timestamp,
    ) -> Protocols {
        let fine = |protocol: &Protocol| {
            let wire = Wire { protocol: *protocol, style, encoding };
            offered.contains(*protocol) && !matches!(self.decide(wire, procedure, now), Decision::Refused(_))
        };
        Protocols::from_iter(Protocol::ALL.into_iter().filter(fine))
    }

    /// Every set that [`Compiled::protocols`] can ever answer with, but the empty one.
    #[must_use]
    pub fn protocol_sets(&self, offered: Protocols) -> Vec<Protocols> {
        let mut sets = Vec::new();
        for style in Style::ALL {
            for encoding in Encoding::ALL {
                let cell =
                    |protocol: Protocol| self.cells.get(Wire { protocol, style, encoding }.index()).copied();
                let mut reachable = vec![Protocols::NONE];
                for protocol in Protocol::ALL.into_iter().filter(|one| offered.contains(*one)) {
                    match cell(protocol) {
                        Some(Cell::Allowed) => reachable.iter_mut().for_each(|set| *set = set.with(protocol)),
                        Some(Cell::Granted { from, to }) if from < to => {
                            let with: Vec<Protocols> =
                                reachable.iter().map(|set| set.with(protocol)).collect();
                            reachable.extend(with);
                        }
                        _ => {}
                    }
                }
                sets.extend(reachable.into_iter().filter(|set| !set.is_empty()));
            }
        }
        sets.sort();
        sets.dedup();
        sets
    }
}

impl Grant {
    fn takes(&self, procedure: &str) -> bool {
        self.procedures.is_empty() || self.procedures.iter().any(|pattern| matches(pattern, procedure))
    }
}
