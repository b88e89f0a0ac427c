"""Reads the stages file that `.ci/run` keeps: one line a stage, tab-separated.

    name  exit code  seconds  log file  command that reproduces it

The stage called `bazel` is the build itself; the others are side checks. Exit code 77
says that a check could not be made here, which is not the same as passing.
"""

from __future__ import annotations

from pathlib import Path

from .places import read_clipped

UNAVAILABLE = 77
BAZEL = "bazel"


def load(path: Path) -> tuple[list[dict], list[dict], int | None]:
    """(stages with their times, side checks, Bazel's exit code). Raises ValueError on a bad line."""
    stages, checks, bazel_exit = [], [], None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) != 5:
            raise ValueError(f"{path}:{number}: expected 5 fields, found {len(fields)}")
        name, code, seconds, log, command = fields
        stages.append({"name": name, "exit_code": int(code), "seconds": float(seconds)})
        if name == BAZEL:
            bazel_exit = int(code)
        else:
            checks.append(check(name, int(code), float(seconds), read_clipped(Path(log)), command))
    return stages, checks, bazel_exit


def check(name: str, code: int, seconds: float, log: str, command: str) -> dict:
    status = "passed" if code == 0 else "not checked" if code == UNAVAILABLE else "failed"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    note = ""
    if status == "not checked":
        # The script's last line is its reason, by contract.
        note = lines[-1].removeprefix("not checked: ").removeprefix("not available: ") if lines else "no reason given"
    elif status == "failed":
        note = f"failed with exit code {code}"
    return {"name": name, "status": status, "seconds": seconds, "note": note, "command": command, "log": log}
