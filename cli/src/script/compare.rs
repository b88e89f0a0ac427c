//! What an answer lacks of what is expected: what is not named is not looked at.

use serde_json::Value;

/// One place where an answer is otherwise.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// Such as `body.items[2].name`.
    pub(super) place: String,
    pub(super) found: String,
    pub(super) wanted: String,
}

/// Where `found` is otherwise than `wanted`. Objects may have more fields; lists are of the same length.
pub(super) fn differences(wanted: &Value, found: &Value) -> Vec<Difference> {
    let mut differences = Vec::new();
    compare("body", wanted, Some(found), &mut differences);
    differences
}

fn compare(place: &str, wanted: &Value, found: Option<&Value>, differences: &mut Vec<Difference>) {
    match (wanted, found) {
        (Value::Object(wanted), Some(Value::Object(found))) => {
            for (name, wanted) in wanted {
                compare(&format!("{place}.{name}"), wanted, found.get(name), differences);
            }
        }
        (Value::Array(wanted), Some(Value::Array(found))) if wanted.len() == found.len() => {
            for (index, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                compare(&format!("{place}[{index}]"), wanted, Some(found), differences);
            }
        }
        (wanted, Some(found)) if wanted == found => {}
        (wanted, found) => differences.push(Difference {
            place: place.to_owned(),
            found: found.map_or("not there".to_owned(), Value::to_string),
            wanted: wanted.to_string(),
        }),
    }
}
