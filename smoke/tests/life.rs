//! How processes begin and end: refused beginnings say why and harm nothing, and SIGTERM lets what
//! is under way finish.
#![allow(clippy::expect_used, clippy::panic, reason = "a check says by panicking that it failed")]

use std::process::ExitCode;
use std::time::Duration;

use omnirelay_runtime::spawn;
use omnirelay_smoke::{Client, Mesh, Mount, Ran, STATE, Suite, block_on, enter, module_archives, until};
use relay_core::Protocol::{Http1, Http2, Http3};
use serde_json::json;

/// How long a process may take to refuse or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Exit codes, as docs/reference/cli.md lists them.
const CONFIG: i32 = 3;
const CONFLICT: i32 = 6;
const IO: i32 = 9;

fn main() -> ExitCode {
    Suite::new("life")
        .check("an unknown key is refused with its line and a hint", unknown_key)
        .check("a configuration that is not there is refused", missing_config)
        .check("a certificate that is not there is refused", missing_certificate)
        .check("a port that is taken is told", port_taken)
        .check("a second control plane on the same store is refused", store_in_use)
        .check("a store that cannot be written is refused", unwritable_store)
        .check("a corrupt database is refused and stays as it is", corrupt_database)
        .check("each module of the control plane runs in an image of its own", modules_by_themselves)
        .check("no process runs as root", nobody_is_root)
        .check("a draining relay finishes the calls in flight and ends with 0", relay_drains)
        .check("every process ends with 0 on SIGTERM", everything_drains)
        .run(Mesh::start)
}

/// Starts a daemon beside the mesh and returns how it refused.
fn refusal(mesh: &Mesh, name: &str, daemon: &str, args: &[&str]) -> Ran {
    let image = if daemon == "relayd" { &mesh.relayd } else { &mesh.meshkitd };
    let ran = mesh.beside(name, image).args(args.iter().copied()).create().run(PATIENCE);
    told_once(ran)
}

/// Insists on what every refusal has in common.
fn told_once(ran: Ran) -> Ran {
    assert!(ran.code != 0 && ran.stdout.is_empty(), "{ran}");
    assert_eq!(
        ran.stderr.lines().filter(|line| line.starts_with("error: ")).count(),
        1,
        "one error was expected\n{ran}"
    );
    assert!(!ran.stderr.contains("panic"), "{ran}");
    ran.tells("hint:")
}

/// The path of a file of the mesh, as containers see it.
fn state(file: &str) -> String {
    format!("{STATE}/{file}")
}

fn unknown_key(mesh: &Mesh) {
    for (daemon, file) in [("relayd", "relay-1.toml"), ("meshkitd", "meshkit.toml")] {
        let good = std::fs::read_to_string(mesh.file(file)).expect("`dev init` wrote it");
        let lines: Vec<&str> = good.lines().collect();
        let number =
            lines.iter().position(|line| line.starts_with("address")).expect("a listener has one") + 1;
        let local = mesh.engine.scratch(&format!("unknown-{daemon}")).join("broken.toml");
        let broken = good.replacen("\naddress =", "\nadress =", 1);
        std::fs::write(&local, broken).expect("the scratch folder can be written");
        let image = if daemon == "relayd" { &mesh.relayd } else { &mesh.meshkitd };
        let container = mesh.beside(&format!("unknown-key-{daemon}"), image);
        let container = container.args(["--config", "/broken.toml"]).create();
        container.put(&local, "/broken.toml");
        let refused = told_once(container.run(PATIENCE)).exits(CONFIG);
        let _told = refused.tells("adress").tells(&format!("/broken.toml:{number}")).tells("`address`");
    }
}

fn missing_config(mesh: &Mesh) {
    for daemon in ["relayd", "meshkitd"] {
        let refused = refusal(mesh, &format!("no-config-{daemon}"), daemon, &["--config", "/nowhere.toml"]);
        let _told = refused.tells("/nowhere.toml");
    }
}

