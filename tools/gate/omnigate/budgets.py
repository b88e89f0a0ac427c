"""The budgets file: which artifacts exist and what each may cost."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

KINDS = {
    "cli": {"max_bytes", "max_version_ms"},
    "daemon": {"max_bytes", "max_ready_ms", "max_version_ms"},
    "image": {"max_over_binary_bytes"},
}
_SETTINGS = {"version_runs": 20, "start_runs": 5, "ready_timeout_ms": 10_000, "idle_ms": 500}


class BadBudgets(Exception):
    """The file does not say what it must; the message names the entry."""


@dataclass(frozen=True)
class Artifact:
    name: str
    kind: str
    target: str
    path: str
    binary: str
    limits: dict[str, float]


@dataclass(frozen=True)
class Budgets:
    artifacts: list[Artifact]
    version_runs: int
    start_runs: int
    ready_timeout_ms: int
    idle_ms: int


def load(path: Path) -> Budgets:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadBudgets(f"{path}: {error}") from error
    _no_unknown(path, "the file", raw, {"measure", "artifact"})
    measure = raw.get("measure", {})
    _no_unknown(path, "[measure]", measure, set(_SETTINGS))
    settings = {**_SETTINGS, **measure}
    for key, value in settings.items():
        if not isinstance(value, int) or value < 1:
            raise BadBudgets(f"{path}: {key} must be a whole number of at least 1, not {value!r}")
    artifacts = [_artifact(path, entry) for entry in raw.get("artifact", [])]
    names = [a.name for a in artifacts]
    for name in names:
        if names.count(name) > 1:
            raise BadBudgets(f"{path}: two artifacts are called {name!r}")
    for artifact in artifacts:
        if artifact.kind == "image" and artifact.binary not in names:
            raise BadBudgets(f"{path}: {artifact.name}: binary = {artifact.binary!r} names no artifact")
    return Budgets(artifacts, **settings)


def _artifact(path: Path, entry: dict) -> Artifact:
    name = entry.get("name") or "an artifact without a name"
    kind = entry.get("kind", "")
    if kind not in KINDS:
        raise BadBudgets(f"{path}: {name}: kind = {kind!r} is none of {', '.join(sorted(KINDS))}")
    texts = {"name", "kind", "target", "path"} | ({"binary"} if kind == "image" else set())
    for key in sorted(texts):
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise BadBudgets(f"{path}: {name}: {key} is missing")
    _no_unknown(path, name, entry, texts | KINDS[kind])
    limits = {k: entry[k] for k in KINDS[kind] if k in entry}
    for key, value in limits.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0:
            raise BadBudgets(f"{path}: {name}: {key} must be a positive number, not {value!r}")
    return Artifact(name, kind, entry["target"], entry["path"], entry.get("binary", ""), limits)


def _no_unknown(path: Path, where: str, table: dict, known: set[str]) -> None:
    for key in table:
        if key not in known:
            raise BadBudgets(f"{path}: {where}: unknown key {key!r} (known: {', '.join(sorted(known))})")
