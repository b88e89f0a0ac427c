"""BUILD and `.bzl` files that Bazel cannot load.

Their targets are in no event: Bazel never learns that they exist. What went wrong stands in its output alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from . import diagnose
from .model import Invocation

_LOCATED = re.compile(r"^ERROR: (/.+?):(\d+):(\d+): (?!no such )(.+)")
_PACKAGE = re.compile(r"^ERROR: (?:package contains errors: ([^:\s]*)|.*error loading package '([^']*)')")
_MODULE = re.compile(r"compilation of module '([^']+)' failed")


@dataclass
class BrokenFile:
    path: str  # below the workspace
    errors: list[str] = field(default_factory=list)  # "LINE:COLUMN: what"
    packages: list[str] = field(default_factory=list)  # that cannot be loaded because of it


def broken_files(run: Invocation) -> list[BrokenFile]:
    errors = diagnose.all_bazel_errors(run.progress_text())
    broken: dict[str, BrokenFile] = {}
    for line in errors:
        match = _PACKAGE.match(line)
        if not match:
            continue
        package = match[1] if match[1] is not None else match[2]
        module = _MODULE.search(line)
        own = [f"{package}/{name}".lstrip("/") for name in ("BUILD.bazel", "BUILD")]
        for path in [module[1]] if module else own:
            file = broken.setdefault(path, BrokenFile(path))
            if package not in file.packages:
                file.packages.append(package)
    for line in errors:
        match = _LOCATED.match(line)
        path = match[1].removeprefix(run.workspace + "/") if match else ""
        if path in broken:
            broken[path].errors.append(f"{match[2]}:{match[3]}: {match[4]}")
    return [file for file in broken.values() if file.errors]


def depends_on(errors: list[str], packages: list[str]) -> bool:
    """Whether these errors of a target are but the consequence of packages that cannot be loaded."""
    names = [name for package in packages for name in (f"'//{package}:", f"package '{package}'")]
    return all(any(name in error for name in names) for error in errors)
