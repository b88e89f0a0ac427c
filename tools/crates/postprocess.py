#!/usr/bin/env python3
"""Rewrites what cargo-bazel rendered so that it says nothing of the machine it ran on.

Every download address becomes crate_url(name, version), whose base stands in one place; a crate that no
longer is in Cargo.lock loses its BUILD file.
"""

import pathlib
import re
import sys

ADDRESS = re.compile(r'"https?://[^"]*/([^/"]+)/([^/"]+)/download"')


def main(folder: pathlib.Path) -> None:
    defs = folder / "defs.bzl"
    text = ADDRESS.sub(r'crate_url("\1", "\2")', defs.read_text())
    text = "".join(line for line in text.splitlines(True) if "local_crate_mirror" not in line)
    load = 'load("@omnirelay//third_party:crate_url.bzl", "crate_url")\n'
    if load not in text:
        head, mark, tail = text.partition("\nload(")
        text = head + "\n" + load.rstrip("\n") + mark + tail if mark else load + text
    defs.write_text(text)

    used = set(re.findall(r"BUILD\.[^\"]+\.bazel", text))
    for file in folder.glob("BUILD.*-*.bazel"):
        if file.name not in used:
            file.unlink()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
