"""What can be said of a macOS program without running it: its header, minimum version, libraries and signature."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field

from .say import Failure

_MAGIC_64 = 0xFEEDFACF
_MACHINES = {0x01000007: "x86_64", 0x0100000C: "aarch64"}
_EXECUTE = 2
_LOAD_DYLIB, _WEAK_DYLIB, _REEXPORT_DYLIB = 0xC, 0x80000018, 0x8000001F
_VERSION_MIN, _BUILD_VERSION, _CODE_SIGNATURE = 0x24, 0x32, 0x1D
_SUPER_BLOB, _CODE_DIRECTORY = 0xFADE0CC0, 0xFADE0C02
_ADHOC = 0x2


@dataclass
class Program:
    """What the file says of itself."""

    machine: str
    minimum: str = ""
    libraries: list[str] = field(default_factory=list)
    signature: tuple[int, int] | None = None


def read(content: bytes) -> Program:
    """Reads the header and the load commands."""
    try:
        return _read(content)
    except struct.error as error:
        raise Failure(f"the Mach-O file is cut off: {error}") from error


def _read(content: bytes) -> Program:
    magic, machine, _, kind, count, _, _, _ = struct.unpack_from("<8I", content)
    if magic != _MAGIC_64 or kind != _EXECUTE:
        raise Failure("this is no 64-bit Mach-O program")
    found = Program(_MACHINES.get(machine, f"machine {machine:#x}"))
    place = 32
    for _ in range(count):
        command, size = struct.unpack_from("<2I", content, place)
        if size < 8:
            raise Failure(f"the load command at byte {place} is damaged")
        if command in (_LOAD_DYLIB, _WEAK_DYLIB, _REEXPORT_DYLIB):
            begin, = struct.unpack_from("<I", content, place + 8)
            found.libraries.append(content[place + begin:place + size].split(b"\0")[0].decode("utf-8", errors="replace"))
        elif command == _BUILD_VERSION:
            found.minimum = _version(struct.unpack_from("<I", content, place + 12)[0])
        elif command == _VERSION_MIN:
            found.minimum = _version(struct.unpack_from("<I", content, place + 8)[0])
        elif command == _CODE_SIGNATURE:
            found.signature = struct.unpack_from("<2I", content, place + 8)
        place += size
    return found


def check_signature(content: bytes, place: tuple[int, int]) -> str:
    """Whether the signature is ad hoc and holds for every page of the file; the kernel kills what differs. Returns what it
    says, and fails naming what is off."""
    try:
        return _check_signature(content, place[0])
    except (struct.error, IndexError) as error:
        raise Failure(f"the signature is cut off: {error}") from error


def _check_signature(content: bytes, begin: int) -> str:
    magic, _, count = struct.unpack_from(">3I", content, begin)
    if magic != _SUPER_BLOB:
        raise Failure(f"the signature at byte {begin} is none")
    for index in range(count):
        _, offset = struct.unpack_from(">2I", content, begin + 12 + 8 * index)
        directory = begin + offset
        if struct.unpack_from(">I", content, directory)[0] != _CODE_DIRECTORY:
            continue
        _, _, _, flags, hashes, _, _, slots, limit = struct.unpack_from(">9I", content, directory)
        size, kind, _, page = struct.unpack_from(">4B", content, directory + 36)
        if not flags & _ADHOC:
            raise Failure("the signature is not ad hoc")
        if (size, kind) != (32, 2):
            raise Failure(f"the signature's hashes are of kind {kind} with {size} bytes, not SHA-256")
        step = 1 << page
        for slot in range(slots):
            wanted = content[directory + hashes + size * slot:directory + hashes + size * (slot + 1)]
            if hashlib.sha256(content[slot * step:min((slot + 1) * step, limit)]).digest() != wanted:
                raise Failure(f"the signature does not hold for page {slot} of {slots}: the file was changed after it was signed")
        return f"ad hoc, holds for {slots} pages"
    raise Failure("the signature has no code directory")


def _version(packed: int) -> str:
    return f"{packed >> 16}.{packed >> 8 & 0xFF}"
