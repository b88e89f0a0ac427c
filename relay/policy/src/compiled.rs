//! The policy of one endpoint as a table, so that a call's decision is one look.

use jiff::Timestamp;
use relay_core::{Encoding, Protocol};

use crate::config::Exception;
use crate::endpoint::Endpoint;
use crate::evaluate::Policy;
use crate::index::Index;
use crate::wire::{Protocols, Style, Wire};

/// What the policy says of the calls at one endpoint. Deciding allocates nothing and takes no lock.
#[derive(Clone, Debug)]
pub struct Compiled {
    cells: [Cell; Wire::COUNT],
    /// What exceptions grant; cells that the same ones cover share theirs.
    indexes: Box<[Index]>,
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
    /// What this index says; one that is not there grants nothing.
    Granted(usize),
}

const NOTHING: Cell = Cell::Granted(usize::MAX);

impl Policy {
    /// The policy of one endpoint as a table.
    #[must_use]
    pub fn compile(&self, endpoint: &Endpoint) -> Compiled {
        let ground = self.ground(endpoint);
        let mut cells = [NOTHING; Wire::COUNT];
        let mut exceptions = Vec::<Granted>::new();
        // The exceptions of an index, by their numbers, and it.
        let (mut known, mut indexes) = (Vec::<Vec<usize>>::new(), Vec::new());
        for wire in Wire::all() {
            let Some(cell) = cells.get_mut(wire.index()) else { continue };
            if ground.allows(wire) {
                *cell = Cell::Allowed;
                continue;
            }
            let granting: Vec<(usize, &Exception)> = self
                .granting(endpoint, &ground, wire)
                .map(|exception| (number(&mut exceptions, exception), exception))
                .collect();
            let numbers: Vec<usize> = granting.iter().map(|(number, _)| *number).collect();
            let index = known.iter().position(|one| *one == numbers).unwrap_or_else(|| {
                known.push(numbers);
                indexes.push(Index::new(granting));
                indexes.len() - 1
            });
            *cell = Cell::Granted(index);
        }
        Compiled {
            cells,
            indexes: indexes.into(),
            exceptions: exceptions.into(),
            preferred: self.preferred(endpoint),
            preferred_encoding: self.preferred_encoding(endpoint),
        }
    }
}

/// The number of an exception among those that something hangs on.
fn number(exceptions: &mut Vec<Granted>, exception: &Exception) -> usize {
    let known = exceptions.iter().position(|one| one.name == exception.name);
    known.unwrap_or_else(|| {
        exceptions.push(Granted { name: exception.name.clone(), expires: exception.expires });
        exceptions.len() - 1
    })
}

impl Compiled {
    /// Whether a call may go. A call without a procedure has an empty one.
    #[must_use]
    pub fn decide(&self, wire: Wire, procedure: &str, now: Timestamp) -> Decision {
        let Some(Cell::Granted(index)) = self.cells.get(wire.index()).copied() else {
            return Decision::Allowed;
        };
        let found = self.indexes.get(index).map(|index| index.find(procedure, now)).unwrap_or_default();
        found.granting.map_or(Decision::Refused(found.expired), Decision::Excepted)
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
                        Some(Cell::Granted(index)) if self.grants(index) => {
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

    /// Whether an index grants anything to any call at any time.
    fn grants(&self, index: usize) -> bool {
        self.indexes.get(index).is_some_and(|index| !index.is_empty())
    }
}
