//! Calls that are written down in a file, and what is expected of them.
//!
//! The text that is told holds no time and no address, so that two runs against the same services say the same.

mod compare;
mod file;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::ExitCode;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use self::file::{Expect, Step};
use crate::args::RunScript;
use crate::context::{Context, Side};
use crate::output;
use crate::remote;
use crate::request::{self, Answer, Call, answer};

/// What became of one step.
struct Outcome {
    name: String,
    /// In what it is otherwise than expected.
    problems: Vec<String>,
    document: Value,
}

/// Runs a script.
pub(crate) fn run(context: Option<&Path>, args: &RunScript) -> Result<ExitCode> {
    let script = file::read(&args.file)?;
    let context = Context::read(context)?;
    // Nothing is called before all of it is known to be in order.
    let steps = script.steps.iter().map(|step| Prepared::of(step, &context)).collect::<Result<Vec<_>>>()?;
    let runtime = remote::runtime()?;
    let mut outcomes = Vec::new();
    for step in &steps {
        let outcome = step.make(&context, &runtime)?;
        let failed = !outcome.problems.is_empty();
        if args.output.notation().is_none() {
            output::print(&outcome.text())?;
        }
        outcomes.push(outcome);
        if failed && args.fail_fast {
            break;
        }
    }
    let passed = outcomes.iter().filter(|outcome| outcome.problems.is_empty()).count();
    let (run, all) = (outcomes.len(), steps.len());
    match args.output.notation() {
        Some(notation) => {
            let steps: Vec<Value> = outcomes.iter().map(|outcome| outcome.document.clone()).collect();
            output::print_document(notation, &json!({ "passed": passed, "run": run, "steps": steps }))?;
        }
        None => output::print(&format!("{passed} of {all} steps are as expected\n"))?,
    }
    let is_well = passed == all;
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(ErrorKind::Conflict.exit_code()) })
}

/// A step that can be made.
struct Prepared<'a> {
    step: &'a Step,
    call: Call,
    relay: String,
}

impl<'a> Prepared<'a> {
    fn of(step: &'a Step, context: &Context) -> Result<Self> {
        let prepare = || {
            let args = step.calling()?;
            request::protocols(&args)?;
            Ok((Call::prepare(&args)?, context.relay(args.relay.as_deref(), Side::Data)?))
        };
        let (call, relay) =
            prepare().map_err(|error: OperatorError| error.at(format!("step `{}`", step.name)))?;
        Ok(Self { step, call, relay })
    }

    /// Makes its calls until one is otherwise.
    fn make(&self, context: &Context, runtime: &Runtime) -> Result<Outcome> {
        let (name, problems) = (self.step.name.clone(), Vec::new());
        let mut outcome = Outcome { name, problems, document: Value::Null };
        for _ in 0..self.step.repeat.max(1) {
            let answer = runtime.block_on(self.call.carry_out(context, &self.relay));
            outcome.take(&self.step.expect, &self.call, &answer)?;
            if !outcome.problems.is_empty() {
                break;
            }
        }
        Ok(outcome)
    }
}

impl Outcome {
    /// Compares an answer with what is expected. Where there was none at all that is an answer too.
    fn take(&mut self, expect: &Expect, call: &Call, answer: &Result<Answer>) -> Result<()> {
        let (status, message, body, came) = match answer {
            Ok(answer) => match &answer.outcome {
                Ok(bytes) => {
                    let text = answer::text(bytes, call)?;
                    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
                    ("ok".to_owned(), String::new(), body, Some(answer))
                }
                Err(status) => {
                    (status.code.name().to_owned(), status.message.clone(), Value::Null, Some(answer))
                }
            },
            Err(error) => ("no-answer".to_owned(), error.to_string(), Value::Null, None),
        };
        let mut differ = |what: &str, found: &str, wanted: &str| {
            self.problems.push(output::printable(&format!("{what} is {found}, expected {wanted}")));
        };
        if status != expect.status {
            let found = if message.is_empty() { status.clone() } else { format!("{status} ({message})") };
            differ("status", &found, &expect.status);
        } else {
            if let Some(wanted) = expect.message.as_ref().filter(|wanted| !message.contains(*wanted)) {
                differ("message", &format!("{message:?}"), &format!("one with {wanted:?}"));
            }
            for difference in expect.body.iter().flat_map(|wanted| compare::differences(wanted, &body)) {
                differ(&difference.place, &difference.found, &difference.wanted);
            }
        }
        if let (Some(wanted), Some(answer)) = (&expect.protocol, came)
            && answer.protocol.name() != wanted
        {
            differ("protocol", answer.protocol.name(), wanted);
        }
        self.document = json!({
            "name": self.name,
            "passed": self.problems.is_empty(),
            "problems": self.problems,
            "status": status,
            "message": message,
            "body": body,
            "protocol": came.map(|answer| answer.protocol),
            "downgrade": came.and_then(|answer| answer.downgrade),
            "elapsed_ms": came.map(|answer| (answer.elapsed.as_secs_f64() * 1e6).round() / 1e3),
        });
        Ok(())
    }

    fn text(&self) -> String {
        let verdict = if self.problems.is_empty() { "ok  " } else { "FAIL" };
        let mut text = format!("{verdict}  {}\n", output::printable(&self.name));
        for problem in &self.problems {
            text.push_str(&format!("      {problem}\n"));
        }
        text
    }
}
