#!/usr/bin/env python3
"""Tests of one image, read from its OCI layout.

contents LAYOUT BINARY PROGRAM   holds exactly the listed files, a non-root user and the labels, and is small
same LAYOUT LAYOUT               two independent packings have the same digest
push LAYOUT PUSHER               the pusher puts it into a registry, which returns the same digest
"""

import gzip
import hashlib
import io
import json
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import time
import urllib.request

# As in tools/gate/budgets.toml.
MEGABYTE = 1_000_000


class Image:
    """An image of an OCI layout; every blob is checked against its digest when read."""

    def __init__(self, layout: str):
        self.blobs = pathlib.Path(layout) / "blobs" / "sha256"
        index = json.loads((pathlib.Path(layout) / "index.json").read_text())
        (descriptor,) = index["manifests"]
        self.digest = descriptor["digest"]
        self.manifest = json.loads(self.blob(descriptor))
        self.config = json.loads(self.blob(self.manifest["config"]))

    def blob(self, descriptor: dict) -> bytes:
        digest = descriptor["digest"].removeprefix("sha256:")
        content = (self.blobs / digest).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest, f"blob {digest} is not what its name says"
        assert len(content) == descriptor["size"], f"blob {digest} has another size than its descriptor says"
        return content

    def layers(self):
        for descriptor in self.manifest["layers"]:
            content = self.blob(descriptor)
            yield gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def contents(layout: str, binary: str, program: str) -> None:
    image = Image(layout)
    entries, size = {}, 0
    for layer in image.layers():
        size += len(layer)
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            for member in tar:
                entries["/" + member.name.removeprefix("./").strip("/")] = member

    files = {name: entry for name, entry in entries.items() if not entry.isdir()}
    expected = {
        "/etc/group": 0o644,
        "/etc/passwd": 0o644,
        "/etc/ssl/certs/ca-certificates.crt": 0o644,
        f"/usr/local/bin/{program}": 0o755,
    }
    assert {name: entry.mode for name, entry in files.items()} == expected, f"files are {sorted(files)}"
    assert all(entry.isreg() and (entry.uid, entry.gid) == (0, 0) for entry in files.values()), "a file is odd"
    folders = {name for name, entry in entries.items() if entry.isdir()}
    parents = {str(parent) for name in [*expected, "/var/lib/omnirelay"] for parent in pathlib.PurePath(name).parents}
    assert folders - {"/"} <= parents | {"/var/lib/omnirelay"}, f"folders are {sorted(folders)}"
    for name in folders - {"/var/lib/omnirelay"}:
        entry = entries[name]
        assert (entry.uid, entry.gid, stat.S_IMODE(entry.mode)) == (0, 0, 0o755), f"the folder {name} is odd"
    state = entries["/var/lib/omnirelay"]
    assert (state.uid, state.gid, stat.S_IMODE(state.mode)) == (65532, 65532, 0o700), "the state folder is odd"

    config = image.config["config"]
    assert config["User"] == "65532:65532", config["User"]
    assert config["Entrypoint"] == [f"/usr/local/bin/{program}"], config["Entrypoint"]
    labels = config["Labels"]
    wanted = {"description", "licenses", "revision", "source", "title", "version"}
    assert set(labels) == {f"org.opencontainers.image.{name}" for name in wanted}, labels
    assert all(labels.values()) and labels["org.opencontainers.image.title"] == program, labels

    packed = sum(descriptor["size"] for descriptor in image.manifest["layers"])
    own = os.stat(binary).st_size
    print(f"binary {own}, layers {packed} packed and {size} unpacked")
    assert size <= own + MEGABYTE, "the unpacked layers exceed the binary by more than 1 MB"


def same(first: str, second: str) -> None:
    assert Image(first).digest == Image(second).digest, "two packings of the same inputs differ"


def push(layout: str, pusher: str) -> None:
    registry = shutil.which("docker-registry") or shutil.which("registry")
    assert registry, "docker-registry is missing: run tools/dev/setup.sh"
    scratch = pathlib.Path(os.environ["TEST_TMPDIR"])
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = scratch / "registry.yml"
    settings.write_text(
        "version: 0.1\n"
        "log: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {scratch}/registry}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}}}\n"
    )
    server = subprocess.Popen([registry, "serve", str(settings)])
    try:
        wait_for(f"http://127.0.0.1:{port}/v2/", server)
        pushed = subprocess.run(
            [pusher, "--repository", f"127.0.0.1:{port}/omnirelay/test", "--tag", "one", "--tag", "two"],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HOME": str(scratch)},
        ).stdout
        digest = Image(layout).digest
        assert digest in pushed, f"the pusher printed {pushed!r}, not {digest}"
        for tag in ("one", "two"):
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/v2/omnirelay/test/manifests/{tag}",
                headers={"Accept": "application/vnd.oci.image.manifest.v1+json"},
            )
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.headers["Docker-Content-Digest"] == digest, "the registry has another digest"
                assert "sha256:" + hashlib.sha256(answer.read()).hexdigest() == digest, "the manifest was changed"
    finally:
        server.terminate()
        server.wait(10)


def wait_for(url: str, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).read()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"the registry does not answer on {url} (exit code {server.poll()})")


if __name__ == "__main__":
    {"contents": contents, "same": same, "push": push}[sys.argv[1]](*sys.argv[2:])
