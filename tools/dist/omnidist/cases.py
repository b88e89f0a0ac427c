"""The smoke suite: what every platform's programs must do. A case returns a note, or fails saying what was off."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from . import elf, macho
from .platforms import PROGRAMS as KNOWN
from .platforms import Platform
from .say import Failure

PROGRAMS = tuple(program.name for program in KNOWN)
# An emulated program takes many times as long; nothing waits for this but what hangs.
_PATIENCE_S = 120
_MACOS_MINIMUM = "11.0"


@dataclass(frozen=True)
class Launcher:
    """What runs a program that this machine cannot run itself."""

    prefix: list[str]
    environment: dict[str, str]


@dataclass(frozen=True)
class Place:
    """Where a case runs: the unpacked programs, and a folder for what they write."""

    launcher: Launcher
    programs: Path
    folder: Path
    suffix: str

    def command(self, program: str, *words: str) -> list[str]:
        """What starts the program."""
        return [*self.launcher.prefix, str(self.programs / (program + self.suffix)), *words]

    def environment(self) -> dict[str, str]:
        """Nothing of the user's own mesh."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("OMNIRELAY")}
        return kept | {"HOME": str(self.folder), "OMNIRELAY_LOG_FORMAT": "json"} | self.launcher.environment

    def run(self, program: str, *words: str, code: int = 0) -> str:
        """Runs the program to its end, and returns what it printed. Another exit code than `code` is a failure."""
        shown = " ".join((program, *words))
        try:
            done = subprocess.run(self.command(program, *words), cwd=self.folder, env=self.environment(), stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, errors="replace", timeout=_PATIENCE_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failure(f"`{shown}` did not run to its end: {error}") from error
        if done.returncode != code:
            said = " | ".join((done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[:3])
            raise Failure(f"`{shown}` ended with exit code {done.returncode}, not {code}, and said: {said}")
        return done.stdout if code == 0 else done.stderr


@dataclass(frozen=True)
class Case:
    """One case: its name as the report shows it, the programs it takes, what it does."""

    name: str
    takes: tuple[str, ...]
    run: Callable[[Place], str]


def of(programs: list[Path]) -> list[Case]:
    """The cases that these programs allow."""
    there = {path.name.removesuffix(".exe") for path in programs}
    return [case for case in _CASES if set(case.takes) <= there]


def structure(platform: Platform, path: Path) -> str:
    """What the file itself says, without running it."""
    content = path.read_bytes()
    if platform.system == "linux":
        return elf.check_static(content, platform.machine)
    if platform.system == "macos":
        return _macos(content, platform.machine)
    if content[:2] != b"MZ":
        raise Failure("this is no Windows program")
    return "PE"


def _macos(content: bytes, machine: str) -> str:
    found = macho.read(content)
    if found.machine != machine:
        raise Failure(f"the program is for {found.machine}, not {machine}")
    if found.minimum != _MACOS_MINIMUM:
        raise Failure(f"the program asks for macOS {found.minimum or '?'}, not {_MACOS_MINIMUM}")
    foreign = [name for name in found.libraries if not name.startswith(("/usr/lib/", "/System/Library/"))]
    if foreign:
        raise Failure(f"the program needs what macOS does not bring: {', '.join(foreign)}")
    if found.signature is None:
        if machine == "aarch64":
            raise Failure("the program bears no signature: macOS on arm64 refuses to start it")
        return f"macOS {found.minimum}, {len(found.libraries)} system libraries, unsigned"
    return f"macOS {found.minimum}, {len(found.libraries)} system libraries, signature {macho.check_signature(content, found.signature)}"


def _version(program: str) -> Callable[[Place], str]:
    def case(place: Place) -> str:
        said = place.run(program, "--version").strip()
        if not re.fullmatch(rf"{program} \d+\.\d+\.\d+\S*", said):
            raise Failure(f"`{program} --version` said {said!r}")
        return said
    return case


def _help(place: Place) -> str:
    said = place.run("omnirelay", "--help")
    missing = [word for word in ("up", "request", "mesh", "introspect", "drain") if not re.search(rf"^  {word} ", said, re.MULTILINE)]
    if missing:
        raise Failure(f"`omnirelay --help` does not list {', '.join(missing)}")
    return ""


def _completion(place: Place) -> str:
    if "_omnirelay" not in place.run("omnirelay", "completion", "bash"):
        raise Failure("`omnirelay completion bash` printed no completion")
    return ""


def _wrong(place: Place) -> str:
    said = place.run("omnirelay", "no-such-command", code=2)
    if "hint:" not in said:
        raise Failure(f"an unknown command was answered without a hint: {said.strip()!r}")
    return ""


def _prepare(place: Place) -> str:
    mesh = _mesh(place, place.folder / "prepared")
    return f"{len(mesh['components'])} components"


def _validate(place: Place) -> str:
    _mesh(place, place.folder / "validated")
    said = place.run("omnirelay", "mesh", "config", "validate", "validated/relay-1.toml")
    if "is a valid relay configuration" not in said:
        raise Failure(f"a valid configuration was answered with {said.strip()!r}")
    return ""


def _nobody(place: Place) -> str:
    _mesh(place, place.folder / "alone")
    said = place.run("omnirelay", "--context", "alone/cli.toml", "mesh", "peers", "list", code=7)
    if not said.startswith("error:"):
        raise Failure(f"an unreachable mesh was answered with {said.strip()!r}")
    return ""


def _life(place: Place) -> str:
    mesh = _mesh(place, place.folder / "mesh")
    components = {one["name"]: one for one in mesh["components"]}
    with ExitStack() as stack:
        daemons = {name: stack.enter_context(Daemon(place, components[name])) for name in ("meshkitd", "relay-1")}
        peers = json.loads(place.run("omnirelay", "--context", "mesh/cli.toml", "mesh", "peers", "list", "--output", "json"))
        if "relay-1" not in [peer["id"] for peer in peers["peers"]]:
            raise Failure("the relay is not among the peers of the mesh that it registered with")
        for name, url in (("relay-1", components["relay-1"]["admin_url"]), ("meshkitd", components["meshkitd"]["url"])):
            place.run("omnirelay", "--context", "mesh/cli.toml", "drain", "--url", url)
            daemons[name].ended()
    return f"over {peers['protocol']}"


_CASES = (
    Case("omnirelay: version", ("omnirelay",), _version("omnirelay")),
    Case("relayd: version", ("relayd",), _version("relayd")),
    Case("meshkitd: version", ("meshkitd",), _version("meshkitd")),
    Case("omnirelay: help", ("omnirelay",), _help),
    Case("omnirelay: completion", ("omnirelay",), _completion),
    Case("omnirelay: a wrong command", ("omnirelay",), _wrong),
    Case("omnirelay: dev init", ("omnirelay",), _prepare),
    Case("omnirelay: a valid configuration", ("omnirelay",), _validate),
    Case("omnirelay: nobody listens", ("omnirelay",), _nobody),
    Case("a mesh starts, answers, drains", PROGRAMS, _life),
)


class Daemon:
    """A daemon that is ready once entered, and has ended once left, whatever happened."""

    def __init__(self, place: Place, component: dict):
        self.name = component["name"]
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(place.command(component["binary"], *component["args"]), cwd=place.folder,
                                         env=place.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.PIPE, text=True, errors="replace")
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stderr:
            self._log.write(line)
            if '"message":"ready"' in line:
                self._ready.set()
        self._ready.set()  # it has ended: nobody need wait any longer

    def __enter__(self) -> Daemon:
        came = self._ready.wait(_PATIENCE_S)
        if not came or self._process.poll() is not None or not self._reader.is_alive():
            self.__exit__()
            raise Failure(f"{self.name} did not become ready; its last lines: {self._last()}")
        return self

    def ended(self) -> None:
        """Waits for an end without error."""
        try:
            code = self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{self.name} does not end after a drain") from error
        self._reader.join(_PATIENCE_S)
        if code != 0:
            raise Failure(f"{self.name} ended with exit code {code}; its last lines: {self._last()}")

    def __exit__(self, *_) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reader.join(_PATIENCE_S)

    def _last(self) -> str:
        self._log.seek(0)
        return " | ".join(self._log.read().splitlines()[-3:]) or "none"


def _mesh(place: Place, folder: Path) -> dict:
    said = place.run("omnirelay", "dev", "init", "--dir", folder.name, "--base-port", str(_free_ports()), "--output", "json")
    try:
        return json.loads(said)
    except ValueError as error:
        raise Failure(f"`omnirelay dev init --output json` printed no JSON: {said[:200]!r}") from error


def _free_ports(count: int = 23) -> int:
    """The first of so many ports on loopback that nobody holds, for TCP and UDP."""
    for base in range(20_000 + os.getpid() % 500 * 24, 60_000, 24):
        with ExitStack() as stack:
            try:
                for port in range(base, base + count):
                    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                        stack.enter_context(socket.socket(socket.AF_INET, kind)).bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise Failure("no free ports on loopback")
