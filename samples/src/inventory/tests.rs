#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use relay_core::Code;

use super::Stock;

#[test]
fn counts_add_up() {
    let stock = Stock::default();
    assert_eq!(stock.count("apple").unwrap(), 0);
    assert_eq!(stock.adjust("apple", 5).unwrap(), 5);
    assert_eq!(stock.adjust("apple", -2).unwrap(), 3);
    assert_eq!(stock.count("apple").unwrap(), 3);
    assert_eq!(stock.count("pear").unwrap(), 0);
}

#[test]
fn refused_changes_change_nothing() {
    let stock = Stock::default();
    stock.adjust("apple", 3).unwrap();
    assert_eq!(stock.adjust("apple", -4).unwrap_err().code, Code::FailedPrecondition);
    assert_eq!(stock.adjust("apple", i64::MAX).unwrap_err().code, Code::OutOfRange);
    assert_eq!(stock.adjust("pear", i64::MIN).unwrap_err().code, Code::FailedPrecondition);
    assert_eq!(stock.count("apple").unwrap(), 3);
}

#[test]
fn room_is_bounded_and_given_back() {
    let stock = Stock::bounded(2);
    stock.adjust("a", 1).unwrap();
    stock.adjust("b", 1).unwrap();
    assert_eq!(stock.adjust("c", 1).unwrap_err().code, Code::ResourceExhausted);
    assert_eq!(stock.adjust("c", 0).unwrap(), 0);
    stock.adjust("a", -1).unwrap();
    assert_eq!(stock.adjust("c", 1).unwrap(), 1);
}

#[test]
fn names_stay_within_bounds() {
    let stock = Stock::default();
    for item in [String::new(), "x".repeat(129)] {
        assert_eq!(stock.count(&item).unwrap_err().code, Code::InvalidArgument);
        assert_eq!(stock.adjust(&item, 1).unwrap_err().code, Code::InvalidArgument);
    }
}
