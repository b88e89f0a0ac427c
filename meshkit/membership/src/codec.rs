//! Messages as bytes: one byte for the kind and version, then what SWIM says or all that a member knows, every
//! text with its length before it.
//!
//! Everything is checked when it is read: a message comes from somebody with a certificate, which
//! does not mean that it is well made.

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, BufMut};
use foca::{Codec, Header, Member as Update, Message, State as Liveness};
use meshkit_model::PeerId;

use crate::member::{Health, Member, Word};
use crate::news::Item;

/// What the formats are called on the wire; they change with the format.
const SWIM: u8 = 1;
const STATE: u8 = 2;

/// A datagram that is not one, or a member that does not fit into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(&'static str);

/// Whom a datagram says that it is from, read before anything else of it.
pub(crate) fn source(mut message: &[u8]) -> Result<PeerId, Malformed> {
    match byte(&mut message)? {
        SWIM | STATE => id(&mut message),
        _ => Err(OTHER),
    }
}

/// What a member knows, or a part of it.
pub(crate) struct State {
    pub(crate) source: Update<Word>,
    /// Whether it wants to be told the same.
    pub(crate) asks: bool,
    pub(crate) members: Vec<Update<Word>>,
}

/// Whether a message is a [`State`].
pub(crate) fn is_state(message: &[u8]) -> bool {
    message.first() == Some(&STATE)
}

/// All that a member knows as messages of at most `most` bytes each, the last of them as the question.
pub(crate) fn states<'a>(
    source: &Update<Word>,
    asks: bool,
    members: impl Iterator<Item = &'a Update<Word>>,
    most: usize,
) -> Vec<Vec<u8>> {
    let mut start = vec![STATE];
    put_update(&mut start, source);
    let empty = || (start.clone(), 0_u16, Vec::new());
    let (mut all, mut part) = (Vec::new(), empty());
    let close = |(mut head, count, body): (Vec<u8>, u16, Vec<u8>), asks: bool| {
        head.push(asks.into());
        head.put_u16(count);
        head.extend(body);
        head
    };
    for member in members {
        let before = part.2.len();
        put_update(&mut part.2, member);
        if start.len() + 3 + part.2.len() > most {
            let last = part.2.split_off(before);
            all.push(close(std::mem::replace(&mut part, empty()), false));
            part.2 = last;
        }
        part.1 += 1;
    }
    all.push(close(part, asks));
    all
}

pub(crate) fn state(mut message: &[u8]) -> Result<State, Malformed> {
    if byte(&mut message)? != STATE {
        return Err(OTHER);
    }
    let source = update(&mut message)?;
    let asks = match byte(&mut message)? {
        0 => false,
        1 => true,
        _ => return Err(Malformed("it neither asks nor does not")),
    };
    let count = short(&mut message)?;
    // What is not there is not allocated for.
    let members = (0..count).map(|_| update(&mut message)).collect::<Result<_, _>>()?;
    if message.is_empty() { Ok(State { source, asks, members }) } else { Err(Malformed("it goes on")) }
}

/// Writes and reads datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wire;

impl Codec<Word> for Wire {
    type Error = Malformed;

