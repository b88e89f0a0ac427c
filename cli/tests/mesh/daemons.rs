//! What an operator asks of running daemons: their configuration, their log.

use serde_json::json;

use crate::harness::Mesh;

#[test]
fn daemons_read_their_configuration_anew_and_say_what_became_of_it() {
    let mesh = Mesh::start();
    let control_plane = format!("https://127.0.0.1:{}", mesh.base_port);
    for target in [&["--relay", "relay-2"][..], &["--url", &control_plane]] {
        let run = |words: &[&str], rest: &[&str]| mesh.run(&[words, target, rest].concat());
        let unchanged = run(&["config", "reload"], &[]).ok();
        assert!(unchanged.out.starts_with("unchanged in "), "{}", unchanged.out);
        let history = run(&["config", "history"], &["--output", "json"]).ok().json();
        assert_eq!((&history["generation"], &history["history"][0]["trigger"]), (&json!(1), &json!("start")));
        assert_eq!(history["history"][1]["outcome"], "unchanged", "{history}");
        let shown = run(&["config", "history"], &[]).ok().out;
        assert!(shown.contains("OUTCOME") && shown.contains("token:operator"), "{shown}");
        assert_eq!(run(&["log", "warn,relay_transport=debug"], &[]).ok().out, "warn,relay_transport=debug\n");
        assert_eq!(run(&["log"], &["--output", "json"]).ok().json()["set_by"], "operator");
        let loud = run(&["log", "relay=loud"], &[]);
        assert!(loud.code == 2 && loud.err.contains("write levels by target"), "{}", loud.err);
    }
    let file = mesh.path().join("relay-1.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("outbound = ", "outbuond = ")).unwrap();
    let refused = mesh.run(&["config", "reload", "--relay", "relay-1"]);
    assert_eq!(refused.code, 3, "{}", refused.err);
    for words in ["refused in ", "relay-1.toml:", "did you mean `outbound`?"] {
        assert!(refused.out.contains(words), "{}", refused.out);
    }
    // Nobody is drained by leaving a word out.
    let whom = mesh.run(&["drain"]);
    assert!(whom.code == 2 && whom.err.contains("--relay"), "{}", whom.err);
}
