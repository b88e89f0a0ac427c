"""Folds everything into one dict: the JSON report, and what every renderer reads."""

from __future__ import annotations

from datetime import datetime, timezone

from . import diagnose, loading, verdict
from .model import UNTRIED, Invocation, Target
from .places import Places
from .profile import Work

SCHEMA = 1


def build(run: Invocation | None, places: Places, artifacts: list[dict], checks: list[dict], *,
          stages: list[dict], work: dict[str, Work] | None = None, revision: str = "", branch: str = "",
          bazel_exit: int | None = None, fatal: str = "", history: list[dict] | None = None, now: datetime | None = None) -> dict:
    warnings = collect_warnings(run, places) if run else []
    failures = verdict.judge(run, places, artifacts, checks, warnings, bazel_exit, fatal)
    targets = [target_row(t, run, places, work) for t in run.targets.values()] if run else []
    tests = [t for t in targets if t["test"] and t["status"] not in UNTRIED]
    passed = sum(t["ok"] for t in tests)
    # Of a package that cannot be loaded nobody knows the targets: it counts as one.
    unbuilt = sum(t["status"] == "failed to build" for t in targets if not t["test"])
    unbuilt += len({p for file in loading.broken_files(run) for p in file.packages}) if run else 0
    started = (run.started_ms / 1000) if run and run.started_ms else (now or datetime.now(timezone.utc)).timestamp()
    return {
        "schema": SCHEMA,
        "status": "failed" if failures else "passed",
        "started": datetime.fromtimestamp(started, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "wall_ms": run.wall_ms if run else 0,
        "revision": revision,
        "branch": branch,
        "bazel": {
            "version": run.version if run else "", "command": run.command if run else "",
            "exit": run.exit_name if run else "", "exit_code": bazel_exit if bazel_exit is not None
            else run.exit_code if run else None, "complete": bool(run and run.complete),
        },
        "counts": {
            "tests": len(tests), "passed": passed, "failed": len(tests) - passed, "unbuilt": unbuilt,
            "skipped": sum(t["status"] == "skipped" for t in targets),
            "left_out": sum(t["status"] == "left out" for t in targets),
            "targets": len(targets), "targets_failed": sum(not t["ok"] for t in targets),
            "cached": sum(t["cached"] not in ("", "no", "partly") for t in targets),
            "unchecked": sum(c["status"] == "not checked" for c in checks),
            "warnings": len(warnings),
        },
        "actions": {"executed": run.actions_executed if run else 0, "runners": run.runners if run else {}},
        "targets": targets,
        "artifacts": artifacts,
        "checks": [{k: v for k, v in c.items() if k != "log"} for c in checks],
        "stages": stages,
        "warnings": [{"text": w.text, "where": w.where, "origin": w.origin} for w in warnings],
        "failures": failures,
        "history": history or [],
    }


def collect_warnings(run: Invocation, places: Places) -> list[diagnose.Warning_]:
    found = diagnose.warnings(run.progress_text())
    said = {(w.text, w.where) for w in found}
    for action in run.actions.values():
        for uri in (action.stderr, action.stdout):
            # A failed action's warnings are also in Bazel's own output: say each once.
            for one in diagnose.warnings(places.read(uri), action.label):
                if (one.text, one.where) not in said:
                    said.add((one.text, one.where))
                    found.append(one)
    return found


def target_row(target: Target, run: Invocation, places: Places, work: dict[str, Work] | None) -> dict:
    own = (work or {}).get(target.label)
    if target.is_test:
        duration = target.summary_ms if target.summary_ms is not None else sum(a.duration_ms for a in target.attempts)
    else:
        duration = round(own.ms) if own else 0
    log = "" if target.ok or not target.is_test else verdict.test_log(target, places)
    return {
        "label": target.label,
        "kind": target.kind,
        "test": target.is_test,
        "smoke": target.is_test and target.label.startswith("//smoke"),
        "status": target.status,
        "ok": target.ok,
        "duration_ms": duration,
        "cached": _cached(target, run, work),
        "attempts": len(target.attempts),
        "tags": target.tags,
        "message": target.message or ", ".join(sorted(set(target.failed_aspects))),
        "log": diagnose.clean(log),
    }


# These have no actions of their own: what they gather is done in other targets' names.
_GATHERERS = frozenset({"alias", "filegroup", "rust_clippy", "test_suite", "platform"})


def _cached(target: Target, run: Invocation, work: dict[str, Work] | None) -> str:
    """Where the result came from; empty when Bazel does not say."""
    if target.is_test:
        sources = {a.cached for a in target.attempts}
        if not sources:
            return ""
        return sources.pop() if len(sources) == 1 else "partly"
    if not target.built or not work or target.kind in _GATHERERS:
        return ""
    own = work.get(target.label)
    if own is None:
        return "local"  # nothing had to be done for it, not even ask another cache
    if own.ran:
        return "partly" if own.fetched else "no"
    hits = {name for name, count in run.runners.items() if count and "cache hit" in name}
    return "disk" if hits == {"disk cache hit"} else "remote" if hits == {"remote cache hit"} else "disk or remote"
