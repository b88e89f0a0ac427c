//! What all changes of the mesh share: a dry run where something cannot simply be taken back, the
//! question whether it is meant, and how it went.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use meshkit_client::{Answer, Change, Changed, MeshClient, MeshError, Seen};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde_json::{Value, json};

use super::reading;
use crate::args::Changing;
use crate::output::{self, Look};

/// A change as the command line asks for it.
fn change(args: &Changing) -> Change {
    let seen = args.if_version.map_or(Seen::Any, Seen::Version);
    let change = Change::of(seen).idempotency_key(&args.idempotency_key);
    change.reason(&args.reason).ticket(&args.ticket)
}

/// Carries out a change that is easily taken back.
pub(super) fn carry_out<T>(
    context: Option<&Path>,
    args: &Changing,
    call: impl AsyncFnOnce(&MeshClient, &Change) -> Result<Answer<Changed<T>>, MeshError>,
) -> Result<Changed<T>> {
    let change = if args.dry_run { change(args).dry_run() } else { change(args) };
    Ok(reading::call(context, async |client| call(client, &change).await)?.value)
}

/// Carries out a destructive change: a dry run first, then the question, then what was confirmed.
/// `describe` says in a line what would be.
pub(super) fn confirm<T>(
    context: Option<&Path>,
    args: &Changing,
    describe: impl FnOnce(&T) -> String,
    call: &impl AsyncFn(&MeshClient, &Change) -> Result<Answer<Changed<T>>, MeshError>,
) -> Result<Changed<T>> {
    let rehearsal = change(args).dry_run();
    let rehearsed = reading::call(context, async |client| call(client, &rehearsal).await)?.value;
    if args.dry_run || rehearsed.outcome.unchanged {
        return Ok(rehearsed);
    }
    if !args.yes {
        ask(&describe(&rehearsed.record))?;
    }
    let confirmed = change(args).confirmed_by(&rehearsed.outcome);
    Ok(reading::call(context, async |client| call(client, &confirmed).await)?.value)
}

/// Asks on the terminal; where there is none nothing is done.
pub(super) fn ask(what: &str) -> Result<()> {
    let refused = |message: &str, hint: &str| Err(OperatorError::new(ErrorKind::Usage, message).hint(hint));
    if !std::io::stdin().is_terminal() {
        return refused(
            "this has to be confirmed, and nobody is at the terminal",
            "look at it with `--dry-run`, then say `--yes`",
        );
    }
    let mut stderr = std::io::stderr().lock();
    // Nobody sees the question where standard error is closed; the answer is no then.
    let _closed = write!(stderr, "{what} Go on? [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match read.map(|_| answer.trim().to_lowercase()) {
        Ok(answer) if answer == "y" || answer == "yes" => Ok(()),
        _ => refused("it was not confirmed, and nothing was done", "answer `y`, or say `--yes`"),
    }
}

/// Prints how a change went: the record as a table or as a document, and a line about it.
pub(super) fn print<T>(
    args: &Changing,
    changed: &Changed<T>,
    name: &str,
    document: impl FnOnce(&T) -> Value,
    table: impl FnOnce(&T, Look) -> String,
) -> Result<()> {
    let outcome = &changed.outcome;
    match args.shown.output.notation() {
        Some(notation) => output::print_document(notation, &self::document(changed, name, document)),
        None => {
            output::print(&table(&changed.record, args.shown.output.look()))?;
            output::note(went(outcome.dry_run, outcome.unchanged, outcome.replayed));
            Ok(())
        }
    }
}

/// How a change went as one document, with the record under its name.
pub(super) fn document<T>(changed: &Changed<T>, name: &str, record: impl FnOnce(&T) -> Value) -> Value {
    let outcome = &changed.outcome;
    json!({
        name: record(&changed.record),
        "outcome": {
            "dryRun": outcome.dry_run,
            "unchanged": outcome.unchanged,
            "replayed": outcome.replayed,
        },
    })
}

const fn went(dry_run: bool, unchanged: bool, replayed: bool) -> &'static str {
    match (dry_run, unchanged, replayed) {
        (_, true, _) => "nothing to do: it is so already",
        (true, ..) => "this is how it would be; nothing was written",
        (_, _, true) => "done before, by a request with the same idempotency key",
        _ => "done",
    }
}
