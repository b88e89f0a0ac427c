#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

use super::Table;

#[test]
fn columns_are_aligned_and_nothing_trails() {
    let mut table = Table::new(&["NAME", ">READY", "NOTE"]);
    table.row(["meshkitd".into(), "41".into(), String::new()]);
    table.row(["r".into(), "1234".into(), "bell\u{7} and escape \u{1b}[31m".into()]);
    let expected = "\
NAME      READY  NOTE
meshkitd     41  -
r          1234  bell\u{fffd} and escape \u{fffd}[31m
";
    assert_eq!(table.render(0, false), expected);
}

#[test]
fn an_empty_table_still_says_its_columns() {
    assert_eq!(Table::new(&["A", "B"]).render(2, false), "  A  B\n");
}
