//! What can go wrong between a module and its store.

/// Why the store did not do it. Nothing was changed, except maybe where it says [`StoreError::Unknown`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The record is not in the version that the writer saw: read it again and decide again.
    #[error("{record} is at version {found}, not {expected}")]
    Conflict {
        /// The record, such as `peer/greeter-1`.
        record: String,
        /// The version that the writer expected, in words.
        expected: String,
        /// The version that it has; 0 where there is no such record.
        found: u64,
    },
    /// The writer acts on ownership that has moved on.
    #[error("{record} is fenced at {current}; fence {presented} is stale")]
    StaleFence {
        /// The record, such as `shard/orders/7`.
        record: String,
        /// The fence that the writer presented.
        presented: u64,
        /// The fence that holds.
        current: u64,
    },
    /// The record breaks a rule of the model.
    #[error(transparent)]
    Invalid(#[from] meshkit_model::Invalid),
    /// The store cannot do it now: it is shutting down, or the disk is full or gone.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store lost its backend with the write on its way: it may be carried out or not. Whoever
    /// asked reads before trying again.
    #[error("whether it was written is unknown: {0}")]
    Unknown(String),
    /// The store holds something that this program cannot read.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}
