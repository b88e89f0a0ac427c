//! Several meshkitd that gossip over real sockets: who dies, leaves, stands still and comes back; and whom
//! nobody listens to.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "a test says by panicking that it failed, and has no readers from outside"
)]

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use meshkit_client::v1::{Member as Seen, MemberStatus, PeerStatus};
use meshkit_client::{MemberChange, PeerFilter};
use meshkit_membership::{ALPN, Health, Member, Swim, Tuning};
use meshkit_model::PeerId;
use omnirelay_runtime::Metrics;
use relay_core::Protocol;
use relay_testkit::TestCa;
use relay_transport::datagram::{DatagramConfig, Datagrams};
use relay_transport::tls::ServerTls;
use support::events::Events;
use support::{Ask, Bench, Meshkitd, OBSERVER, READER, eventually};

const MEMBERSHIP: &str = "[membership]\naddress = \"127.0.0.1:0\"\n\
    allow = [\"spiffe://omnirelay.dev/meshkit/*\"]\n\
    probe_interval_ms = 200\nprobe_timeout_ms = 90\nsuspicion_ms = 1500\ngossip_interval_ms = 20\n";

/// A meshkitd with a certificate and a store of its own.
fn start(bench: &Bench, name: &str, seeds: &[SocketAddr]) -> Meshkitd {
    let issued = bench.ca.issue(&format!("spiffe://omnirelay.dev/meshkit/{name}"));
    let sets = [
        format!("node.name={name}"),
        format!("listener.tls.certificate={}", issued.certificate.display()),
        format!("listener.tls.private_key={}", issued.private_key.display()),
        format!("store.path={}", bench.ca.dir().join(format!("{name}.db")).display()),
        format!(
            "membership.seeds={seeds:?}",
            seeds = seeds.iter().map(ToString::to_string).collect::<Vec<_>>()
        ),
    ];
    let args: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    bench.start(&args)
}

