//! A relay's configuration: read, then checked.

use jiff::Timestamp;
use omnirelay_runtime::config::load_str;
use relay_config::RelayConfig;

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "relay_config",
    run,
    words: &[
        "[node]",
        "[data]",
        "[admin]",
        "[[outbounds]]",
        "[[routes]]",
        "[policy]",
        "[[policy.exceptions]]",
        "[mesh]",
        "name = ",
        "peers = ",
        "tls = ",
        "limits = { max_body_bytes = 0 }",
        "protocols = []",
        "[\"http3\"]",
        "\"\"",
        "\n",
    ],
};

fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match load_str::<RelayConfig>("fuzz.toml", text) {
        Ok(loaded) => {
            let check = RelayConfig::check(&loaded, Timestamp::UNIX_EPOCH);
            for problem in check.problems {
                assert!(problem.report(false).contains("hint: "), "a problem without a remedy");
            }
        }
        Err(error) => assert!(error.report(false).starts_with("error: "), "an error without words"),
    }
}
