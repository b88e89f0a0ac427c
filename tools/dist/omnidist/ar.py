"""The ar format, of which Debian packages are: a magic line, then each member behind a header of sixty bytes."""

from __future__ import annotations

from collections.abc import Iterator

from .say import Failure

_MAGIC = b"!<arch>\n"
_HEADER = 60


def members(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of each member."""
    if not content.startswith(_MAGIC):
        raise Failure("this is no ar archive")
    place = len(_MAGIC)
    while place < len(content):
        header = content[place:place + _HEADER]
        if len(header) < _HEADER or header[58:] != b"`\n":
            raise Failure(f"the ar archive is damaged at byte {place}")
        size = int(header[48:58])
        begin = place + _HEADER
        yield header[:16].decode("ascii").rstrip(" /"), content[begin:begin + size]
        place = begin + size + size % 2


def archive(parts: list[tuple[str, bytes]], mtime: int) -> bytes:
    """An archive of these members, owned by root."""
    out = bytearray(_MAGIC)
    for name, content in parts:
        out += f"{name:<16}{mtime:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode("ascii")
        out += content + b"\n" * (len(content) % 2)
    return bytes(out)
