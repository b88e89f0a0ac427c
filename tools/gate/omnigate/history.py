"""Earlier runs: a folder of `gate.json` files, bounded, the newest last."""

from __future__ import annotations

import json
from pathlib import Path

KEEP = 50


def load(folder: Path) -> list[dict]:
    """The essence of every earlier report, oldest first; unreadable files are passed over."""
    points = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            points.append(point(json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # another version's file, or one cut short; history is a convenience
    points.sort(key=lambda p: p["started"])
    return points[-KEEP:]


def point(report: dict) -> dict:
    """What the sparklines need of one report."""
    return {
        "started": report["started"],
        "status": report["status"],
        "revision": report.get("revision", ""),
        "wall_ms": report["wall_ms"],
        "passed": report["counts"]["passed"],
        "failed": report["counts"]["failed"],
        "artifacts": {a["name"]: {m["key"]: m["value"] for m in a["measures"]} for a in report["artifacts"]},
    }


def short(revision: str) -> str:
    """A commit as people write it; that the tree differed from it stays visible."""
    commit, dash, dirty = revision.partition("-")
    return commit[:12] + dash + dirty


def save(folder: Path, report: dict) -> Path:
    """Keeps this report's essence for later runs and drops the oldest beyond `KEEP`."""
    folder.mkdir(parents=True, exist_ok=True)
    slim = {**report, "history": [], "targets": [], "failures": [], "warnings": []}
    stamp = report["started"].replace(":", "").replace("-", "")
    path = folder / f"{stamp}-{short(report.get('revision', '')) or 'unknown'}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(slim), encoding="utf-8")
    partial.replace(path)
    for old in sorted(folder.glob("*.json"))[:-KEEP]:
        old.unlink(missing_ok=True)
    return path
