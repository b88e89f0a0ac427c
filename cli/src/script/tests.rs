#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use serde_json::json;

use super::compare::differences;
use super::file;

#[test]
fn what_is_not_named_is_not_looked_at() {
    let found = json!({ "a": 1, "b": { "c": [1, { "d": "x" }] }, "e": null });
    for fine in [json!({}), json!({ "b": { "c": [1, {}] } }), found.clone()] {
        assert!(differences(&fine, &found).is_empty(), "{fine}");
    }
    let told: Vec<String> =
        differences(&json!({ "a": 2, "b": { "c": [1, { "d": "y" }] }, "f": true }), &found)
            .iter()
            .map(|one| format!("{} is {}, expected {}", one.place, one.found, one.wanted))
            .collect();
    assert_eq!(
        told,
        [
            "body.a is 1, expected 2",
            "body.b.c[1].d is \"x\", expected \"y\"",
            "body.f is not there, expected true",
        ]
    );
    assert_eq!(differences(&json!({ "b": { "c": [] } }), &found).len(), 1, "lists are of the same length");
}

#[test]
fn mistakes_in_scripts_are_told_with_their_line() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("script.toml");
    let step = "[[steps]]\nname = \"a\"\nservice = \"s\"\nprocedure = \"P::p\"\n";
    for (text, words) in [
        (String::new(), "0 steps"),
        (format!("{step}expct = 1\n"), "script.toml:5"),
        (format!("{step}repeat = 100000\n"), "100000 times"),
        (format!("{step}expect.status = \"fine\"\n"), "expects the status `fine`"),
    ] {
        std::fs::write(&path, &text).unwrap();
        let error = file::read(&path).unwrap_err();
        assert!(error.report(false).contains(words), "{text}: {}", error.report(false));
        assert!(error.hint_text().is_some());
    }
    std::fs::write(&path, format!("{step}timeout = \"2\"\n")).unwrap();
    let error = file::read(&path).unwrap().steps[0].calling().unwrap_err();
    assert!(error.to_string().contains("`timeout` is `2`"), "{error}");
}
