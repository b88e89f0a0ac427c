"""`python3 tools/tidy`: the repository's own rules, checked on the real working tree.

Why the real tree, also under Bazel: a list of files in BUILD would itself forget files,
and a forgotten file would be exempt from every rule. So the test follows its own source's
link back to the workspace, and is tagged so that Bazel never caches its result.
"""

import argparse
import sys
from pathlib import Path

from rules import commands, layers, manifests, sources
from rules.workspace import Workspace


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python3 tools/tidy")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2], help="the workspace")
    parser.add_argument("--omnirelay", type=Path, help="the CLI, to check the commands that the docs quote")
    options = parser.parse_args(argv)
    if not (options.root / "Cargo.toml").exists():
        print(f"tidy: {options.root} is not the workspace: the test must run where its sources are links to it",
              file=sys.stderr)
        return 2
    workspace = Workspace(options.root)
    checks = {
        "sources": lambda: sources.check(workspace),
        "manifests": lambda: manifests.check(workspace),
        "layers": lambda: layers.check(workspace),
        "commands": lambda: commands.check(workspace, options.omnirelay),
    }
    count = 0
    for name, run in checks.items():
        problems = run()
        count += len(problems)
        print(f"{name}: {len(problems) or 'no'} problem{'' if len(problems) == 1 else 's'}")
        for problem in problems:
            print(f"error: {problem}")
    if options.omnirelay is None:
        print("not checked: the CLI commands that the docs quote (give --omnirelay)")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
