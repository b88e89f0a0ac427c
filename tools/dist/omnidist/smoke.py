"""Tries what people download: unpacks each archive, runs the same cases on each platform, says of each what came of it.

Linux programs run as they are or under qemu, Windows programs under wine. macOS programs cannot run here: what can be read of
them is checked, and every case that runs something is reported as `not run`.
"""

from __future__ import annotations

import platform as machine
import shutil
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from . import cases, wine
from .platforms import Platform
from .say import Failure, say

PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"


@dataclass(frozen=True)
class Result:
    """What came of one case on one platform."""

    platform: str
    case: str
    status: str
    seconds: float
    note: str

    def row(self) -> dict:
        return asdict(self)


def everything(platforms: tuple[Platform, ...], packages: Path) -> list[Result]:
    """All cases on all platforms."""
    found: list[Result] = []
    for platform in platforms:
        with tempfile.TemporaryDirectory(prefix="omnirelay-smoke-") as folder:
            found += _platform(platform, packages, Path(folder))
    return found


def _platform(platform: Platform, packages: Path, folder: Path) -> Iterator[Result]:
    results: list[Result] = []

    def attempt(name: str, does: Callable[[], str]) -> None:
        began = time.monotonic()
        try:
            status, note = PASSED, does()
        except Failure as failure:
            status, note = FAILED, str(failure)
        results.append(Result(platform.name, name, status, round(time.monotonic() - began, 3), note))
        say(f"{platform.name}: {name}: {status}{': ' + note if status == FAILED else ''}")

    where: list[Path] = []
    attempt("the archive unpacks", lambda: _unpack(platform, packages, folder, where))
    if not where:
        return results
    programs = sorted(path for path in where[0].iterdir() if path.name.removesuffix(".exe") in cases.PROGRAMS)
    for program in programs:
        attempt(f"{program.name.removesuffix('.exe')}: structure", lambda program=program: cases.structure(platform, program))
    launcher, reason = runner(platform, where[0], folder)
    for case in cases.of(programs):
        if launcher is None:
            results.append(Result(platform.name, case.name, NOT_RUN, 0.0, reason))
        else:
            attempt(case.name, lambda case=case: case.run(cases.Place(launcher, where[0], folder, platform.suffix)))
    return results


def runner(platform: Platform, programs: Path, folder: Path) -> tuple[cases.Launcher | None, str]:
    """What runs programs of the platform here; where nothing does, why."""
    here = {"Darwin": "macos"}.get(machine.system(), machine.system().lower())
    mine = {"arm64": "aarch64", "AMD64": "x86_64"}.get(machine.machine(), machine.machine())
    if (platform.system, platform.machine) == (here, mine):
        return cases.Launcher([], {}), ""
    if platform.system == here == "linux":
        qemu = shutil.which(f"qemu-{platform.machine}-static") or shutil.which(f"qemu-{platform.machine}")
        return (cases.Launcher([qemu], {}), "") if qemu else (None, f"no qemu-{platform.machine} here")
    if platform.system == "windows" and here == "linux":
        return wine.launcher(programs, folder)
    return None, f"no {platform.system} machine here"


def _unpack(platform: Platform, packages: Path, folder: Path, where: list[Path]) -> str:
    found = sorted(packages.glob(f"omnirelay-*-{platform.name}{platform.archive}"))
    if len(found) != 1:
        raise Failure(f"{packages} has {len(found)} archives for {platform.name}")
    if platform.archive == ".zip":
        with zipfile.ZipFile(found[0]) as packed:
            packed.extractall(folder)
    else:
        with tarfile.open(found[0]) as packed:
            packed.extractall(folder, filter="data")
    where.append(folder / found[0].name.removesuffix(platform.archive))
    if not where[0].is_dir():
        where.clear()
        raise Failure(f"{found[0].name} does not hold a folder of its own name")
    return found[0].name


def table(results: list[Result]) -> str:
    """One line a case, one column a platform."""
    platforms = list(dict.fromkeys(one.platform for one in results))
    names = list(dict.fromkeys(one.case for one in results))
    by = {(one.platform, one.case): one for one in results}
    width = max(map(len, names))
    lines = [" ".join([" " * width, *(f"{name:>12}" for name in platforms)])]
    for name in names:
        cells = [by[platform, name].status if (platform, name) in by else "-" for platform in platforms]
        lines.append(" ".join([f"{name:<{width}}", *(f"{cell:>12}" for cell in cells)]))
    lines += [f"{one.platform}: {one.case}: {one.note}" for one in results if one.status == FAILED]
    return "\n".join(lines) + "\n"
