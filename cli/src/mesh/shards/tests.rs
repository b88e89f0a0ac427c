#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

use meshkit_client::v1::{
    OwnershipPhase, Shard, ShardDiff, ShardHistoryEntry, ShardOwner, ShardStatus, SimulateShardsResponse,
    SimulatedLoad, SimulatedMove,
};

use crate::output::Look;

use super::{owners, past, record, table, watch};

#[test]
fn a_table_has_a_line_for_each_shard() {
    let now = "2026-06-01T00:01:05Z".parse().unwrap();
    let owned = Shard {
        shard_namespace: "inventory".into(),
        id: 9,
        strategy: "rendezvous".into(),
        owner: "inventory-1".into(),
        status: ShardStatus::Active.into(),
        fence: 12,
        changed_at: Some(prost_types::Timestamp { seconds: 1_780_272_000, nanos: 0 }),
        record_version: 3,
        phase: OwnershipPhase::Active.into(),
        successor: "inventory-2".into(),
        successor_ready: true,
        ..Shard::default()
    };
    let orphan = Shard { id: 10, owner: String::new(), successor: String::new(), ..owned.clone() };
    let expected = "\
NAMESPACE  ID  OWNER        PHASE   SUCCESSOR            STATUS  FENCE  STRATEGY    CHANGED
inventory   9  inventory-1  active  inventory-2 (ready)  active     12  rendezvous  1m05s
inventory  10  -            active  -                    active     12  rendezvous  1m05s
";
    assert_eq!(table(&[owned, orphan.clone()], now).render(0, Look::default()), expected);
    assert_eq!(record(&orphan)["owner"], serde_json::Value::Null);
    assert_eq!(record(&orphan)["changedAt"], "2026-06-01T00:00:00Z");
}

fn shard(owner: &str, fence: u64) -> Shard {
    Shard {
        shard_namespace: "stock".into(),
        id: 7,
        owner: owner.into(),
        fence,
        phase: OwnershipPhase::Active.into(),
        ..Shard::default()
    }
}

#[test]
fn owners_have_a_line_each() {
    let owner = ShardOwner {
        owner: "inventory-1".into(),
        zone: "a".into(),
        shards: 8,
        active: 7,
        incoming: 1,
        calls_per_second: 12.34,
    };
    let expected = "\
OWNER        ZONE  SHARDS  ACTIVE  INCOMING  CALLS/S
inventory-1  a          8       7         1     12.3
";
    assert_eq!(owners::owners_table(&[owner]).render(0, Look::default()), expected);
}

#[test]
fn a_simulation_tells_what_would_move_and_what_everybody_would_have() {
    let load = |node: &str, before, after| SimulatedLoad { node: node.into(), before, after };
    let answer = SimulateShardsResponse {
        moves: vec![SimulatedMove {
            shard_namespace: "stock".into(),
            id: 3,
            from: "a".into(),
            to: "b".into(),
        }],
        moved: 1,
        shards: 8,
        moved_percent: 12.5,
        loads: vec![load("a", 8, 7), load("b", 0, 1), load("c", 0, 0)],
        revision: 9,
    };
    let expected = "\
1 of 8 shards would move (12.5 %)

PEER  BEFORE  AFTER  CHANGE
a          8      7      -1
b          0      1      +1
c          0      0       -

NAMESPACE  ID  FROM  TO
stock       3  a     b
";
    assert_eq!(owners::text(&answer, Look::default()), expected);
    assert_eq!(owners::node("b:zone-a:3").unwrap().weight, 3);
    for odd in ["b:a:x", "b:a:1:2"] {
        assert!(owners::node(odd).is_err(), "{odd}");
    }
}

#[test]
fn changes_show_what_was_and_what_is() {
    let moved = ShardDiff {
        shard_namespace: "stock".into(),
        id: 7,
        before: Some(shard("a", 1)),
        after: Some(shard("b", 2)),
    };
    let gone = ShardDiff { after: None, ..moved.clone() };
    let expected = "\
NAMESPACE  ID  OWNER   PHASE        FENCE
stock       7  a -> b  active      1 -> 2
stock       7  a -> -  active -> -  1 -> -
";
    let text = past::diff_table(&[moved, gone]).render(0, Look::default());
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), expected.split_whitespace().collect::<Vec<_>>());
    let entry = ShardHistoryEntry {
        revision: 12,
        actor: "token:admin".into(),
        action: "shard.assign".into(),
        reason: "hot".into(),
        ticket: "OPS-1".into(),
        shard: Some(shard("b", 2)),
        ..ShardHistoryEntry::default()
    };
    let text =
        past::history_table(&[entry], "2026-06-01T00:01:05Z".parse().unwrap()).render(0, Look::default());
    assert!(text.ends_with("hot     OPS-1\n"), "{text}");
    assert_eq!(watch::line("put", &shard("b", 2)), "put  stock/7  b  active  fence=2");
}
