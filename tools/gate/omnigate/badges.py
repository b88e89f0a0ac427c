"""SVG badges in the shape everybody knows: a grey name and a coloured value."""

from __future__ import annotations

from html import escape

from .verdict import human

_COLOURS = {"good": "#2f7d4f", "bad": "#b3383b", "warn": "#96690f", "plain": "#3a6ea5"}
# Widths of Verdana 11 px, near enough: badges are stretched to fit with textLength.
_NARROW, _WIDE = set("iljtfr.,:;|!'()[] "), set("mwMW%@")


def render(report: dict) -> dict[str, str]:
    """File name to SVG."""
    counts = report["counts"]
    ok = report["status"] == "passed"
    # "Passed" is never said of a run that left something unchecked without saying so.
    unchecked = untold(counts)
    failed = counts["failed"] + counts["unbuilt"]
    badges = {
        "gate.svg": badge("gate", report["status"] + unchecked, "bad" if not ok else "warn" if unchecked else "good"),
        "tests.svg": badge("tests", f"{counts['passed']} passed, {failed} failed",
                           "bad" if failed else "good" if counts["tests"] else "warn"),
        "time.svg": badge("gate time", duration(report["wall_ms"]), "plain"),
        "cached.svg": badge("cached", f"{_share(counts['cached'], counts['targets'])} of targets", "plain"),
    }
    for row in report["artifacts"]:
        sizes = [m for m in row["measures"] if m["key"] in ("bytes", "image_bytes")]
        times = [m for m in row["measures"] if m["key"] in ("version_ms", "ready_ms") and m["limit"] is not None]
        for one in sizes:
            badges[f"{row['name']}-size.svg"] = _measure(f"{row['name']} size", one)
        for one in times:
            badges[f"{row['name']}-start.svg"] = _measure(f"{row['name']} start", one)
    return badges


def untold(counts: dict) -> str:
    """What a verdict does not speak of, to be said in the same breath: ", 2 not checked, 7 left out"."""
    return "".join(f", {counts[key]} {words}" for key, words in (("unchecked", "not checked"), ("left_out", "left out"))
                   if counts[key])


def _measure(name: str, one: dict) -> str:
    return badge(name, human(one["value"], one["unit"]), "good" if one["ok"] else "bad")


def badge(name: str, value: str, colour: str) -> str:
    left, right = _width(name) + 12, _width(value) + 12
    total = left + right
    title = escape(f"{name}: {value}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="20" role="img" aria-label="{title}">'
        f"<title>{title}</title>"
        f'<clipPath id="r"><rect width="{total}" height="20" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#4a4f57"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{_COLOURS[colour]}"/></g>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11">'
        f'<text x="6" y="14" textLength="{left - 12}">{escape(name)}</text>'
        f'<text x="{left + 6}" y="14" textLength="{right - 12}">{escape(value)}</text></g></svg>\n'
    )


def _width(text: str) -> int:
    return round(sum(4 if c in _NARROW else 10.5 if c in _WIDE else 7 for c in text))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"


def duration(ms: float) -> str:
    seconds = ms / 1000
    if seconds < 1:
        return f"{ms:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
