#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

use super::{Look, Table};

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
    assert_eq!(table.render(0, Look::default()), expected);
}

#[test]
fn an_empty_table_still_says_its_columns() {
    assert_eq!(Table::new(&["A", "B"]).render(2, Look::default()), "  A  B\n");
}

#[test]
fn wide_tables_have_the_other_columns_too() {
    let mut table = Table::new(&["NAME", "+NOTE", ">SIZE", "+>VERSION"]);
    table.row(["a".into(), "b".into(), "1".into(), "2".into()]);
    assert_eq!(table.render(0, Look::default()), "NAME  SIZE\na        1\n");
    let wide = Look { wide: true, ..Look::default() };
    assert_eq!(table.render(0, wide), "NAME  NOTE  SIZE  VERSION\na     b        1        2\n");
}
