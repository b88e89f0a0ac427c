//! Metrics of routes, read when they are asked for: labelled by route and by words that are few.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::proxy::Proxy;
use crate::routing::Route;

/// The metrics of all routes.
pub(crate) struct RouteMetrics(pub(crate) Arc<Proxy>);

impl fmt::Debug for RouteMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteMetrics").finish_non_exhaustive()
    }
}

impl RouteMetrics {
    fn counter<const N: usize, V>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help, label): (&str, &str, &'static str),
        counts: impl Fn(&Route) -> Option<[(&'static str, V); N]>,
    ) -> fmt::Result
    where
        ConstCounter<V>: EncodeMetric,
    {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for route in self.0.table().router.routes() {
            for (word, count) in counts(route).into_iter().flatten() {
                let labels = [("route", &*route.name), (label, word)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn gauge(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help): (&str, &str),
        value: impl Fn(&Route) -> Option<u32>,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for route in self.0.table().router.routes() {
            if let Some(value) = value(route) {
                ConstGauge::new(f64::from(value))
                    .encode(family.encode_family(&[("route", &*route.name)])?)?;
            }
        }
        Ok(())
    }
}

impl Collector for RouteMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let faults = ("omnirelay_route_faults", "Calls that a fault was injected into", "kind");
        self.counter(&mut encoder, faults, |route| {
            let (delayed, aborted) = route.state.faults.counts();
            let is_told = route.config.fault.is_some() || (delayed, aborted) != (0, 0);
            is_told.then_some([("delay", delayed), ("abort", aborted)])
        })?;
        let refused = ("omnirelay_route_refused", "Calls that limits of their route refused", "reason");
        self.counter(&mut encoder, refused, |route| route.limits.as_ref().map(|_| route.state.refusals()))?;
        self.gauge(
            &mut encoder,
            ("omnirelay_route_pending", "Calls in flight on routes with limits"),
            |route| route.limits.as_ref().map(|_| route.state.pending()),
        )?;
        self.gauge(&mut encoder, ("omnirelay_route_limit", "The most calls in flight for now"), |route| {
            route.limits.as_ref()?.most()
        })?;
        let copies = ("omnirelay_route_shadow", "Copies of calls by what became of them", "outcome");
        self.counter(&mut encoder, copies, |route| {
            route.config.shadow.as_ref().map(|_| route.state.shadow.outcomes())
        })?;
        let took = ("omnirelay_route_shadow_seconds", "Time until answers began that were compared", "of");
        self.counter(&mut encoder, took, |route| {
            let took = route.config.shadow.as_ref().map(|_| route.state.shadow.took());
            took.map(|took| took.map(|(of, sum)| (of, sum.as_secs_f64())))
        })
    }
}
