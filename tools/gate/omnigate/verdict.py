"""Judges: everything that fails the gate, each with its why and the command to reproduce it."""

from __future__ import annotations

from . import diagnose, loading
from .model import Action, Invocation, Target
from .places import Places


def failure(kind: str, name: str, why: str, command: str, lines: list[str] | None = None,
            affected: list[str] | None = None, log: str = "") -> dict:
    """`kind` is build, test, bazel, warning, budget or check."""
    return {"kind": kind, "name": name, "why": why, "command": command,
            "lines": lines or [], "affected": affected or [], "log": diagnose.clean(log)}


def judge(run: Invocation | None, places: Places, artifacts: list[dict], checks: list[dict],
          warnings: list[diagnose.Warning_], bazel_exit: int | None, fatal: str = "") -> list[dict]:
    found: list[dict] = []
    if fatal:
        found.append(failure("bazel", "bazel", fatal, "./bazelw test //..."))
    if run is not None:
        files = _files(run)
        parts = files + _build(run, places, {label for told in files for label in told["affected"]})
        parts += _aspects(run) + _tests(run, places)
        # A Bazel that was stopped explains what follows, so it comes first.
        found += _bazel(run, bazel_exit, already=bool(found or parts)) + parts
    elif bazel_exit and not fatal:
        found.append(failure("bazel", "bazel", f"bazel ended with exit code {bazel_exit}", "./bazelw test //..."))
    found += _warnings(warnings)
    found += _budgets(artifacts, {t.label for t in run.targets.values() if not t.ok} if run else set())
    found += [failure("check", c["name"], c["note"] or "failed", c["command"],
                      diagnose.first_error(c["log"]), log=c["log"])
              for c in checks if c["status"] == "failed"]
    return found


def action_log(action: Action, places: Places) -> str:
    parts = [places.read(action.stderr), places.read(action.stdout)]
    return "\n".join(p.strip("\n") for p in parts if p.strip()) or action.message


def test_log(target: Target, places: Places) -> str:
    """The log of the attempt that failed last, or of the last one."""
    bad = [a for a in target.attempts if a.status != "PASSED"] or target.attempts
    for attempt in reversed(bad):
        text = places.read(attempt.outputs.get("test.log", ""))
        if text:
            return text
    return places.test_log(target.label)


def _files(run: Invocation) -> list[dict]:
    """One failure per BUILD or .bzl file that cannot be loaded, with the targets that wanted something of it."""
    found = []
    errors = diagnose.all_bazel_errors(run.progress_text())
    for file in loading.broken_files(run):
        packages = [f"//{package}:all" for package in file.packages]
        # A target whose analysis failed without a word depends on one that has the words.
        wanting = [t.label for t in run.targets.values() if t.aborted and t.status == "failed to build"
                   and loading.depends_on([e for e in errors if f"'{t.label}'" in e], file.packages)]
        where, _, what = file.errors[0].partition(": ")
        found.append(failure("bazel", f"{file.path}:{where}", what, f"./bazelw build {packages[0]}",
                             [f"{file.path}:{error}" for error in file.errors[1:diagnose.MAX_LINES]], packages + wanting))
    return found


def _build(run: Invocation, places: Places, claimed: set[str]) -> list[dict]:
    """One failure per error, naming every target it took down; what is `claimed` has its failure already.

    The same error stops the compiler, clippy and the unit tests' build of one crate: that is
    one failure, told by the action that most targets depend on.
    """
    found: list[dict] = []
    same: dict[tuple, dict] = {}
    progress = run.progress_text()
    for action in run.failed_actions():
        if action.mnemonic == "TestRunner":
            continue  # a failing test, told by its own result
        affected = [t.label for t in run.targets.values() if action.key in t.causes]
        claimed.update(affected)
        log = action_log(action, places) or progress
        label = action.label or (affected[0] if affected else "a build action")
        what = f"{action.mnemonic} failed" if action.mnemonic else "a build action failed"
        if action.exit_code:
            what += f" with exit code {action.exit_code}"
        command = f"./bazelw build {_failing(label, affected)}"
        told = failure("build", label, what, command, diagnose.first_error(log), affected, log)
        key = tuple(told["lines"]) or (action.key,)
        if key in same:
            _merge(same[key], told)
        else:
            same[key] = told
    found += same.values()
    for target in run.targets.values():
        broken = target.status == "failed to build" or (target.status == "not built" and run.complete)
        if broken and target.label not in claimed and not target.failed_aspects:
            errors = [e for e in diagnose.bazel_errors(progress) if target.label in e]
            why = target.message or "failed to build"
            found.append(failure("build", target.label, why.splitlines()[0], f"./bazelw build {target.label}",
                                 errors or why.splitlines()[1:], [target.label]))
    return found


def _failing(label: str, affected: list[str]) -> str:
    """The target whose build runs the failed action again.

    An aspect's action (clippy, rustfmt) carries the label of the target that it looks at, but belongs to the build of
    the target that asked for it: the first builds without the error.
    """
    if label in affected or not affected:
        return label
    package = label.partition(":")[0]
    return min(affected, key=lambda other: (other.partition(":")[0] != package, other))


