//! What a call without a socket takes from the allocator.
#![allow(unsafe_code, reason = "an allocator is unsafe by its nature; this one counts and hands on")]
#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use omnirelay_bench::{Asked, Dispatch, PolicyCase};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
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

fn allocations<T>(work: impl FnOnce() -> T) -> usize {
    let before = ALLOCATIONS.with(Cell::get);
    drop(work());
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn a_decision_of_the_policy_allocates_nothing() {
    for case in PolicyCase::ALL {
        let decision = Asked::new(case);
        assert_eq!(allocations(|| decision.decide()), 0, "{}", case.name());
    }
}

/// The message decoded and the answer encoded: the handler's future runs where the one before it ran, and
/// the answer's header maps were the last request's and the last answer's.
#[test]
fn a_dispatch_allocates_nothing_beyond_its_bodies() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for style in Dispatch::STYLES {
        let dispatch = Dispatch::new(style).unwrap();
        runtime.block_on(dispatch.call(dispatch.request()));
        let request = dispatch.request();
        let taken = runtime.block_on(async {
            let before = ALLOCATIONS.with(Cell::get);
            let size = dispatch.call(request).await;
            assert!(size > 0);
            ALLOCATIONS.with(Cell::get) - before
        });
        assert!(taken <= 2, "{}: {taken} allocations, at most 2 expected", style.name());
    }
}
