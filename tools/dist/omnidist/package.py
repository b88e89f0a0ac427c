"""What people download: archives, Debian packages, bills of materials, sums, provenance, signatures."""

from __future__ import annotations

import json
import platform as machine
from dataclasses import dataclass
from pathlib import Path

from . import archive, build, crates, deb, fetch, licences, manual, provenance, sbom, toolchain
from .archive import Entry
from .platforms import Platform, Program
from .say import Failure, say
from .sign import Key

BUILDER = "https://github.com/omnirelay/omnirelay/tree/main/tools/dist#local"


@dataclass(frozen=True)
class Release:
    """What every artifact of one release bears."""

    version: str
    revision: str
    mtime: int


def everything(tools: toolchain.Toolchain, platforms: tuple[Platform, ...], programs: tuple[Program, ...], out: Path,
               key: Path | None) -> list[Path]:
    """Packages what `build` made in `out/bin` into `out/packages`, anew."""
    signer = Key(key) if key else None
    release = Release(build.version(), build.revision(), build.commit_time())
    papers = documents(programs, out, release)
    folder = out / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    made: list[Path] = []
    index = []
    for platform in platforms:
        say(f"packaging {platform.name}")
        linked = crates.linked(platform, programs)
        files = {program.name + platform.suffix: Entry(_program(out, platform, program), executable=True) for program in programs}
        legal = {"LICENSE": Entry((build.WORKSPACE / "LICENSE").read_bytes()),
                 "THIRD-PARTY-LICENSES.txt": Entry(licences.text(linked, platform, tools.zig).encode())}
        name = f"omnirelay-{release.version}-{platform.name}"
        packed = _write(folder / (name + platform.archive), pack(files | legal | papers, platform, release, name))
        bill = _write(folder / f"{name}.cdx.json",
                      sbom.document(linked, platform, release.version, release.mtime, [p.crate for p in programs]).encode())
        made += [packed, bill]
        if platform.debian:
            package = deb.package(installed(files, legal, papers), release.version, platform.debian, release.mtime)
            made.append(_write(folder / f"omnirelay_{deb.debian_version(release.version)}_{platform.debian}.deb", package))
        index.append({"platform": platform.name, "target": platform.triple, "archive": packed.name, "sha256": fetch.sha256(packed),
                      "bytes": packed.stat().st_size, "programs": sorted(files)})
    made.append(_write(folder / "install.sh", (build.WORKSPACE / "tools" / "dist" / "install.sh").read_bytes()))
    about = {"version": release.version, "revision": release.revision, "platforms": index}
    made.append(_write(folder / "dist.json", (json.dumps(about, indent=1) + "\n").encode()))
    return made + _vouch(folder, made, release, tools, signer)


def documents(programs: tuple[Program, ...], out: Path, release: Release) -> dict[str, Entry]:
    """Completions and man pages; they are asked of the programs that this machine can run."""
    own = out / "bin" / f"linux-{ {'x86_64': 'x64', 'aarch64': 'arm64'}.get(machine.machine(), '?') }"
    if machine.system() == "Darwin":
        own = out / "bin" / f"macos-{ {'x86_64': 'x64', 'arm64': 'arm64'}.get(machine.machine(), '?') }"
    runs = {program.name: own / program.name for program in programs}
    missing = [path for path in runs.values() if not path.exists()]
    if missing:
        raise Failure(f"{', '.join(path.name for path in missing)} for this machine is not built: man pages are asked of it",
                      f"python3 tools/dist build --platform {own.name}")
    found = {f"man/{name}": Entry(text) for name, text in manual.pages(runs, release.version, release.mtime).items()}
    if "omnirelay" in runs:
        found |= {f"completions/{name}": Entry(text) for name, text in manual.completions(runs["omnirelay"]).items()}
    return found


def pack(files: dict[str, Entry], platform: Platform, release: Release, name: str) -> bytes:
    """The archive: everything in one folder that is called as the archive is."""
    inside = {f"{name}/{path}": entry for path, entry in files.items()}
    return archive.zipped(inside, release.mtime) if platform.archive == ".zip" else archive.tar_gz(inside, release.mtime)


def installed(files: dict[str, Entry], legal: dict[str, Entry], papers: dict[str, Entry]) -> dict[str, Entry]:
    """Where a Debian package lays each file."""
    places = {f"usr/bin/{name}": entry for name, entry in files.items()}
    places["usr/share/doc/omnirelay/copyright"] = Entry(
        legal["LICENSE"].content + b"\n" + legal["THIRD-PARTY-LICENSES.txt"].content)
    shells = {"omnirelay.bash": "usr/share/bash-completion/completions/omnirelay",
              "_omnirelay": "usr/share/zsh/vendor-completions/_omnirelay",
              "omnirelay.fish": "usr/share/fish/vendor_completions.d/omnirelay.fish"}
    for path, entry in papers.items():
        kind, name = path.split("/")
        if kind == "man":
            places[f"usr/share/man/man{name[-1]}/{name}"] = entry
        elif name in shells:
            places[shells[name]] = entry
    return places


def _vouch(folder: Path, made: list[Path], release: Release, tools: toolchain.Toolchain, signer: Key | None) -> list[Path]:
    materials = {"Cargo.lock": fetch.sha256(build.WORKSPACE / "Cargo.lock"),
                 tools.version(): fetch.sha256(tools.rust / "bin" / "rustc"),
                 f"{toolchain.ZIG.name} {toolchain.ZIG.version}": toolchain.ZIG.sha256,
                 f"{toolchain.ZIGBUILD.name} {toolchain.ZIGBUILD.version}": toolchain.ZIGBUILD.sha256}
    statement = provenance.statement(made, revision=release.revision, version=release.version, materials=materials, builder=BUILDER)
    found = [_write(folder / "provenance.json", statement.encode())]
    sums = "".join(f"{fetch.sha256(path)}  {path.name}\n" for path in sorted(made + found))
    found.append(_write(folder / "SHA256SUMS", sums.encode()))
    if signer is None:
        say("not signed: no key was given (--key FILE)")
        return found
    found.append(_write(folder / "provenance.intoto.jsonl", signer.envelope(statement).encode()))
    signatures = [signer.sign_file(path) for path in sorted(made + found)]
    return found + signatures + [_write(folder / "cosign.pub", signer.public().encode())]


def _program(out: Path, platform: Platform, program: Program) -> bytes:
    path = out / "bin" / platform.name / (program.name + platform.suffix)
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(f"{program.name} for {platform.name} is not built ({error})",
                      f"python3 tools/dist build --platform {platform.name}") from error


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
