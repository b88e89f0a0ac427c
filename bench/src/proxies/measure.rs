//! What is measured, in which order, and what comes of it.

use std::collections::HashMap;

use serde::Serialize;

use super::Failure;
use super::cross;
use super::load::Measured;
use super::progress::Progress;
use super::proxy::Proxy;
use super::row::Row;
use super::running::{Relaying, Scene};
use crate::echo::median;

/// What is to be measured.
pub(super) struct Plan {
    pub(super) proxies: Vec<Proxy>,
    pub(super) rows: Vec<Row>,
    pub(super) seconds: f64,
    pub(super) rounds: usize,
    pub(super) rate: f64,
    pub(super) idle: usize,
    pub(super) cross_check: bool,
}

/// All that was measured.
#[derive(Serialize)]
pub(super) struct Outcome {
    pub(super) seconds: f64,
    pub(super) rounds: usize,
    pub(super) rate: f64,
    pub(super) idle_connections: usize,
    pub(super) proxies: Vec<Version>,
    pub(super) results: Vec<Cell>,
}

#[derive(Serialize)]
pub(super) struct Version {
    pub(super) proxy: Proxy,
    pub(super) version: String,
}

/// A proxy in a row: medians of the rounds.
#[derive(Clone, Serialize)]
pub(super) struct Cell {
    pub(super) row: Row,
    pub(super) proxy: Proxy,
    /// Microseconds of the proxy's processor time for a call, at full load.
    pub(super) cpu_us: f64,
    /// The same by h2load, where it was asked for.
    pub(super) h2load_cpu_us: Option<f64>,
    /// Which part of its core the proxy used at full load; below 0.95 it was the callers who had no more to give.
    pub(super) busy: f64,
    pub(super) calls_per_second: f64,
    /// What the proxy adds at the fixed rate to what the upstream itself takes, in microseconds.
    pub(super) added_p50_us: f64,
    pub(super) added_p99_us: f64,
    /// Resident bytes after the last of the load.
    pub(super) resident: f64,
    /// With all connections at rest; none where it did not keep them all.
    pub(super) idle_resident: Option<f64>,
    /// Whole handshakes, each with a call, for a second of the proxy's processor time.
    pub(super) handshakes: Option<f64>,
}

/// What one round says of a proxy in a row.
struct Sample {
    saturated: Measured,
    steady: Measured,
    direct: Measured,
}

pub(super) async fn measure(plan: &Plan, scene: &Scene, versions: Vec<String>) -> Result<Outcome, Failure> {
    let mut progress = Progress::new(plan);
    let mut samples: HashMap<(Row, Proxy), Vec<Sample>> = HashMap::new();
    for round in 1..=plan.rounds {
        for row in &plan.rows {
            progress.tell(&format!("round {round} of {}: {}, the upstream itself", plan.rounds, row.title()));
            let direct = scene.direct(*row, &steady(plan)).await?;
            for proxy in &plan.proxies {
                let what = format!("round {round} of {}: {}, {}", plan.rounds, row.title(), proxy.title());
                progress.tell(&what);
                let sample = sample(plan, scene, *proxy, *row, direct.clone()).await;
                let sample = sample.map_err(|error| format!("{what}: {error}"))?;
                let own = samples.entry((*row, *proxy)).or_default();
                own.push(sample);
                progress.show(*row, *proxy, cpu_us(own));
            }
        }
    }
    let crossed = crossed(plan, scene, &mut progress).await;
    let idle = idle(plan, scene, &mut progress).await;
    progress.end();
    let mut results = Vec::new();
    for row in &plan.rows {
        for proxy in &plan.proxies {
            let idle = idle.get(&(connections_of(*row), *proxy));
            let h2load_cpu_us = crossed.get(&(*row, *proxy)).copied();
            results.push(Cell { h2load_cpu_us, ..cell(*row, *proxy, &samples[&(*row, *proxy)], idle) });
        }
    }
    let proxies = plan.proxies.iter().zip(versions);
    Ok(Outcome {
        seconds: plan.seconds,
        rounds: plan.rounds,
        rate: plan.rate,
        idle_connections: plan.idle,
        proxies: proxies.map(|(proxy, version)| Version { proxy: *proxy, version }).collect(),
        results,
    })
}

fn steady(plan: &Plan) -> Vec<String> {
    vec!["rate".to_owned(), plan.rate.to_string(), plan.seconds.to_string()]
}

async fn sample(
    plan: &Plan,
    scene: &Scene,
    proxy: Proxy,
    row: Row,
    direct: Measured,
) -> Result<Sample, Failure> {
    let relaying = Relaying::start(scene, proxy, row, 0).await?;
    let calm = relaying.load(&steady(plan)).await?;
    let saturated = relaying.load(&["saturate".to_owned(), plan.seconds.to_string()]).await?;
    Ok(Sample { saturated, steady: calm, direct })
}

