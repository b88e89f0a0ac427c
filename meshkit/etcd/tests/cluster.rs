//! The client against a real etcd of three members: what a caller notices when they die, pause and compact.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by panicking that it failed")]

use std::time::Duration;

use meshkit_etcd::api::{self, request_op::Request};
use meshkit_etcd::{Client, Config, EtcdError, Leased, Told, UserConfig, Watch, prefix_end};
use relay_testkit::EtcdCluster;

const PREFIX: &str = "/test/";
/// Longer than a cluster takes to agree on a new leader; reached by no test that passes.
const PATIENCE: Duration = Duration::from_secs(30);

fn config(cluster: &EtcdCluster) -> Config {
    let user = UserConfig { name: EtcdCluster::USER.to_owned(), password_file: cluster.password_file() };
    Config { endpoints: cluster.endpoints(), tls: cluster.tls(), user: Some(user) }
}

fn key(n: usize) -> Vec<u8> {
    format!("{PREFIX}{n:04}").into_bytes()
}

async fn put(client: &Client, n: usize) -> i64 {
    let put =
        api::PutRequest { key: key(n), value: n.to_string().into_bytes(), ..api::PutRequest::default() };
    let success = vec![api::RequestOp { request: Some(Request::RequestPut(put)) }];
    let txn = client.txn(api::TxnRequest { success, ..api::TxnRequest::default() }, PATIENCE).await.unwrap();
    txn.header.unwrap().revision
}

async fn count(client: &Client) -> usize {
    let request = api::RangeRequest {
        key: PREFIX.into(),
        range_end: prefix_end(PREFIX.as_bytes()),
        count_only: true,
        ..api::RangeRequest::default()
    };
    client.range(request, PATIENCE).await.unwrap().count.try_into().unwrap()
}

async fn watched(watch: &mut Watch) -> Vec<String> {
    match tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().unwrap() {
        Told::Events(events) => {
            events.into_iter().map(|event| String::from_utf8(event.kv.unwrap().value).unwrap()).collect()
        }
        Told::Resync(why) => panic!("{why}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_watches_outlive_any_one_member() {
    let cluster = EtcdCluster::start(3);
    let mut cluster = cluster.with_users(PREFIX);
    let client = Client::new(&config(&cluster)).unwrap();
    let mut watch = client.watch(PREFIX.into(), prefix_end(PREFIX.as_bytes()), 0);
    let leased = Leased::keep(client.clone(), Duration::from_secs(6));
    let mut lease = leased.id();
    let first = *lease.wait_for(Option::is_some).await.unwrap();
    let (mut n, mut seen) = (0, Vec::new());
    for member in 0..3 {
        for pause in [false, true] {
            if pause {
                cluster.pause(member);
            } else {
                cluster.kill(member);
            }
            for _ in 0..5 {
                put(&client, n).await;
                n += 1;
            }
            while seen.len() < n {
                seen.extend(watched(&mut watch).await);
            }
            if pause {
                cluster.proceed(member);
            } else {
                cluster.restart(member);
            }
            cluster.wait();
        }
    }
    assert_eq!(seen, (0..n).map(|n| n.to_string()).collect::<Vec<_>>(), "each once, in order");
    assert_eq!(count(&client).await, n);
    assert_eq!(*lease.borrow_and_update(), first, "the lease lived on");
    assert!(cluster.ctl(&["lease", "list"]).contains(&format!("{:x}", first.unwrap())));
    drop(leased);
    // Revoked, not left to run out: the receiver hears the end of its task only after that.
    lease.wait_for(|_| false).await.unwrap_err();
    assert!(cluster.ctl(&["lease", "list"]).contains("found 0 leases"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_compacted_away_is_said_and_read_anew() {
    let cluster = EtcdCluster::start(3);
    let cluster = cluster.with_users(PREFIX);
    let client = Client::new(&config(&cluster)).unwrap();
    let first = put(&client, 0).await;
    let mut last = first;
    for n in 1..10 {
        last = put(&client, n).await;
    }
    cluster.ctl(&["compact", &last.to_string()]);
    // Later versions of etcd let nobody but root compact, whatever there is to be compacted.
    let again = client.compact(last, PATIENCE).await;
    assert!(matches!(again, Err(EtcdError::Compacted | EtcdError::Auth(_))), "{again:?}");
    let mut watch = client.watch(PREFIX.into(), prefix_end(PREFIX.as_bytes()), first);
    let Told::Resync(why) = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().unwrap() else {
        panic!("history is gone");
    };
    assert!(why.contains("compacted"), "{why}");
    watch.resume(last);
    put(&client, 77).await;
    assert_eq!(watched(&mut watch).await, ["77"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_is_told_so_and_what_changed_is_followed() {
    let cluster = EtcdCluster::start(1);
    let cluster = cluster.with_users(PREFIX);
    let good = config(&cluster);
    let client = Client::new(&good).unwrap();
    put(&client, 1).await;
    // Users change: every token from before is refused once, which nobody notices.
    cluster.ctl(&["role", "grant-permission", EtcdCluster::USER, "read", "/other"]);
    put(&client, 2).await;
    let elsewhere = api::RangeRequest { key: b"/elsewhere".to_vec(), ..api::RangeRequest::default() };
    let refused = client.range(elsewhere.clone(), PATIENCE).await;
    assert!(
        matches!(&refused, Err(EtcdError::Auth(why)) if why.contains("permission denied")),
        "{refused:?}"
    );

    let wrong = cluster.ca().dir().join("wrong");
    std::fs::write(&wrong, "wrong").unwrap();
    let user = UserConfig { name: EtcdCluster::USER.to_owned(), password_file: wrong };
    let client = Client::new(&Config { user: Some(user), ..good.clone() }).unwrap();
    let refused = client.range(elsewhere.clone(), PATIENCE).await;
    assert!(matches!(&refused, Err(EtcdError::Auth(_))), "{refused:?}");

    let mut nobody = good.clone();
    (nobody.tls.certificate, nobody.tls.private_key) = (None, None);
    let refused = Client::new(&nobody).unwrap().range(elsewhere.clone(), Duration::from_secs(2)).await;
    assert!(matches!(&refused, Err(EtcdError::Unavailable { .. })), "{refused:?}");

    let missing = UserConfig { name: "x".to_owned(), password_file: "/does/not/exist".into() };
    let refused = Client::new(&Config { user: Some(missing), ..good }).unwrap_err();
    assert!(refused.report(false).contains("/does/not/exist"), "{}", refused.report(false));
}
