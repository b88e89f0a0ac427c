//! Load on the mesh, over every protocol.

use crate::harness::Mesh;

const GREET: [&str; 6] = ["bench", "request", "greeter", "Greeter::Greet", "--body", r#"{"name":"Ada"}"#];

#[test]
fn procedures_are_called_over_every_protocol() {
    let mesh = Mesh::start();
    let load = [
        "--calls",
        "200",
        "--connections",
        "2",
        "--concurrency",
        "8",
        "--timeout",
        "30s",
        "--output",
        "json",
    ];
    for more in [
        &["--protocol", "http1"][..],
        &["--protocol", "http2"],
        &["--protocol", "http3"],
        &["--protocol", "http2", "--grpc"],
        &["--protocol", "http3", "--grpc"],
    ] {
        let told = mesh.run(&[&GREET[..], &load, more].concat()).ok().json();
        assert_eq!((&told["calls"], &told["failed"]), (&200.into(), &0.into()), "{told}");
        assert_eq!(told["protocols"], serde_json::json!({ more[1]: 200 }), "{told}");
        let latency = |name: &str| told["latency_ms"][name].as_f64().unwrap();
        assert!(0.0 < latency("p50") && latency("p50") <= latency("p99") && latency("p99") <= latency("max"));
        // What the greeter says, as often as it was asked.
        let bytes = told["bytes"].as_u64().unwrap();
        assert!(bytes > 0 && bytes.is_multiple_of(200), "{told}");
    }
    // The relay counted them too, with one call for each connection before the load.
    let relay = mesh.run(&["introspect", "--output", "json"]).ok().json();
    let requests = relay["inbounds"].as_array().unwrap().iter().find(|one| one["name"] == "data").unwrap();
    assert_eq!(requests["requests"], 5 * (200 + 2), "{relay}");
}

#[test]
fn calls_leave_at_the_rate_that_is_wanted_and_failures_are_told() {
    let mesh = Mesh::start();
    let paced = ["--rate", "100", "--calls", "50", "--duration", "60s", "--output", "json"];
    let told = mesh.run(&[&GREET[..], &paced].concat()).ok().json();
    // The last of 50 calls leaves 490 ms after the first, and never sooner.
    assert!(told["seconds"].as_f64().unwrap() >= 0.49, "{told}");
    assert_eq!((&told["wanted_rate"], &told["calls"]), (&100.into(), &50.into()));

    // Nothing can keep up with that, and the end comes all the same.
    let flood = ["--rate", "1000000", "--duration", "200ms", "--output", "json"];
    let told = mesh.run(&[&GREET[..], &flood].concat()).ok().json();
    let count = |name: &str| told[name].as_u64().unwrap();
    assert!(count("unsent") > 0 && count("calls") + count("unsent") == 200_000, "{told}");

    let text = mesh.run(&[&GREET[..], &["--calls", "20"]].concat()).ok().out;
    for words in ["20 calls in ", "0 failed", "p99.9 ", "UP TO MS", "####"] {
        assert!(text.contains(words), "{words}: {text}");
    }

    let refused = mesh.run(&["bench", "request", "greeter", "Greeter::Greet", "--body", r#"{"name":""}"#]);
    assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{}", refused.err);

    let base = format!("https://127.0.0.1:{}", mesh.base_port);
    let http = |path: &str, more: &[&str]| {
        let url = format!("{base}{path}");
        mesh.run(&[&["bench", "http", &url, "--calls", "40", "--output", "json"], more].concat())
    };
    for protocol in ["http1", "http2", "http3"] {
        let told = http("/healthz", &["--protocol", protocol]).ok().json();
        assert_eq!((&told["calls"], &told["protocols"][protocol]), (&40.into(), &40.into()), "{told}");
    }
    let peers = http("/meshkit/peers", &["--authorize"]).ok().json();
    assert_eq!(peers["failed"], 0, "{peers}");
    let lost = http("/nothing", &["--authorize"]);
    assert!(lost.code == 5 && lost.err.contains("there is nothing at /nothing"), "{}", lost.err);
    let odd = mesh.run(&["bench", "http", "http://127.0.0.1/"]);
    assert!(odd.code == 2 && odd.err.contains("https://HOST:PORT/PATH"), "{}", odd.err);
}

#[test]
fn a_server_that_stands_still_hides_no_call() {
    let mesh = Mesh::start();
    let processes = mesh.processes();
    let (_, greeter) = processes.iter().find(|(name, _)| name == "greeter").unwrap();
    let watch = crate::harness::Watching::start(
        &mesh,
        &[
            &GREET[..],
            &[
                "--rate",
                "50",
                "--calls",
                "500",
                "--duration",
                "5m",
                "--concurrency",
                "1",
                "--timeout",
                "30s",
                "--output",
                "json",
            ],
        ]
        .concat(),
    );
    let calls = || {
        let relay = mesh.run(&["introspect", "--output", "json"]).ok().json();
        let data = relay["inbounds"].as_array().unwrap().iter().find(|one| one["name"] == "data").cloned();
        data.unwrap()["requests"].as_u64().unwrap()
    };
    crate::harness::eventually("calls are made", || (calls() > 5).then_some(()));
    rustix::process::kill_process(*greeter, rustix::process::Signal::STOP).unwrap();
    let held = calls();
    // Nothing is answered meanwhile, and what should have left counts all the same.
    crate::harness::eventually("two seconds go by", {
        let began = std::time::Instant::now();
        move || (began.elapsed().as_secs() >= 2).then_some(())
    });
    assert!(calls() <= held + 1);
    rustix::process::kill_process(*greeter, rustix::process::Signal::CONT).unwrap();
    let mut text = watch.line();
    while serde_json::from_str::<serde_json::Value>(&text).is_err() {
        text.push('\n');
        text.push_str(&watch.line());
    }
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    // Only one call was under way; a fifth of those that should have left in ten seconds was held up with it.
    assert!(told["latency_ms"]["p90"].as_f64().unwrap() > 100.0, "{told}");
    assert_eq!((&told["calls"], &told["failed"]), (&500.into(), &0.into()), "{told}");
}
