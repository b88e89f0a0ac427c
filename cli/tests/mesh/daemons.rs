//! What an operator asks of running daemons: their configuration, their log.

use crate::harness::{Mesh, eventually};

#[test]
fn faults_are_ordered_shown_and_taken_back() {
    let mesh = Mesh::start();
    let call = || mesh.run(&["request", "greeter", "Greeter::Greet", "--body", r#"{"name":"you"}"#]);
    call().ok();
    let set = ["fault", "set", "greeter", "--abort", "data-loss", "--for", "5m"];
    let told = mesh.run(&set).ok().out;
    assert!(told.contains("abort data-loss 100 %") && told.contains("token:operator"), "{told}");
    let failed = call();
    assert!(failed.code != 0 && failed.err.contains("omnirelay fault list"), "{}", failed.err);
    let shown = mesh.run(&["fault", "list", "--output", "json"]).ok().json();
    assert_eq!(
        (shown["routes"][0]["route"].as_str(), shown["routes"][0]["aborted"].as_u64()),
        (Some("greeter"), Some(1))
    );
    assert!(mesh.run(&["introspect"]).ok().out.contains("abort data-loss 100 %"));
    mesh.run(&["fault", "clear", "greeter"]).ok();
    call().ok();
    for (wrong, problem) in [
        (&["fault", "set", "greeter", "--for", "5m"][..], "--abort"),
        (&["fault", "set", "greeter", "--abort", "ok", "--for", "5m"], "unavailable"),
        (&["fault", "set", "greeter", "--delay", "2m", "--for", "5m"], "60000"),
        (&["fault", "off", "nobody", "--for", "5m"], "omnirelay introspect"),
    ] {
        let refused = mesh.run(wrong);
        assert!(refused.code != 0 && refused.err.contains(problem), "{wrong:?}: {}", refused.err);
    }
}

#[test]
fn daemons_read_their_configuration_anew_and_say_what_became_of_it() {
    let mesh = Mesh::start();
    let control_plane = format!("https://127.0.0.1:{}", mesh.base_port);
    for target in [&["--relay", "relay-2"][..], &["--url", &control_plane]] {
        let run = |words: &[&str], rest: &[&str]| mesh.run(&[words, target, rest].concat());
        // Until then it has taken over the revocation list that the mesh sent it.
        eventually("nothing is new", || {
            let told = run(&["config", "reload"], &[]).ok().out;
            told.starts_with("unchanged in ").then_some(())
        });
        let history = run(&["config", "history"], &["--output", "json"]).ok().json();
        let events = history["history"].as_array().unwrap();
        assert_eq!(events.first().unwrap()["trigger"], "start", "{history}");
        assert_eq!(events.last().unwrap()["outcome"], "unchanged", "{history}");
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
