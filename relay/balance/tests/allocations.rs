//! What every call passes through allocates nothing.
#![allow(unsafe_code, reason = "an allocator is unsafe by its nature; this one counts and hands on")]
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use relay_balance::{Ask, Balancer, Budget, Dice, Histogram, Load, Member, Moment, Strategy, Tuning, hash};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is the system allocator's; the count is this thread's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_call_allocates_nothing() {
    let strategies = [
        Strategy::RoundRobin,
        Strategy::FewestPending,
        Strategy::TwoChoices,
        Strategy::Ring,
        Strategy::Sticky,
    ];
    let member = |index: u32| Member {
        id: hash(&index.to_be_bytes()),
        weight: 1 + index % 3,
        near: index.is_multiple_of(2),
        up: true,
        load: Arc::new(Load::new(Moment::default())),
    };
    let (dice, budget, histogram) = (Dice::new(1), Budget::new(20, 10), Histogram::default());
    for strategy in strategies {
        let slow_start = Duration::from_secs(10);
        let tuning = Tuning { strategy, slow_start, zone_aware: true, max_pending: 100 };
        let balancer = Balancer::new(tuning, (0..100).map(member).collect());
        let before = ALLOCATIONS.with(Cell::get);
        for call in 0..1000 {
            let now = Moment::from_micros(call * 1000);
            let key = Some(hash(&call.to_be_bytes()));
            let picked = balancer.pick(&Ask { random: dice.roll(), now, key, tried: &[] }).unwrap();
            let load = &balancer.members()[picked].load;
            assert!(load.enter(100));
            load.succeeded(Duration::from_millis(call), now);
            histogram.observe(Duration::from_millis(call));
            load.leave();
            budget.call(now);
            let _granted = budget.retry(now);
        }
        assert_eq!(ALLOCATIONS.with(Cell::get), before, "{strategy:?}");
    }
}
