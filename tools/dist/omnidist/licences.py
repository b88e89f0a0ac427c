"""The licences of everything that a platform's programs are linked of, as one text.

Each text stands once, under the names of all that it holds for.
"""

from __future__ import annotations

import re
from pathlib import Path

from .crates import Crate
from .platforms import Platform
from .say import Failure

_FILES = ("LICEN", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")
_STANDARD = Path(__file__).parent / "texts"


def text(crates: list[Crate], platform: Platform, zig: Path) -> str:
    """The whole text. What has no licence is a failure: it must not be distributed."""
    holders: dict[str, list[str]] = {}
    for crate in (one for one in crates if not one.ours):
        for found in of_crate(crate):
            holders.setdefault(found, []).append(f"{crate.name} {crate.version} ({crate.license})")
    for name, file in _system(platform, zig):
        holders.setdefault(_tidy(file.read_text(encoding="utf-8", errors="replace")), []).append(name)
    parts = ["OmniRelay is licensed under the Apache License 2.0: see LICENSE. Its programs contain the following works.\n"]
    for found, names in sorted(holders.items(), key=lambda pair: (-len(pair[1]), pair[1])):
        parts.append("=" * 80 + "\n" + "".join(f"{name}\n" for name in names) + "-" * 80 + "\n" + found)
    return "\n".join(parts)


def of_crate(crate: Crate) -> list[str]:
    """The texts in the crate's folder. A crate that brings none is under the standard text that its manifest names."""
    files = [path for path in sorted(crate.folder.iterdir()) if path.name.upper().startswith(_FILES) and path.is_file()]
    files += [path for folder in sorted(crate.folder.glob("LICENSES")) for path in sorted(folder.iterdir())]
    if files:
        return [_tidy(path.read_text(encoding="utf-8", errors="replace")) for path in files]
    if "MIT" in re.split(r"[ ()]+", crate.license):
        authors = ", ".join(re.sub(r" <.*>", "", author) for author in crate.authors)
        standard = (_STANDARD / "MIT.txt").read_text(encoding="utf-8")
        return [_tidy(standard.replace("HOLDERS", authors or f"the authors of {crate.name}"))]
    raise Failure(f"{crate.name} {crate.version} ({crate.license or 'no licence'}) brings no text of its licence",
                  f"add the standard text to {_STANDARD}, or drop the crate")


def _system(platform: Platform, zig: Path) -> list[tuple[str, Path]]:
    """What the toolchain links besides crates."""
    libraries = zig.parent / "lib"
    found = [("the standard library of Rust (MIT OR Apache-2.0)", _STANDARD / "rust-std.txt")]
    if platform.system == "linux":
        found.append(("musl", libraries / "libc" / "musl" / "COPYRIGHT"))
    if platform.system == "windows":
        found.append(("mingw-w64", libraries / "libc" / "mingw" / "COPYING"))
    return found + [("LLVM's libunwind and compiler-rt", libraries / "libunwind" / "LICENSE.TXT")]


def _tidy(content: str) -> str:
    return "\n".join(line.rstrip() for line in content.replace("\r", "").strip("\n\ufeff").split("\n")) + "\n"
