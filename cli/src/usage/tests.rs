#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

use clap::Parser as _;

use super::*;
use crate::args::Cli;

fn told(line: &str) -> String {
    error(&Cli::try_parse_from(line.split(' ')).unwrap_err(), None).unwrap().report(false)
}

#[test]
fn a_mistyped_command_is_answered_with_the_nearest_one() {
    let told = told("omnirelay reqest");
    assert!(told.starts_with("error: unrecognized subcommand 'reqest'\n"), "{told}");
    assert!(told.contains("a similar subcommand exists: 'request'"), "{told}");
}

#[test]
fn a_wrong_value_names_the_right_ones() {
    let told = told("omnirelay mesh peers list --output xml");
    assert!(told.contains("'xml'") && told.contains("[possible values: table, wide, json, yaml]"), "{told}");
}

#[test]
fn what_is_missing_is_named_with_the_usage() {
    let told = told("omnirelay request greeter");
    assert!(told.contains("<PROCEDURE>") && told.contains("hint:  usage is `omnirelay request"), "{told}");
}

#[test]
fn help_is_no_error() {
    assert!(error(&Cli::try_parse_from(["omnirelay", "--help"]).unwrap_err(), None).is_none());
    assert!(error(&Cli::try_parse_from(["omnirelay", "--version"]).unwrap_err(), None).is_none());
}

#[test]
fn notations_are_recognised_in_both_ways_of_writing() {
    let asked = |line: &str| notation(line.split(' ').map(Into::into));
    assert_eq!(asked("omnirelay reqest --output json"), Some(Notation::Json));
    assert_eq!(asked("omnirelay reqest --output=yaml"), Some(Notation::Yaml));
    assert_eq!(asked("omnirelay reqest --output table json"), None);
    assert_eq!(asked("omnirelay reqest -- --output json"), None);
}
