//! Counting a call that was let go exactly once, however it ends.

use http::StatusCode;
use relay_core::{DowngradeReason, Encoding, Protocol};

use crate::checkpoint::{Checkpoint, Passage};
use crate::outcome::Outcome;

/// A call on its way. It is counted when this is dropped: as failed, unless an answer was told. So
/// is a call whose caller went away or whose time ran out.
#[derive(Debug)]
pub struct Counted<'a> {
    checkpoint: &'a Checkpoint,
    protocol: Protocol,
    encoding: Encoding,
    outcome: Outcome,
    span: tracing::Span,
    /// Whether the span says the protocol already.
    is_told: bool,
}

impl Checkpoint {
    /// Begins to count a call that came in over `protocol`, which its span says already.
    #[must_use]
    pub fn counted(&self, protocol: Protocol, encoding: Encoding, span: tracing::Span) -> Counted<'_> {
        Counted { checkpoint: self, protocol, encoding, outcome: Outcome::Failed, span, is_told: true }
    }

    /// Begins to count a call that goes out, at best over `hoped`.
    #[must_use]
    pub fn counted_hoping(&self, hoped: Protocol, encoding: Encoding, span: tracing::Span) -> Counted<'_> {
        let mut counted = self.counted(hoped, encoding, span);
        counted.is_told = false;
        counted
    }
}

impl Counted<'_> {
    /// The protocol turned out to be this one.
    pub fn over(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// The call was downgraded, or not.
    pub fn passed(&self, passage: Passage) {
        self.span.record("downgrade", passage.downgrade.map(DowngradeReason::name));
    }

    /// An answer came with this status.
    pub fn answered(&mut self, status: StatusCode) {
        self.outcome = Outcome::of(status);
    }

    /// The span of the call.
    #[must_use]
    pub fn span(&self) -> tracing::Span {
        self.span.clone()
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.checkpoint.ended(self.protocol, self.encoding, self.outcome);
        if !self.is_told {
            self.span.record("protocol", self.protocol.name());
        }
        self.span.record("outcome", self.outcome.name());
        tracing::debug!(target: "omnirelay::call", parent: &self.span, "ended");
    }
}
