//! The verdict for people: what is fine on standard output, what is wrong on standard error.

use omnirelay_runtime::Result;

use super::changes::Located;
use super::judge::list;
use super::{Judgement, Sources, names};
use crate::output;

/// The most room that a label takes.
const LABEL: usize = 10;

pub(super) fn print(judgement: &Judgement, sources: &Sources) -> Result<()> {
    if judgement.problems.is_empty() {
        output::print(&summary(judgement, &sources.names()))?;
    }
    for problem in &judgement.problems {
        output::note(&problem.report(output::color_on_stderr()));
    }
    match &judgement.changes {
        Some(changes) => output::print(&downgrades(changes, &names(&sources.against))),
        None => Ok(()),
    }
}

pub(super) fn summary(judgement: &Judgement, files: &[String]) -> String {
    let mut text = format!("{} is a valid {} configuration\n", files.join(" + "), judgement.kind);
    let policy = &judgement.policy;
    let downgraded = match policy.downgraded.as_slice() {
        [] => String::new(),
        names => format!(": {}", names.join(", ")),
    };
    let downgrades = format!(
        "{} of {} endpoints, ratio {:.2}{downgraded}",
        policy.downgraded.len(),
        policy.endpoints,
        policy.downgrade_ratio()
    );
    let own = [("downgrades", downgrades), ("exceptions", list(&policy.exceptions))];
    for (label, fact) in judgement.facts.iter().chain(&own) {
        text.push_str(&format!("  {label:<LABEL$}  {}\n", output::printable(fact)));
    }
    text
}

pub(super) fn downgrades(changes: &[Located], against: &[String]) -> String {
    let against = against.join(" + ");
    let mut text = match changes.len() {
        0 => return format!("nothing is downgraded against {against}\n"),
        1 => format!("1 downgrade against {against}\n"),
        count => format!("{count} downgrades against {against}\n"),
    };
    for Located { change, location } in changes {
        text.push_str(&format!("  {}: {}\n", change.endpoint, change.effect));
        let place = location.clone().unwrap_or_else(|| change.key.clone());
        text.push_str(&format!("    where: {place}\n"));
        if !change.procedures.is_empty() {
            text.push_str(&format!("    calls: {}\n", change.procedures.join(", ")));
        }
    }
    output_lines(&text)
}

/// Names come from files that others wrote.
fn output_lines(text: &str) -> String {
    text.lines().map(|line| output::printable(line) + "\n").collect()
}
