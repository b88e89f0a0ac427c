#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test may panic")]

#[test]
fn the_committed_reference_is_fresh() {
    let committed = include_str!("../../../docs/reference/cli.md");
    assert_eq!(
        committed,
        super::markdown(),
        "docs/reference/cli.md is stale: cargo run -p omnirelay-cli -- dev docs > docs/reference/cli.md"
    );
}

#[test]
fn the_grammar_holds_together() {
    use clap::CommandFactory as _;
    crate::args::Cli::command().debug_assert();
}