    fn encode_header(&mut self, header: &Header<Word>, mut buf: impl BufMut) -> Result<(), Malformed> {
        let mut out = Vec::with_capacity(256);
        out.push(SWIM);
        put_member(&mut out, &header.src.member);
        out.put_u16(header.src_incarnation);
        // Whom it is for knows the rest.
        put_key(&mut out, &header.dst.member);
        put_message(&mut out, &header.message);
        put_all(&out, &mut buf)
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Word>, Malformed> {
        if byte(&mut buf)? != SWIM {
            return Err(OTHER);
        }
        let src = member(&mut buf)?;
        let src_incarnation = short(&mut buf)?;
        let (id, generation, edition) = key(&mut buf)?;
        // Nobody looks at its address: it is ours, or the datagram is dropped.
        let dst = Member { generation, edition, ..Member::named(id, src.member.address) };
        let dst = Word::new(dst);
        Ok(Header { src, src_incarnation, dst, message: message(&mut buf)? })
    }

    fn encode_member(&mut self, update: &Update<Word>, mut buf: impl BufMut) -> Result<(), Malformed> {
        let mut out = Vec::with_capacity(128);
        put_update(&mut out, update);
        put_all(&out, &mut buf)
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Update<Word>, Malformed> {
        update(&mut buf)
    }
}

fn put_update(out: &mut Vec<u8>, update: &Update<Word>) {
    put_member(out, &update.id().member);
    out.put_u16(update.incarnation());
    out.push(match update.state() {
        Liveness::Alive => 0,
        Liveness::Suspect => 1,
        Liveness::Down => 2,
    });
}

fn update(buf: &mut impl Buf) -> Result<Update<Word>, Malformed> {
    let id = member(buf)?;
    let incarnation = short(buf)?;
    let state = match byte(buf)? {
        0 => Liveness::Alive,
        1 => Liveness::Suspect,
        2 => Liveness::Down,
        _ => return Err(Malformed("a member is in a state that there is not")),
    };
    Ok(Update::new(id, incarnation, state))
}

/// All of it or nothing, as the codec has to.
fn put_all(bytes: &[u8], buf: &mut impl BufMut) -> Result<(), Malformed> {
    if buf.remaining_mut() < bytes.len() {
        return Err(Malformed("it does not fit"));
    }
    buf.put_slice(bytes);
    Ok(())
}

fn put_member(out: &mut Vec<u8>, member: &Member) {
    put_key(out, member);
    match member.address.ip() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend(ip.octets());
        }
    }
    out.put_u16(member.address.port());
    for text in [&member.role, &member.cluster, &member.zone, &member.version] {
        put_text(out, text);
    }
    put_word(out, &Item::of(member));
}

fn put_word(out: &mut Vec<u8>, item: &Item) {
    out.put_u32(item.said);
    out.push(match item.health {
        Health::Ready => 0,
        Health::NotReady => 1,
        Health::Leaving => 2,
    });
    out.put_u64(item.map_version);
}

/// A word of a member as bytes.
pub(crate) fn put_item(item: &Item) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    put_text(&mut out, item.id.as_str());
    out.put_u64(item.generation);
    put_word(&mut out, item);
    out
}

pub(crate) fn item(mut data: &[u8]) -> Result<Item, Malformed> {
    let buf = &mut data;
    let (id, generation) = (id(buf)?, long(buf)?);
    let (said, health, map_version) = (word(buf)?, health(buf)?, long(buf)?);
    if buf.is_empty() {
        Ok(Item { id, generation, said, health, map_version })
    } else {
        Err(Malformed("it goes on"))
    }
}

fn health(buf: &mut impl Buf) -> Result<Health, Malformed> {
    match byte(buf)? {
        0 => Ok(Health::Ready),
        1 => Ok(Health::NotReady),
        2 => Ok(Health::Leaving),
        _ => Err(Malformed("a member's health is none")),
    }
}

fn put_key(out: &mut Vec<u8>, member: &Member) {
    put_text(out, member.id.as_str());
    out.put_u64(member.generation);
    out.put_u32(member.edition);
}

/// Members are valid, so no text is longer than a byte counts.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
    out.push(len);
    out.extend(text.as_bytes().iter().take(len.into()));
}

