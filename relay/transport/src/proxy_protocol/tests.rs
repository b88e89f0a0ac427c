#![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

use proptest::prelude::*;

use super::*;

fn header(command: u8, family: u8, addresses: &[u8], additions: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len() + additions.len()).unwrap();
    let mut out = SIGNATURE.to_vec();
    out.extend([0x20 | command, family]);
    out.extend(length.to_be_bytes());
    out.extend(addresses);
    out.extend(additions);
    out
}

fn v4() -> Vec<u8> {
    [192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0x01, 0xbb].to_vec()
}

/// A header whose last addition is a right checksum.
fn with_sum(addresses: &[u8]) -> Vec<u8> {
    let mut out = header(1, 0x11, addresses, &[PP2_TYPE_CRC32C, 0, 4, 0, 0, 0, 0]);
    let sum = crc32c(out.iter().copied());
    let at = out.len() - 4;
    out[at..].copy_from_slice(&sum.to_be_bytes());
    out
}

#[test]
fn the_source_is_told_for_both_families() {
    assert_eq!(parse(&header(1, 0x11, &v4(), &[])), Ok(Some("192.0.2.7:12345".parse().unwrap())));
    let mut v6 = [0; 36];
    v6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
    v6[32..34].copy_from_slice(&443_u16.to_be_bytes());
    assert_eq!(parse(&header(1, 0x21, &v6, &[])), Ok(Some("[2001:db8::7]:443".parse().unwrap())));
    assert_eq!(parse(&header(1, 0x31, &[0; 216], &[])), Ok(None), "a socket file is no IP address");
    assert_eq!(parse(&header(0, 0x00, &[], &[])), Ok(None), "a health check");
    assert_eq!(parse(&header(0, 0x11, &v4(), &[])), Ok(None), "a health check with addresses");
}

#[test]
fn additions_are_walked_over_and_a_checksum_is_checked() {
    // "123456789" is the checksum's well-known test.
    assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
    assert!(parse(&header(1, 0x11, &v4(), &[0x04, 0, 2, 9, 9, 0x01, 0, 0])).unwrap().is_some());
    let mut right = with_sum(&v4());
    assert!(parse(&right).unwrap().is_some());
    right[16] ^= 1;
    assert_eq!(parse(&right), Err("the PROXY header's checksum is wrong"));
}

#[test]
fn what_is_broken_is_refused() {
    for (what, broken) in [
        ("empty", vec![]),
        ("version 1", b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 443\r\n".to_vec()),
        ("another version", header(0x10, 0x11, &v4(), &[])),
        ("another command", header(2, 0x11, &v4(), &[])),
        ("another family", header(1, 0x41, &v4(), &[])),
        ("no room for the addresses", header(1, 0x21, &v4(), &[])),
        ("an addition that is cut", header(1, 0x11, &v4(), &[1, 0])),
        ("an addition that is too long", header(1, 0x11, &v4(), &[1, 0, 5, 0])),
        ("a short checksum", header(1, 0x11, &v4(), &[PP2_TYPE_CRC32C, 0, 2, 0, 0])),
    ] {
        assert!(parse(&broken).is_err(), "{what}");
    }
}

#[test]
fn networks_contain_what_they_say() {
    let of =
        |network: &str, address: &str| network.parse::<Network>().unwrap().contains(address.parse().unwrap());
    assert!(of("127.0.0.1/32", "127.0.0.1") && of("127.0.0.1", "::ffff:127.0.0.1"));
    assert!(!of("127.0.0.1/32", "127.0.0.2") && !of("10.0.0.0/8", "11.0.0.0"));
    assert!(of("10.0.0.0/8", "10.255.0.1") && of("0.0.0.0/0", "255.255.255.255"));
    assert!(of("2001:db8::/32", "2001:db8:ffff::1") && !of("2001:db8::/32", "2001:db9::1"));
    assert!(of("::/0", "2001:db8::1") && !of("::/0", "10.0.0.1"));
    for wrong in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "10.0.0.0/-1"] {
        assert!(wrong.parse::<Network>().is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..300), cut in 0_usize..16) {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend(tail);
        let _any = (parse(&bytes), parse(bytes.get(cut..).unwrap_or_default()));
    }

    /// What is written is read back, and exactly the header is taken from the connection.
    #[test]
    fn a_header_is_read_whatever_comes_after(
        octets in any::<[u8; 4]>(),
        port in any::<u16>(),
        rest in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut addresses = [0; 12];
        addresses[..4].copy_from_slice(&octets);
        addresses[8..10].copy_from_slice(&port.to_be_bytes());
        let mut bytes = with_sum(&addresses);
        bytes.extend(&rest);
        let mut input = bytes.as_slice();
        let read = futures_util::FutureExt::now_or_never(read(&mut input)).unwrap();
        prop_assert_eq!(read.unwrap(), Some(SocketAddr::from((octets, port))));
        prop_assert_eq!(input, rest);
    }
}
