//! Passive health: peers that fail the calls they get are left out for a while.

use std::time::Duration;

use crate::moment::Moment;

/// When a peer is left out, and for how long. Times and shares are as Envoy's outlier detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierRules {
    /// Failures in a row that eject a peer; 0 for never.
    pub consecutive_failures: u32,
    /// How far below the mean a peer's success rate may be, in percent of the standard deviation
    /// of all: 190 is 1.9 deviations. 0 for any.
    pub deviation_percent: u32,
    /// Calls in an interval below which a peer's success rate says nothing.
    pub min_calls: u32,
    /// Peers with so many calls below which a mean says nothing.
    pub min_peers: usize,
    /// The first ejection is so long, the second in succession twice that, and so on.
    pub base: Duration,
    /// No ejection is longer.
    pub max: Duration,
    /// Most peers that are out at once, in percent of all.
    pub max_ejected_percent: u32,
}

/// Why a peer was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It failed several calls in a row.
    ConsecutiveFailures,
    /// It fails more of its calls than the others.
    SuccessRate,
}

impl Reason {
    /// The name in logs, metrics and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive-failures",
            Self::SuccessRate => "success-rate",
        }
    }
}

/// A peer was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Which one.
    pub id: u64,
    /// Why.
    pub reason: Reason,
    /// When it may come back.
    pub until: Moment,
}

/// What was seen of a peer in an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which one.
    pub id: u64,
    /// Calls that it answered.
    pub succeeded: u32,
    /// Calls that it failed.
    pub failed: u32,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    id: u64,
    until: Option<Moment>,
    /// How long the next ejection is, as a multiple of the base, less one.
    times: u32,
    ejections: u64,
}

/// Who of an outbound's peers is left out.
#[derive(Debug)]
pub struct Outliers {
    rules: OutlierRules,
    records: Vec<Record>,
}

impl Outliers {
    /// Nobody is out.
    #[must_use]
    pub const fn new(rules: OutlierRules) -> Self {
        Self { rules, records: Vec::new() }
    }

    /// The same peers with the same past under other rules; who is out comes back when it was to.
    #[must_use]
    pub fn with_rules(&self, rules: OutlierRules) -> Self {
        Self { rules, records: self.records.clone() }
    }

    /// These are the peers from now on; those that stay keep their record.
    pub fn set_peers(&mut self, ids: &[u64]) {
        self.records.retain(|record| ids.contains(&record.id));
        for id in ids {
            if self.record(*id).is_none() {
                self.records.push(Record { id: *id, until: None, times: 0, ejections: 0 });
            }
        }
        // Fewer peers than before may be more ejected ones than are allowed: the first to be back comes back.
        while self.ejected() > self.most() {
            let out = self.records.iter_mut().filter(|record| record.until.is_some());
            let Some(first) = out.min_by_key(|record| record.until) else { break };
            first.until = None;
        }
    }

    /// Whether a peer is out.
    #[must_use]
    pub fn is_ejected(&self, id: u64) -> bool {
        self.until(id).is_some()
    }

    /// When a peer that is out may come back.
    #[must_use]
    pub fn until(&self, id: u64) -> Option<Moment> {
        self.records.iter().find(|record| record.id == id)?.until
    }

    /// How often a peer has been ejected.
    #[must_use]
    pub fn ejections(&self, id: u64) -> u64 {
        self.records.iter().find(|record| record.id == id).map_or(0, |record| record.ejections)
    }

    /// Takes note of a peer that has failed `in_a_row` calls, and ejects it where that is enough.
    pub fn failed(&mut self, id: u64, in_a_row: u32, now: Moment) -> Option<Ejection> {
        let enough = self.rules.consecutive_failures > 0 && in_a_row >= self.rules.consecutive_failures;
        enough.then(|| self.eject(id, Reason::ConsecutiveFailures, now)).flatten()
    }

    /// Ejects whoever failed more than the others in the interval that has ended.
    pub fn judge(&mut self, seen: &[Seen], now: Moment) -> Vec<Ejection> {
        for record in &mut self.records {
            if record.until.is_none() {
                record.times = record.times.saturating_sub(1);
            }
        }
        let calls = |seen: &Seen| f64::from(seen.succeeded) + f64::from(seen.failed);
        let telling: Vec<(u64, f64)> = seen
            .iter()
            .filter(|seen| calls(seen) > 0.0 && calls(seen) >= f64::from(self.rules.min_calls))
            .map(|seen| (seen.id, f64::from(seen.succeeded) / calls(seen)))
            .collect();
        if self.rules.deviation_percent == 0 || telling.is_empty() || telling.len() < self.rules.min_peers {
            return Vec::new();
        }
        #[allow(clippy::cast_precision_loss, reason = "there are few peers")]
        let count = telling.len() as f64;
        let mean = telling.iter().map(|(_, rate)| rate).sum::<f64>() / count;
        let variance = telling.iter().map(|(_, rate)| (rate - mean).powi(2)).sum::<f64>() / count;
        let least = mean - variance.sqrt() * f64::from(self.rules.deviation_percent) / 100.0;
        let mut outliers: Vec<_> = telling.into_iter().filter(|(_, rate)| *rate < least).collect();
        outliers.sort_by(|a, b| a.1.total_cmp(&b.1));
        outliers.into_iter().filter_map(|(id, _)| self.eject(id, Reason::SuccessRate, now)).collect()
    }

    /// Lets those come back whose time is over.
    pub fn returned(&mut self, now: Moment) -> Vec<u64> {
        let over = self.records.iter_mut().filter(|record| record.until.is_some_and(|until| until <= now));
        over.map(|record| {
            record.until = None;
            record.id
        })
        .collect()
    }

    fn eject(&mut self, id: u64, reason: Reason, now: Moment) -> Option<Ejection> {
        if self.ejected() >= self.most() {
            return None;
        }
        let rules = self.rules;
        let record = self.record(id).filter(|record| record.until.is_none())?;
        record.times = record.times.saturating_add(1);
        record.ejections += 1;
        let until = now + rules.base.saturating_mul(record.times).min(rules.max);
        record.until = Some(until);
        // Each interval in which it stays in takes one step back; steps beyond the longest time would only last.
        let longest = rules.max.as_micros() / rules.base.as_micros().max(1);
        record.times = record.times.min(u32::try_from(longest).unwrap_or(u32::MAX));
        Some(Ejection { id, reason, until })
    }

    fn record(&mut self, id: u64) -> Option<&mut Record> {
        self.records.iter_mut().find(|record| record.id == id)
    }

    fn ejected(&self) -> usize {
        self.records.iter().filter(|record| record.until.is_some()).count()
    }

    fn most(&self) -> usize {
        self.records.len() * self.rules.max_ejected_percent as usize / 100
    }
}