/// What h2load says, once. Debian's comes to no connection over HTTP/3, with any of the proxies.
async fn crossed(plan: &Plan, scene: &Scene, progress: &mut Progress) -> HashMap<(Row, Proxy), f64> {
    let mut crossed = HashMap::new();
    for row in plan.rows.iter().filter(|row| plan.cross_check && **row != Row::Http3) {
        for proxy in &plan.proxies {
            let what = format!("by h2load: {}, {}", row.title(), proxy.title());
            progress.tell(&what);
            let checked = cross::check(scene, *proxy, *row, plan.seconds).await;
            match checked {
                Ok(cpu_us) => drop(crossed.insert((*row, *proxy), cpu_us)),
                Err(error) => crate::table::complain(&format!("{what}: {error}")),
            }
        }
    }
    crossed
}

/// gRPC's connections are those of HTTP/2.
fn connections_of(row: Row) -> Row {
    match row {
        Row::Grpc => Row::Http2,
        other => other,
    }
}

/// Connections that rest, once for each proxy and kind of connection.
async fn idle(plan: &Plan, scene: &Scene, progress: &mut Progress) -> HashMap<(Row, Proxy), Measured> {
    let mut measured = HashMap::new();
    let mut rows: Vec<Row> = plan.rows.iter().copied().map(connections_of).collect();
    rows.dedup();
    for row in rows {
        for proxy in plan.proxies.iter().copied() {
            let what = format!("{} idle connections: {}, {}", plan.idle, row.title(), proxy.title());
            progress.tell(&what);
            // Whoever cannot do it misses two figures, and the others keep theirs.
            match hold(plan, scene, proxy, row).await {
                Ok(held) => drop(measured.insert((row, proxy), held)),
                Err(error) => crate::table::complain(&format!("{what}: {error}")),
            }
        }
    }
    measured
}

async fn hold(plan: &Plan, scene: &Scene, proxy: Proxy, row: Row) -> Result<Measured, Failure> {
    let relaying = Relaying::start(scene, proxy, row, plan.idle).await?;
    relaying.load(&["hold".to_owned(), plan.idle.to_string()]).await
}

#[allow(clippy::cast_precision_loss, reason = "nobody makes 2^52 calls")]
fn cell(row: Row, proxy: Proxy, samples: &[Sample], idle: Option<&Measured>) -> Cell {
    let all = |value: fn(&Sample) -> f64| median(samples.iter().map(value));
    Cell {
        row,
        proxy,
        cpu_us: cpu_us(samples),
        h2load_cpu_us: None,
        busy: all(|one| one.saturated.cpu / one.saturated.seconds),
        calls_per_second: all(|one| one.saturated.count as f64 / one.saturated.seconds),
        added_p50_us: all(|one| one.steady.p50 - one.direct.p50),
        added_p99_us: all(|one| one.steady.p99 - one.direct.p99),
        resident: all(|one| one.saturated.resident as f64),
        idle_resident: idle.map(|idle| idle.resident as f64),
        handshakes: idle.map(|idle| idle.count as f64 / idle.cpu),
    }
}

#[allow(clippy::cast_precision_loss, reason = "nobody makes 2^52 calls")]
fn cpu_us(samples: &[Sample]) -> f64 {
    median(samples.iter().map(|one| one.saturated.cpu * 1e6 / one.saturated.count as f64))
}

impl Outcome {
    /// The table as words.
    pub(super) fn table(&self) -> (Vec<&'static str>, Vec<Vec<String>>) {
        let headings = vec![
            "row",
            "proxy",
            "CPU us/call",
            "by h2load",
            "of Envoy",
            "of the best of nginx, HAProxy",
            "calls/s",
            "core used",
            "added P50 us",
            "added P99 us",
            "RSS MiB",
            "RSS idle MiB",
            "handshakes/CPU-s",
        ];
        (headings, self.results.iter().map(|cell| self.words(cell)).collect())
    }

    fn words(&self, cell: &Cell) -> Vec<String> {
        let failed = || "failed".to_owned();
        let mebibytes = |bytes: f64| format!("{:.0}", bytes / f64::from(1 << 20));
        let ratio = |other: Option<f64>| {
            other.map_or_else(|| "-".to_owned(), |one| format!("{:.2}", cell.cpu_us / one))
        };
        vec![
            cell.row.title().to_owned(),
            cell.proxy.title().to_owned(),
            format!("{:.1}", cell.cpu_us),
            cell.h2load_cpu_us.map_or_else(|| "-".to_owned(), |us| format!("{us:.1}")),
            ratio(self.cpu_of(cell.row, Proxy::Envoy)),
            ratio(self.best_cpu(cell.row)),
            format!("{:.0}", cell.calls_per_second),
            format!("{:.0} %", cell.busy * 100.0),
            format!("{:.0}", cell.added_p50_us),
            format!("{:.0}", cell.added_p99_us),
            mebibytes(cell.resident),
            cell.idle_resident.map_or_else(failed, mebibytes),
            cell.handshakes.map_or_else(failed, |one| format!("{one:.0}")),
        ]
    }

    /// What the better of nginx and HAProxy takes for a call.
    pub(super) fn best_cpu(&self, row: Row) -> Option<f64> {
        [Proxy::Nginx, Proxy::Haproxy].into_iter().filter_map(|one| self.cpu_of(row, one)).reduce(f64::min)
    }

    /// What a proxy takes for a call.
    pub(super) fn cpu_of(&self, row: Row, proxy: Proxy) -> Option<f64> {
        self.results.iter().find(|one| one.row == row && one.proxy == proxy).map(|one| one.cpu_us)
    }
}
