"""A signed release on this machine's web server, for tests of what people do with one."""

import functools
import http.server
import os
import platform
import shutil
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from omnidist import fetch, package
from omnidist.archive import Entry
from omnidist.platforms import PLATFORMS
from omnidist.sign import Key

SCRIPT = Path(__file__).resolve().parents[1] / "install.sh"
SYSTEM = {"Linux": "linux", "Darwin": "macos"}[platform.system()]
HERE = next(one for one in PLATFORMS
            if (one.system, one.machine) == (SYSTEM, {"arm64": "aarch64"}.get(platform.machine(), platform.machine())))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Release(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.web, self.home = self.folder / "web", self.folder / "home"
        self.web.mkdir()
        self.home.mkdir()
        shutil.copy(SCRIPT, self.web)
        pem = self.folder / "key.pem"
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", pem], check=True, capture_output=True)
        self.key = Key(pem)
        (self.folder / "cosign.pub").write_text(self.key.public(), encoding="ascii")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=self.web))
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}"

    def offer(self, version, says=None):
        """A release of this version on the web server."""
        script = f"#!/bin/sh\n{says or f'echo omnirelay {version}'}\n".encode()
        files = {"omnirelay": Entry(script, executable=True), "man/omnirelay.1": Entry(b".TH\n"),
                 "completions/omnirelay.bash": Entry(b"\n")}
        name = f"omnirelay-{version}-{HERE.name}"
        self.archive = self.web / f"{name}.tar.gz"
        self.archive.write_bytes(package.pack(files, HERE, package.Release(version, "abc", 0), name))
        (self.web / "SHA256SUMS").write_text(f"{fetch.sha256(self.archive)}  {self.archive.name}\n", encoding="ascii")
        self.key.sign_file(self.web / "SHA256SUMS")
        return self.archive

    def environment(self):
        """A user's, who has a home and little else."""
        return {"PATH": os.environ["PATH"], "HOME": str(self.home)}
