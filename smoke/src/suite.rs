//! Named checks over one fixture, one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use crate::engine::Engine;
use crate::process::runtime;

type Check<T> = (String, Box<dyn Fn(&T)>);

/// A suite: what `main` of a smoke test consists of.
///
/// Checks run in the order of their listing and share the fixture; each fails for itself, by
/// panicking. Whatever the outcome, what the run made of the engine is removed at the end, also when
/// Bazel ends the suite for taking too long.
pub struct Suite<T> {
    name: &'static str,
    checks: Vec<Check<T>>,
}

impl<T> Suite<T> {
    /// An empty suite.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, checks: Vec::new() }
    }

    /// Adds a check; its name says what a user can rely on.
    #[must_use]
    pub fn check(mut self, name: impl Into<String>, check: impl Fn(&T) + 'static) -> Self {
        self.checks.push((name.into(), Box::new(check)));
        self
    }

    /// Makes the fixture and runs the checks whose names hold the words of the command line
    /// (and of Bazel's `--test_filter`), or all.
    #[must_use]
    pub fn run(self, fixture: impl FnOnce(Arc<Engine>) -> T) -> ExitCode {
        let filter: Vec<String> =
            std::env::args().skip(1).chain(std::env::var("TESTBRIDGE_TEST_ONLY")).collect();
        let began = Instant::now();
        let Ok(engine) = catch_unwind(|| Arc::new(Engine::connect(self.name))) else {
            return ExitCode::FAILURE;
        };
        sweep_when_told_to_end(&engine);
        let mut failed = Vec::new();
        match attempt("the fixture", &engine, || fixture(Arc::clone(&engine))) {
            None => failed.push("the fixture".to_owned()),
            Some(fixture) => {
                for (name, check) in &self.checks {
                    if filter.iter().all(|word| name.contains(word.as_str())) {
                        engine.begin(name);
                        if attempt(name, &engine, || check(&fixture)).is_none() {
                            failed.push(name.clone());
                        }
                    }
                }
            }
        }
        engine.sweep();
        let seconds = began.elapsed().as_secs_f64();
        if failed.is_empty() {
            println!("{}: all well after {seconds:.1} s", self.name);
            return ExitCode::SUCCESS;
        }
        println!("{}: failed after {seconds:.1} s: {}", self.name, failed.join("; "));
        ExitCode::FAILURE
    }
}

/// Runs one piece; a panic is told with every container's log.
fn attempt<R>(name: &str, engine: &Engine, piece: impl FnOnce() -> R) -> Option<R> {
    let began = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(piece)).ok();
    // Stops here for good once the suite is told to end.
    drop(engine.making());
    let word = if outcome.is_some() { "ok    " } else { "FAILED" };
    println!("{word} {name} ({:.1} s)", began.elapsed().as_secs_f64());
    if outcome.is_none() {
        // The report itself meets an engine that may be the trouble.
        let _reported = catch_unwind(AssertUnwindSafe(|| engine.print_logs()));
    }
    outcome
}

/// On SIGTERM, which Bazel sends some seconds before it kills, shows the logs and cleans up.
fn sweep_when_told_to_end(engine: &Arc<Engine>) {
    let engine = Arc::clone(engine);
    let _inside = runtime().enter();
    let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        return;
    };
    std::thread::spawn(move || {
        if runtime().block_on(signal.recv()).is_some() {
            // Kept to the end, so that the checks make nothing any more that would be left over.
            let _making = engine.making();
            println!("told to end (Bazel's time limit?)");
            engine.print_logs();
            engine.sweep();
            #[allow(
                clippy::disallowed_methods,
                reason = "`main` is somewhere in a check and does not come back"
            )]
            std::process::exit(1);
        }
    });
}
