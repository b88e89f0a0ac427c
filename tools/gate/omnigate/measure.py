"""Measures what was built: sizes, `--version` time, and images against their binaries.

A measurement is a dict with `key`, `label`, `unit`, `value`, `limit` (or None when it is
only reported) and `ok`; that is the form in which reports, metrics and history keep it.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

from . import image
from .budgets import Artifact, Budgets


def measurement(key: str, label: str, unit: str, value: float, limit: float | None = None) -> dict:
    value = round(value, 3)
    return {"key": key, "label": label, "unit": unit, "value": value, "limit": limit,
            "ok": limit is None or value <= limit}


def version_times_ms(binary: Path, runs: int) -> list[float]:
    """Wall time of `binary --version`, `runs` times after two that warm the page cache.

    `posix_spawn` and not `subprocess`: the latter's own work costs as much as the budget.
    Raises `MeasureError` when the program cannot run or does not exit with 0.
    """
    quiet = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    times = []
    for _ in range(runs + 2):
        begin = time.perf_counter_ns()
        try:
            pid = os.posix_spawn(binary, [str(binary), "--version"], os.environ, file_actions=quiet)
        except OSError as error:
            raise MeasureError(f"{binary} does not start: {error.strerror}") from error
        _, status = os.waitpid(pid, 0)
        times.append((time.perf_counter_ns() - begin) / 1e6)
        code = os.waitstatus_to_exitcode(status)
        if code != 0:
            raise MeasureError(f"{binary} --version ended with exit code {code}")
    return times[2:]


class MeasureError(Exception):
    """Something could not be measured; the message says what and why."""


def artifacts(budgets: Budgets, find, only: str = "") -> list[dict]:
    """Measures all but the daemons' start, which needs a mesh (see `mesh`).

    `find(artifact)` gives the path of its output, or None when it was not built.
    """
    rows = []
    sizes: dict[str, int] = {}
    for artifact in budgets.artifacts:
        path = find(artifact)
        row = {"name": artifact.name, "kind": artifact.kind, "target": artifact.target,
               "path": str(path) if path else "", "measures": [], "problems": []}
        if path is None:
            row["problems"].append("was not built, so nothing was measured")
        elif artifact.kind == "image":
            _fill_image(row, artifact, path, sizes)
        else:
            sizes[artifact.name] = path.stat().st_size
            _fill(row, artifact, budgets, path)
        rows.append(row)
    return [r for r in rows if not only or r["name"] == only]


def _fill_image(row: dict, artifact: Artifact, path: Path, sizes: dict[str, int]) -> None:
    """The unpacked image against its binary, whose size is that of the file which the image holds."""
    try:
        size = image.unpacked_bytes(path)
    except image.BadImage as error:
        row["problems"].append(f"its size was not measured: {error}")
        return
    over, binary = artifact.limits.get("max_over_binary_bytes"), sizes.get(artifact.binary)
    if binary is None:
        row["problems"].append(f"its binary {artifact.binary} was not built, so its limit is unknown")
        row["measures"].append(measurement("image_bytes", "unpacked image", "B", size))
        return
    limit = None if over is None else binary + over
    row["measures"].append(measurement("image_bytes", "unpacked image", "B", size, limit))
    row["measures"].append(measurement("over_binary_bytes", "more than its binary", "B", size - binary))


def _fill(row: dict, artifact: Artifact, budgets: Budgets, path: Path) -> None:
    limits = artifact.limits
    row["measures"].append(measurement("bytes", "size", "B", path.stat().st_size, limits.get("max_bytes")))
    try:
        times = version_times_ms(path, budgets.version_runs)
    except MeasureError as error:
        row["problems"].append(str(error))
        return
    row["measures"].append(
        measurement("version_ms", "--version", "ms", statistics.median(times), limits.get("max_version_ms")))
