#!/usr/bin/env python3
"""Writes the first-party dependencies of each Cargo.toml into its BUILD.bazel. Run from anywhere, without arguments."""

import pathlib
import re
import tomllib

ATTRIBUTE = r'    {name} = \[[^\]]*\],\n'


def main() -> None:
    root = pathlib.Path(__file__).resolve().parents[3]
    members = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["members"]
    manifests = {folder: tomllib.loads((root / folder / "Cargo.toml").read_text()) for folder in members}
    folders = {manifest["package"]["name"]: folder for folder, manifest in manifests.items()}
    for folder, manifest in manifests.items():
        path = root / folder / "BUILD.bazel"
        text = path.read_text()
        head, crate, tail = re.split(r"(?s)(rust_crate\(\n.*?\n\)\n)", text, maxsplit=1)
        for name, table in (("deps", "dependencies"), ("test_deps", "dev-dependencies")):
            labels = sorted("//" + folders[entry] for entry in manifest.get(table, {}) if entry in folders)
            crate = re.sub(ATTRIBUTE.format(name=name), "", crate)
            if len(labels) == 1:
                crate = crate.removesuffix(")\n") + f'    {name} = ["{labels[0]}"],\n)\n'
            elif labels:
                listed = "".join(f'        "{label}",\n' for label in labels)
                crate = crate.removesuffix(")\n") + f"    {name} = [\n{listed}    ],\n)\n"
        path.write_text(head + crate + tail)


if __name__ == "__main__":
    main()
