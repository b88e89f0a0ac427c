//! The page of the reference: all of it is written here.

use std::fmt::Write as _;
use std::fs::read_to_string;
use std::path::Path;

use super::configs::{NGINX_CONNECTIONS, Settings};
use super::measure::{Cell, Outcome};
use super::proxy::Proxy;
use super::row::{BODY, Row};

/// The page, of what was measured on a commit.
pub(super) fn page(outcome: &Outcome, commit: &str) -> String {
    let versions: Vec<String> =
        outcome.proxies.iter().map(|one| format!("{} {}", one.proxy.title(), one.version)).collect();
    let mut text = format!(
        "# relayd beside other proxies

Written by `bench/proxies.sh --write docs/reference/performance.md`, on commit {commit}, and not by hand. What is measured
and how stands in [what a call costs](../operations/bench.md#beside-other-proxies). {}; {}. Medians of {} rounds, in each of which
all had their turn: {} s of full load and as much at {} calls a second, bodies of {BODY} bytes.
",
        versions.join(", "),
        machine(),
        outcome.rounds,
        outcome.seconds,
        outcome.rate,
    );
    ratios(&mut text, outcome);
    for (title, cell) in tables(outcome) {
        let _infallible = write!(text, "\n## {title}\n\n");
        head(&mut text, outcome.proxies.iter().map(|one| one.proxy.title()));
        for row in rows(outcome) {
            let cells = outcome.results.iter().filter(|one| one.row == row).map(&cell);
            line(&mut text, row.title(), cells);
        }
    }
    text.push_str("\nThe connections of gRPC are those of HTTP/2.\n\n## How each was configured\n");
    for one in &outcome.proxies {
        let (name, configuration) = one.proxy.configuration(&Settings {
            folder: Path::new("/folder"),
            certificate: Path::new("/folder/certificate.pem"),
            private_key: Path::new("/folder/key.pem"),
            pair: Path::new("/folder/pair.pem"),
            ca: Path::new("/folder/ca.pem"),
            port: 8443,
            admin: 8444,
            upstream: 9443,
            nginx_connections: NGINX_CONNECTIONS,
        });
        let arguments = one.proxy.arguments().join(" ");
        let _infallible = write!(
            text,
            "\n`{} {arguments} {name}`:\n\n```text\n{configuration}```\n",
            one.proxy.title().to_lowercase()
        );
    }
    text
}

type Words<'a> = Box<dyn Fn(&Cell) -> String + 'a>;

/// What each table is of, but the ratios.
fn tables(outcome: &Outcome) -> Vec<(String, Words<'_>)> {
    let failed = || "failed".to_owned();
    let mebibytes = |bytes: f64| format!("{:.0}", bytes / f64::from(1 << 20));
    vec![
        (
            "Processor time of the proxy for a call, in microseconds".to_owned(),
            Box::new(|cell| {
                let crossed = cell.h2load_cpu_us.map(|us| format!(" ({us:.1} by h2load)"));
                format!("{:.1}{}", cell.cpu_us, crossed.unwrap_or_default())
            }),
        ),
        (
            "Calls a second at full load, and how much of its core the proxy used".to_owned(),
            Box::new(|cell| format!("{:.0} ({:.0} %)", cell.calls_per_second, cell.busy * 100.0)),
        ),
        (
            format!(
                "Latency that the proxy adds at {} calls a second: P50 and P99, in microseconds",
                outcome.rate
            ),
            Box::new(|cell| format!("{:.0}, {:.0}", cell.added_p50_us, cell.added_p99_us)),
        ),
        (
            format!(
                "Resident memory in MiB: after the load, and with {} connections at rest",
                outcome.idle_connections
            ),
            Box::new(move |cell| {
                format!("{}, {}", mebibytes(cell.resident), cell.idle_resident.map_or_else(failed, mebibytes))
            }),
        ),
        (
            "Whole handshakes, each with a call, for a second of the proxy's processor time".to_owned(),
            Box::new(move |cell| cell.handshakes.map_or_else(failed, |one| format!("{one:.0}"))),
        ),
    ]
}

/// What the relay takes, of what others take.
fn ratios(text: &mut String, outcome: &Outcome) {
    text.push_str("\n## Processor time of relayd, of what the others need\n\n");
    head(text, ["Envoy", "Caddy", "the best of nginx and HAProxy"].into_iter());
    for row in rows(outcome) {
        let own = outcome.cpu_of(row, Proxy::Relayd);
        let of = |other: Option<f64>| match (own, other) {
            (Some(own), Some(other)) => format!("{:.2}", own / other),
            _ => "not measured".to_owned(),
        };
        let cells = [
            of(outcome.cpu_of(row, Proxy::Envoy)),
            of(outcome.cpu_of(row, Proxy::Caddy)),
            of(outcome.best_cpu(row)),
        ];
        line(text, row.title(), cells.into_iter());
    }
}

fn rows(outcome: &Outcome) -> impl Iterator<Item = Row> {
    Row::ALL.into_iter().filter(|row| outcome.results.iter().any(|cell| cell.row == *row))
}

fn head<'a>(text: &mut String, columns: impl Iterator<Item = &'a str> + Clone) {
    line(text, "", columns.clone().map(str::to_owned));
    line(text, "---", columns.map(|_| "---".to_owned()));
}

fn line(text: &mut String, name: &str, cells: impl Iterator<Item = String>) {
    let _infallible = write!(text, "| {name} |");
    cells.for_each(|cell| {
        let _infallible = write!(text, " {cell} |");
    });
    text.push('\n');
}

/// Where it was measured, as Linux tells it.
fn machine() -> String {
    let read = |path: &str| read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let models: Vec<&str> = cpus.lines().filter(|line| line.starts_with("model name")).collect();
    let model = models
        .first()
        .and_then(|line| line.split_once(": "))
        .map_or("an unknown processor", |(_, model)| model);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{} cores of {model}, Linux {}", models.len(), kernel.trim())
}
