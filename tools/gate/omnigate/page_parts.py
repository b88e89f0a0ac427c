"""The sections of the page, one function each; empty text for a section with nothing to say."""

from __future__ import annotations

import re
from html import escape

from .badges import duration
from .history import short
from .verdict import human

_MOODS = {"passed": "good", "built": "good", "skipped": "plain", "left out": "warn", "not checked": "warn"}
_SIGNS = {"good": "✓", "bad": "✗", "warn": "–", "plain": "–"}
_KINDS = {"build": "build", "test": "test", "bazel": "Bazel", "warning": "warning", "budget": "budget", "check": "check"}


def pill(status: str) -> str:
    mood = _MOODS.get(status, "bad")
    return f'<span class="pill {mood}">{_SIGNS[mood]} {escape(status)}</span>'


def _name_html(text: str) -> str:
    """A label or name that may break after its separators, and not inside a word."""
    return re.sub(r"(?<=\w)([/:_])(?=\w)", r"\1<wbr>", escape(text))


def _section(title: str, note: str, body: str, ident: str = "") -> str:
    small = f" <small>{escape(note)}</small>" if note else ""
    mark = f' id="{ident}"' if ident else ""
    return f"<section{mark}>\n<h2>{escape(title)}{small}</h2>\n{body}</section>\n"


def failures(report: dict) -> str:
    if not report["failures"]:
        return ""
    cards = []
    for told in report["failures"]:
        lines = f'<pre>{escape(chr(10).join(told["lines"]))}</pre>' if told["lines"] else ""
        others = [a for a in told["affected"] if a != told["name"]]
        down = ""
        if others:
            names = ", ".join(f"<code>{escape(a)}</code>" for a in others)
            down = f'<p class="affected">takes down {names}</p>'
        log = ""
        if told["log"] and told["log"].count("\n") > len(told["lines"]):
            log = f'<details><summary>whole log</summary><pre>{escape(told["log"])}</pre></details>'
        cards.append(
            f'<article class="card failure"><div class="top"><h3 class="mono">{_name_html(told["name"])}</h3>'
            f'<span class="pill bad">{_KINDS[told["kind"]]}</span></div>'
            f'<p>{escape(told["why"])}</p>{lines}{down}{log}'
            f'<div class="repro"><code>{escape(told["command"])}</code>'
            f'<button data-copy hidden>copy</button></div></article>\n')
    return _section("What failed", f"{len(cards)}, each with the command that reproduces it", "".join(cards))


def artifacts(report: dict) -> str:
    if not report["artifacts"]:
        return ""
    earlier = [p["artifacts"] for p in report["history"]]
    cards = []
    for row in report["artifacts"]:
        bad = bool(row["problems"]) or not all(m["ok"] for m in row["measures"])
        word = "within budget" if not bad else "not measured" if not row["measures"] else "over budget" \
            if not all(m["ok"] for m in row["measures"]) else "incomplete"
        bars = "".join(_bar(m) for m in row["measures"])
        problems = "".join(f'<p class="problem">{escape(p)}</p>' for p in row["problems"])
        key = "image_bytes" if row["kind"] == "image" else "bytes"
        past = [p[row["name"]][key] for p in earlier if key in p.get(row["name"], {})]
        now = [m["value"] for m in row["measures"] if m["key"] == key]
        trend = _trend(past + now) if past and now else ""
        cards.append(
            f'<article class="card"><div class="cardtop"><h3 class="mono">{escape(row["name"])}</h3>'
            f'<span class="pill {"bad" if bad else "good"}">{"✗" if bad else "✓"} {word}</span></div>'
            f"{bars}{problems}{trend}</article>\n")
    return _section("Binaries and images", "size and start-up against budgets", f'<div class="grid">{"".join(cards)}</div>')


