"""The crates that a platform's programs are linked of, as cargo resolves them."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from .build import WORKSPACE
from .platforms import Platform, Program
from .say import Failure, run


@dataclass(frozen=True)
class Crate:
    """One crate; `sha256` is of what the registry serves, and empty for our own."""

    name: str
    version: str
    license: str
    authors: tuple[str, ...]
    repository: str
    folder: Path
    sha256: str
    needs: tuple[tuple[str, str], ...] = field(default=())

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.version

    @property
    def ours(self) -> bool:
        """Whether it is of this repository."""
        return not self.sha256


def linked(platform: Platform, programs: tuple[Program, ...]) -> list[Crate]:
    """Every crate in the programs, sorted. Build scripts, macros and what only these need are in no program."""
    needs = parse_tree(run(
        ["cargo", "tree", "--locked", "--quiet", "--edges", "normal,no-proc-macro", "--target", platform.triple, "--prefix", "depth",
         "--format", "|{p}", *(word for program in programs for word in ("--package", program.crate))],
        "asking cargo what is linked", cwd=WORKSPACE))
    known = _known()
    missing = [" ".join(key) for key in needs if key not in known]
    if missing:
        raise Failure(f"cargo tree names what cargo metadata does not: {', '.join(missing)}")
    return [Crate(**known[key], needs=tuple(sorted(needs[key]))) for key in sorted(needs)]


def parse_tree(text: str) -> dict[tuple[str, str], set[tuple[str, str]]]:
    """What each crate needs, of `cargo tree --prefix depth --format '|{p}'`."""
    found: dict[tuple[str, str], set[tuple[str, str]]] = {}
    above: list[tuple[str, str]] = []
    for line in filter(None, text.splitlines()):
        match = re.match(r"(\d+)\|(\S+) v(\S+)", line)
        if not match:
            raise Failure(f"cargo tree says {line!r}, which is no crate")
        depth, key = int(match.group(1)), (match.group(2), match.group(3))
        found.setdefault(key, set())
        del above[depth:]
        if above:
            found[above[-1]].add(key)
        above.append(key)
    return found


def _known() -> dict[tuple[str, str], dict]:
    described = json.loads(run(["cargo", "metadata", "--format-version", "1", "--locked", "--quiet"], "asking cargo for its crates",
                               cwd=WORKSPACE))
    lock = tomllib.loads((WORKSPACE / "Cargo.lock").read_text(encoding="utf-8"))
    sums = {(one["name"], one["version"]): one.get("checksum", "") for one in lock["package"]}
    return {
        (one["name"], one["version"]): {
            "name": one["name"], "version": one["version"], "license": spdx(one["license"] or ""),
            "authors": tuple(one["authors"]), "repository": one["repository"] or "",
            "folder": Path(one["manifest_path"]).parent, "sha256": sums.get((one["name"], one["version"]), ""),
        }
        for one in described["packages"]
    }


def spdx(license: str) -> str:
    """An SPDX expression; old manifests write `MIT/Apache-2.0`."""
    return re.sub(r"\s*/\s*", " OR ", license)
