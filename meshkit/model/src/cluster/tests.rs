#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use proptest::prelude::*;

use super::*;

fn spec(id: &str) -> ClusterSpec {
    ClusterSpec {
        id: id.to_owned(),
        region: "eu-west".to_owned(),
        priority: 10,
        failover: FailoverPolicy::default(),
        replication: Vec::new(),
        owners: vec!["Team Store <store@example.com>".to_owned()],
        annotations: BTreeMap::new(),
    }
}

fn cluster(id: &str, state: ClusterState, priority: u32) -> Cluster {
    Cluster {
        spec: ClusterSpec { priority, ..spec(id) },
        state,
        state_since: Timestamp::UNIX_EPOCH,
        changed_at: Timestamp::UNIX_EPOCH,
        changed_by: "olga".to_owned(),
        ticket: String::new(),
        record_version: 1,
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut ClusterSpec), expected: &str) {
    let mut spec = spec("eu-1");
    change(&mut spec);
    let found = spec.validate().map_or_else(|invalid| invalid.to_string(), |()| "ok".to_owned());
    assert_eq!(found, expected);
}

#[test]
fn specs_are_checked_field_by_field() {
    check(|_| {}, "ok");
    check(|s| s.id.clear(), "`id` is empty");
    check(|s| s.priority = 1001, "`priority` is 1001; it is 0 to 1000");
    check(|s| s.owners.push(" ".to_owned()), "`owners[1]` is empty");
    check(
        |s| s.failover.targets = vec!["eu-1".to_owned()],
        "`failover.targets[0]` is the cluster itself; name another one",
    );
    check(
        |s| s.failover.targets = vec!["eu-2".to_owned(), "eu-2".to_owned()],
        "`failover.targets[1]` names `eu-2` a second time",
    );
    check(
        |s| s.replication = vec![Endpoint { url: "http://x:1".to_owned(), protocols: vec![] }],
        "`replication[0].url` does not begin with https://",
    );
}

#[test]
fn the_last_active_cluster_stays() {
    let demote = Request::Demote { to: None };
    let only = cluster("eu-1", ClusterState::Active, 0);
    let passive = cluster("eu-2", ClusterState::Passive, 0);
    let unmet = decide(&only, &[only.clone(), passive], demote).unwrap_err();
    assert_eq!(unmet.problem, "`eu-1` is the last active cluster");
    let other = cluster("eu-3", ClusterState::Active, 0);
    let others = [only.clone(), other];
    let (next, rests_on) = decide(&only, &others, demote).unwrap();
    assert_eq!((next, rests_on[0].spec.id.as_str()), (ClusterState::Draining, "eu-3"));
}

#[test]
fn active_clusters_drain_first() {
    let active = cluster("eu-1", ClusterState::Active, 0);
    let other = [cluster("eu-2", ClusterState::Active, 0)];
    let to = Some(ClusterState::Maintenance);
    let unmet = decide(&active, &other, Request::Demote { to }).unwrap_err();
    assert_eq!(unmet.problem, "`eu-1` is active and cannot be demoted to maintenance");
    assert_eq!(unmet.hint, "from active it can be demoted to draining");
    let draining = cluster("eu-1", ClusterState::Draining, 0);
    assert_eq!(decide(&draining, &other, Request::Demote { to }).unwrap().0, ClusterState::Maintenance);
    let unmet = decide(&active, &other, Request::Promote { pass_over: true }).unwrap_err();
    assert_eq!(unmet.hint, "there is nothing beyond active");
}

#[test]
fn priority_is_passed_over_only_when_asked_for() {
    let low = cluster("eu-1", ClusterState::Passive, 10);
    let others = [cluster("eu-2", ClusterState::Passive, 20), cluster("eu-3", ClusterState::Maintenance, 30)];
    let unmet = decide(&low, &others, Request::Promote { pass_over: false }).unwrap_err();
    assert!(unmet.hint.starts_with("promote `eu-2`"), "{unmet:?}");
    let (next, _) = decide(&low, &others, Request::Promote { pass_over: true }).unwrap();
    assert_eq!(next, ClusterState::Active);
    let called_off = cluster("eu-1", ClusterState::Draining, 10);
    assert!(decide(&called_off, &others, Request::Promote { pass_over: false }).is_ok());
}

fn requests() -> impl Strategy<Value = Request> {
    let to = proptest::option::of(proptest::sample::select(ClusterState::ALL.to_vec()));
    prop_oneof![
        any::<bool>().prop_map(|pass_over| Request::Promote { pass_over }),
        to.prop_map(|to| Request::Demote { to }),
    ]
}

proptest! {
    /// Whatever operators ask for, in whatever order: once a cluster is active there is always one.
    #[test]
    fn some_cluster_stays_active(asked in prop::collection::vec((0..4usize, requests()), 0..64)) {
        let mut clusters: Vec<Cluster> = (0u32..4)
            .map(|n| cluster(&format!("c{n}"), ClusterState::Passive, n))
            .collect();
        clusters[0].state = ClusterState::Active;
        for (at, request) in asked {
            let before = clusters.clone();
            if let Ok((next, rests_on)) = decide(&before[at], &before, request) {
                prop_assert_ne!(next, before[at].state);
                prop_assert!(rests_on.iter().all(|other| other.spec.id != before[at].spec.id));
                clusters[at].state = next;
            }
            prop_assert!(clusters.iter().any(|cluster| cluster.state == ClusterState::Active));
        }
    }
}
