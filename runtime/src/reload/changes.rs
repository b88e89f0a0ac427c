//! What is different between two configurations.

use serde_json::Value;

use crate::config::join;

/// Keys of a report at most: a file of another daemon is different everywhere.
const MOST: usize = 64;

/// The keys whose values are different, as `outbounds.0.timeout_ms`. A list that became longer or shorter
/// is one difference.
pub(super) fn between(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(old, new, "", &mut found);
    found
}

fn compare(old: &Value, new: &Value, path: &str, found: &mut Vec<String>) {
    if old == new || found.len() == MOST {
        return;
    }
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let added = new.iter().filter(|(key, _)| !old.contains_key(*key)).map(|(key, _)| key);
            for key in old.keys().chain(added) {
                let null = Value::Null;
                let (old, new) = (old.get(key).unwrap_or(&null), new.get(key).unwrap_or(&null));
                compare(old, new, &join(path, key), found);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                compare(old, new, &join(path, &index.to_string()), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

/// Whether a section that follows `key` follows what is at `path`.
pub(super) fn covers(key: &str, path: &str) -> bool {
    path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_as_narrow_as_they_can_be_named() {
        let old = json!({ "data": { "address": "a", "limits": { "x": 1 } }, "routes": [{ "s": 1 }, { "s": 2 }], "mesh": null });
        let mut new = old.clone();
        assert!(between(&old, &new).is_empty());
        new["data"]["limits"]["x"] = json!(2);
        new["routes"][1]["s"] = json!(3);
        new["mesh"] = json!({ "endpoint": "e" });
        assert_eq!(between(&old, &new), ["data.limits.x", "mesh", "routes.1.s"]);
        new["routes"] = json!([]);
        assert_eq!(between(&old, &new), ["data.limits.x", "mesh", "routes"]);
    }

    #[test]
    fn a_key_covers_itself_and_what_is_below() {
        assert!(covers("data.limits", "data.limits") && covers("data.limits", "data.limits.x"));
        assert!(!covers("data.limits", "data.limitsx") && !covers("data.limits", "data"));
    }

    #[test]
    fn a_foreign_file_is_not_told_key_by_key() {
        let many = |value: u32| (0..1000).map(|at| (at.to_string(), json!(value))).collect::<Value>();
        assert_eq!(between(&many(1), &many(2)).len(), MOST);
    }
}
