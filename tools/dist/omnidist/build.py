"""Builds programs for platforms with cargo-zigbuild, and says what came of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .bake import cargo_home
from .fetch import sha256
from .platforms import Platform, Program
from .say import Failure, run, say
from .toolchain import Toolchain

WORKSPACE = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Built:
    """One program for one platform; `seconds` is 0 where nothing was to do."""

    platform: Platform
    program: Program
    path: Path
    bytes: int
    sha256: str
    seconds: float


def binaries(tools: Toolchain, platforms: tuple[Platform, ...], programs: tuple[Program, ...], out: Path) -> list[Built]:
    """Builds every program for every platform into `out/bin/PLATFORM`. One that fails does not keep the others from being
    built; the failure then names all that did."""
    built, failed = [], []
    for platform in platforms:
        for program in programs:
            try:
                built.append(_one(tools, platform, program, out))
            except Failure as failure:
                say(f"{program.name} for {platform.name}: {failure} ({failure.hint})")
                failed.append(f"{program.name} for {platform.name}")
    if failed:
        raise Failure(f"not built: {', '.join(failed)}", f"each has its log in {out / 'logs'}")
    return built


def _one(tools: Toolchain, platform: Platform, program: Program, out: Path) -> Built:
    what = f"{program.name} for {platform.name}"
    say(f"building {what} ...")
    began = time.monotonic()
    run(command(tools, "rustc", platform, program), f"building {what}",
        log=out / "logs" / f"{platform.name}-{program.name}.log", cwd=WORKSPACE, env=environment(tools, program))
    seconds = time.monotonic() - began
    made = target_folder() / platform.triple / program.profile / f"{program.name}{platform.suffix}"
    path = out / "bin" / platform.name / made.name
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, path)
    path.chmod(0o755)
    result = Built(platform, program, path, path.stat().st_size, sha256(path), seconds)
    say(f"building {what}: {result.bytes:,} bytes in {seconds:.0f} s")
    return result


def check(tools: Toolchain, platforms: tuple[Platform, ...], programs: tuple[Program, ...], out: Path) -> None:
    """Whether the sources hold for every platform, without making programs: a tenth of the time."""
    failed = []
    for platform in platforms:
        for program in programs:
            what = f"checking {program.name} for {platform.name}"
            say(f"{what} ...")
            try:
                run(command(tools, "check", platform, program), what,
                    log=out / "logs" / f"check-{platform.name}-{program.name}.log", cwd=WORKSPACE,
                    env=environment(tools, program))
            except Failure as failure:
                say(f"{failure} ({failure.hint})")
                failed.append(f"{program.name} for {platform.name}")
    if failed:
        raise Failure(f"does not hold: {', '.join(failed)}", f"each has its log in {out / 'logs'}")


def command(tools: Toolchain, verb: str, platform: Platform, program: Program) -> list[str | Path]:
    """What builds one program for one platform. Checks share the profile for development."""
    words = [tools.zigbuild, verb, "--locked", "--package", program.crate, "--bin", program.name, "--target", platform.triple,
             "--profile", "dev" if verb == "check" else program.profile, "--target-dir", target_folder()]
    # Only the program itself is linked: flags for that need not make every crate anew.
    return [*words, "--", *platform.link] if verb == "rustc" and platform.link else words


def environment(tools: Toolchain, program: Program) -> dict[str, str]:
    """Nothing of this machine ends up in a program: neither its paths nor the time."""
    flags = [*program.rustflags, f"--remap-path-prefix={WORKSPACE}=.", f"--remap-path-prefix={cargo_home()}=/cargo",
             f"--remap-path-prefix={tools.rust}/lib/rustlib/src/rust=/rust"]
    return tools.environment() | {"CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags), "SOURCE_DATE_EPOCH": str(commit_time())}


def target_folder() -> Path:
    """Where cargo keeps what it compiled."""
    named = os.environ.get("CARGO_TARGET_DIR")
    return Path(named).absolute() if named else WORKSPACE / "target"


def commit_time() -> int:
    """When the commit was made, in seconds since 1970: the time that every artifact bears."""
    return int(_git("log", "-1", "--format=%ct") or 0)


def revision() -> str:
    """The commit that is built, with `-dirty` behind it where the working tree differs."""
    found = _git("rev-parse", "HEAD")
    return found + ("-dirty" if found and _git("status", "--porcelain") else "")


def version() -> str:
    """The version that the workspace's manifest says."""
    for line in (WORKSPACE / "Cargo.toml").read_text(encoding="utf-8").splitlines():
        if line.startswith("version = "):
            return line.split('"')[1]
    raise Failure("Cargo.toml says no version", "[workspace.package] holds it")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=WORKSPACE, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