/// Where it takes gossip.
fn gossip(meshkitd: &Meshkitd) -> SocketAddr {
    let log = meshkitd.log();
    let line = log.lines().find(|line| line.contains("\"message\":\"gossips\"")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line["address"].as_str().unwrap().parse().unwrap()
}

async fn members(bench: &Bench, meshkitd: &Meshkitd) -> Vec<Seen> {
    let client = bench.client(meshkitd, Protocol::Http3, READER);
    client.list_members("", 0, "").await.unwrap().value.members
}

async fn shows(bench: &Bench, meshkitd: &Meshkitd, expected: &[(&str, MemberStatus)]) {
    let what = format!("{expected:?}");
    eventually(&what, async || {
        let members = members(bench, meshkitd).await;
        let found: Vec<_> = members.iter().map(|seen| (seen.id.as_str(), seen.status())).collect();
        found == expected
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_dies_leaves_stands_still_or_comes_back_is_seen_by_all() {
    use MemberStatus::{Alive, Dead, Left};
    let bench = Bench::new(MEMBERSHIP);
    let a = start(&bench, "a", &[]);
    let seed = gossip(&a);
    let b = start(&bench, "b", &[seed]);
    let c = start(&bench, "c", &[seed]);
    for meshkitd in [&a, &b, &c] {
        shows(&bench, meshkitd, &[("a", Alive), ("b", Alive), ("c", Alive)]).await;
    }
    let found = members(&bench, &c).await;
    let (itself, other) = (&found[2], &found[0]);
    assert!(itself.is_self && !other.is_self);
    assert_eq!((other.role.as_str(), other.cluster.as_str()), ("control-plane", "default"));
    assert_eq!((other.version.as_str(), other.address.parse().unwrap()), (env!("CARGO_PKG_VERSION"), seed));

    // A watch begins with everybody and goes on with what becomes of them.
    let channel = bench.channel(&a, Protocol::Http2, None);
    let mut events = Events::open(&channel, "/meshkit/members:watch", None).await;
    for id in ["a", "b", "c"] {
        let event = events.next().await;
        assert_eq!((event.name.as_str(), event.data["member"]["id"].as_str()), ("snapshot", Some(id)));
    }
    let follower = bench.client(&a, Protocol::Http3, OBSERVER);
    let mut watch = follower.watch_members();
    let MemberChange::Listed(listed) = watch.next().await.unwrap() else { panic!("no listing") };
    assert_eq!(listed.iter().map(|member| member.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    let first = members(&bench, &a).await[1].generation;
    b.kill();
    loop {
        if let MemberChange::Put(member) = watch.next().await.unwrap()
            && (member.id.as_str(), member.status()) == ("b", Dead)
        {
            break;
        }
    }
    loop {
        let event = events.next().await;
        let member = &event.data["member"];
        if (member["id"].as_str(), member["status"].as_str()) == (Some("b"), Some("dead")) {
            break;
        }
    }
    shows(&bench, &c, &[("a", Alive), ("b", Dead), ("c", Alive)]).await;

    // The registry says the same, by the node that leads: each has a store of its own here.
    let client = bench.client(&c, Protocol::Http3, READER);
    eventually("the registry has the members", async || {
        let peers = client.list_peers(&PeerFilter::default(), 0, "").await.unwrap().value.peers;
        let found: Vec<_> = peers.iter().map(|peer| (peer.id.as_str(), peer.status())).collect();
        found == [("a", PeerStatus::Alive), ("b", PeerStatus::Dead), ("c", PeerStatus::Alive)]
    })
    .await;

    // The same name again is a later process.
    let b = start(&bench, "b", &[seed]);
    for meshkitd in [&a, &b, &c] {
        shows(&bench, meshkitd, &[("a", Alive), ("b", Alive), ("c", Alive)]).await;
    }
    assert!(members(&bench, &a).await[1].generation > first);

    // Who stood still for too long was taken for dead, and says that it is not.
    b.pause();
    shows(&bench, &a, &[("a", Alive), ("b", Dead), ("c", Alive)]).await;
    b.resume();
    for meshkitd in [&a, &b, &c] {
        shows(&bench, meshkitd, &[("a", Alive), ("b", Alive), ("c", Alive)]).await;
    }

    // Who ends in order says so.
    assert_eq!(c.terminate().0, Some(0));
    for meshkitd in [&a, &b] {
        shows(&bench, meshkitd, &[("a", Alive), ("b", Alive), ("c", Left)]).await;
    }
    let one = Ask::get(&bench.channel(&b, Protocol::Http2, None), "/meshkit/members/c").token(READER);
    assert_eq!(one.send().await.json()["status"], "left");
    let nobody = Ask::get(&bench.channel(&b, Protocol::Http2, None), "/meshkit/members/d").token(READER);
    assert_eq!(nobody.send().await.problem().0, 404);
}

/// Somebody with a certificate, at a socket of its own.
fn somebody(ca: &TestCa, spiffe: &str) -> Datagrams {
    let config = DatagramConfig {
        address: "127.0.0.1:0".parse().unwrap(),
        alpn: ALPN,
        allow: vec!["spiffe://omnirelay.dev/*".to_owned()],
        max_message: Swim::MAX_MESSAGE,
        max_connections: 16,
    };
    Datagrams::bind(&config, &ServerTls::load(&ca.server_tls(spiffe)).unwrap(), &Metrics::default())
        .unwrap()
        .0
}

/// What somebody called `claimed` says first.
fn greetings(claimed: &str, address: SocketAddr, to: SocketAddr) -> Vec<Bytes> {
    let me = Member {
        id: PeerId::new(claimed).unwrap(),
        generation: u64::MAX,
        edition: 0,
        address,
        role: "control-plane".to_owned(),
        cluster: "default".to_owned(),
        zone: String::new(),
        version: "9.9.9".to_owned(),
        said: 0,
        health: Health::Ready,
        map_version: 0,
    };
    let mut swim = Swim::new(me, Tuning::default(), 7);
    swim.announce(Duration::ZERO, PeerId::new("meshkit-1").unwrap(), to);
    swim.take_outgoing().map(|outgoing| outgoing.message).collect()
}

async fn refused(bench: &Bench, meshkitd: &Meshkitd, reason: &str) -> bool {
    let ask = Ask::get(&bench.channel(meshkitd, Protocol::Http2, None), "/metrics").token(OBSERVER);
    ask.send().await.text.contains(reason)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_listens_to_strangers_impostors_and_noise() {
    use MemberStatus::Alive;
    let bench = Bench::new(MEMBERSHIP);
    let meshkitd = bench.start(&[]);
    let address = gossip(&meshkitd);

    // Not even packets.
    let noise = UdpSocket::bind("127.0.0.1:0").unwrap();
    for byte in [0x00, 0x40, 0xc0, 0xff] {
        noise.send_to(&[byte; 1_200], address).unwrap();
    }
    // A certificate of another authority, and one of ours for another role.
    let stranger = somebody(&TestCa::new(), "spiffe://omnirelay.dev/meshkit/stranger");
    let service = somebody(&bench.ca, "spiffe://omnirelay.dev/service/inventory");
    for (datagrams, name) in [(&stranger, "stranger"), (&service, "inventory")] {
        for message in greetings(name, datagrams.local_addr(), address) {
            // QUIC itself may have taken it before it was clear who sent it.
            let _refused = datagrams.deliver(address, message).await;
        }
    }
    // A member that speaks for another, and one that says nothing sensible.
    let mallory = somebody(&bench.ca, "spiffe://omnirelay.dev/meshkit/mallory");
    for message in greetings("victim", mallory.local_addr(), address) {
        mallory.deliver(address, message).await.unwrap();
    }
    let sense = greetings("mallory", mallory.local_addr(), address);
    for message in &sense {
        for end in 0..message.len() {
            mallory.send(address, message.slice(..end));
        }
        let mut longer = message.to_vec();
        longer.extend([0xff; 64]);
        mallory.deliver(address, longer.into()).await.unwrap();
    }
    eventually("it is counted", async || {
        refused(&bench, &meshkitd, "meshkit_membership_refused_total{reason=\"impostor\"}").await
            && refused(&bench, &meshkitd, "meshkit_membership_refused_total{reason=\"malformed\"}").await
    })
    .await;
    shows(&bench, &meshkitd, &[("meshkit-1", Alive)]).await;

    // And who is let in is heard all the same.
    for message in sense {
        mallory.deliver(address, message).await.unwrap();
    }
    eventually("a member that speaks for itself is there", async || {
        members(&bench, &meshkitd).await.iter().any(|seen| seen.id == "mallory")
    })
    .await;
}

#[tokio::test]
async fn without_a_membership_the_members_are_unknown() {
    let bench = Bench::new("");
    let meshkitd = bench.start(&[]);
    let channel = bench.channel(&meshkitd, Protocol::Http2, None);
    let answer = Ask::get(&channel, "/meshkit/members").token(READER).send().await;
    assert_eq!(answer.problem().1, "failed-precondition");
    assert!(answer.json()["hint"].as_str().unwrap().contains("[membership]"));
}

#[test]
fn a_certificate_of_another_name_is_refused_at_the_start() {
    let bench = Bench::new(MEMBERSHIP);
    let output = bench.refused(&["--set", "node.name=other"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("spiffe://omnirelay.dev/meshkit/meshkit-1") && said.contains("other"), "{said}");
}
