"""Standard libraries for platforms that the machine's rustc does not bring, made of the standard library's source.

Cargo builds the standard library as a dependency of an empty crate (`-Zbuild-std`), in a copy of the toolchain that
shares its files by hard links; what it built is laid where rustc looks for it. Source and compiler must be of one version.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import re
import shutil
import tarfile
from pathlib import Path

from .ar import members
from .fetch import File, cache
from .platforms import Platform
from .say import Failure, run, step

VERSION = "1.95.0"
SOURCE = File(
    "http://deb.debian.org/debian/pool/main/r/rustc/rust-src_1.95.0+dfsg1-2~bpo13+1_all.deb",
    "7b76db5b880a77f9e52975d2baa6209d2f76d2c9c2789515c3088cb960e2c83b",
    "where rustup can download, `rustup target add TRIPLE` for each platform makes this source unnecessary",
)
_CRATES = "std,panic_unwind,panic_abort,proc_macro"


def has_std(sysroot: Path, platform: Platform) -> bool:
    """Whether rustc has the platform's standard library."""
    return any((sysroot / "lib" / "rustlib" / platform.triple / "lib").glob("libstd-*.rlib"))


def ensure(own: Path, missing: list[Platform]) -> Path:
    """A toolchain with the standard libraries that `own` lacks."""
    said = run([own / "bin" / "rustc", "-vV"], "asking rustc its version")
    found = re.search(r"^release: (\S+)$", said, re.MULTILINE)
    if not found or found.group(1) != VERSION:
        raise Failure(f"rustc is {found.group(1) if found else 'of no known version'}, and lacks the standard library of "
                      + ", ".join(one.triple for one in missing),
                      f"run `rustup target add` for these, or use rustc {VERSION}, whose library can be made here")
    # What defines the toolchain's content names it.
    defines = [said, str(own), SOURCE.sha256, _CRATES, *_flags(Path())]
    key = hashlib.sha256("\n".join(defines).encode()).hexdigest()[:12]
    root = cache() / f"rust-{VERSION}-{key}"
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{root.name}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            _copy(own, root)
        for platform in missing:
            if not has_std(root, platform):
                _bake(root, platform)
    return root


def _copy(own: Path, root: Path) -> None:
    partial = root.with_name(f"{root.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with step(f"copying the toolchain {own}, with the standard library's source"):
        shutil.copytree(own, partial, symlinks=True, copy_function=_link, ignore=_unneeded)
        # rust-objcopy, which strips for macOS, looks for LLVM beside itself.
        llvm = next((partial / "lib").glob("libLLVM*.so*"), None)
        for tools in (partial / "lib" / "rustlib").glob("*/bin"):
            if llvm is not None and not (tools.parent / "lib" / llvm.name).exists():
                (tools.parent / "lib" / llvm.name).symlink_to(os.path.relpath(llvm, tools.parent / "lib"))
        source = partial / "lib" / "rustlib" / "src"
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir(parents=True)
        _unpack(SOURCE.fetch(), source / "rust")
    partial.rename(root)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _unneeded(folder: str, names: list[str]) -> set[str]:
    return {"doc"} & set(names) if folder.endswith("/share") else set()


def _unpack(package: Path, target: Path) -> None:
    """The source's own folders, without what only its packaging needs."""
    data = next((content for name, content in members(package.read_bytes()) if name.startswith("data.tar")), None)
    if data is None:
        raise Failure(f"{package} is no Debian package", "remove it, so that it is fetched anew")
    prefix = f"./usr/src/rustc-{VERSION}/"
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as packed:
        wanted = []
        for entry in packed:
            if entry.name.startswith((prefix + "library/", prefix + "src/llvm-project/libunwind/")):
                entry.name = entry.name.removeprefix(prefix)
                wanted.append(entry)
        packed.extractall(target, members=wanted, filter="tar")


def _bake(root: Path, platform: Platform) -> None:
    work = root / "bake" / platform.triple
    shutil.rmtree(work, ignore_errors=True)
    (work / "src").mkdir(parents=True)
    (work / "src" / "lib.rs").write_text("", encoding="utf-8")
    (work / "Cargo.toml").write_text(
        '[package]\nname = "empty"\nedition = "2024"\n\n[workspace]\n\n[profile.release]\nlto = false\n', encoding="utf-8")
    source = root / "lib" / "rustlib" / "src" / "rust"
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith(("CARGO_", "RUST")) or key in ("CARGO_HOME", "CARGO_HTTP_CAINFO")}
    environment |= {
        "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
        "RUSTC": str(root / "bin" / "rustc"),
        "RUSTC_BOOTSTRAP": "1",
        "RUSTC_WRAPPER": str(_wrapper(root)),
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(_flags(source)),
    }
    with step(f"making the standard library of {platform.triple}"):
        run([root / "bin" / "cargo", "build", "--release", f"-Zbuild-std={_CRATES}", "--target", platform.triple,
             "--target-dir", work / "target"],
            f"making the standard library of {platform.triple}", log=root / "bake" / f"{platform.triple}.log",
            cwd=work, env=environment)
        place = root / "lib" / "rustlib" / platform.triple / "lib"
        partial = place.with_name("lib.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for built in sorted((work / "target" / platform.triple / "release" / "deps").glob("lib*.rlib")):
            if not built.name.startswith("libempty-"):
                shutil.copy2(built, partial / built.name)
        partial.rename(place)
    shutil.rmtree(work)


def _wrapper(root: Path) -> Path:
    """Programs that abort on a panic link `panic_abort`, which must itself be compiled to abort: cargo cannot say so for one
    crate, Rust's own build does it by a wrapper too."""
    path = root / "bake" / "rustc-wrapper"
    path.write_text('#!/bin/sh\ncase " $* " in\n*" --crate-name panic_abort "*) exec "$@" -Cpanic=abort ;;\nesac\nexec "$@"\n',
                    encoding="utf-8")
    path.chmod(0o755)
    return path


def _flags(source: Path) -> list[str]:
    """Bitcode, so that link-time optimisation takes the standard library in; no path of this machine in messages."""
    return ["-Cembed-bitcode=yes", f"--remap-path-prefix={source}=/rust", f"--remap-path-prefix={cargo_home()}=/cargo"]


def cargo_home() -> Path:
    """Where cargo keeps the sources of crates."""
    return Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