def _trend(sizes: list[float]) -> str:
    change = sizes[-1] - sizes[0]
    sign = "+" if change > 0 else "−" if change < 0 else "±"
    note = f"size over {len(sizes)} runs, {sign}{human(abs(change), 'B')}"
    return f'<div class="trend"><span class="affected">{note}</span>{spark(sizes, note)}</div>'


def _bar(one: dict) -> str:
    value = escape(human(one["value"], one["unit"]))
    if one["limit"] is None:
        return (f'<div class="bar"><div class="row"><span>{escape(one["label"])}</span>'
                f"<b>{value}</b></div></div>")
    # Within budget the track ends at the budget; over it, at the value, with a mark at the budget.
    full = max(one["value"], one["limit"])
    width = 100 * one["value"] / full if full else 0
    mark = "" if one["ok"] else f'<u style="left:{100 * one["limit"] / full:.1f}%"></u>'
    return (f'<div class="bar"><div class="row"><span>{escape(one["label"])}</span>'
            f'<b>{value} <span>of {escape(human(one["limit"], one["unit"]))}</span></b></div>'
            f'<div class="track{"" if one["ok"] else " over"}"><i style="width:{width:.1f}%"></i>{mark}</div></div>')


def smoke(report: dict) -> str:
    rows = [t for t in report["targets"] if t["smoke"]]
    if not rows:
        body = '<p class="card empty">No target under //smoke was part of this run.</p>\n'
        return _section("Smoke", "", body)
    passed = sum(t["ok"] for t in rows)
    return _section("Smoke", f"{passed} of {len(rows)} suites against the images are fine", _table(rows, "smoke-table"))


def targets(report: dict) -> str:
    if not report["targets"]:
        return _section("Targets", "", '<p class="card empty">Bazel reported no target.</p>\n')
    rows = sorted(report["targets"], key=lambda t: (t["ok"], not t["test"], t["label"]))
    chips = "".join(
        f'<button data-only="{key}" aria-pressed="{"true" if key == "all" else "false"}">{key}</button>'
        for key in ("all", "tests", "failed", "ran"))
    controls = (f'<div class="controls"><input id="filter" type="search" placeholder="filter: words, all must match" '
                f'aria-label="filter targets">{chips}<output id="shown"></output></div>')
    counts = report["counts"]
    note = f'{counts["targets"]} in all, {counts["targets_failed"]} failed, {counts["skipped"]} skipped'
    note += f', {counts["left_out"]} left out' if counts["left_out"] else ""
    return _section("Targets", note, controls + _table(rows, "targets-table"), "targets")


def _table(rows: list[dict], ident: str) -> str:
    head = "".join(f'<th scope="col"{c}><button>{n}</button></th>' for n, c in (
        ("target", ""), ("status", ""), ("time", ' class="num"'), ("cached", ""), ("kind", ' class="kind"')))
    return (f'<div class="scroll"><table id="{ident}" data-sortable><thead><tr>{head}</tr></thead><tbody>\n'
            + "".join(_row(t) for t in rows) + "</tbody></table></div>\n")


def _row(target: dict) -> str:
    groups = ["tests"] if target["test"] else []
    groups += [] if target["ok"] else ["failed"]
    groups += ["ran"] if target["cached"] in ("no", "partly") else []
    text = " ".join((target["label"], target["status"], target["kind"], target["cached"], *target["tags"])).lower()
    extra = ""
    if target["message"] and target["status"] not in ("passed", "built"):
        extra += f'<div class="affected">{escape(target["message"])}</div>'
    if target["log"]:
        extra += f'<details><summary>log</summary><pre>{escape(target["log"])}</pre></details>'
    if target["attempts"] > 1:
        extra += f'<div class="affected">{target["attempts"]} attempts and shards</div>'
    cached = target["cached"]
    shown = f'<span class="pill plain">{escape(cached)}</span>' if cached not in ("", "no") else cached or "–"
    return (f'<tr data-text="{escape(text)}" data-groups="{" ".join(groups)}">'
            f'<td data-v="{escape(target["label"])}"><span class="mono">{_name_html(target["label"])}</span>{extra}</td>'
            f'<td data-v="{escape(target["status"])}">{pill(target["status"])}</td>'
            f'<td class="num" data-v="{target["duration_ms"]}">{duration(target["duration_ms"])}</td>'
            f'<td data-v="{escape(cached)}">{shown}</td>'
            f'<td class="kind" data-v="{escape(target["kind"])}">{escape(target["kind"])}</td></tr>\n')


