"""Starts the daemons the way an operator does and times them until they are ready.

The components come from `omnirelay dev init --dir DIR --base-port N`, which writes a
development CA, configurations and `DIR/mesh.json`:

    {"components": [{"name": "meshkit-1", "kind": "meshkit", "binary": "meshkitd",
                     "args": ["--config", "…/meshkit.toml"],
                     "ready_url": "https://127.0.0.1:4650/readyz"}, …]}
"""

from __future__ import annotations

import json
import signal
import socket
import ssl
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from .budgets import Budgets
from .measure import MeasureError, measurement

POLL_S = 0.001
DRAIN_S = 15
# How many ports above the base the development mesh may take.
PORT_SPAN = 40


def daemons(budgets: Budgets, rows: list[dict], cli: Path | None) -> None:
    """Adds ready time, memory and drain time to the daemons' rows. Failures become problems."""
    by_name = {r["name"]: r for r in rows if r["kind"] == "daemon" and r["path"]}
    if not by_name:
        return
    if cli is None:
        for row in by_name.values():
            row["problems"].append("start-up was not measured: the CLI, which sets up the mesh, was not built")
        return
    with tempfile.TemporaryDirectory(prefix="omnirelay-gate-") as folder:
        try:
            components = init(cli, Path(folder) / "mesh")
        except MeasureError as error:
            for row in by_name.values():
                row["problems"].append(f"start-up was not measured: {error}")
            return
        running: list[Daemon] = []
        try:
            for component in components:
                name = Path(component["binary"]).name
                row = by_name.pop(name, None)
                if row is not None:
                    _measure(budgets, row, component, running)
        finally:
            for daemon in reversed(running):
                daemon.kill()
    for row in by_name.values():
        row["problems"].append("start-up was not measured: mesh.json names no component that runs it")


def init(cli: Path, folder: Path) -> list[dict]:
    """Writes a development mesh into `folder`; its components in the order to start them."""
    command = [str(cli), "dev", "init", "--dir", str(folder), "--base-port", str(free_ports(PORT_SPAN))]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MeasureError(f"`{' '.join(command[:3])}` did not run: {error}") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise MeasureError(f"`omnirelay dev init` ended with exit code {done.returncode}: {said[0] if said else ''}")
    try:
        components = json.loads((folder / "mesh.json").read_text(encoding="utf-8"))["components"]
        for component in components:
            for key in ("name", "binary", "args", "ready_url"):
                component[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MeasureError(f"`omnirelay dev init` wrote no usable mesh.json: {error!r}") from error
    # The control plane first: a relay may read its routes from it.
    return sorted(components, key=lambda c: "meshkit" not in Path(c["binary"]).name)


def free_ports(span: int) -> int:
    """A base port with `span` free TCP ports above it on loopback, below the ephemeral range."""
    for base in range(21_000, 32_000, span):
        if all(_free(base + offset) for offset in range(span)):
            return base
    raise MeasureError("no free range of ports on loopback")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _measure(budgets: Budgets, row: dict, component: dict, running: list[Daemon]) -> None:
    """Starts one daemon several times; the last one stays up for those that come after it."""
    ready, drains, reported, memory = [], [], [], 0
    limit = next((a.limits.get("max_ready_ms") for a in budgets.artifacts if a.name == row["name"]), None)
    try:
        for turn in range(budgets.start_runs):
            daemon = Daemon(Path(row["path"]), component)
            running.append(daemon)
            ready.append(daemon.wait_ready(budgets.ready_timeout_ms))
            if turn < budgets.start_runs - 1:
                drains.append(daemon.drain())
                running.remove(daemon)
            else:
                time.sleep(budgets.idle_ms / 1000)
                memory = daemon.memory_bytes()
            reported += daemon.reported_ms()
    except MeasureError as error:
        row["problems"].append(str(error))
    if ready:
        row["measures"].append(measurement("ready_ms", "ready after start", "ms", statistics.median(ready), limit))
        row["measures"].append(measurement("ready_max_ms", "slowest start", "ms", max(ready)))
    if reported:
        row["measures"].append(
            measurement("startup_ms", "start-up by its own log", "ms", statistics.median(reported)))
    if drains:
        row["measures"].append(measurement("drain_ms", "drain on SIGTERM", "ms", statistics.median(drains)))
    if memory:
        row["measures"].append(measurement("idle_rss_bytes", "idle memory", "B", memory))


class Daemon:
    """One started process and its log."""

    def __init__(self, binary: Path, component: dict):
        self.name = binary.name
        self.url = urlsplit(component["ready_url"])
        # Appended by the daemon, read here by name: a shared file position would let the
        # reader move the writer.
        self.log = tempfile.NamedTemporaryFile("ab", prefix="omnirelay-gate-", suffix=".log")
        self.tls = _tls() if self.url.scheme == "https" else None
        self.begin = time.perf_counter()
        args = [str(a) for a in component["args"]]
        try:
            self.process = subprocess.Popen([str(binary), *args, "--log-format", "json"],
                                            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        except OSError as error:
            raise MeasureError(f"{binary} does not start: {error.strerror}") from error

    def wait_ready(self, timeout_ms: int) -> float:
        """Milliseconds from spawn until the ready URL answers 200."""
        while True:
            if self._answers():
                return (time.perf_counter() - self.begin) * 1000
            if self.process.poll() is not None:
                raise MeasureError(f"ended with exit code {self.process.returncode} before it was ready: {self.tail()}")
            if (time.perf_counter() - self.begin) * 1000 > timeout_ms:
                raise MeasureError(f"was not ready within {timeout_ms} ms: {self.tail()}")
            time.sleep(POLL_S)

    def _answers(self) -> bool:
        host, port = self.url.hostname or "127.0.0.1", self.url.port or 443
        try:
            with socket.create_connection((host, port), timeout=1) as plain:
                if self.tls is None:
                    return _ready(plain, self.url.path, host)
                with self.tls.wrap_socket(plain, server_hostname=host) as wire:
                    return _ready(wire, self.url.path, host)
        except OSError:
            return False

    def drain(self) -> float:
        """Milliseconds from SIGTERM to a clean end."""
        begin = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(DRAIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise MeasureError(f"did not drain within {DRAIN_S} s after SIGTERM: {self.tail()}") from None
        if code != 0:
            raise MeasureError(f"ended with exit code {code} after SIGTERM: {self.tail()}")
        return (time.perf_counter() - begin) * 1000

    def memory_bytes(self) -> int:
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        except OSError:
            return 0  # no procfs on this platform; memory is reported, not judged
        for line in status.splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def reported_ms(self) -> list[float]:
        """`startup_ms` of the daemon's own `ready` event."""
        for line in self._text().splitlines():
            if '"startup_ms"' in line:
                try:
                    event = json.loads(line)
                    return [float({**event, **event.get("fields", {})}["startup_ms"])]
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue
        return []

    def tail(self) -> str:
        lines = [line for line in self._text().splitlines() if line.strip()]
        return lines[-1][:400] if lines else "it logged nothing"

    def _text(self) -> str:
        return Path(self.log.name).read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def _ready(wire: socket.socket, path: str, host: str) -> bool:
    wire.sendall(f"GET {path or '/'} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    return b" 200 " in wire.recv(64) + b" "


def _tls() -> ssl.SSLContext:
    """TLS 1.3 without verification: the time is measured here, the certificates are tested elsewhere."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    return context
