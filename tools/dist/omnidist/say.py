"""What people read while it runs, and what they read when it fails."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class Failure(Exception):
    """Something that cannot go on: what, and what to do about it."""

    def __init__(self, what: str, hint: str = ""):
        super().__init__(what)
        self.hint = hint


def say(text: str) -> None:
    """One line of progress."""
    print(f"dist: {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Says what begins, and how long it took."""
    say(f"{text} ...")
    began = time.monotonic()
    yield
    say(f"{text}: {time.monotonic() - began:.1f} s")


def run(command: Sequence[str | Path], what: str, *, log: Path | None = None, **options) -> str:
    """Runs a command to its end and returns its standard output. With `log`, everything it says is kept there and
    shown in part when it fails; without, its standard error is the user's."""
    words = [str(word) for word in command]
    try:
        if log is None:
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False, **options)
        else:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("w", encoding="utf-8") as file:
                done = subprocess.run(words, stdout=file, stderr=subprocess.STDOUT, check=False, **options)
    except FileNotFoundError as error:
        raise Failure(f"{what}: {words[0]} is not there", f"install it, or put it on the PATH ({error})") from error
    if done.returncode == 0:
        return done.stdout or ""
    hint = ""
    if log is not None:
        sys.stderr.write("".join(log.read_text(encoding="utf-8", errors="replace").splitlines(True)[-25:]))
        hint = f"the whole log is {log}"
    raise Failure(f"{what}: {words[0]} ended with exit code {done.returncode}", hint)
