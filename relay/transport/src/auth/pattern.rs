//! Patterns that end at their star.

/// Whether a word is the one that is meant, or begins as the pattern does before its last `*`.
pub(crate) fn takes(pattern: &str, word: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => word.starts_with(beginning),
        None => word == pattern,
    }
}