fn missing_certificate(mesh: &Mesh) {
    for (daemon, file, section) in
        [("relayd", "relay-1.toml", "data"), ("meshkitd", "meshkit.toml", "listener")]
    {
        let config = state(file);
        let set = format!("{section}.tls.certificate=/nowhere.pem");
        let mut args = vec!["--config", &config, "--set", &set];
        if daemon == "meshkitd" {
            args.extend(["--set", "store.path=/var/lib/omnirelay/mesh/data/spare.sqlite"]);
        }
        let refused = refusal(mesh, &format!("no-certificate-{daemon}"), daemon, &args);
        let _told = refused.exits(CONFIG).tells("/nowhere.pem");
    }
}

fn port_taken(mesh: &Mesh) {
    // In the network of a running relay, its own ports are taken.
    let network = format!("container:{}-relay-2", mesh.engine.run());
    let options = ["--network".to_owned(), network];
    let container = mesh.engine.container("port-taken", &mesh.relayd).options(options);
    let container = container.volume(&mesh.volume, "/var/lib/omnirelay", Mount::Writable);
    let container = container.args(["--config", &state("relay-2.toml")]).create();
    let refused = container.run(PATIENCE);
    // Nothing can be removed while another uses its network, and at the end all goes at once.
    container.remove();
    let _told = told_once(refused).exits(IO).tells("7412");
}

fn store_in_use(mesh: &Mesh) {
    let refused = refusal(mesh, "second-meshkitd", "meshkitd", &["--config", &state("meshkit.toml")]);
    let _told = refused.exits(CONFLICT).tells("meshkit.sqlite");
    let _answer = mesh.client("meshkitd", Http2).get("/meshkit/peers").has(200);
}

fn unwritable_store(mesh: &Mesh) {
    let config = state("meshkit.toml");
    // A folder of root's.
    let set = "store.path=/usr/local/bin/mesh.sqlite";
    let refused = refusal(mesh, "store-of-root", "meshkitd", &["--config", &config, "--set", set]);
    let _told = refused.exits(IO).tells("/usr/local/bin/mesh.sqlite");
    // A volume for reading.
    let container = mesh.engine.container("store-read-only", &mesh.meshkitd).options(["--network", "none"]);
    let container = container.volume(&mesh.volume, "/var/lib/omnirelay", Mount::ReadOnly);
    let set = format!("store.path={STATE}/data/other.sqlite");
    let refused = container.args(["--config", &config, "--set", &set]).create().run(PATIENCE);
    let _told = told_once(refused).exits(IO).tells("other.sqlite");
}

fn corrupt_database(mesh: &Mesh) {
    let folder = mesh.engine.scratch("corrupt");
    let (before, after) = (folder.join("before.sqlite"), folder.join("after.sqlite"));
    std::fs::write(&before, "no database at all\n".repeat(500)).expect("the scratch folder can be written");
    // As root, so that nothing but the content stands in the way.
    let container = mesh.beside("corrupt", &mesh.meshkitd).options(["--user", "0:0"]);
    let set = "store.path=/corrupt.sqlite";
    let container = container.args(["--config", &state("meshkit.toml"), "--set", set]).create();
    container.put(&before, "/corrupt.sqlite");
    let _told = told_once(container.run(PATIENCE)).tells("/corrupt.sqlite");
    container.fetch("/corrupt.sqlite", &after);
    let read = |file| std::fs::read(file).expect("it can be read");
    assert!(read(&before) == read(&after), "meshkitd changed a file that it refused");
}

/// A path that each module alone knows.
const OF_MODULES: [(&str, &str); 9] = [
    ("audit", "/meshkit/audit"),
    ("backup", "/meshkit/backup"),
    ("bootstrap", "/meshkit/trust"),
    ("clusters", "/meshkit/clusters"),
    ("config", "/meshkit/config"),
    ("leaders", "/meshkit/leaders"),
    ("members", "/meshkit/members"),
    ("registry", "/meshkit/versions"),
    ("shards", "/meshkit/namespaces"),
];

