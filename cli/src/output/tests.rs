#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use serde_json::json;

use super::*;

#[test]
fn yaml_says_what_json_says_whatever_a_text_looks_like() {
    let value = json!({
        "peers": [{ "id": "a", "labels": {}, "hold": null, "recordVersion": 2 }],
        "texts": ["yes", "1", "1e3", "~", "", "- a", "a: b", "#", "2026-06-01T00:00:00Z", "it's \"so\"\u{7}"],
        "lines": "a\nb\n",
        "revision": u64::MAX,
    });
    let expected = r##"lines: |
  a
  b
peers:
- hold: null
  id: a
  labels: {}
  recordVersion: 2
revision: 18446744073709551615
texts:
- "yes"
- "1"
- "1e3"
- "~"
- ""
- "- a"
- "a: b"
- '#'
- "2026-06-01T00:00:00Z"
- "it's \"so\"\a"
"##;
    assert_eq!(to_document(Notation::Yaml, &value).unwrap(), expected);
}
