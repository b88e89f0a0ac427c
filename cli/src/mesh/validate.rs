//! Judging a configuration as the daemons would at their start.

use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_policy::Report;
use serde_json::{Value, json};

use crate::args::Validate;
use crate::output::{self, Notation, VerdictFormat};
use changes::Located;

mod changes;
mod judge;
mod sarif;
#[cfg(test)]
mod tests;
mod text;

/// What is to be said of a configuration of whatever kind.
#[derive(Debug)]
struct Judgement {
    kind: &'static str,
    /// What it configures, as label and text.
    facts: Vec<(&'static str, String)>,
    policy: Report,
    problems: Vec<OperatorError>,
    /// What the change downgrades; none where there is nothing to compare with.
    changes: Option<Vec<Located>>,
}

/// The layers of a configuration.
#[derive(Clone, Debug, Default)]
struct Sources {
    files: Vec<PathBuf>,
    sets: Vec<String>,
    against: Vec<PathBuf>,
}

impl Sources {
    fn names(&self) -> Vec<String> {
        names(&self.files)
    }
}

/// Judges one configuration of one or more layers.
pub(crate) fn run(args: Validate) -> Result<ExitCode> {
    let sources = Sources { files: args.files, sets: args.sets, against: args.against };
    let judged = judge::judge(&sources, Timestamp::now());
    match args.output {
        VerdictFormat::Text => text::print(judged.as_ref().map_err(Clone::clone)?, &sources)?,
        VerdictFormat::Json => output::print_document(Notation::Json, &document(&judged, &sources))?,
        VerdictFormat::Yaml => output::print_document(Notation::Yaml, &document(&judged, &sources))?,
        VerdictFormat::Sarif => output::print_document(Notation::Json, &sarif::document(&judged, &sources))?,
    }
    Ok(exit_code(&judged, args.fail_on_downgrade))
}

fn exit_code(judged: &Result<Judgement>, fail_on_downgrade: bool) -> ExitCode {
    let judgement = match judged {
        Ok(judgement) => judgement,
        Err(error) => return ExitCode::from(error.kind().exit_code()),
    };
    let downgrades = judgement.changes.as_deref().is_some_and(|changes| !changes.is_empty());
    if !judgement.problems.is_empty() {
        ExitCode::from(ErrorKind::Config.exit_code())
    } else if fail_on_downgrade && downgrades {
        ExitCode::from(ErrorKind::Conflict.exit_code())
    } else {
        ExitCode::SUCCESS
    }
}

fn names(files: &[PathBuf]) -> Vec<String> {
    files.iter().map(|file| file.display().to_string()).collect()
}

/// The verdict as one JSON document.
fn document(judged: &Result<Judgement>, sources: &Sources) -> Value {
    let judgement = match judged {
        Ok(judgement) => judgement,
        Err(error) => {
            return json!({ "valid": false, "files": sources.names(), "problems": [error.to_json()] });
        }
    };
    let problems: Vec<Value> = judgement.problems.iter().map(OperatorError::to_json).collect();
    let facts: serde_json::Map<String, Value> =
        judgement.facts.iter().map(|(label, fact)| ((*label).to_owned(), fact.clone().into())).collect();
    let mut document = json!({
        "valid": problems.is_empty(),
        "kind": judgement.kind,
        "files": sources.names(),
        "summary": facts,
        "policy": {
            "endpoints": judgement.policy.endpoints,
            "downgraded": judgement.policy.downgraded,
            "downgrade_ratio": judgement.policy.downgrade_ratio(),
            "exceptions": judgement.policy.exceptions,
        },
        "problems": problems,
    });
    if let (Some(changes), Some(object)) = (&judgement.changes, document.as_object_mut()) {
        object.insert("against".to_owned(), names(&sources.against).into());
        object.insert("downgrades".to_owned(), changes.iter().map(Located::to_json).collect());
    }
    document
}
