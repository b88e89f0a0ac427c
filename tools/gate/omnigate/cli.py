"""The command line: `report` after a build, `measure` to look at one artifact alone."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from . import badges, bep, budgets, history, junit, measure, mesh, metrics, page, profile, report
from . import secrets, stages, terminal
from .model import Invocation
from .places import Places

WORKSPACE = Path(__file__).resolve().parents[3]
BUDGETS = Path(__file__).resolve().parents[1] / "budgets.toml"


def main(argv: list[str]) -> int:
    """0: the gate passed; 1: something failed; 2: called wrongly."""
    options = _parser().parse_args(argv)
    try:
        places = Places(options.workspace.resolve(), options.path_map)
        return options.run(options, places)
    except (budgets.BadBudgets, ValueError) as error:
        print(f"gate: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 tools/gate", description=__doc__)
    parser.add_argument("--workspace", type=Path, default=WORKSPACE, help="the repository (default: this one)")
    parser.add_argument("--budgets", type=Path, default=BUDGETS, help="the budgets file")
    parser.add_argument("--path-map", action="append", metavar="FROM=TO",
                        help="where a folder named by Bazel's events is found on this machine")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    full = commands.add_parser("report", help="read Bazel's events, measure, judge, write the report")
    full.add_argument("--bep", type=Path, required=True, help="Bazel's --build_event_json_file")
    full.add_argument("--profile", type=Path, help="Bazel's --profile, for the build targets' times and caches")
    full.add_argument("--stages", type=Path, help="the stages that .ci/run kept")
    full.add_argument("--out", type=Path, default=Path("gate"), help="where the report goes (default: gate)")
    full.add_argument("--history", type=Path, help="folder of earlier runs; this run is added to it")
    full.add_argument("--revision", default="", help="the commit the run is about")
    full.add_argument("--branch", default="", help="the branch the run is about")
    full.add_argument("--no-measure", action="store_true", help="skip sizes and start-up times")
    full.set_defaults(run=_report)
    one = commands.add_parser("measure", help="measure artifacts under bazel-bin against their budgets")
    one.add_argument("name", nargs="?", default="", help="one artifact of the budgets file (default: all)")
    one.set_defaults(run=_measure)
    return parser


def _report(options: argparse.Namespace, places: Places) -> int:
    run, fatal = None, ""
    try:
        run = bep.load(options.bep)
    except bep.UnreadableEvents as error:
        fatal = str(error)
    stage_rows, checks, bazel_exit = stages.load(options.stages) if options.stages else ([], [], None)
    rows = [] if options.no_measure or run is None else _measured(options, places, run)
    earlier = history.load(options.history) if options.history else []
    work = profile.load(options.profile) if options.profile else None
    result = report.build(run, places, rows, checks, stages=stage_rows, work=work, revision=options.revision,
                          branch=options.branch, bazel_exit=bazel_exit, fatal=fatal, history=earlier)
    result = secrets.hide(result, os.environ)
    write(options.out, result)
    if options.history:
        history.save(options.history, result)
    sys.stdout.write(terminal.render(result, _colour(), str(options.out / "index.html")))
    return 0 if result["status"] == "passed" else 1


def write(out: Path, result: dict) -> None:
    """All forms of the report, into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for stale in out.glob("*.svg"):
        stale.unlink()  # of an artifact that no longer exists
    files = {
        "gate.json": json.dumps(result, indent=1) + "\n",
        "index.html": page.render(result),
        "metrics.prom": metrics.render(result),
        "junit.xml": junit.render(result),
        "summary.txt": terminal.render(result),
        **badges.render(result),
    }
    for name, text in files.items():
        # Compiler output may hold lone surrogates; a report must be written regardless.
        (out / name).write_text(text, encoding="utf-8", errors="replace")


def _measured(options: argparse.Namespace, places: Places, run: Invocation | None, only: str = "") -> list[dict]:
    limits = budgets.load(options.budgets)
    if only and only not in [a.name for a in limits.artifacts]:
        raise ValueError(f"no artifact is called {only!r}; {options.budgets.name} has "
                         + ", ".join(a.name for a in limits.artifacts))

    def find(artifact: budgets.Artifact) -> Path | None:
        if run is not None:
            target = run.targets.get(artifact.target)
            if target is not None and not target.built:
                return None  # what lies under bazel-bin is from an earlier build
            for file in run.outputs(artifact.target):
                local = places.resolve(file.get("uri", ""))
                if local is not None and file.get("name", "").endswith(artifact.path):
                    return local
        return places.bin_file(run.bin_dirs if run else [], artifact.path)

    rows = measure.artifacts(limits, find, only)
    if not only or any(r["kind"] == "daemon" for r in rows):
        cli = next((find(a) for a in limits.artifacts if a.kind == "cli"), None)
        mesh.daemons(limits, rows, cli)
    return rows


def _measure(options: argparse.Namespace, places: Places) -> int:
    rows = _measured(options, places, None, options.name)
    sys.stdout.write(terminal.measures(rows, _colour()))
    return 1 if any(r["problems"] or not all(m["ok"] for m in r["measures"]) for r in rows) else 0


def _colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
