//! How many clusters are in which state.

use meshkit_api::Context;
use meshkit_model::ClusterState;
use meshkit_store::View;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

/// Keeps the gauge as the store is, until the drain begins.
pub(crate) fn spawn(context: &Context) {
    let gauge: Family<ByState, Gauge> = Family::default();
    context.metrics.register(|registry| {
        registry.register("meshkit_clusters", "Clusters by state", gauge.clone());
    });
    let (view, drain) = (context.view.clone(), context.drain.clone());
    omnirelay_runtime::spawn("clusters-metrics", async move {
        let mut revisions = view.revisions();
        loop {
            set(&gauge, &view);
            tokio::select! {
                () = drain.started() => return,
                changed = revisions.changed() => if changed.is_err() { return },
            }
        }
    });
}

fn set(gauge: &Family<ByState, Gauge>, view: &View) {
    let tables = view.read();
    for state in ClusterState::ALL {
        let count = tables.clusters().after(None).filter(|cluster| cluster.state == state).count();
        let label = ByState { state: state.as_str() };
        gauge.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
