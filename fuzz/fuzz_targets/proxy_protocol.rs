//! What a proxy tells of a connection before anything else is read of it (PROXY protocol).

use relay_transport::proxy_protocol::read;

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "proxy_protocol",
    run,
    words: &[
        "\r\n\r\n\0\r\nQUIT\n",
        "\x21\x11",
        "\x21\x21",
        "\x20\0",
        "\0\x0c",
        "\0\x24",
        "\x03\0\x04",
        "\x04\0\0",
        "PROXY TCP4 ",
    ],
};

/// What comes before the addresses; the last two bytes say how long the rest is.
const FIXED: usize = 16;

fn run(data: &[u8]) {
    let mut left = data;
    let Ok(told) = super::block_on(read(&mut left)) else { return };
    let (header, rest) = data.split_at(data.len() - left.len());
    let [.., high, low] = header.get(..FIXED).unwrap_or_default() else {
        panic!("a header shorter than its fixed part was accepted")
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    assert_eq!(header.len(), FIXED + length, "bytes behind the header were eaten: {rest:?}");
    if let Some(address) = told {
        assert_eq!(address.ip(), address.ip().to_canonical(), "an IPv4 address in IPv6 form");
    }
    let again = super::block_on(read(&mut &header[..])).ok();
    assert_eq!(again, Some(told), "what follows the header changed what it says");
    let cut = header.split_last().map(|(_last, cut)| cut).unwrap_or_default();
    assert!(super::block_on(read(&mut &cut[..])).is_err(), "a header that was cut short was accepted");
}
