#!/usr/bin/env python3
"""The rendered crates are those of Cargo.lock: the same names, versions and checksums, and each member's own dependencies."""

import json
import pathlib
import re
import sys
import tomllib

RENDERED = re.compile(r'name = "crates__(?P<id>[^"]+)",\s+sha256 = "(?P<sha256>[0-9a-f]+)"')


def main() -> None:
    lock = tomllib.loads(pathlib.Path("Cargo.lock").read_text())["package"]
    locked = {f"{package['name']}-{package['version'].replace('+', '-')}": package["checksum"] for package in lock if "checksum" in package}
    text = pathlib.Path("third_party/crates/defs.bzl").read_text()
    rendered = {match["id"]: match["sha256"] for match in RENDERED.finditer(text)}

    problems = []
    for crate, checksum in rendered.items():
        if crate not in locked:
            problems.append(f"{crate} is rendered and not in Cargo.lock")
        elif locked[crate] != checksum:
            problems.append(f"{crate} is rendered with another checksum than Cargo.lock has")

    # What a member names must be rendered for it; crates of platforms which are not built for are rendered for none.
    workspace = tomllib.loads(pathlib.Path("Cargo.toml").read_text())["workspace"]
    versions = {}
    for package in lock:
        versions.setdefault(package["name"], set()).add(package["version"].replace("+", "-"))
    for folder in workspace["members"]:
        manifest = tomllib.loads(pathlib.Path(folder, "Cargo.toml").read_text())
        names = {**manifest.get("dependencies", {}), **manifest.get("dev-dependencies", {})}
        section = "".join(part.partition("\n    },")[0] for part in text.split(f'    "{folder}": {{\n')[1:])
        for name in names:
            if "path" in workspace["dependencies"].get(name, {}):
                continue
            if f'"{name}": Label(' not in section:
                problems.append(f"{name} of {folder}/Cargo.toml is not rendered for it")
            if not any(f"{name}-{version}" in rendered for version in versions.get(name, ())):
                problems.append(f"{name} of {folder}/Cargo.toml is not rendered")

    # The build of C code listens to one setting, which Cargo and Bazel read at different places.
    environment = tomllib.loads(pathlib.Path(".cargo/config.toml").read_text())["env"]
    annotations = json.loads(pathlib.Path("tools/crates/config.json").read_text())["annotations"]
    for name, value in environment.items():
        scripts = [annotation.get("build_script_env", {}).get("common", {}) for annotation in annotations.values()]
        if value not in [script.get(name) for script in scripts]:
            problems.append(f"{name} of .cargo/config.toml is not what tools/crates/config.json says")

    if problems:
        print("\n".join(problems), "\nrun tools/crates/update.sh and commit third_party/crates")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
