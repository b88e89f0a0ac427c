"""Debian packages: an ar archive of a version, a control archive and a data archive."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from . import ar
from .archive import Entry, tar_gz

_DESCRIPTION = """RPC fabric for services that own state
 relayd is the relay that runs beside each service, meshkitd the control plane,
 omnirelay the command line. All three are static binaries."""


def package(files: Mapping[str, Entry], version: str, machine: str, mtime: int) -> bytes:
    """The package that installs `files`, named by their paths below `/`."""
    size = sum(-(-len(entry.content) // 1024) for entry in files.values())
    control = (f"Package: omnirelay\nVersion: {debian_version(version)}\nArchitecture: {machine}\n"
               "Maintainer: OmniRelay <https://github.com/omnirelay/omnirelay>\n"
               f"Installed-Size: {size}\nSection: net\nPriority: optional\n"
               f"Homepage: https://github.com/omnirelay/omnirelay\nDescription: {_DESCRIPTION}\n")
    sums = "".join(f"{hashlib.md5(files[name].content, usedforsecurity=False).hexdigest()}  {name}\n" for name in sorted(files))
    about = {"control": Entry(control.encode()), "md5sums": Entry(sums.encode())}
    return ar.archive([
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", tar_gz(about, mtime, "./")),
        ("data.tar.gz", tar_gz(files, mtime, "./")),
    ], mtime)


def debian_version(version: str) -> str:
    """A pre-release sorts before its release: Debian's `~`."""
    return version.replace("-", "~")
