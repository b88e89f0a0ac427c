"""Reads Bazel's profile (`--profile`), for what the events do not tell of a build target:
how long its actions took, and whether they ran or came from a cache.

Needs `--experimental_profile_include_target_label`. A profile that is missing or cut short
costs the report these two columns and nothing else.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Work:
    """All actions of one target, its tests' runs left out."""

    ms: float = 0
    ran: int = 0
    fetched: int = 0


def load(path: Path) -> dict[str, Work]:
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as file:
            events = json.load(file)["traceEvents"]
        return read(events)
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return {}


def read(events: list[dict]) -> dict[str, Work]:
    threads: dict[int, list[dict]] = {}
    for event in events:
        if event.get("ph") == "X":
            threads.setdefault(event.get("tid", 0), []).append(event)
    work: dict[str, Work] = {}
    for thread in threads.values():
        # Parents first: an action encloses what was done for it on its thread.
        thread.sort(key=lambda e: (e["ts"], -e["dur"]))
        action, end, ran, asked = None, 0, False, False
        for event in [*thread, None]:
            if action is not None and (event is None or event["ts"] >= end):
                _count(work, action, ran, asked)
                action = None
            if event is None:
                break
            if action is None:
                if event.get("cat") == "action processing":
                    action, end, ran, asked = event, event["ts"] + event["dur"], False, False
            else:
                name = event.get("name", "")
                ran |= name == "subprocess.run" or name.startswith("sandbox.") or "worker" in name
                asked |= event.get("cat") == "remote action cache check"
    return work


def _count(work: dict[str, Work], action: dict, ran: bool, asked: bool) -> None:
    about = action.get("args", {})
    label = about.get("target", "")
    # Neither ran nor asked a cache: a link or a small file that Bazel writes itself.
    if not label or about.get("mnemonic") == "TestRunner" or not (ran or asked):
        return
    one = work.setdefault(label, Work())
    one.ms += action["dur"] / 1000
    one.ran += ran
    one.fetched += asked and not ran
