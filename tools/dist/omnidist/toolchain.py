"""What builds for every platform: rustc with the platforms' standard libraries, zig as C compiler and linker.

Where rustup has the platforms' standard libraries, the machine's own toolchain is used as it is. Elsewhere they are
made of the standard library's source (`bake`). zig and cargo-zigbuild are PyPI's, with pinned hashes.
"""

from __future__ import annotations

import os
import platform
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from . import bake
from .fetch import Wheel, cache
from .platforms import Platform
from .say import Failure, run

ZIG = Wheel("ziglang", "0.17.1", "ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54")
ZIGBUILD = Wheel("cargo-zigbuild", "0.24.0", "484412e39e4c6039474535ce97ee75a22bab22d58233056f8ec8a8f9034bb957")


@dataclass(frozen=True)
class Toolchain:
    """Where the tools are."""

    rust: Path
    zig: Path
    zigbuild: Path

    def environment(self) -> dict[str, str]:
        """The environment in which cargo and its children find these tools, and nobody's personal settings."""
        kept = {key: value for key, value in os.environ.items() if not _personal(key)}
        return kept | {
            "PATH": f"{self.rust / 'bin'}:{self.zigbuild.parent}:{self.zig.parent}:{os.environ['PATH']}",
            "RUSTC": str(self.rust / "bin" / "rustc"),
            "CARGO_ZIGBUILD_ZIG_PATH": str(self.zig),
            "CARGO_ZIGBUILD_CACHE_DIR": str(cache() / "zigbuild"),
            "ZIG_GLOBAL_CACHE_DIR": str(cache() / "zig-cache"),
            # What runs on Big Sur runs on all that Apple still mends.
            "MACOSX_DEPLOYMENT_TARGET": "11.0",
        }

    def version(self) -> str:
        """What `rustc --version` says."""
        return run([self.rust / "bin" / "rustc", "--version"], "asking rustc its version").strip()


def ensure(platforms: tuple[Platform, ...]) -> Toolchain:
    """Sets up what is not there yet."""
    own = Path(run(["rustc", "--print", "sysroot"], "asking rustc where it lies", cwd=Path(__file__).parent).strip())
    missing = [one for one in platforms if not bake.has_std(own, one)]
    rust = bake.ensure(own, missing) if missing else own
    zig, zigbuild = _tools()
    return Toolchain(rust, zig, zigbuild)


def zig() -> Path:
    """zig alone, for what needs no rustc."""
    return _tools()[0]


def _tools() -> tuple[Path, Path]:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        found = shutil.which("zig"), shutil.which("cargo-zigbuild")
        if None in found:
            raise Failure("zig and cargo-zigbuild are fetched on Linux with x86-64 alone",
                          f"install zig {ZIG.version} and cargo-zigbuild {ZIGBUILD.version} on the PATH")
        return Path(found[0]), Path(found[1])
    zig = _unpack(ZIG) / "ziglang" / "zig"
    zigbuild = _unpack(ZIGBUILD) / f"cargo_zigbuild-{ZIGBUILD.version}.data" / "scripts" / "cargo-zigbuild"
    return zig, zigbuild


def _unpack(wheel: Wheel) -> Path:
    folder = cache() / f"{wheel.name}-{wheel.version}-{wheel.sha256[:8]}"
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.{os.getpid()}")
        with zipfile.ZipFile(wheel.fetch()) as packed:
            packed.extractall(partial)
            for entry in packed.infolist():
                if entry.external_attr >> 16 & 0o100:
                    (partial / entry.filename).chmod(0o755)
        try:
            partial.rename(folder)
        except OSError:  # somebody else was as fast
            shutil.rmtree(partial)
    return folder


def _personal(key: str) -> bool:
    return (key in {"RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTUP_TOOLCHAIN"}
            or key.startswith(("CARGO_BUILD_", "CARGO_PROFILE_DIST")))
