"""Commands quoted in the docs exist: Bazel targets, scripts, CLI subcommands and their flags.

Only fenced `sh` blocks count. The CLI is asked itself, with `--help`.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

from .workspace import Problem, Workspace

_FENCE = re.compile(r"^\s*(```+|~~~+)\s*(\w*)")
_SHELLS = {"sh", "bash", "shell", "console"}
_ENV = re.compile(r"^\w+=\S*$")
_BAZEL = {"./bazelw", "bazel", "bazelisk"}


def check(workspace: Workspace, omnirelay: Path | None) -> list[Problem]:
    cli = Cli(omnirelay) if omnirelay else None
    problems = []
    for path in workspace.files():
        if not path.endswith(".md"):
            continue
        for line, command in quoted(workspace.text(path)):
            problems += [Problem(path, line, *p) for p in _check(workspace, cli, command)]
    return problems


def quoted(text: str) -> list[tuple[int, list[str]]]:
    """Each command of the shell blocks, split into words, with the line where it begins."""
    found, fence, pending, begin = [], None, "", 0
    for number, line in enumerate(text.split("\n"), 1):
        mark = _FENCE.match(line)
        if mark:
            fence = None if fence else (mark.group(2) or "text")
            pending = ""
            continue
        if fence not in _SHELLS:
            continue
        if not pending:
            begin = number
        pending += line.strip().removeprefix("$ ")
        if pending.endswith("\\"):
            pending = pending[:-1] + " "
            continue
        found += [(begin, words) for words in _split(pending)]
        pending = ""
    return found


def _split(line: str) -> list[list[str]]:
    """The simple commands of a line; what a shell would refuse is no command."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        return []
    commands: list[list[str]] = [[]]
    for word in words:
        if word and set(word) <= set("|&;()<>"):
            commands.append([])
        else:
            commands[-1].append(word)
    for command in commands:
        while command and (_ENV.match(command[0]) or command[0] in ("sudo", "time", "exec")):
            command.pop(0)
    return [c for c in commands if c]


def _check(workspace: Workspace, cli: Cli | None, words: list[str]) -> list[tuple[str, str]]:
    program = words[0]
    if program in _BAZEL:
        return _bazel(workspace, cli, words)
    if program == "omnirelay" or program.endswith("/omnirelay"):
        return cli.check(words[1:]) if cli else []
    script = program if "/" in program else words[1] if program in ("bash", "python3") and len(words) > 1 else ""
    local = script.startswith(("./", ".ci/", "tools/", "smoke/", "deploy/"))
    if local and not script.startswith("-") and not (workspace.root / script).exists():
        return [(f"`{script}` does not exist", "correct the path, or drop the command")]
    return []


def _bazel(workspace: Workspace, cli: Cli | None, words: list[str]) -> list[tuple[str, str]]:
    own, after = words, []
    if "--" in words:
        split = words.index("--")
        own, after = words[:split], words[split + 1:]
    found = []
    for word in own[1:]:
        label = word.removeprefix("-")
        if label.startswith("//") and not exists(workspace, label):
            found.append((f"no Bazel target {label}", "correct the label; `./bazelw query //...` lists all"))
    if cli and after and "//cli:omnirelay" in own:
        found += cli.check(after)
    return found


def exists(workspace: Workspace, label: str) -> bool:
    """Whether a label can be: by the words of its BUILD file and of the macros that loads.

    Bazel is not asked, for a test must not call the build it runs in.
    """
    package, _, name = label.removeprefix("//").partition(":")
    if package.endswith("..."):
        return (workspace.root / package.removesuffix("...").rstrip("/")).is_dir()
    folder = workspace.root / package
    build = next((b for b in (folder / "BUILD.bazel", folder / "BUILD") if b.exists()), None)
    if build is None:
        return False
    name = name or package.rsplit("/", 1)[-1]
    if name in ("all", "*", "all-targets"):
        return True
    text = build.read_text(encoding="utf-8")
    here = set(re.findall(r'"([^"\n]+)"', text))
    macros = "".join(_macros(workspace, package, text))
    from_macros = set(re.findall(r'"([^"\n]+)"', macros))
    if name in here or name in from_macros:
        return True
    if name.endswith("_test") and (folder / "tests" / f"{name.removesuffix('_test')}.rs").exists():
        return True
    # Macros name targets after their own name: "push_" + name, name + "_unit_test".
    return any(name.startswith(part) and name.removeprefix(part) in here if part.endswith("_")
               else name.endswith(part) and name.removesuffix(part) in here
               for part in from_macros if part.startswith("_") != part.endswith("_"))


def _macros(workspace: Workspace, package: str, text: str) -> list[str]:
    found = []
    for loaded in re.findall(r'load\(\s*"(//[^"]*|:[^"]*)"', text):
        where, _, file = loaded.removeprefix("//").partition(":")
        path = workspace.root / (package if loaded.startswith(":") else where) / file
        if path.exists():
            found.append(path.read_text(encoding="utf-8"))
    return found


class Cli:
    """The `omnirelay` binary, asked for its own help."""

    def __init__(self, binary: Path):
        self.binary = binary

    @cache
    def help(self, path: tuple[str, ...]) -> str:
        """The help of a subcommand; empty when there is no such subcommand."""
        try:
            done = subprocess.run([str(self.binary), *path, "--help"], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SystemExit(f"tidy: {self.binary} does not answer --help: {error}") from error
        usage = re.search(r"^Usage: +(.+)", done.stdout, re.MULTILINE)
        expected = " ".join(("omnirelay", *path))
        fits = usage and re.match(rf"\S*{re.escape(expected)}(\s|$)", usage.group(1))
        return done.stdout if done.returncode == 0 and fits else ""

    def check(self, words: list[str]) -> list[tuple[str, str]]:
        path: tuple[str, ...] = ()
        said = [self.help(path)]
        flags, positional, skip = [], False, False
        for word in words:
            if skip:
                skip = False
            elif word == "--":
                break
            elif word.startswith("-") and len(word) > 1:
                flag = word.split("=", 1)[0]
                flags.append(flag)
                # An option with a value takes the next word, which is then no subcommand.
                skip = "=" not in word and bool(re.search(rf"{re.escape(flag)}[ =]<", said[-1]))
            elif not positional:
                below = self.help((*path, word))
                if below:
                    path = (*path, word)
                    said.append(below)
                elif "\nCommands:" in said[-1] and "<COMMAND>" in said[-1]:
                    shown = " ".join(("omnirelay", *path, word))
                    return [(f"no command `{shown}`", f"`{' '.join(('omnirelay', *path))} --help` lists what there is")]
                else:
                    positional = True
        known = "\n".join(said) + "\n--help -h --version -V"
        return [(f"`omnirelay {' '.join(path)}` has no option {flag}", "correct the command in the docs")
                for flag in flags if not re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", known)]
