//! A policy decision and a dispatch, under criterion.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros make what they make")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use omnirelay_bench::{Asked, Dispatch, PolicyCase};

fn decisions(criterion: &mut Criterion) {
    for case in PolicyCase::ALL {
        let decision = Asked::new(case);
        criterion.bench_function(case.name(), |bencher| bencher.iter(|| decision.decide()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for style in Dispatch::STYLES {
        let dispatch = Dispatch::new(style).unwrap();
        criterion.bench_function(style.name(), |bencher| {
            let call = |request| runtime.block_on(dispatch.call(request));
            bencher.iter_batched(|| dispatch.request(), call, BatchSize::SmallInput);
        });
    }
}

criterion_group!(benches, decisions);
criterion_main!(benches);
