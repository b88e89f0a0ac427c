//! Answers with the fields alone that a caller asked for.

use meshkit_model::Invalid;
use prost_types::FieldMask;
use relay_core::Status;
use serde::Serialize;
use serde_json::Value;

use crate::error::invalid;

/// The fields of each record that are wanted; all of them where none are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sparse(Vec<String>);

impl Sparse {
    /// Reads the names of top-level fields, separated by commas.
    ///
    /// # Errors
    /// `invalid-argument` for a name that is none of `names`.
    pub fn parse(text: &str, names: &[&str]) -> Result<Self, Status> {
        Self::of(text.split(',').map(str::trim).filter(|name| !name.is_empty()), names)
    }

    /// Reads a field mask; its paths are the names of the contracts, `names` those of the REST twin.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn of_mask(mask: Option<&FieldMask>, names: &[&str]) -> Result<Self, Status> {
        let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
        let paths: Vec<String> = paths.iter().map(|path| camel(path)).collect();
        Self::of(paths.iter().map(String::as_str), names)
    }

    fn of<'a>(fields: impl Iterator<Item = &'a str>, names: &[&str]) -> Result<Self, Status> {
        let mut wanted = Vec::new();
        for field in fields {
            if !names.contains(&field) {
                let problem = format!("names {field:?}; there are {}", names.join(", "));
                return Err(invalid(&Invalid::new("fields", problem)));
            }
            wanted.push(field.to_owned());
        }
        Ok(Self(wanted))
    }

    /// Whether a field is wanted.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|wanted| wanted == name)
    }

    /// A record as JSON with the wanted fields alone.
    ///
    /// # Errors
    /// `internal` where the record cannot be JSON.
    pub fn json(&self, record: &impl Serialize) -> Result<Value, Status> {
        let value = serde_json::to_value(record)
            .map_err(|error| Status::internal(format!("the answer cannot be written: {error}")))?;
        Ok(match value {
            Value::Object(fields) if !self.0.is_empty() => {
                Value::Object(fields.into_iter().filter(|(name, _)| self.wants(name)).collect())
            }
            value => value,
        })
    }
}

/// `record_version` as `recordVersion`.
fn camel(path: &str) -> String {
    let mut words = path.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_asked_for_is_left_out() {
        let record = json!({"id": "a", "status": "alive", "labels": {}});
        let names = ["id", "status", "labels"];
        assert_eq!(Sparse::parse("", &names).unwrap().json(&record).unwrap(), record);
        let some = Sparse::parse("id, status", &names).unwrap().json(&record).unwrap();
        assert_eq!(some, json!({"id": "a", "status": "alive"}));
        let mask = FieldMask { paths: vec!["record_version".to_owned()] };
        assert!(Sparse::of_mask(Some(&mask), &["recordVersion"]).unwrap().wants("recordVersion"));
        assert!(Sparse::parse("colour", &names).unwrap_err().message.contains("id, status, labels"));
    }
}