fn modules_by_themselves(mesh: &Mesh) {
    let archives = module_archives();
    let names: Vec<_> = archives.iter().map(|(module, _)| module.as_str()).collect();
    assert_eq!(names, OF_MODULES.map(|(module, _)| module));
    for (module, archive) in &archives {
        mesh.with_module(module, archive, |client| {
            for (of, path) in OF_MODULES {
                // `members` says that this mesh does not gossip: it is there all the same.
                let answer = client.get(path);
                assert_eq!(answer.status != 404, of == module, "{module}: {path}: {answer:?}");
            }
        });
    }
}

fn nobody_is_root(mesh: &Mesh) {
    for member in mesh.members() {
        let user = member.container.user();
        assert_eq!(user, "65532", "{} runs as {user}", member.container.name);
    }
}

/// How many calls a relay has in flight.
fn in_flight(admin: &Client) -> Result<u64, String> {
    let told = admin.try_get("/omnirelay/introspect")?.json();
    let data = told["inbounds"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "data"));
    data.and_then(|data| data["in_flight"].as_u64()).ok_or_else(|| format!("no `data` in {told}"))
}

fn relay_drains(mesh: &Mesh) {
    let (relay, greeter) = (&mesh.member("relay-1").container, &mesh.member("greeter").container);
    let protocols = [Http3, Http2, Http1];
    let clients = protocols.map(|protocol| mesh.client("relay-1", protocol));
    let greeting = r#"{"name":"slow"}"#;
    for client in &clients {
        // Every connection on the way is up.
        let _answer = client.call("greeter", "Greeter::Greet", "json", greeting).has(200);
    }
    // A greeter that is frozen is a slow one.
    greeter.pause();
    let calls = clients.clone().map(|client| {
        let request = Client::yarpc("greeter", "Greeter::Greet", "json", greeting.into());
        let _inside = enter();
        spawn("slow-call", async move { client.send(request).await })
    });
    let admin = mesh.admin("relay-1", Http2);
    until("every call is in flight", PATIENCE, || match in_flight(&admin)? {
        3 => Ok(()),
        other => Err(format!("{other} are")),
    });
    relay.signal("TERM");
    until("the relay drains", PATIENCE, || {
        let log = relay.logs().stderr;
        if log.contains("draining") { Ok(()) } else { Err("it has not said so".to_owned()) }
    });
    assert!(calls.iter().all(|call| !call.is_finished()), "a call ended although nobody answered it");
    greeter.unpause();
    for (call, protocol) in calls.into_iter().zip(protocols) {
        let reply =
            block_on(call).expect("the task goes on").unwrap_or_else(|error| panic!("{protocol}: {error}"));
        assert_eq!(reply.has(200).json(), json!({ "message": "Hello, slow!", "servedBy": "greeter" }));
    }
    assert_eq!(relay.ended(PATIENCE), 0, "{}", relay.logs());
    let log = relay.logs();
    assert!(log.stderr.contains("stopped") && !log.stderr.contains("work in flight"), "{log}");
}

fn everything_drains(mesh: &Mesh) {
    // Relays first and the control plane last, so that everybody can say goodbye to it.
    for kind in ["relay", "sample", "meshkit"] {
        let running = || {
            let all = mesh.members().filter(|member| member.kind == kind).map(|member| &member.container);
            all.filter(|container| container.inspect("{{.State.Running}}") == "true").collect::<Vec<_>>()
        };
        let ending = running();
        assert!(!ending.is_empty(), "no {kind} is left to end");
        ending.iter().for_each(|container| container.signal("TERM"));
        for container in ending {
            assert_eq!(container.ended(PATIENCE), 0, "{} did not end well", container.name);
            let log = container.logs();
            assert!(log.stderr.contains("stopped") && log.stdout.is_empty(), "{log}");
        }
    }
}
