"""Finds the lines in a log that say what is wrong, and the warnings that must not be there."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LINES = 14

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\r(?!\n)")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

# Where an explanation begins, best first. The first pattern that matches anywhere wins.
_STARTS = [
    re.compile(r"^error(\[E\d+\])?: (?!aborting|could not compile|\d+ previous)"),  # rustc, clippy
    re.compile(r"^---- .* stdout ----"),  # libtest
    re.compile(r"^thread '.*' (\(\d+\) )?panicked at"),
    re.compile(r"^(FAIL|ERROR): \w+ \("),  # unittest
    re.compile(r"^Traceback \(most recent call last\)"),
    re.compile(r"^ERROR: "),  # Bazel
    re.compile(r"(^|\s)(error|fatal|panicked|assertion|refused|denied|not found|no such)\b", re.IGNORECASE),
    re.compile(r"\b(FAILED|FAIL|TIMEOUT)\b"),
]
_NOISE = re.compile(r"^(exec \$\{PAGER|Executing tests from|-{20,}$|={20,}$|\s*$)")

_WARNING = re.compile(r"^(warning(?:\[[^\]]+\])?): (.+)")
_WARNING_TALLY = re.compile(r"\d+ warnings? emitted|generated \d+ warnings?")
_ARROW = re.compile(r"^\s*--> (\S+)")
_FROM = re.compile(r"^INFO: From (.+?):?$")


def clean(text: str) -> str:
    """Without colours and control characters; what a log means to say."""
    return _CONTROL.sub("", _ANSI.sub("", text.replace("\r\n", "\n")))


def first_error(text: str) -> list[str]:
    """The lines a person would read first; the tail when nothing looks like an error."""
    lines = clean(text).split("\n")
    for start in _STARTS:
        for index, line in enumerate(lines):
            if start.search(line) and not _NOISE.match(line):
                return _block(lines, index)
    tail = [line.rstrip() for line in lines if not _NOISE.match(line)]
    return tail[-MAX_LINES // 2:]


def _block(lines: list[str], index: int) -> list[str]:
    """From `index` to the second paragraph's end, bounded, without trailing blanks."""
    block: list[str] = []
    for line in lines[index:index + MAX_LINES]:
        starts_next = len(block) >= 5 and (re.match(r"^(error|warning)(\[\w+\])?: ", line) or line.startswith("---- "))
        if starts_next or (not line.strip() and len(block) >= 5):
            break
        block.append(line.rstrip())
    while block and not block[-1]:
        block.pop()
    return block


@dataclass(frozen=True)
class Warning_:
    """A compiler's or linter's warning. The builtin's name is taken, hence the underscore."""

    text: str
    where: str  # file:line:column, or empty
    origin: str  # the action that said it


def warnings(text: str, origin: str = "") -> list[Warning_]:
    """Every `warning:` of rustc, clippy or cargo in `text`; Bazel's own `WARNING:` is not one."""
    found: list[Warning_] = []
    lines = clean(text).split("\n")
    current = origin
    for index, line in enumerate(lines):
        source = _FROM.match(line)
        if source:
            current = source.group(1)
        match = _WARNING.match(line)
        if not match or _WARNING_TALLY.search(match.group(2)):
            continue
        where = ""
        for following in lines[index + 1:index + 4]:
            arrow = _ARROW.match(following)
            if arrow:
                where = arrow.group(1)
                break
        one = Warning_(match.group(2).strip(), where, current)
        if one not in found:
            found.append(one)
    return found


def bazel_errors(text: str) -> list[str]:
    """Bazel's own `ERROR:` lines, for failures no target owns, as many as a report shows."""
    return all_bazel_errors(text)[:MAX_LINES]


def all_bazel_errors(text: str) -> list[str]:
    seen: list[str] = []
    for line in clean(text).split("\n"):
        if line.startswith(("ERROR: ", "FATAL: ")) and line not in seen:
            if not line.startswith("ERROR: Build did NOT complete"):
                seen.append(line.rstrip())
    return seen
