"""The summary in the terminal: what ran, what failed, why, and how to see it again."""

from __future__ import annotations

import textwrap

from .badges import duration, untold
from .verdict import human

_CODES = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}

# So many names of broken targets are printed; the page has them all.
MAX_NAMES = 60


def render(report: dict, colour: bool = False, page: str = "") -> str:
    paint = _painter(colour)
    counts = report["counts"]
    out: list[str] = [""]
    tests = [t for t in report["targets"] if t["test"]]
    if tests:
        rows = [[t["label"], t["status"], duration(t["duration_ms"]) if t["duration_ms"] else "-", t["cached"] or "-"]
                for t in _worst_first(tests)]
        out += _table(["test", "status", "time", "cached"], rows, paint, right={2}) + [""]
    if report["artifacts"]:
        out += _artifacts(report["artifacts"], paint) + [""]
    if report["checks"]:
        rows = [[c["name"], c["status"], f"{c['seconds']:.1f} s", c["note"]] for c in report["checks"]]
        out += _table(["check", "status", "time", ""], rows, paint, right={2}) + [""]
    for told in report["failures"]:
        out += _failure(told, paint)
    built = counts["targets"] - counts["targets_failed"] - counts["skipped"] - counts["left_out"]
    aside = f", {counts['left_out']} left out" if counts["left_out"] else ""
    out.append(f"{counts['targets']} targets: {built} fine, {counts['targets_failed']} failed, "
               f"{counts['skipped']} skipped{aside}; {counts['cached']} from a cache; {duration(report['wall_ms'])} in Bazel")
    if page:
        out.append(f"report: {page}")
    for check in report["checks"]:
        if check["status"] == "not checked":
            out.append(paint(f"not checked: {check['name']}: {check['note']}", "yellow"))
    if report["failures"]:
        names = list(dict.fromkeys(f["name"] for f in report["failures"]))
        out.append(paint(f"gate failed: {', '.join(names)}", "red", "bold"))
    else:
        note = untold(counts).removeprefix(", ")
        out.append(paint("gate passed" + (f" ({note})" if note else ""), "green", "bold"))
    # The last line, plain and alone, is what CI reads.
    out.append(f"{counts['passed']} passed, {counts['failed'] + counts['unbuilt']} failed")
    return "\n".join(out) + "\n"


def measures(rows: list[dict], colour: bool = False) -> str:
    """The artifacts' table alone, with whatever could not be measured below it."""
    paint = _painter(colour)
    problems = [paint(f"{a['name']}: {p}", "red") for a in rows for p in a["problems"]]
    return "\n".join(_artifacts(rows, paint) + problems) + "\n"


def _artifacts(rows: list[dict], paint) -> list[str]:
    cells = [[a["name"], m["label"], human(m["value"], m["unit"]),
              human(m["limit"], m["unit"]) if m["limit"] is not None else "-",
              "over budget" if not m["ok"] else "ok" if m["limit"] is not None else "reported"]
             for a in rows for m in a["measures"]]
    # Why something was not measured stands with the failures; the table stays narrow.
    cells += [[a["name"], "-", "-", "-", "not measured"] for a in rows if a["problems"]]
    return _table(["artifact", "measure", "value", "budget", "verdict"], cells, paint, right={2, 3})


def _worst_first(rows: list[dict]) -> list[dict]:
    return sorted(rows, key=lambda t: (t["ok"], t["label"]))


def _failure(told: dict, paint) -> list[str]:
    out = [paint("FAILED ", "red", "bold") + paint(told["name"], "bold"), f"  why        {told['why']}"]
    out += [paint("  | ", "dim") + line for line in told["lines"]]
    others = [a for a in told["affected"] if a != told["name"]]
    if others:
        shown, rest = others[:MAX_NAMES], len(others) - MAX_NAMES
        text = ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")
        out += textwrap.wrap(text, 100, initial_indent="  takes down ", subsequent_indent=" " * 13,
                             break_long_words=False, break_on_hyphens=False)
    out.append("  reproduce  " + paint(told["command"], "bold"))
    return out + [""]


def _table(head: list[str], rows: list[list[str]], paint, right: set[int]) -> list[str]:
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]

    def line(cells: list[str]) -> str:
        padded = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths))]
        return "  ".join(padded).rstrip()

    out = [paint(line(head), "dim")]
    for row in rows:
        words = set(row)
        if words & {"over budget", "not measured", "failed", "failed to build", "timed out", "flaky", "not run"}:
            out.append(paint(line(row), "red"))
        elif words & {"not checked", "skipped", "left out"}:
            out.append(paint(line(row), "yellow"))
        else:
            out.append(line(row))
    return out


def _painter(colour: bool):
    def paint(text: str, *styles: str) -> str:
        if not colour or not text:
            return text
        return f"\x1b[{';'.join(_CODES[s] for s in styles)}m{text}\x1b[0m"
    return paint
