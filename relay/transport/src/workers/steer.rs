//! The program by which the kernel leads each datagram to the worker that its connection lives on.
//!
//! Source: RFC 8999, section 5 for where a connection id stands; `bpf(4)` for the instructions;
//! `socket(7)`, SO_ATTACH_REUSEPORT_CBPF: the program gets the datagram's payload and returns the
//! place of a socket in the order of their binding. A place that does not exist means that the
//! kernel chooses by the addresses, which is what a client's own first id gets.

use std::io;
use std::os::fd::AsRawFd as _;

use socket2::Socket;

use super::cid::{Key, LENGTH};

const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const MULTIPLY: u16 = (libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K) as u16;
const SHIFT_RIGHT: u16 = (libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K) as u16;
const XOR_X: u16 = (libc::BPF_ALU | libc::BPF_XOR | libc::BPF_X) as u16;
const A_TO_X: u16 = (libc::BPF_MISC | libc::BPF_TAX) as u16;
const JUMP_IF_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const RETURN_A: u16 = (libc::BPF_RET | libc::BPF_A) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// The first bit of a long header (RFC 8999, section 5.1).
const LONG_HEADER: u32 = 0x80;
/// Where a long header has the length of its destination connection id.
const LONG_ID_LENGTH: u32 = 5;
const LONG_ID: u32 = 6;
const SHORT_ID: u32 = 1;
/// No socket's place.
const BY_ADDRESS: u32 = u32::MAX;

/// Leads the datagrams of a group of sockets that share one address.
pub(super) fn attach(group: &Socket, key: &Key) -> io::Result<()> {
    let program = program(key);
    let length = libc::c_ushort::try_from(program.len()).map_err(|_long| io::ErrorKind::InvalidInput)?;
    let header = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    #[allow(unsafe_code, reason = "no safe crate sets SO_ATTACH_REUSEPORT_CBPF")]
    // SAFETY: the descriptor is open for as long as `group` is borrowed; `header` and the
    // instructions that it points to outlive the call, which copies them and writes to neither.
    let outcome = unsafe {
        libc::setsockopt(
            group.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            std::ptr::from_ref(&header).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn program(key: &Key) -> Vec<libc::sock_filter> {
    let plain = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let jump = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    let decode = |id: u32| {
        [
            plain(LOAD_WORD, id + 1),
            plain(MULTIPLY, key.multiplier()),
            plain(SHIFT_RIGHT, 24),
            plain(A_TO_X, 0),
            plain(LOAD_BYTE, id),
            plain(XOR_X, 0),
            plain(RETURN_A, 0),
        ]
    };
    let mut program = vec![plain(LOAD_BYTE, 0), jump(JUMP_IF_SET, LONG_HEADER, 7, 0)];
    program.extend(decode(SHORT_ID));
    program.extend([
        plain(LOAD_BYTE, LONG_ID_LENGTH),
        jump(JUMP_IF_EQUAL, u32::from(LENGTH), 1, 0),
        plain(RETURN, BY_ADDRESS),
    ]);
    program.extend(decode(LONG_ID));
    program
}
