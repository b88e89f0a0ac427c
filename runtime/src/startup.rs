//! The one order in which a daemon starts, and how long each step took.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::error::OperatorError;

/// Where the report of the start is read with GET.
pub const STARTUP: &str = "/omnirelay/control/startup";

/// The steps of a start, in the order of every daemon. One that has nothing to do for a step leaves it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The logger and the async runtime, and where the process runs.
    Process,
    /// Every source is read and the whole is checked.
    Configuration,
    /// What is kept is opened.
    Store,
    /// Whom it calls, and by which rules.
    Outbounds,
    /// Addresses are taken.
    Listeners,
    /// What it does for others begins: modules, procedures.
    Services,
    /// The mesh hears of it.
    Registration,
    /// Requests are answered.
    Serving,
}

impl Step {
    /// The name in logs and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Configuration => "configuration",
            Self::Store => "store",
            Self::Outbounds => "outbounds",
            Self::Listeners => "listeners",
            Self::Services => "services",
            Self::Registration => "registration",
            Self::Serving => "serving",
        }
    }

    /// What to do where the step fails and its error does not say.
    const fn remedy(self) -> &'static str {
        match self {
            Self::Process => "check the limits on threads and file descriptors (`ulimit -a`)",
            Self::Configuration => "`omnirelay mesh config validate` says all that is wrong with the files",
            Self::Store => {
                "check that the store is there, that this user may write to it, and that no other daemon holds it"
            }
            Self::Outbounds => "check the certificate files that `[[outbounds]]` name",
            Self::Listeners => "check the addresses, and who holds them (`ss -lntup`)",
            Self::Services => "look at the log above: the store answers, and a module cannot begin",
            Self::Registration => "check `[mesh]` and the files that it names",
            Self::Serving => "look at the log above",
        }
    }
}

/// How a start went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartupReport {
    /// The daemon: `relayd`, `meshkitd`.
    pub service: String,
    /// When it started.
    pub started: Timestamp,
    /// What was done, in order; the last one may still be at work.
    pub steps: Vec<StepReport>,
    /// Microseconds until it was ready; none before.
    pub ready_us: Option<u64>,
    /// Where it runs.
    pub environment: Environment,
}

/// How long a step took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// Its name.
    pub name: String,
    /// Microseconds.
    pub took_us: u64,
}

/// Times the steps of a start. Cloning is cheap; clones share the times.
#[derive(Clone, Debug)]
pub struct Steps(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    service: &'static str,
    started: Timestamp,
    began: Instant,
    at_work: Option<(Step, Instant)>,
    done: Vec<(Step, Duration)>,
    ready: Option<Duration>,
    environment: Environment,
}

impl Steps {
    pub(crate) fn new(service: &'static str, environment: Environment, began: Instant) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            service,
            started: Timestamp::now(),
            began,
            at_work: Some((Step::Process, began)),
            done: Vec::new(),
            ready: None,
            environment,
        })))
    }

    /// The step before has ended and this one begins.
    pub(crate) fn begin(&self, step: Step, now: Instant) {
        let mut inner = self.lock();
        debug_assert!(inner.at_work.is_none_or(|(before, _)| before < step), "{step:?} is out of order");
        inner.end(now);
        inner.at_work = Some((step, now));
    }

    /// The last step has ended; how long all of them took.
    pub(crate) fn ready(&self, now: Instant) -> Duration {
        let mut inner = self.lock();
        inner.end(now);
        let took = now.saturating_duration_since(inner.began);
        *inner.ready.get_or_insert(took)
    }

    /// Adds the step that was at work to the error that it ended in.
    pub(crate) fn failed(&self, error: OperatorError) -> OperatorError {
        let inner = self.lock();
        let Some((step, _)) = inner.at_work else { return error };
        let error = match error.hint_text() {
            Some(_) => error,
            None => error.hint(step.remedy()),
        };
        tracing::debug!(service = inner.service, step = step.name(), "start-up failed");
        error
    }

    /// How the start went.
    #[must_use]
    pub fn report(&self) -> StartupReport {
        let inner = self.lock();
        let now = Instant::now();
        let working = inner.at_work.map(|(step, began)| (step, now.saturating_duration_since(began)));
        let steps = inner.done.iter().copied().chain(working);
        let steps =
            steps.map(|(step, took)| StepReport { name: step.name().to_owned(), took_us: micros(took) });
        StartupReport {
            service: inner.service.to_owned(),
            started: inner.started,
            steps: steps.collect(),
            ready_us: inner.ready.map(micros),
            environment: inner.environment.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn end(&mut self, now: Instant) {
        let Some((step, began)) = self.at_work.take() else { return };
        let took = now.saturating_duration_since(began);
        tracing::debug!(service = self.service, step = step.name(), took_us = micros(took), "start-up step");
        self.done.push((step, took));
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn steps_are_timed_in_order_and_a_failed_one_names_its_remedy() {
        let began = Instant::now();
        let after = |millis| began + Duration::from_millis(millis);
        let steps = Steps::new("relayd", Environment::default(), began);
        steps.begin(Step::Configuration, after(2));
        steps.begin(Step::Listeners, after(5));
        let bare = OperatorError::new(ErrorKind::Io, "no");
        assert!(steps.failed(bare.clone()).hint_text().is_some_and(|hint| hint.contains("ss -lntup")));
        assert_eq!(steps.failed(bare.hint("own")).hint_text(), Some("own"));
        assert_eq!(steps.ready(after(9)), Duration::from_millis(9));
        let report = steps.report();
        let told: Vec<_> = report.steps.iter().map(|step| (step.name.as_str(), step.took_us)).collect();
        assert_eq!(told, [("process", 2_000), ("configuration", 3_000), ("listeners", 4_000)]);
        assert_eq!(report.ready_us, Some(9_000));
    }
}
