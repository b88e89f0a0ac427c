"""What is built: five platforms, three programs."""

from __future__ import annotations

from dataclasses import dataclass

from .say import Failure


@dataclass(frozen=True)
class Platform:
    """One platform. `name` is what people read in file names, `triple` what Rust calls it."""

    name: str
    triple: str
    system: str
    machine: str

    @property
    def suffix(self) -> str:
        """What the names of programs end with."""
        return ".exe" if self.system == "windows" else ""

    @property
    def archive(self) -> str:
        """What the name of the archive ends with."""
        return ".zip" if self.system == "windows" else ".tar.gz"

    @property
    def link(self) -> tuple[str, ...]:
        """What rustc must know to link. musl's start files and libc are zig's: Rust's own are in no baked standard library."""
        return ("-Clink-self-contained=no",) if self.system == "linux" else ()

    @property
    def debian(self) -> str | None:
        """Debian's name of the machine, where there are packages for it."""
        return {"x86_64": "amd64", "aarch64": "arm64"}[self.machine] if self.system == "linux" else None


@dataclass(frozen=True)
class Program:
    """One program: the package that cargo builds it of, and the profile it is built with."""

    name: str
    crate: str
    profile: str
    rustflags: tuple[str, ...] = ()


PLATFORMS = (
    Platform("linux-x64", "x86_64-unknown-linux-musl", "linux", "x86_64"),
    Platform("linux-arm64", "aarch64-unknown-linux-musl", "linux", "aarch64"),
    Platform("macos-arm64", "aarch64-apple-darwin", "macos", "aarch64"),
    Platform("macos-x64", "x86_64-apple-darwin", "macos", "x86_64"),
    Platform("windows-x64", "x86_64-pc-windows-gnullvm", "windows", "x86_64"),
)

# The same settings as the Bazel build's: tools/bazel/rust.bzl, tools/bazel/small.bzl.
PROGRAMS = (
    Program("omnirelay", "omnirelay-cli", "dist-small", ("-Cllvm-args=-inline-threshold=10",)),
    Program("relayd", "relay-server", "dist", ("-Cllvm-args=-inline-threshold=120",)),
    Program("meshkitd", "meshkit-host", "dist", ("-Cllvm-args=-inline-threshold=120",)),
)


def chosen(known: tuple, names: list[str], what: str) -> tuple:
    """Those of `known` with these names; all when none is named."""
    by_name = {one.name: one for one in known}
    for name in names:
        if name not in by_name:
            raise Failure(f"no {what} is called {name!r}", f"there are {', '.join(by_name)}")
    return tuple(one for one in known if not names or one.name in names)
