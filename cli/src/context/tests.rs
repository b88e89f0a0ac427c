#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

use std::fs;

use omnirelay_runtime::{ErrorKind, OperatorError};

use super::{Context, Side};

fn read(text: &str) -> Result<(Context, tempfile::TempDir), OperatorError> {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("cli.toml");
    fs::write(&path, text).unwrap();
    Context::read(Some(&path)).map(|context| (context, temp))
}

const RELAYS: &str = r#"
mesh = "https://127.0.0.1:7400"
[[relays]]
name = "a"
data = "https://127.0.0.1:1"
admin = "https://127.0.0.1:2"
"#;

#[test]
fn relays_go_by_name_and_by_url() {
    let (context, _temp) = read(RELAYS).unwrap();
    assert_eq!(context.relay(None, Side::Data).unwrap(), "https://127.0.0.1:1");
    assert_eq!(context.relay(Some("a"), Side::Admin).unwrap(), "https://127.0.0.1:2");
    assert_eq!(context.relay(Some("https://other:9/"), Side::Data).unwrap(), "https://other:9");
    let unknown = context.relay(Some("b"), Side::Data).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    assert!(unknown.hint_text().unwrap().contains("known are: a"));
}

#[test]
fn mistakes_name_their_line_and_the_remedy() {
    let error = read("mesh = \"https://127.0.0.1:7400\"\ntoken_fil = \"x\"\n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.location().unwrap().ends_with("cli.toml:2"), "{error:?}");
    assert!(error.hint_text().unwrap().contains("`token_file`"), "{error:?}");
    let half = read("mesh = \"https://127.0.0.1:7400\"\ncertificate = \"x\"\n").unwrap_err();
    assert!(half.to_string().contains("belong together"));
}

#[test]
fn tokens_are_read_from_beside_the_context_and_never_shown() {
    let (context, temp) = read(&format!("token_file = \"t\"\n{RELAYS}")).unwrap();
    assert!(context.bearer().is_err());
    for (content, fine) in [("", false), ("two words", false), ("s3cret\n", true)] {
        fs::write(temp.path().join("t"), content).unwrap();
        assert_eq!(context.bearer().is_ok(), fine, "{content:?}");
    }
    let bearer = context.bearer().unwrap().unwrap();
    assert_eq!(bearer.secret(), "s3cret");
    assert!(!format!("{bearer:?}").contains("s3cret"));
}
