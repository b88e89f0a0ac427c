//! Faults that a relay injects into calls on purpose.

use std::path::Path;
use std::time::Duration;

use http::Method;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_core::fault::{Abort, CLEAR_FAULTS, ClearFaults, Delay, FAULTS, Fault, Faults, OrderFault};
use serde::Serialize;

use crate::args::{self, FaultClear, FaultCommand, FaultList, FaultOff, FaultSet};
use crate::mesh::daemon::Daemon;
use crate::output::{self, Look, TextFormat};
use crate::remote;
use crate::table::Table;

/// Shows, orders or takes back.
pub(crate) fn run(context: Option<&Path>, command: &FaultCommand) -> Result<()> {
    match command {
        FaultCommand::List(args) => list(context, args),
        FaultCommand::Set(args) => set(context, args),
        FaultCommand::Off(FaultOff { route, length, daemon, output }) => {
            order(context, daemon, *output, route, *length, Fault::default())
        }
        FaultCommand::Clear(FaultClear { route, daemon, output }) => {
            ask(context, daemon, *output, &Method::POST, CLEAR_FAULTS, &ClearFaults { route: route.clone() })
        }
    }
}

fn list(context: Option<&Path>, args: &FaultList) -> Result<()> {
    let daemon = Daemon::find(context, &args.daemon)?;
    let faults: Faults = remote::runtime()?.block_on(daemon.read(FAULTS))?;
    match args.output.notation() {
        Some(notation) => output::print_document(notation, &faults),
        None => output::print(&render(&faults, args.output.look())),
    }
}

fn set(context: Option<&Path>, args: &FaultSet) -> Result<()> {
    let delay = args.delay.map(|delay| Delay { ms: millis(delay), percent: args.delay_percent });
    let abort = args.abort.map(|code| Abort { code, percent: args.abort_percent });
    order(context, &args.daemon, args.output, &args.route, args.length, Fault { delay, abort })
}

fn order(
    context: Option<&Path>,
    daemon: &args::Daemon,
    output: TextFormat,
    route: &str,
    length: Duration,
    fault: Fault,
) -> Result<()> {
    let order = OrderFault { route: route.to_owned(), for_ms: millis(length), fault };
    if let Some((problem, remedy)) = order.problem() {
        return Err(OperatorError::new(ErrorKind::Usage, problem).hint(remedy));
    }
    ask(context, daemon, output, &Method::PUT, FAULTS, &order)
}

fn ask(
    context: Option<&Path>,
    daemon: &args::Daemon,
    output: TextFormat,
    method: &Method,
    path: &str,
    content: &impl Serialize,
) -> Result<()> {
    let daemon = Daemon::find(context, daemon)?;
    let content = serde_json::to_value(content).map_err(|error| {
        OperatorError::new(ErrorKind::Internal, "the order cannot be written").caused_by(&error)
    })?;
    let faults: Faults = remote::runtime()?.block_on(daemon.ask(method, path, Some(&content), None))?;
    match output.notation() {
        Some(notation) => output::print_document(notation, &faults),
        None => output::print(&render(&faults, Look::usual())),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn render(faults: &Faults, look: Look) -> String {
    if faults.routes.is_empty() {
        return format!("{} injects no faults\n", output::printable(&faults.node));
    }
    let mut table = Table::new(&["ROUTE", "FAULT", "BY", "UNTIL", ">DELAYED", ">ABORTED"]);
    for one in &faults.routes {
        table.row([
            one.route.clone(),
            words(&one.fault),
            one.by.clone().unwrap_or_else(|| "configuration".to_owned()),
            one.until.map(|until| format!("{until:.0}")).unwrap_or_default(),
            one.delayed.to_string(),
            one.aborted.to_string(),
        ]);
    }
    table.render(0, look)
}

/// What a fault does: `delay 200 ms 5 %, abort unavailable 1 %`.
pub(crate) fn words(fault: &Fault) -> String {
    let delay = fault.delay.map(|delay| format!("delay {} ms {} %", delay.ms, delay.percent));
    let abort = fault.abort.map(|abort| format!("abort {} {} %", abort.code, abort.percent));
    let words: Vec<String> = delay.into_iter().chain(abort).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
