"""Sources stay short, and hold no note of work left undone."""

from __future__ import annotations

import re

from .workspace import Problem, Workspace

MAX_LINES = 400
_SUFFIXES = (".rs", ".py", ".sh", ".bzl", ".bazel", ".proto", ".js", ".css", ".html")
_LONG = re.compile(r"(//|#|/\*) long file: \S+")
# Spelled in halves, so that this file passes its own rule.
_UNDONE = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|\b(?:to" r"do|unimple" r"mented)!|#\[ig" r"nore\b")
# A test that another test starts as its child process is no work left undone.
_CHILD = re.compile(r'#\[ig' r'nore = "the child of ')


def check(workspace: Workspace) -> list[Problem]:
    problems = []
    for path in workspace.files():
        if not (path.endswith(_SUFFIXES) or _is_script(workspace, path)) or workspace.is_generated(path):
            continue
        lines = workspace.text(path).split("\n")
        count = len(lines) - (not lines[-1])
        if count > MAX_LINES and not any(_LONG.search(line) for line in lines):
            problems.append(Problem(path, MAX_LINES + 1, f"{count} lines, more than {MAX_LINES}",
                                    "split it by concern, or say why not in a comment `long file: REASON`"))
        for number, line in enumerate(lines, 1):
            found = _UNDONE.search(line)
            if found and not _CHILD.search(line):
                problems.append(Problem(path, number, f"{found.group(0)!r}: work left undone",
                                        "finish it, or open an issue and describe the limit in the documentation"))
    return problems


def _is_script(workspace: Workspace, path: str) -> bool:
    return "." not in path.rsplit("/", 1)[-1] and workspace.text(path).startswith("#!")
