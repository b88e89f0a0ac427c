//! What came of the load, for people and for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::histogram::Histogram;
use super::load::Tally;
use super::target::Target;
use crate::args::Load;
use crate::output::{self, Look};
use crate::table::Table;

#[cfg(test)]
mod tests;

const QUANTILES: [(&str, f64); 7] = [
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
];

/// Rows of the plot, and its longest bar in characters.
const ROWS: u32 = 16;
const BAR: u64 = 50;

pub(super) fn document(target: &Target, load: &Load, tally: &Tally, took: Duration) -> Value {
    let latency: serde_json::Map<String, Value> = QUANTILES
        .iter()
        .map(|(name, part)| (name.replace('.', "_"), millis(tally.times.quantile(*part)).into()))
        .chain([
            ("mean".to_owned(), millis(tally.times.mean()).into()),
            ("max".to_owned(), millis(tally.times.max()).into()),
        ])
        .collect();
    json!({
        "target": target.name,
        "connections": load.connections,
        "concurrency": load.concurrency,
        "wanted_rate": load.rate,
        "seconds": took.as_secs_f64(),
        "calls": tally.calls(),
        "failed": tally.failed(),
        "unsent": tally.unsent(),
        "rate": rate(tally.calls(), took),
        "bytes": tally.bytes(),
        "latency_ms": latency,
        "late_ms": { "p99": millis(tally.late.quantile(0.99)), "max": millis(tally.late.max()) },
        "protocols": tally.protocols(),
        "failures": tally.failures(),
    })
}

pub(super) fn text(target: &Target, load: &Load, tally: &Tally, took: Duration) -> String {
    let mut out = format!(
        "{}\n  {} calls in {:.2} s, {:.1}/s{}, {} failed, {} bytes of answers\n",
        output::printable(&target.name),
        tally.calls(),
        took.as_secs_f64(),
        rate(tally.calls(), took),
        load.rate.map(|wanted| format!(" of {wanted}/s wanted")).unwrap_or_default(),
        tally.failed(),
        tally.bytes(),
    );
    if tally.unsent() > 0 {
        let unsent = tally.unsent();
        out.push_str(&format!("  {unsent} more should have left and could not: the target or this machine is too slow for the rate\n"));
    }
    for (name, count) in tally.protocols() {
        out.push_str(&format!("  {count} over {name}\n"));
    }
    for (failure, count) in tally.failures() {
        out.push_str(&format!("  {count} failed: {}\n", output::printable(&failure)));
    }
    if tally.times.count() > 0 {
        out.push_str(&format!("\n{}\n{}", quantiles(&tally.times), plot(&tally.times)));
    }
    out
}

fn quantiles(times: &Histogram) -> String {
    let mut table = Table::new(&["LATENCY", ">MS"]);
    for (name, part) in QUANTILES {
        table.row([name.to_owned(), format!("{:.3}", millis(times.quantile(part)))]);
    }
    table.row(["max".to_owned(), format!("{:.3}", millis(times.max()))]);
    table.row(["mean".to_owned(), format!("{:.3}", millis(times.mean()))]);
    table.render(2, Look::usual())
}

/// Bars for equal parts of the time, on a scale that doubles where the slowest took much longer than most.
fn plot(times: &Histogram) -> String {
    let (least, most) = (times.quantile(0.0), times.max());
    let (from, to) = (least.as_secs_f64().max(1e-6), most.as_secs_f64().max(2e-6));
    let is_wide = to / from > 8.0;
    let edge = |row: u32| {
        let part = f64::from(row) / f64::from(ROWS);
        let seconds = if is_wide { from * (to / from).powf(part) } else { from + (to - from) * part };
        Duration::from_secs_f64(seconds)
    };
    let rows: Vec<(Duration, u64)> = (1..=ROWS)
        .map(|row| {
            let lower = if row == 1 { Duration::ZERO } else { edge(row - 1) };
            let upper = if row == ROWS { most + Duration::from_secs(1) } else { edge(row) };
            (edge(row), times.between(lower, upper))
        })
        .collect();
    let highest = rows.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let mut table = Table::new(&[">UP TO MS", ">CALLS", ""]);
    for (upper, count) in rows {
        let length = (count * BAR).div_ceil(highest);
        let bar = "#".repeat(usize::try_from(length).unwrap_or_default());
        let bar = if bar.is_empty() { " ".to_owned() } else { bar };
        table.row([format!("{:.3}", millis(upper)), count.to_string(), bar]);
    }
    table.render(2, Look::usual())
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[allow(clippy::cast_precision_loss, reason = "it is shown to people")]
fn rate(calls: u64, took: Duration) -> f64 {
    (calls as f64 / took.as_secs_f64().max(1e-9) * 10.0).round() / 10.0
}
