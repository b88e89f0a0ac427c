"""Whether a Linux program is fully static: it names no interpreter and needs no shared object."""

from __future__ import annotations

import struct

from .say import Failure

_MACHINES = {62: "x86_64", 183: "aarch64"}
_DYNAMIC, _INTERPRETER = 2, 3
_NEEDED = 1


def check_static(content: bytes, machine: str) -> str:
    """Returns what the program is; fails where it is of another machine or not static."""
    try:
        return _check(content, machine)
    except struct.error as error:
        raise Failure(f"the ELF file is cut off: {error}") from error


def _check(content: bytes, machine: str) -> str:
    if content[:6] != b"\x7fELF\x02\x01":
        raise Failure("this is no 64-bit ELF program")
    found = _MACHINES.get(struct.unpack_from("<H", content, 18)[0], "another machine")
    if found != machine:
        raise Failure(f"the program is for {found}, not {machine}")
    table, = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<2H", content, 54)
    for index in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<2I4Q", content, table + index * size)
        if kind == _INTERPRETER:
            raise Failure("the program asks for a dynamic loader", "it was not linked statically")
        if kind == _DYNAMIC:
            for entry in range(offset, offset + length, 16):
                if struct.unpack_from("<q", content, entry)[0] == _NEEDED:
                    raise Failure("the program needs a shared object", "it was not linked statically")
    return f"static, {machine}"