def checks(report: dict) -> str:
    if not report["checks"] and not report["stages"]:
        return ""
    known = {c["name"]: c for c in report["checks"]}
    rows = []
    for stage in report["stages"] or known.values():
        check = known.get(stage["name"])
        status = check["status"] if check else "passed" if stage.get("exit_code") == 0 else "failed"
        note = escape(check["note"]) if check else ""
        rows.append(f'<tr><td data-v="{escape(stage["name"])}"><span class="mono">{escape(stage["name"])}</span></td>'
                    f'<td data-v="{escape(status)}">{pill(status)}</td>'
                    f'<td class="num" data-v="{stage["seconds"]}">{duration(stage["seconds"] * 1000)}</td>'
                    f'<td data-v="{note}">{note}</td></tr>\n')
    head = "".join(f'<th scope="col"{c}><button>{n}</button></th>' for n, c in (
        ("stage", ""), ("status", ""), ("time", ' class="num"'), ("note", "")))
    table = (f'<div class="scroll"><table data-sortable><thead><tr>{head}</tr></thead><tbody>\n'
             + "".join(rows) + "</tbody></table></div>\n")
    return _section("Stages and side checks", "", table)


def history(report: dict) -> str:
    past = report["history"]
    if not past:
        return ""
    here = {"status": report["status"], "started": report["started"], "revision": report["revision"]}
    runs = "".join(
        f'<i class="{"f" if p["status"] != "passed" else "p"}" role="img" aria-label="{escape(_name(p))}"'
        f' title="{escape(_name(p))}"></i>' for p in [*past, here])
    failed = sum(p["status"] != "passed" for p in [*past, here])
    times = [p["wall_ms"] for p in past] + [report["wall_ms"]]
    tests = [p["passed"] for p in past] + [report["counts"]["passed"]]
    body = (f'<div class="grid"><div class="card"><h3>Verdicts</h3><div class="runs">{runs}</div>'
            f'<p class="affected">{failed} of {len(past) + 1} failed; hollow is failed</p></div>'
            f'<div class="card"><h3>Time in Bazel</h3>{spark(times, "time in Bazel")}'
            f'<p class="affected">{duration(min(times))} to {duration(max(times))}, now {duration(times[-1])}</p></div>'
            f'<div class="card"><h3>Tests passed</h3>{spark(tests, "tests passed")}'
            f'<p class="affected">{min(tests)} to {max(tests)}, now {tests[-1]}</p></div></div>\n')
    return _section("History", f"{len(past) + 1} runs, this one last", body)


def _name(point: dict) -> str:
    return f'{point["started"]} {short(point["revision"])} {point["status"]}'.replace("  ", " ")


def spark(values: list[float], title: str) -> str:
    """A line of the values, from zero up, so that a small change looks small."""
    top = max(values) or 1
    step = 100 / max(1, len(values) - 1)
    points = " ".join(f'{"M" if i == 0 else "L"}{i * step:.2f},{40 - 36 * v / top:.2f}' for i, v in enumerate(values))
    if len(values) == 1:
        points += f" L100,{40 - 36 * values[0] / top:.2f}"
    return (f'<svg class="spark" viewBox="0 0 100 44" preserveAspectRatio="none" role="img" aria-label="{escape(title)}">'
            f'<line x1="0" y1="42" x2="100" y2="42"/><path d="{points}"/></svg>')
