//! Traces: where a call stands in one (W3C Trace Context), and its span for a collector (OTLP over HTTP).

mod context;
mod export;
mod otlp;

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use omnirelay_runtime::{Drain, DrainGuard, Metrics, Result};
use relay_balance::Dice;
use relay_config::TracingConfig;
use tokio::sync::mpsc;

use context::TraceContext;
use export::{Exporter, Stats};
use otlp::{KeyValue, Span, SpanStatus};

/// Spans that wait for the collector; more are dropped and counted.
const WAITING: usize = 4096;

/// Joins calls to traces and hands their spans to a collector.
pub(crate) struct Tracer {
    percent: u64,
    dice: Dice,
    spans: mpsc::Sender<Span>,
    stats: Stats,
}

/// A call's span, which is told once it has ended.
pub(crate) struct Traced {
    context: TraceContext,
    parent: Option<TraceContext>,
    began_ns: u64,
    spans: mpsc::Sender<Span>,
    stats: Stats,
}

/// What a span says of its call.
pub(crate) struct Told<'a> {
    pub(crate) name: String,
    pub(crate) texts: &'a [(&'static str, &'a str)],
    pub(crate) numbers: &'a [(&'static str, u64)],
    pub(crate) failed: bool,
}

impl Tracer {
    /// Exports to the collector of a configuration until calls have ended, and what is left then; the guard is
    /// held until that is done.
    ///
    /// # Errors
    /// An endpoint or TLS files that cannot be used.
    pub(crate) fn start(
        config: &TracingConfig,
        node: &str,
        metrics: &Metrics,
        calls_ended: Drain,
        guard: DrainGuard,
    ) -> Result<Self> {
        let (spans, waiting) = mpsc::channel(WAITING);
        let stats = Stats::new(metrics);
        let exporter = Exporter::new(config, node, stats.clone())?;
        omnirelay_runtime::spawn("trace-export", async move {
            exporter.run(waiting, calls_ended).await;
            drop(guard);
        });
        Ok(Self { percent: config.percent.into(), dice: Dice::new(crate::outbound::seed()), spans, stats })
    }

    /// Joins a call to its caller's trace, or begins one, and tells the next hop by the headers. None where the
    /// trace is not followed.
    pub(crate) fn join(&self, headers: &mut HeaderMap) -> Option<Traced> {
        let parent = TraceContext::of(headers);
        let span = self.dice.roll();
        let context = match parent {
            Some(parent) => parent.child(span),
            None => {
                let trace = u128::from(self.dice.roll()) << 64 | u128::from(self.dice.roll());
                TraceContext::root(trace, span, self.dice.roll() % 100 < self.percent)
            }
        };
        context.write(headers);
        context.is_sampled().then(|| Traced {
            context,
            parent,
            began_ns: unix_ns(),
            spans: self.spans.clone(),
            stats: self.stats.clone(),
        })
    }
}

impl Traced {
    /// The trace's id as logs and tools write it.
    pub(crate) fn trace_id(&self) -> String {
        self.context.trace_id()
    }

    /// The call has ended.
    pub(crate) fn end(self, told: Told<'_>) {
        let texts = told.texts.iter().filter(|(_, text)| !text.is_empty());
        let attributes = texts
            .map(|(key, text)| KeyValue::text(key, text))
            .chain(told.numbers.iter().map(|(key, number)| KeyValue::number(key, *number)));
        let span = Span {
            trace_id: self.context.trace.into(),
            span_id: self.context.span.into(),
            parent_span_id: self.parent.map(|parent| parent.span.into()).unwrap_or_default(),
            name: told.name,
            kind: 2,
            start_time_unix_nano: self.began_ns,
            end_time_unix_nano: unix_ns().max(self.began_ns),
            attributes: attributes.collect(),
            status: told.failed.then_some(SpanStatus { code: 2 }),
        };
        if self.spans.try_send(span).is_err() {
            self.stats.dropped(1);
        }
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