def _merge(kept: dict, other: dict) -> None:
    """Folds `other` into `kept`, which takes the name that explains more."""
    affected = sorted({*kept["affected"], *other["affected"], other["name"], kept["name"]})
    if len(other["affected"]) > len(kept["affected"]):
        kept.update(other)
    kept["affected"] = affected


def _aspects(run: Invocation) -> list[dict]:
    """Checks attached to targets (clippy, rustfmt) whose failed action did not name itself."""
    known = {label for a in run.failed_actions() for label in [a.label]}
    return [failure("build", t.label, f"{', '.join(sorted(set(t.failed_aspects)))} failed",
                    f"./bazelw build {t.label}", t.message.splitlines(), [t.label])
            for t in run.targets.values() if t.failed_aspects and t.label not in known]


def _tests(run: Invocation, places: Places) -> list[dict]:
    found = []
    unrun: list[str] = []
    for target in run.targets.values():
        if not target.is_test or target.ok or target.status in ("failed to build", "not built"):
            continue
        command = f"./bazelw test {target.label} --test_output=all"
        log = test_log(target, places)
        if target.status == "not run":
            if target.message:
                found.append(failure("test", target.label, target.message.splitlines()[0], command))
            else:
                unrun.append(target.label)
            continue
        if target.status == "flaky":
            tries = max((a.attempt for a in target.attempts), default=2)
            why = f"flaky: passed only on attempt {tries}"
        elif target.status == "timed out":
            seconds = max((a.duration_ms for a in target.attempts), default=0) / 1000
            why = f"timed out after {seconds:.0f} s"
        else:
            outcome = "the test failed" if target.status == "failed" else target.status
            shards = {a.shard for a in target.attempts if a.status != "PASSED"}
            several = len({a.shard for a in target.attempts}) > 1
            why = outcome + (f" in shard {', '.join(map(str, sorted(shards)))}" if several else "")
        details = next((a.details for a in reversed(target.attempts) if a.details), "")
        found.append(failure("test", target.label, why + (f": {details}" if details else ""), command,
                             diagnose.first_error(log) if log else ["its log is not on this machine"], log=log))
    if unrun:
        name = unrun[0] if len(unrun) == 1 else f"{len(unrun)} tests"
        found.append(failure("test", name, "Bazel stopped before it got there", f"./bazelw test {' '.join(unrun[:3])}"
                             if len(unrun) <= 3 else "./bazelw test //...", affected=unrun))
    return found


def _bazel(run: Invocation, bazel_exit: int | None, already: bool) -> list[dict]:
    """What Bazel itself got wrong: cut-off streams, patterns, packages, a bare exit code."""
    found = []
    command = f"./bazelw {run.command or 'test'} //..."
    for problem in run.problems:
        found.append(failure("bazel", "bazel", problem, command))
    # Aborts of single parts follow from a failure named elsewhere; alone they are the failure.
    causes = [a for a in run.aborts if a.reason in ("LOADING_FAILURE", "ANALYSIS_FAILURE", "OUT_OF_MEMORY", "INTERNAL")]
    for abort in causes:
        lines = abort.description.splitlines()
        found.append(failure("bazel", abort.subject, lines[0] if lines else abort.reason, command, lines[1:]))
    code = bazel_exit if bazel_exit is not None else run.exit_code
    if code and not already and not found:
        name = f" ({run.exit_name})" if run.exit_name else ""
        progress = run.progress_text()
        found.append(failure("bazel", "bazel", f"bazel ended with exit code {code}{name}", command,
                             diagnose.bazel_errors(progress) or diagnose.first_error(progress)))
    return found


def _warnings(warnings: list[diagnose.Warning_]) -> list[dict]:
    """One failure per origin; a warning is a failure wherever it comes from."""
    origins: dict[str, list[diagnose.Warning_]] = {}
    for one in warnings:
        origins.setdefault(one.origin or "the build", []).append(one)
    found = []
    for origin, group in origins.items():
        lines = [f"{w.where}: {w.text}" if w.where else w.text for w in group]
        label = next((w for w in origin.split() if w.startswith("//")), "//...")
        count = f"{len(group)} warning{'s' if len(group) > 1 else ''}"
        found.append(failure("warning", origin, count, f"./bazelw build {label}", lines[:diagnose.MAX_LINES]))
    return found


def _budgets(artifacts: list[dict], broken: set[str]) -> list[dict]:
    found = []
    for row in artifacts:
        if row["target"] in broken:
            continue  # the target's own failure says why there is nothing to measure
        command = f"./bazelw build {row['target']} && python3 tools/gate measure {row['name']}"
        over = [f"{m['label']} is {human(m['value'], m['unit'])}, over its budget of {human(m['limit'], m['unit'])}"
                for m in row["measures"] if not m["ok"]]
        for why in over + row["problems"]:
            found.append(failure("budget", row["name"], why, command))
    return found


def human(value: float, unit: str) -> str:
    """A measured value for people; bytes in decimal megabytes, as the budgets are."""
    if unit == "B":
        if abs(value) >= 1_000_000:
            return f"{value / 1e6:.2f} MB"
        return f"{value / 1e3:.1f} kB" if abs(value) >= 1000 else f"{value:.0f} B"
    if unit == "ms":
        return f"{value / 1000:.2f} s" if value >= 10_000 else f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"
    return f"{value:g} {unit}".strip()
