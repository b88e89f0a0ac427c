"""The command line: `all` makes what is released; the other commands are its steps."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from . import build, package, smoke, toolchain
from .platforms import PLATFORMS, PROGRAMS, chosen
from .say import Failure, say


def main(argv: list[str]) -> int:
    """0: it worked; 1: something failed and is named; 2: called wrongly."""
    options = _parser().parse_args(argv)
    try:
        options.platforms = chosen(PLATFORMS, options.platform or [], "platform")
        options.programs = chosen(PROGRAMS, options.program or [], "program")
        return options.run(options) or 0
    except Failure as failure:
        print(f"dist: error: {failure}" + (f"\n  hint: {failure.hint}" if failure.hint else ""), file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 tools/dist", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, does, run in (
        ("toolchain", "set up what builds for every platform", _toolchain),
        ("check", "compile for every platform without making programs", _check),
        ("build", "build the programs", _build),
        ("package", "package what was built: archives, Debian packages, sums, bills of materials, provenance, signatures", _package),
        ("smoke", "try what was packaged, on every platform that this machine can run", _smoke),
        ("all", "build, package and try", _all),
    ):
        command = commands.add_parser(name, help=does, description=does)
        command.add_argument("--platform", action="append", metavar="NAME",
                             help=f"one of {', '.join(one.name for one in PLATFORMS)}; may be repeated (default: all)")
        command.add_argument("--program", action="append", metavar="NAME",
                             help=f"one of {', '.join(one.name for one in PROGRAMS)}; may be repeated (default: all)")
        command.add_argument("--out", type=Path, default=build.WORKSPACE / "dist", metavar="DIR",
                             help="where everything goes (default: dist)")
        if name in ("package", "all"):
            command.add_argument("--key", type=Path, metavar="FILE",
                                 help="sign with this private key: PEM, ECDSA on P-256 (default: nothing is signed)")
        command.set_defaults(run=run)
    return parser


def _toolchain(options: argparse.Namespace) -> None:
    tools = toolchain.ensure(options.platforms)
    say(f"{tools.version()} in {tools.rust}; zig in {tools.zig}")


def _check(options: argparse.Namespace) -> None:
    build.check(toolchain.ensure(options.platforms), options.platforms, options.programs, options.out.absolute())


def _build(options: argparse.Namespace) -> None:
    for one in build.binaries(toolchain.ensure(options.platforms), options.platforms, options.programs, options.out.absolute()):
        print(f"{one.platform.name}\t{one.program.name}\t{one.bytes}\t{one.sha256}\t{one.path}")


def _package(options: argparse.Namespace) -> None:
    made = package.everything(toolchain.ensure(options.platforms), options.platforms, options.programs, options.out.absolute(),
                              options.key)
    for path in made:
        print(f"{path.stat().st_size}\t{path}")


def _smoke(options: argparse.Namespace) -> int:
    results = smoke.everything(options.platforms, options.out.absolute() / "packages")
    report = options.out.absolute() / "smoke.json"
    report.write_text(json.dumps({"results": [one.row() for one in results]}, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(smoke.table(results))
    say(f"the report is {report}")
    return 1 if any(one.status == smoke.FAILED for one in results) else 0


def _all(options: argparse.Namespace) -> int:
    _build(options)
    _package(options)
    return _smoke(options)
