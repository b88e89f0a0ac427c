"""Archives that are the same, byte for byte, whenever and by whomever they are made: sorted, one time, owned by root."""

from __future__ import annotations

import gzip
import io
import tarfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A file of an archive."""

    content: bytes
    executable: bool = False

    @property
    def mode(self) -> int:
        return 0o755 if self.executable else 0o644


def tar_gz(entries: Mapping[str, Entry], mtime: int, prefix: str = "") -> bytes:
    """A compressed tar archive. With `prefix`, every name begins with it; folders have entries of their own."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as file:
        for name in _with_folders(entries, prefix):
            entry = entries.get(name)
            info = tarfile.TarInfo(prefix + name)
            info.mtime = mtime
            info.uname = info.gname = "root"
            if entry is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                file.addfile(info)
            else:
                info.size, info.mode = len(entry.content), entry.mode
                file.addfile(info, io.BytesIO(entry.content))
    return gzip.compress(packed.getvalue(), compresslevel=9, mtime=0)


def zipped(entries: Mapping[str, Entry], mtime: int) -> bytes:
    """A zip archive. Its times are even seconds since 1980, of no time zone."""
    packed = io.BytesIO()
    stamp = time.gmtime(max(mtime, 315_532_800))[:6]
    with zipfile.ZipFile(packed, "w") as file:
        for name in sorted(entries):
            info = zipfile.ZipInfo(name, stamp)
            info.create_system = 3
            info.external_attr = (0o100000 | entries[name].mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(info, entries[name].content, compresslevel=9)
    return packed.getvalue()


def _with_folders(entries: Mapping[str, Entry], prefix: str) -> list[str]:
    """All names, every folder before what it holds."""
    folders = {""} if prefix else set()
    for name in entries:
        parts = name.split("/")[:-1]
        folders |= {"/".join(parts[:depth]) + "/" for depth in range(1, len(parts) + 1)}
    return sorted(folders | set(entries))
