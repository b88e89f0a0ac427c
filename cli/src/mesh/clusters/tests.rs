#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use crate::output::Look;

use super::*;

fn cluster() -> Cluster {
    Cluster {
        spec: Some(ClusterSpec {
            id: "eu-1".to_owned(),
            region: "eu-west".to_owned(),
            priority: 10,
            owners: vec!["store@example.com".to_owned(), "olga".to_owned()],
            ..ClusterSpec::default()
        }),
        state: ClusterState::Active.into(),
        changed_by: "token:admin".to_owned(),
        record_version: 3,
        ..Cluster::default()
    }
}

#[test]
fn a_table_has_a_line_for_each_cluster() {
    let expected = "\
ID    STATE    REGION   PRIORITY  FAILOVER  OWNERS                   CHANGED BY   TICKET  VERSION
eu-1  active   eu-west        10  manual    store@example.com, olga  token:admin  -             3
-     unknown  -               0  manual    -                        -            -             0
";
    assert_eq!(table(&[cluster(), Cluster::default()]).render(0, Look::default()), expected);
}

#[test]
fn records_have_the_names_of_the_rest_twin() {
    let record = record(&cluster());
    assert_eq!(record["spec"]["failover"]["mode"], "manual");
    assert_eq!((&record["state"], &record["recordVersion"]), (&json!("active"), &json!(3)));
    assert_eq!(record["stateSince"], Value::Null);
}
