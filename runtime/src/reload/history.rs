//! What became of each reload, as it is told to operators.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::OperatorError;

/// Where the history is read with GET.
pub const CONFIG: &str = "/omnirelay/control/config";
/// Where a reload is asked for with POST.
pub const RELOAD: &str = "/omnirelay/control/config/reload";

/// Reloads that are remembered.
const KEPT: usize = 64;

/// What began a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// The daemon started.
    Start,
    /// A file looked different.
    File,
    /// SIGHUP.
    Signal,
    /// Somebody asked for it.
    Operator,
}

impl Trigger {
    /// The name in logs and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::File => "file",
            Self::Signal => "signal",
            Self::Operator => "operator",
        }
    }
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The new configuration is in force.
    Applied,
    /// It says what the old one said.
    Unchanged,
    /// It cannot be read, is not valid, or changes what cannot change while running; the old one goes on.
    Refused,
    /// It is valid, and a part of the daemon could not take it; what the other parts had prepared was
    /// undone and the old one goes on.
    RolledBack,
}

impl Outcome {
    /// The name in logs, metrics and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
            Self::RolledBack => "rolled-back",
        }
    }

    /// Whether what the files say is what is in force.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Applied | Self::Unchanged)
    }
}

/// Something that is wrong, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What.
    pub message: String,
    /// Where: `relay.toml:12`.
    pub location: Option<String>,
    /// Why, the nearest cause first.
    pub causes: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl From<&OperatorError> for Problem {
    fn from(error: &OperatorError) -> Self {
        Self {
            message: error.to_string(),
            location: error.location().map(ToOwned::to_owned),
            causes: error.causes().map(ToOwned::to_owned).collect(),
            hint: error.hint_text().map(ToOwned::to_owned),
        }
    }
}

/// One reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// Counts the reloads of a process; 0 is its start.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// What began it.
    pub trigger: Trigger,
    /// Who asked for it, where somebody did.
    pub by: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// The generation in force since; 1 is the one that the daemon started with.
    pub generation: u64,
    /// The keys whose values are different, and files that they name.
    pub changed: Vec<String>,
    /// Why it was not applied.
    pub problems: Vec<Problem>,
    /// Microseconds from reading to the end.
    pub took_us: u64,
}

/// A daemon's configuration as it is now, and how it came to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// The daemon's name.
    pub node: String,
    /// The generation in force.
    pub generation: u64,
    /// When what the sources say was last found to be, or made, what is in force.
    pub last_success: Timestamp,
    /// Where it is read from, weakest first.
    pub sources: Vec<String>,
    /// The keys that can change while running, with all below each.
    pub reloadable: Vec<String>,
    /// The latest reloads, oldest first.
    pub history: Vec<Reload>,
}

/// The reloads of a process.
#[derive(Debug)]
pub(super) struct History {
    pub(super) generation: u64,
    pub(super) last_success: Timestamp,
    next: u64,
    kept: VecDeque<Reload>,
}

/// What a reload came to, before it has a number.
pub(super) struct Ended {
    pub(super) at: Timestamp,
    pub(super) trigger: Trigger,
    pub(super) by: Option<String>,
    pub(super) outcome: Outcome,
    pub(super) changed: Vec<String>,
    pub(super) problems: Vec<OperatorError>,
    pub(super) took_us: u64,
}

impl History {
    /// The daemon started with its configuration.
    pub(super) fn started(at: Timestamp) -> Self {
        let mut history = Self { generation: 0, last_success: at, next: 0, kept: VecDeque::new() };
        let (trigger, outcome) = (Trigger::Start, Outcome::Applied);
        let start = Ended { at, trigger, by: None, outcome, changed: vec![], problems: vec![], took_us: 0 };
        history.push(start);
        history
    }

    pub(super) fn push(&mut self, ended: Ended) -> Reload {
        let Ended { at, trigger, by, outcome, changed, problems, took_us } = ended;
        if outcome == Outcome::Applied {
            self.generation += 1;
        }
        if outcome.is_success() {
            self.last_success = at;
        }
        let reload = Reload {
            number: self.next,
            at,
            trigger,
            by,
            outcome,
            generation: self.generation,
            changed,
            problems: problems.iter().map(Problem::from).collect(),
            took_us,
        };
        self.next += 1;
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(reload.clone());
        reload
    }

    pub(super) fn latest(&self) -> Vec<Reload> {
        self.kept.iter().cloned().collect()
    }
}
