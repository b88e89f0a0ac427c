//! Why something that is well-formed is not done.

/// A change that the state of the mesh does not permit now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct Unmet {
    /// What stands in the way, as a sentence without its end.
    pub problem: String,
    /// What would have to happen first.
    pub hint: String,
}

impl Unmet {
    /// Makes an error of what stands in the way and what to do about it.
    pub fn new(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { problem: problem.into(), hint: hint.into() }
    }
}
