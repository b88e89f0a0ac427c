#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

use meshkit_client::v1::{Shard, ShardStatus};

use super::{record, table};

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
    };
    let orphan = Shard { id: 10, owner: String::new(), ..owned.clone() };
    let expected = "\
NAMESPACE  ID  OWNER        STATUS  FENCE  STRATEGY    CHANGED
inventory   9  inventory-1  active     12  rendezvous  1m05s
inventory  10  -            active     12  rendezvous  1m05s
";
    assert_eq!(table(&[owned, orphan.clone()], now).render(0, false), expected);
    assert_eq!(record(&orphan)["owner"], serde_json::Value::Null);
    assert_eq!(record(&orphan)["changedAt"], "2026-06-01T00:00:00Z");
}
