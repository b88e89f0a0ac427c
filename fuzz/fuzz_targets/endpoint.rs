//! Endpoint URLs.

use relay_client::validate_endpoint;

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "endpoint",
    run,
    words: &[
        "https://",
        "http://",
        "localhost",
        "[::1]",
        "127.0.0.1",
        ":443",
        ":0",
        ":65536",
        "@",
        "/",
        "?",
        "#",
        "%41",
    ],
};

fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match validate_endpoint(text) {
        Ok(()) => {
            let uri = text.parse::<http::Uri>();
            let port = uri.as_ref().ok().and_then(http::Uri::port_u16);
            assert!(uri.is_ok_and(|uri| uri.scheme_str() == Some("https")), "{text:?} is no https URL");
            assert!(port != Some(0) && !text.contains('@'), "{text:?} was accepted");
        }
        Err(error) => assert!(error.report(false).contains("hint: "), "an error without a remedy"),
    }
}
