//! Why a value is refused, and the checks that several records share.

/// A value that the mesh does not take: which field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct Invalid {
    /// The field as the sender wrote it, such as `endpoints[0].url`.
    pub field: String,
    /// What is wrong, as the end of a sentence that begins with the field.
    pub problem: String,
}

impl Invalid {
    /// Makes an error about a field.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// A name of the mesh: `min` to `max` of `[a-z0-9.-]`, which is safe in paths, URLs and logs.
pub(crate) fn check_name(field: &str, value: &str, min: usize, max: usize) -> Result<(), Invalid> {
    if value.len() < min {
        return Err(Invalid::new(field, "is empty"));
    }
    if value.len() > max {
        return Err(Invalid::new(
            field,
            format!("has {} characters; at most {max} are allowed", value.len()),
        ));
    }
    match value.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '-')) {
        Some(odd) => Err(Invalid::new(
            field,
            format!("has the character {odd:?}; only a-z, 0-9, `.` and `-` are allowed"),
        )),
        None => Ok(()),
    }
}

/// Free text of at most `max` bytes without control characters.
pub(crate) fn check_text(field: &str, value: &str, max: usize) -> Result<(), Invalid> {
    if value.len() > max {
        return Err(Invalid::new(field, format!("has {} bytes; at most {max} are allowed", value.len())));
    }
    if value.chars().any(char::is_control) {
        return Err(Invalid::new(field, "has a control character"));
    }
    Ok(())
}

/// At most `max` entries.
pub(crate) fn at_most(field: &str, count: usize, max: usize) -> Result<(), Invalid> {
    if count > max {
        return Err(Invalid::new(field, format!("has {count} entries; at most {max} are allowed")));
    }
    Ok(())
}
