"""Reads a Build Event Protocol file (`--build_event_json_file`): one JSON event a line.

The reader never gives up half way: a killed Bazel leaves a truncated file, and what it
did until then is worth showing. Whatever could not be read is kept in
`Invocation.problems`, which fails the gate.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from .model import Abort, Action, Attempt, Invocation, Target


class UnreadableEvents(Exception):
    """There is no usable event file at all."""


def load(path: Path) -> Invocation:
    """Parses `path`. Raises `UnreadableEvents` when nothing in it is an event."""
    try:
        # `replace`: compiler output inside an event may hold any bytes.
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError as error:
        raise UnreadableEvents(
            f"{path} does not exist: Bazel did not start, or ran without --build_event_json_file"
        ) from error
    except OSError as error:
        raise UnreadableEvents(f"{path} cannot be read: {error.strerror}") from error
    return parse(text, path.name)  # the gate keeps it in a folder of no interest


def parse(text: str, source: str = "events") -> Invocation:
    run = Invocation()
    lines = text.splitlines()
    last = max((i for i, line in enumerate(lines) if line.strip()), default=-1)
    if last < 0:
        raise UnreadableEvents(f"{source} is empty: Bazel stopped before its first event")
    events = 0
    for index, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            if not isinstance(event, dict):
                raise ValueError("not an object")
        except ValueError as error:
            where = f"{source}:{index + 1}"
            if index == last:
                run.problems.append(f"{where}: the last event is cut off; Bazel was killed while writing it")
            else:
                run.problems.append(f"{where}: not a build event ({error})")
            continue
        events += 1
        try:
            _apply(run, event)
        except (AttributeError, TypeError, ValueError, KeyError) as error:
            run.problems.append(f"{source}:{index + 1}: unexpected shape of a build event ({error!r})")
    if not events:
        raise UnreadableEvents(f"{source} holds no build event: is it the JSON form of the event protocol?")
    if not run.complete and not any("cut off" in p for p in run.problems):
        run.problems.append(
            f"{source}: no end-of-build event; Bazel was killed or is still running (out of memory or time?)"
        )
    _finish(run)
    return run


def _apply(run: Invocation, event: dict) -> None:
    ident = event.get("id", {})
    if event.get("lastMessage"):
        run.complete = True
    if "aborted" in event:
        _aborted(run, ident, event["aborted"])
    elif "started" in event:
        started = event["started"]
        run.uuid = started.get("uuid", "")
        run.command = started.get("command", "")
        run.version = started.get("buildToolVersion", "")
        run.workspace = started.get("workspaceDirectory", "")
        run.started_ms = _int(started.get("startTimeMillis")) or _epoch_ms(started.get("startTime"))
    elif "progress" in event:
        for stream in ("stdout", "stderr"):
            if event["progress"].get(stream):
                run.progress.append(event["progress"][stream])
    elif "configuration" in event:
        bin_dir = event["configuration"].get("makeVariable", {}).get("BINDIR")
        if bin_dir and bin_dir not in run.bin_dirs:
            run.bin_dirs.append(bin_dir)
    elif "configured" in event:
        target = _target(run, ident["targetConfigured"]["label"])
        target.configured = True
        target.kind = event["configured"].get("targetKind", "").removesuffix(" rule")
        target.tags = event["configured"].get("tag", target.tags)
        # Suites are expanded before this event, so the size is what marks a test.
        target.is_test |= "testSize" in event["configured"] or target.kind.endswith("_test")
    elif "completed" in event:
        _completed(run, ident["targetCompleted"], event)
    elif "namedSetOfFiles" in event:
        run.file_sets[ident["namedSet"]["id"]] = event["namedSetOfFiles"]
    elif "action" in event:
        _action(run, ident["actionCompleted"], event["action"])
    elif "testResult" in event:
        _test_result(run, ident["testResult"], event["testResult"])
    elif "testSummary" in event:
        summary = event["testSummary"]
        target = _target(run, ident["testSummary"]["label"])
        target.is_test = True
        target.summary = _worse(target.summary, summary.get("overallStatus", "NO_STATUS"))
        target.summary_ms = _duration(summary, "totalRunDuration")
        target.summary_cached = _int(summary.get("totalNumCached"))
        target.summary_runs = _int(summary.get("totalRunCount"))
    elif "finished" in event:
        finished = event["finished"]
        code = finished.get("exitCode", {})
        run.exit_name = code.get("name", "")
        run.exit_code = _int(code.get("code"))
        run.finished_ms = _int(finished.get("finishTimeMillis")) or _epoch_ms(finished.get("finishTime"))
    elif "buildMetrics" in event:
        summary = event["buildMetrics"].get("actionSummary", {})
        run.actions_executed = _int(summary.get("actionsExecuted"))
        run.runners = {r.get("name", "?"): _int(r.get("count")) for r in summary.get("runnerCount", [])}


def _target(run: Invocation, label: str) -> Target:
    return run.targets.setdefault(label, Target(label))


def _completed(run: Invocation, ident: dict, event: dict) -> None:
    target = _target(run, ident["label"])
    done = event["completed"]
    success = bool(done.get("success"))
    causes = [_action_key(c["actionCompleted"]) for c in event.get("children", []) if "actionCompleted" in c]
    for cause in causes:
        if cause not in target.causes:
            target.causes.append(cause)
    message = done.get("failureDetail", {}).get("message", "")
    if message and not success:
        target.message = message
    if ident.get("aspect"):
        # An aspect is a check attached to a target (clippy, rustfmt): its failure is the target's.
        if not success:
            target.failed_aspects.append(ident["aspect"].rsplit("%", 1)[-1])
        return
    target.completed = True
    target.built = success if target.built is None else target.built and success
    # Bazel announces the result of every test that it means to run.
    target.chosen |= any("testSummary" in c or "testResult" in c for c in event.get("children", []))
    target.tags = done.get("tag", target.tags)
    for group in done.get("outputGroup", []):
        if group.get("name", "default") == "default":
            target.file_sets += [s["id"] for s in group.get("fileSets", []) if "id" in s]


def _action(run: Invocation, ident: dict, action: dict) -> None:
    key = _action_key(ident)
    run.actions[key] = Action(
        key=key,
        label=action.get("label") or ident.get("label", ""),
        mnemonic=action.get("type", ""),
        success=bool(action.get("success")),
        exit_code=_int(action.get("exitCode")),
        message=action.get("failureDetail", {}).get("message", ""),
        stdout=_uri(action.get("stdout")),
        stderr=_uri(action.get("stderr")),
    )


def _test_result(run: Invocation, ident: dict, result: dict) -> None:
    target = _target(run, ident["label"])
    target.is_test = True
    info = result.get("executionInfo", {})
    if result.get("cachedLocally"):
        cached = "local"
    elif info.get("cachedRemotely"):
        # Bazel counts its disk cache among the remote ones; the report keeps them apart.
        cached = "disk" if "disk" in info.get("strategy", "") else "remote"
    else:
        cached = "no"
    target.attempts.append(Attempt(
        run=_int(ident.get("run")) or 1,
        shard=_int(ident.get("shard")) or 1,
        attempt=_int(ident.get("attempt")) or 1,
        status=result.get("status", "NO_STATUS"),
        duration_ms=_duration(result, "testAttemptDuration") or 0,
        cached=cached,
        strategy=info.get("strategy", ""),
        details=result.get("statusDetails", ""),
        outputs={f.get("name", ""): _uri(f) for f in result.get("testActionOutput", [])},
    ))


def _aborted(run: Invocation, ident: dict, aborted: dict) -> None:
    kind, fields = next(iter(ident.items()), ("", {}))
    label = fields.get("label", "") if isinstance(fields, dict) else ""
    reason, description = aborted.get("reason", "UNKNOWN"), aborted.get("description", "").strip()
    if label and kind in ("targetCompleted", "targetConfigured", "testSummary", "testResult"):
        target = _target(run, label)
        target.aborted = target.aborted or reason
        target.message = target.message or description
        return
    subject = label or " ".join(fields.get("pattern", [])) if isinstance(fields, dict) else ""
    abort = Abort(subject or kind, reason, description)
    if abort not in run.aborts:
        run.aborts.append(abort)


def _finish(run: Invocation) -> None:
    """Drops what only looked like a target, and orders what is left."""
    run.targets = dict(sorted(run.targets.items()))
    for target in run.targets.values():
        target.attempts.sort(key=lambda a: (a.run, a.shard, a.attempt))


_SEVERITY = ["", "PASSED", "FLAKY", "NO_STATUS", "INCOMPLETE", "TIMEOUT", "REMOTE_FAILURE", "FAILED_TO_BUILD", "FAILED"]


def _worse(old: str, new: str) -> str:
    """One label may be tested in several configurations; the worst result counts."""
    rank = {name: i for i, name in enumerate(_SEVERITY)}
    return max(old, new, key=lambda s: rank.get(s, len(rank)))


def _action_key(ident: dict) -> str:
    configuration = ident.get("configuration", {}).get("id", "")
    return "|".join((ident.get("label", ""), ident.get("primaryOutput", ""), configuration))


def _uri(file: dict | None) -> str:
    if not file:
        return ""
    return file.get("uri", "") or ("data:" + file["contents"] if "contents" in file else "")


def _int(value: object) -> int:
    return int(value) if value not in (None, "") else 0


def _duration(fields: dict, name: str) -> int | None:
    """Milliseconds, from `nameMillis` or the newer `name` ("1.250s")."""
    if fields.get(f"{name}Millis") is not None:
        return int(fields[f"{name}Millis"])
    if isinstance(fields.get(name), str) and fields[name].endswith("s"):
        return round(float(fields[name][:-1]) * 1000)
    return None


def _epoch_ms(stamp: str | None) -> int:
    if not stamp:
        return 0
    head, _, rest = stamp.rstrip("Z").partition(".")
    whole = datetime.fromisoformat(head + "+00:00")
    return int(whole.timestamp()) * 1000 + int((rest + "000")[:3])
