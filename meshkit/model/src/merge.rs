//! JSON merge patches (RFC 7396).

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::invalid::Invalid;

/// A record with a merge patch applied: members of the patch replace those of the record, objects
/// are merged, `null` removes. Lists are replaced as a whole.
///
/// # Errors
/// [`Invalid`] where the result is not of the record's shape; `field` names the record.
pub fn merge_patch<T: Serialize + DeserializeOwned>(
    field: &str,
    record: &T,
    patch: &Value,
) -> Result<T, Invalid> {
    if !patch.is_object() {
        return Err(Invalid::new(field, "is patched by a JSON object and by nothing else"));
    }
    let shape = |error: serde_json::Error| Invalid::new(field, format!("would not be one: {error}"));
    let mut merged = serde_json::to_value(record).map_err(shape)?;
    merge(&mut merged, patch);
    serde_json::from_value(merged).map_err(shape)
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.as_str()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The examples of RFC 7396, appendix A.
    #[test]
    fn the_examples_of_the_standard_hold() {
        for (target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = target.clone();
            merge(&mut merged, &patch);
            assert_eq!(merged, expected, "{target} with {patch}");
        }
    }

    #[test]
    fn what_would_have_another_shape_is_refused() {
        let record: Vec<u8> = Vec::new();
        assert!(merge_patch("x", &record, &json!([])).is_err());
        assert!(merge_patch("x", &record, &json!({"a": 1})).is_err());
    }
}
