//! PROXY protocol, version 2: a proxy that is trusted tells whose connection it hands on.
//!
//! Source: HAProxy's `doc/proxy-protocol.txt` (2020/03/05), section 2.2. Version 1, garbage and a
//! header above [`MAX_LENGTH`] are refused; what an untrusted address sends is never read as one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::body::BoxError;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version with command, family with transport, length.
const FIXED: usize = 16;
/// Addresses and additions that are read: proxies send some hundred bytes at most.
const MAX_LENGTH: usize = 2048;
/// The type of the checksum among the additions (section 2.2.3).
const PP2_TYPE_CRC32C: u8 = 0x03;

/// Who may say on whose behalf it connects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocolConfig {
    /// The proxies' networks, as `10.0.0.0/8`. Each of their connections has to begin with a PROXY
    /// header; nobody else's may.
    pub trusted: Vec<Network>,
}

/// An IP network in CIDR notation; an address alone is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address is of this network; an IPv4 address in IPv6 form counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.bits);
                (own.to_bits() ^ other.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.bits);
                (own.to_bits() ^ other.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no network; write `10.0.0.0/8` or `2001:db8::/32`");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_invalid| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= width).ok_or_else(wrong)?,
            None => width,
        };
        Ok(Self { address, bits })
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        format!("{}/{}", network.address, network.bits)
    }
}

/// The addresses whose connections begin with a PROXY header.
#[derive(Clone, Debug)]
pub(crate) struct Trusted(Vec<Network>);

impl Trusted {
    pub(crate) fn new(config: &ProxyProtocolConfig) -> Self {
        Self(config.trusted.clone())
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// Reads exactly one header. `None` where the proxy speaks for itself (`LOCAL`, a health check), or
/// of an address that is no IP address. How long to wait for it is the caller's to decide.
///
/// # Errors
/// What is no whole header of version 2, or breaks off; the connection cannot be used any more.
pub async fn read(io: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, BoxError> {
    let mut header = vec![0; FIXED];
    // The signature's twelve bytes are enough to tell version 1 and garbage: neither has to send
    // more before it is refused.
    io.read_exact(&mut header[..SIGNATURE.len()]).await?;
    if header[..SIGNATURE.len()] != SIGNATURE {
        return Err("the connection does not begin with a PROXY header of version 2".into());
    }
    io.read_exact(&mut header[SIGNATURE.len()..]).await?;
    let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if length > MAX_LENGTH {
        return Err("the PROXY header is too long".into());
    }
    header.resize(FIXED + length, 0);
    io.read_exact(&mut header[FIXED..]).await?;
    parse(&header).map_err(Into::into)
}

/// Understands one whole header.
fn parse(header: &[u8]) -> Result<Option<SocketAddr>, &'static str> {
    let (fixed, rest) = header.split_at_checked(FIXED).ok_or("the PROXY header is cut")?;
    if !fixed.starts_with(&SIGNATURE) || fixed[12] >> 4 != 2 {
        return Err("the PROXY header is not of version 2");
    }
    // Family and transport; the family alone says how long the addresses are.
    let (length, family) = match fixed[13] {
        0x00 => (0, 0),
        0x11 | 0x12 => (12, 1),
        0x21 | 0x22 => (36, 2),
        0x31 | 0x32 => (216, 3),
        _ => return Err("the PROXY header has an unknown family"),
    };
    let local = match fixed[12] & 0x0f {
        0 => true,
        1 => false,
        _ => return Err("the PROXY header has an unknown command"),
    };
    // Of a health check everything but the length has to be ignored (section 2.2).
    let (addresses, additions) = match rest.split_at_checked(length) {
        Some(parts) => parts,
        None if local => return Ok(None),
        None => return Err("the PROXY header has no room for its addresses"),
    };
    check_additions(header, additions, header.len() - additions.len())?;
    if local {
        return Ok(None);
    }
    Ok(match family {
        1 => {
            let (source, ports) = addresses.split_at_checked(8).ok_or("the PROXY header is cut")?;
            let octets: [u8; 4] = source[..4].try_into().map_err(|_short| "the PROXY header is cut")?;
            Some(SocketAddr::from((Ipv4Addr::from(octets), u16::from_be_bytes([ports[0], ports[1]]))))
        }
        2 => {
            let (source, ports) = addresses.split_at_checked(32).ok_or("the PROXY header is cut")?;
            let octets: [u8; 16] = source[..16].try_into().map_err(|_short| "the PROXY header is cut")?;
            let address = IpAddr::from(Ipv6Addr::from(octets)).to_canonical();
            Some(SocketAddr::from((address, u16::from_be_bytes([ports[0], ports[1]]))))
        }
        _ => None,
    })
}

/// Walks over the additions (TLV, section 2.2) and checks the sum, where there is one.
fn check_additions(header: &[u8], mut additions: &[u8], mut at: usize) -> Result<(), &'static str> {
    while let [kind, high, low, rest @ ..] = additions {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, next) =
            rest.split_at_checked(length).ok_or("an addition is longer than its PROXY header")?;
        if *kind == PP2_TYPE_CRC32C {
            let told: [u8; 4] =
                value.try_into().map_err(|_size| "a PROXY header's checksum has four bytes")?;
            // The sum is made with zeros in its own place.
            let sum = header
                .iter()
                .enumerate()
                .map(|(index, byte)| if (at + 3..at + 7).contains(&index) { 0 } else { *byte });
            if crc32c(sum) != u32::from_be_bytes(told) {
                return Err("the PROXY header's checksum is wrong");
            }
        }
        at += 3 + length;
        additions = next;
    }
    if additions.is_empty() { Ok(()) } else { Err("a PROXY header's addition is cut") }
}

/// CRC-32C (RFC 4960, appendix B) bit by bit: headers are short and few.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    let all = bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    });
    !all
}

#[cfg(test)]
mod tests;
