use crate::output::Look;

use super::*;

#[test]
fn a_table_has_a_line_for_each_namespace() {
    let orders = Namespace {
        name: "orders".to_owned(),
        shards: 64,
        service: "shop".to_owned(),
        strategy: "locality-aware".to_owned(),
        replicas: 2,
        spread_zones: Some(true),
        zones: vec!["a".to_owned(), "b".to_owned()],
        handover: "acknowledged".to_owned(),
        record_version: 3,
    };
    let expected = "\
NAME    SHARDS  SERVICE  STRATEGY        REPLICAS  SPREAD  ZONES  HANDOVER      VERSION
orders      64  shop     locality-aware         2  zones   a, b   acknowledged        3
";
    assert_eq!(table(std::slice::from_ref(&orders)).render(0, Look::default()), expected);
    assert_eq!(record(&orders)["spreadZones"], true);
}