fn put_message(out: &mut Vec<u8>, message: &Message<Word>) {
    let mut about = |kind: u8, number: u8, word: Option<&Word>| {
        out.push(kind);
        out.push(number);
        if let Some(word) = word {
            put_member(out, &word.member);
        }
    };
    match message {
        Message::Ping(number) => about(0, *number, None),
        Message::Ack(number) => about(1, *number, None),
        Message::PingReq { target, probe_number } => about(2, *probe_number, Some(target)),
        Message::IndirectPing { origin, probe_number } => about(3, *probe_number, Some(origin)),
        Message::IndirectAck { target, probe_number } => about(4, *probe_number, Some(target)),
        Message::ForwardedAck { origin, probe_number } => about(5, *probe_number, Some(origin)),
        Message::Announce => about(6, 0, None),
        Message::Feed => about(7, 0, None),
        Message::Gossip => about(8, 0, None),
        Message::Broadcast => about(9, 0, None),
        Message::TurnUndead => about(10, 0, None),
    }
}

fn message(buf: &mut impl Buf) -> Result<Message<Word>, Malformed> {
    let (kind, probe_number) = (byte(buf)?, byte(buf)?);
    Ok(match kind {
        0 => Message::Ping(probe_number),
        1 => Message::Ack(probe_number),
        2 => Message::PingReq { target: member(buf)?, probe_number },
        3 => Message::IndirectPing { origin: member(buf)?, probe_number },
        4 => Message::IndirectAck { target: member(buf)?, probe_number },
        5 => Message::ForwardedAck { origin: member(buf)?, probe_number },
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        9 => Message::Broadcast,
        10 => Message::TurnUndead,
        _ => return Err(Malformed("it says something that there is not")),
    })
}

fn id(buf: &mut impl Buf) -> Result<PeerId, Malformed> {
    PeerId::new(text(buf)?).map_err(|_| Malformed("a member's id is none"))
}

fn key(buf: &mut impl Buf) -> Result<(PeerId, u64, u32), Malformed> {
    Ok((id(buf)?, long(buf)?, word(buf)?))
}

fn address(buf: &mut impl Buf) -> Result<SocketAddr, Malformed> {
    let ip = match byte(buf)? {
        4 => IpAddr::from(octets::<4>(buf)?),
        6 => IpAddr::from(octets::<16>(buf)?),
        _ => return Err(Malformed("an address is neither of IPv4 nor of IPv6")),
    };
    Ok(SocketAddr::new(ip, short(buf)?))
}

fn octets<const N: usize>(buf: &mut impl Buf) -> Result<[u8; N], Malformed> {
    let mut octets = [0; N];
    buf.try_copy_to_slice(&mut octets).map_err(|_| CUT)?;
    Ok(octets)
}

fn member(buf: &mut impl Buf) -> Result<Word, Malformed> {
    let (id, generation, edition) = key(buf)?;
    let address = address(buf)?;
    let (role, cluster) = (text(buf)?, text(buf)?);
    let (zone, version) = (text(buf)?, text(buf)?);
    let (said, health, map_version) = (word(buf)?, health(buf)?, long(buf)?);
    let member =
        Member { id, generation, edition, address, role, cluster, zone, version, said, health, map_version };
    member.validate().map_err(|_| Malformed("a member breaks its bounds"))?;
    Ok(Word::new(member))
}

fn text(buf: &mut impl Buf) -> Result<String, Malformed> {
    let len = usize::from(byte(buf)?);
    if buf.remaining() < len {
        return Err(CUT);
    }
    let bytes = buf.copy_to_bytes(len);
    std::str::from_utf8(&bytes).map(ToOwned::to_owned).map_err(|_| Malformed("a text is not UTF-8"))
}

const CUT: Malformed = Malformed("it is cut short");
const OTHER: Malformed = Malformed("it is of another version");

fn byte(buf: &mut impl Buf) -> Result<u8, Malformed> {
    buf.try_get_u8().map_err(|_| CUT)
}

fn short(buf: &mut impl Buf) -> Result<u16, Malformed> {
    buf.try_get_u16().map_err(|_| CUT)
}

fn word(buf: &mut impl Buf) -> Result<u32, Malformed> {
    buf.try_get_u32().map_err(|_| CUT)
}

fn long(buf: &mut impl Buf) -> Result<u64, Malformed> {
    buf.try_get_u64().map_err(|_| CUT)
}
