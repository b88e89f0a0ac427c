//! The way of datagrams from a process to the one before it, whose connections they are for: a pair of Unix sockets.
//!
//! A message is up to a whole batch of datagrams from one address, as the kernel coalesced them, behind a header that
//! says what the kernel told of them. Both ends are of one machine, and of versions that know each other's.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram as Unregistered;
use std::task::{Context, Poll, ready};

use quinn::udp::{EcnCodepoint, RecvMeta};
use socket2::SockRef;
use tokio::net::UnixDatagram;

/// Bytes of the header: notification bits, whether an address was told, stride, source, destination.
const HEADER: usize = 42;
/// Bytes of datagrams in a message.
const MAX_BATCH: usize = 64 << 10;
/// Bytes that may be under way; those beyond are lost, as in a network.
const BUFFER: usize = 4 << 20;

/// The end that datagrams leave from.
#[derive(Debug)]
pub(super) struct Outward(Unregistered);

/// The end that they arrive at.
#[derive(Debug)]
pub(super) struct Inward {
    socket: Socket,
    message: Box<[u8]>,
}

/// It belongs to the runtime that polls it first.
#[derive(Debug)]
enum Socket {
    Unregistered(Option<Unregistered>),
    Registered(UnixDatagram),
}

/// Both ends; the second is for the other process.
pub(super) fn pair() -> io::Result<(Outward, OwnedFd)> {
    let (out, inward) = Unregistered::pair()?;
    out.set_nonblocking(true)?;
    SockRef::from(&out).set_send_buffer_size(BUFFER)?;
    Ok((Outward(out), inward.into()))
}

impl Outward {
    /// Sends datagrams of one address. `WouldBlock` is a way that is full, other errors one that has ended.
    pub(super) fn send(&self, meta: &RecvMeta, datagrams: &[u8]) -> io::Result<()> {
        let header = header(meta);
        SockRef::from(&self.0).send_vectored(&[IoSlice::new(&header), IoSlice::new(datagrams)]).map(drop)
    }
}

impl Inward {
    pub(super) fn new(end: OwnedFd) -> io::Result<Self> {
        let socket = Unregistered::from(end);
        socket.set_nonblocking(true)?;
        let message = vec![0; HEADER + MAX_BATCH].into();
        Ok(Self { socket: Socket::Unregistered(Some(socket)), message })
    }

    /// As a UDP socket receives.
    pub(super) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if let Socket::Unregistered(socket) = &mut self.socket {
            let socket = socket.take().ok_or(io::ErrorKind::NotConnected)?;
            self.socket = Socket::Registered(UnixDatagram::from_std(socket)?);
        }
        let Socket::Registered(socket) = &self.socket else { return Poll::Pending };
        let mut came = 0;
        for (buf, meta) in bufs.iter_mut().zip(metas) {
            let length = loop {
                match socket.try_recv(&mut self.message) {
                    Ok(length) => break length,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock && came > 0 => {
                        return Poll::Ready(Ok(came));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        ready!(socket.poll_recv_ready(cx))?;
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                }
            };
            *meta = RecvMeta { len: 0, ..RecvMeta::default() };
            if let Some((told, datagrams)) = parse(&self.message[..length])
                && let Some(room) = buf.get_mut(..datagrams.len())
            {
                room.copy_from_slice(datagrams);
                *meta = told;
            }
            came += 1;
        }
        Poll::Ready(Ok(came))
    }
}

fn header(meta: &RecvMeta) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = meta.ecn.map_or(0, |ecn| ecn as u8);
    header[1] = u8::from(meta.dst_ip.is_some()) | u8::from(meta.addr.is_ipv4()) << 1;
    header[2..4].copy_from_slice(&u16::try_from(meta.stride).unwrap_or(u16::MAX).to_be_bytes());
    header[4..6].copy_from_slice(&meta.addr.port().to_be_bytes());
    let scope = if let SocketAddr::V6(address) = meta.addr { address.scope_id() } else { 0 };
    header[6..10].copy_from_slice(&scope.to_be_bytes());
    header[10..26].copy_from_slice(&v6(meta.addr.ip()).octets());
    header[26..42].copy_from_slice(&meta.dst_ip.map_or(Ipv6Addr::UNSPECIFIED, v6).octets());
    header
}

fn v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn parse(message: &[u8]) -> Option<(RecvMeta, &[u8])> {
    let (header, datagrams) = message.split_first_chunk::<HEADER>()?;
    let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(header.get(at..at + 16)?).ok()?));
    // Both are of the socket's family, but a socket of version 6 has mapped addresses.
    let family = |ip: Ipv6Addr| match ip.to_ipv4_mapped() {
        Some(ip) if header[1] & 2 != 0 => IpAddr::V4(ip),
        _ => IpAddr::V6(ip),
    };
    let port = u16::from_be_bytes([header[4], header[5]]);
    let scope = u32::from_be_bytes([header[6], header[7], header[8], header[9]]);
    let addr = match family(address(10)?) {
        IpAddr::V4(ip) => SocketAddr::new(IpAddr::V4(ip), port),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
    };
    let meta = RecvMeta {
        addr,
        len: datagrams.len(),
        stride: usize::from(u16::from_be_bytes([header[2], header[3]])).max(1),
        ecn: EcnCodepoint::from_bits(header[0]),
        dst_ip: if header[1] & 1 == 0 { None } else { Some(family(address(26)?)) },
    };
    Some((meta, datagrams))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn what_the_kernel_told_of_datagrams_arrives_with_them() {
        let (out, end) = pair().unwrap();
        let mut inward = Inward::new(end).unwrap();
        for (addr, dst) in [
            ("10.1.2.3:4567", Some("10.0.0.1")),
            ("[fe80::1%7]:4567", Some("fe80::2")),
            ("[::ffff:10.1.2.3]:4567", Some("::ffff:10.0.0.1")),
            ("[2001:db8::1]:1", None),
        ] {
            let mut meta = RecvMeta { len: 5, stride: 2, ..RecvMeta::default() };
            (meta.addr, meta.ecn) = (addr.parse().unwrap(), EcnCodepoint::from_bits(3));
            meta.dst_ip = dst.map(|dst| dst.parse().unwrap());
            out.send(&meta, b"aabbc").unwrap();
            let mut buf = [0; 100];
            let mut told = [RecvMeta::default()];
            let mut bufs = [IoSliceMut::new(&mut buf)];
            let came = poll_fn(|cx| inward.poll_recv(cx, &mut bufs, &mut told)).await.unwrap();
            assert_eq!((came, format!("{:?}", told[0])), (1, format!("{meta:?}")));
            assert_eq!(buf[..5], *b"aabbc");
        }
    }

    #[tokio::test]
    async fn a_way_that_is_full_or_has_ended_says_so() {
        let (out, end) = pair().unwrap();
        let batch = vec![0; MAX_BATCH];
        let full = (0..1_000).find_map(|_| out.send(&RecvMeta::default(), &batch).err()).unwrap();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        drop(end);
        let ended = out.send(&RecvMeta::default(), &batch).unwrap_err();
        assert_ne!(ended.kind(), io::ErrorKind::WouldBlock);
    }
}
