//! What every store has to hold, as functions over `dyn Store`, and records to try it with.
//!
//! Read first: [`Subject`] is a store under test; [`conformance!`](crate::conformance) makes a test
//! of every case, in one go and with the store reopened before every step.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test says by panicking that it failed"
)]

pub mod cases;
pub mod records;
pub mod register;
pub mod validator;

use std::future::Future;
use std::sync::Arc;

use meshkit_store::Store;

/// A store under test.
pub trait Subject: Send {
    /// How many change rows and audit rows are to be kept at least; called before the first
    /// [`store`](Self::store). A store may keep some more, but not for ever.
    fn keep(&mut self, rows: u64);

    /// The store, made where there is none yet. A subject that reopens closes it first and opens it
    /// again.
    fn store(&mut self) -> impl Future<Output = Arc<dyn Store>> + Send;
}

/// Makes two tests of every case. `$subject` takes whether the store is to be reopened before every
/// step, and gives a [`Subject`].
#[macro_export]
macro_rules! conformance {
    ($subject:expr) => {
        $crate::conformance! { $subject =>
            records_come_back,
            all_kinds_load_at_one_revision,
            versions_are_checked,
            a_mutation_is_whole_or_nothing,
            records_are_deleted,
            fences_are_checked,
            guards_are_checked,
            bad_records_are_refused,
            many_writers_at_once,
            one_of_many_rivals_wins,
            revisions_grow_and_are_told,
            touching_is_no_change,
            changes_come_in_whole_revisions,
            changes_are_forgotten,
            audit_tells_before_and_after,
            audit_is_a_chain,
            audit_is_queried,
            refusals_are_audited,
            a_view_reads_what_it_wrote,
            a_view_follows_others,
            a_view_pages_through_what_it_filters,
            a_view_survives_forgotten_changes,
            watches_tell_every_change_once_in_order,
            watches_begin_where_they_are_asked_to,
            watches_tell_what_left_the_filter,
            slow_watchers_miss_nothing,
            forgotten_changes_need_a_resync,
            many_watchers_share_one_event,
        }
    };
    ($subject:expr => $($case:ident),* $(,)?) => { $(
        mod $case {
            #[allow(unused_imports, reason = "the subject may be named by a path of the test's")]
            use super::*;

            #[tokio::test]
            async fn in_one_go() {
                $crate::cases::$case($subject(false)).await;
            }

            #[tokio::test]
            async fn reopened() {
                $crate::cases::$case($subject(true)).await;
            }
        }
    )* };
}
