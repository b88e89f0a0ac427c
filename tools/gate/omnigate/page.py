"""The report as one self-contained page. Everything that came from a build is escaped."""

from __future__ import annotations

from html import escape
from pathlib import Path

from . import page_parts as parts
from .badges import duration, untold
from .history import short

_ASSETS = Path(__file__).parent / "assets"

# Nothing is fetched and no inline handler runs, whatever a test printed.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def render(report: dict) -> str:
    css = (_ASSETS / "page.css").read_text(encoding="utf-8")
    script = (_ASSETS / "page.js").read_text(encoding="utf-8")
    ok = report["status"] == "passed"
    sections = [
        _tiles(report), parts.failures(report), parts.artifacts(report), parts.smoke(report),
        parts.targets(report), parts.checks(report), parts.history(report),
    ]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{'✓' if ok else '✗'} OmniRelay gate</title>
<style>
{css}</style>
</head>
<body>
<header>
<h1><span class="name">OmniRelay gate</span>{_verdict(report)}<button id="theme" title="colour theme" hidden></button></h1>
<p class="meta">{_meta(report)}</p>
</header>
<main>
{"".join(s for s in sections if s)}</main>
<footer>The same run as <a href="gate.json">JSON</a>, <a href="junit.xml">JUnit</a> and
<a href="metrics.prom">Prometheus text</a>.</footer>
<script>
{script}</script>
</body>
</html>
"""


def _verdict(report: dict) -> str:
    if report["status"] == "passed":
        note = untold(report["counts"])
        return f'<span class="verdict {"warn" if note else "good"}">✓ passed{note}</span>'
    return '<span class="verdict bad">✗ failed</span>'


def _meta(report: dict) -> str:
    bits = [escape(report["started"].replace("T", " ").replace("Z", " UTC"))]
    if report["revision"]:
        bits.append(f'<code>{escape(short(report["revision"]))}</code>')
    if report["branch"]:
        bits.append(escape(report["branch"]))
    bazel = report["bazel"]
    if bazel["version"]:
        end = f', exit code {bazel["exit_code"]}' if bazel["exit_code"] else ""
        bits.append(f'Bazel {escape(bazel["version"])}{end}')
    return " · ".join(bits)


def _tiles(report: dict) -> str:
    counts = report["counts"]
    share = f"{100 * counts['cached'] / counts['targets']:.0f} %" if counts["targets"] else "–"
    tiles = [
        (counts["passed"], "tests passed", ""),
        (counts["failed"], "tests failed", "alert" if counts["failed"] else ""),
        (counts["targets"], "targets", ""),
        (share, "from a cache", ""),
        (duration(report["wall_ms"]), "in Bazel", ""),
    ]
    if counts["unbuilt"]:
        tiles.append((counts["unbuilt"], "others not built", "alert"))
    if counts["warnings"]:
        tiles.append((counts["warnings"], "warnings", "alert"))
    if counts["left_out"]:
        tiles.append((counts["left_out"], "tests left out", "note"))
    if counts["unchecked"]:
        tiles.append((counts["unchecked"], "not checked", "note"))
    return '<div class="tiles">' + "".join(
        f'<div class="tile {mood}"><b>{escape(str(value))}</b><span>{escape(name)}</span></div>'
        for value, name, mood in tiles) + "</div>\n"
