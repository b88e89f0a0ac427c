//! What is asked of a running daemon as a whole: its configuration, what it logs, its end.

use std::path::Path;
use std::process::ExitCode;

use http::{Method, StatusCode};
use omnirelay_runtime::reload::{CONFIG, ConfigStatus, Problem, RELOAD, Reload};
use omnirelay_runtime::{ErrorKind, LogState, Result};
use serde_json::{Value, json};

use crate::args::{ConfigReload, ConfigReloads, Drain, Log};
use crate::mesh::daemon::Daemon;
use crate::output::{self, Look};
use crate::remote;
use crate::table::Table;

const LOG: &str = "/omnirelay/control/log";
const DRAIN: &str = "/omnirelay/control/drain";

/// Shows where a configuration came from and what became of each reload.
pub(crate) fn history(context: Option<&Path>, args: &ConfigReloads) -> Result<()> {
    let daemon = Daemon::find(context, &args.daemon)?;
    let status: ConfigStatus = remote::runtime()?.block_on(daemon.read(CONFIG))?;
    match args.output.notation() {
        Some(notation) => output::print_document(notation, &status),
        None => output::print(&render(&status, args.output.look())),
    }
}

/// Has a configuration read anew.
pub(crate) fn reload(context: Option<&Path>, args: &ConfigReload) -> Result<ExitCode> {
    let daemon = Daemon::find(context, &args.daemon)?;
    let refused = Some(StatusCode::UNPROCESSABLE_ENTITY);
    let reload: Reload = remote::runtime()?.block_on(daemon.ask(&Method::POST, RELOAD, None, refused))?;
    match args.output.notation() {
        Some(notation) => output::print_document(notation, &reload)?,
        None => output::print(&told(&reload))?,
    }
    let code = if reload.outcome.is_success() { 0 } else { ErrorKind::Config.exit_code() };
    Ok(ExitCode::from(code))
}

/// Has a daemon end.
pub(crate) fn drain(context: Option<&Path>, args: &Drain) -> Result<()> {
    let daemon = Daemon::find(context, &args.daemon)?;
    let answer: Value = remote::runtime()?.block_on(daemon.ask(&Method::POST, DRAIN, None, None))?;
    match args.output.notation() {
        Some(notation) => output::print_document(notation, &answer),
        None => output::print(&format!("{} drains\n", daemon.url)),
    }
}

/// Shows or says what a daemon logs.
pub(crate) fn log(context: Option<&Path>, args: &Log) -> Result<()> {
    let daemon = Daemon::find(context, &args.daemon)?;
    let state: LogState = remote::runtime()?.block_on(async {
        match &args.filter {
            None => daemon.read(LOG).await,
            Some(filter) => daemon.ask(&Method::PUT, LOG, Some(&json!({ "filter": filter })), None).await,
        }
    })?;
    match args.output.notation() {
        Some(notation) => output::print_document(notation, &state),
        None => output::print(&format!("{}\n", output::printable(&state.filter))),
    }
}

fn render(status: &ConfigStatus, look: Look) -> String {
    let mut out = format!(
        "{}, generation {}, in force as the sources say it since {:.0}\n",
        output::printable(&status.node),
        status.generation,
        status.last_success
    );
    let sources: Vec<String> = status.sources.iter().map(|source| output::printable(source)).collect();
    out.push_str(&format!("read from {}\n\n", sources.join(", ")));
    let mut table = Table::new(&[">NUMBER", "AT", "BY", "OUTCOME", ">GENERATION", ">TOOK", "CHANGED"]);
    for one in &status.history {
        table.row([
            one.number.to_string(),
            format!("{:.3}", one.at),
            one.by.clone().unwrap_or_else(|| one.trigger.name().to_owned()),
            one.outcome.name().to_owned(),
            one.generation.to_string(),
            format!("{:.1} ms", millis(one.took_us)),
            one.changed.join(", "),
        ]);
    }
    out.push_str(&table.render(0, look));
    let last = status.history.last().filter(|last| !last.outcome.is_success());
    for problem in last.into_iter().flat_map(|last| &last.problems) {
        out.push('\n');
        out.push_str(&lines(problem));
    }
    out
}

fn told(reload: &Reload) -> String {
    let changed = match reload.changed.as_slice() {
        [] => String::new(),
        changed => format!(": {}", changed.join(", ")),
    };
    let mut out = format!(
        "{} in {:.1} ms, generation {}{}\n",
        reload.outcome.name(),
        millis(reload.took_us),
        reload.generation,
        output::printable(&changed)
    );
    reload.problems.iter().for_each(|problem| out.push_str(&lines(problem)));
    out
}

fn lines(problem: &Problem) -> String {
    let mut out = format!("error: {}\n", output::printable(&problem.message));
    let mut add = |name: &str, text: &str| out.push_str(&format!("  {name} {}\n", output::printable(text)));
    problem.location.iter().for_each(|location| add("where:", location));
    problem.causes.iter().for_each(|cause| add("cause:", cause));
    problem.hint.iter().for_each(|hint| add("hint: ", hint));
    out
}

/// For people: three digits are enough.
#[allow(clippy::cast_precision_loss, reason = "it is shown with one digit behind the point")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}
