//! Spans on their way to a collector: in batches, bounded, and never in the way of calls.

use std::time::Duration;

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request};
use omnirelay_runtime::{Drain, Metrics, Result};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prost::Message as _;
use relay_client::{Channel, ChannelConfig};
use relay_config::TracingConfig;
use relay_transport::body;
use tokio::sync::mpsc;

use super::otlp::{Export, KeyValue, Resource, ResourceSpans, Scope, ScopeSpans, Span};

/// Spans of one request.
const BATCH: usize = 512;
/// How long the first span of a batch waits for more.
const LINGER: Duration = Duration::from_secs(2);
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a batch is sent, and the pause before it is sent again.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);
/// Where OTLP over HTTP takes spans.
const PATH: &str = "/v1/traces";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

/// What became of spans.
#[derive(Clone)]
pub(super) struct Stats(Family<ByOutcome, Counter>);

impl Stats {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let family = Family::default();
        metrics.register(|registry| {
            registry.register("omnirelay_trace_spans", "Spans by what became of them", family.clone());
        });
        Self(family)
    }

    /// There was no room, or the collector did not take them.
    pub(super) fn dropped(&self, spans: u64) {
        self.0.get_or_create(&ByOutcome { outcome: "dropped" }).inc_by(spans);
    }

    fn exported(&self, spans: u64) {
        self.0.get_or_create(&ByOutcome { outcome: "exported" }).inc_by(spans);
    }
}

pub(super) struct Exporter {
    channel: Channel,
    resource: Resource,
    stats: Stats,
}

impl Exporter {
    pub(super) fn new(config: &TracingConfig, node: &str, stats: Stats) -> Result<Self> {
        let mut channel = ChannelConfig::new(config.endpoint.as_str(), config.tls.clone());
        channel.protocols.clone_from(&config.protocols);
        let resource = Resource {
            attributes: vec![
                KeyValue::text("service.name", "relayd"),
                KeyValue::text("service.instance.id", node),
                KeyValue::text("service.version", env!("CARGO_PKG_VERSION")),
            ],
        };
        Ok(Self { channel: Channel::new(&channel)?, resource, stats })
    }

    /// Exports what comes until calls have ended, and what is left then.
    pub(super) async fn run(self, mut waiting: mpsc::Receiver<Span>, calls_ended: Drain) {
        let mut batch = Vec::new();
        while !calls_ended.is_draining() {
            tokio::select! {
                first = waiting.recv() => batch.extend(first),
                () = calls_ended.started() => break,
            }
            let filling =
                async { while batch.len() < BATCH && waiting.recv_many(&mut batch, BATCH).await > 0 {} };
            tokio::select! {
                () = filling => {}
                () = tokio::time::sleep(LINGER) => {}
                () = calls_ended.started() => {}
            }
            self.send(std::mem::take(&mut batch)).await;
        }
        while let Ok(span) = waiting.try_recv() {
            batch.push(span);
        }
        if !batch.is_empty() {
            self.send(batch).await;
        }
        self.channel.close().await;
    }

    async fn send(&self, spans: Vec<Span>) {
        let count = spans.len() as u64;
        let scope = Scope { name: "omnirelay".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
        let whole = ResourceSpans { resource: Some(self.resource.clone()), scope_spans };
        let bytes = bytes::Bytes::from(Export { resource_spans: vec![whole] }.encode_to_vec());
        for attempt in 1..=TRIES {
            let cause = match tokio::time::timeout(PATIENCE, self.post(bytes.clone())).await {
                Ok(Ok(())) => return self.stats.exported(count),
                Ok(Err((cause, again))) if !again || attempt == TRIES => cause,
                Err(_elapsed) if attempt == TRIES => format!("no answer within {PATIENCE:?}"),
                _ => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            self.stats.dropped(count);
            let collector = self.channel.endpoint();
            let hint = "look whether `tracing.endpoint` takes OTLP over HTTPS";
            return tracing::warn!(collector, spans = count, cause, hint, "spans are lost");
        }
    }

    /// Sends once; why it failed, and whether another try may help (OTLP, "Failures").
    async fn post(&self, bytes: bytes::Bytes) -> Result<(), (String, bool)> {
        let mut request = Request::new(body::full(bytes));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = http::Uri::from_static(PATH);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("omnirelay"));
        let answer = self.channel.send(request).await;
        let answer = answer.map_err(|error| (relay_core::Status::from(&error).message, true))?;
        let status = answer.status();
        // Read to its end, so that the connection can be used again.
        let _said = body::collect_limited(answer.into_body(), 64 << 10).await;
        match status.as_u16() {
            _ if status.is_success() => Ok(()),
            again @ (429 | 502 | 503 | 504) => Err((format!("the collector answers {again}"), true)),
            other => Err((format!("the collector answers {other}"), false)),
        }
    }
}
