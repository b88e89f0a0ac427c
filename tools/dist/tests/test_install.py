"""install.sh against a release on this machine's web server: install, upgrade, roll back, and everything that must be refused."""

import functools
import http.server
import os
import platform
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from omnidist import fetch, package
from omnidist.archive import Entry
from omnidist.package import Release
from omnidist.platforms import PLATFORMS
from omnidist.sign import Key

SCRIPT = Path(__file__).resolve().parents[1] / "install.sh"
SYSTEM = {"Linux": "linux", "Darwin": "macos"}[platform.system()]
HERE = next(one for one in PLATFORMS
            if (one.system, one.machine) == (SYSTEM, {"arm64": "aarch64"}.get(platform.machine(), platform.machine())))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Install(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.web = self.folder / "web"
        self.web.mkdir()
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
        archive = self.web / f"{name}.tar.gz"
        archive.write_bytes(package.pack(files, HERE, Release(version, "abc", 0), name))
        (self.web / "SHA256SUMS").write_text(f"{fetch.sha256(archive)}  {archive.name}\n", encoding="ascii")
        self.key.sign_file(self.web / "SHA256SUMS")
        return archive

    def install(self, *words, fails=False):
        done = subprocess.run(["sh", SCRIPT, "--prefix", self.folder / "here", *words], capture_output=True, text=True, check=False,
                              env={"PATH": os.environ["PATH"], "HOME": str(self.folder)})
        self.assertEqual(done.returncode != 0, fails, done.stderr)
        return done.stderr

    def current(self):
        return subprocess.run([self.folder / "here/bin/omnirelay"], capture_output=True, text=True, check=True).stdout.strip()

    def test_install_upgrade_and_roll_back(self):
        self.offer("1.0.0")
        said = self.install("--base-url", self.url, "--key", self.folder / "cosign.pub")
        self.assertIn("the signature of the sums holds", said)
        self.assertEqual(self.current(), "omnirelay 1.0.0")
        self.assertTrue((self.folder / "here/share/man/man1/omnirelay.1").exists())
        self.assertTrue((self.folder / "here/share/bash-completion/completions/omnirelay").exists())
        self.offer("1.1.0")
        self.install("--base-url", self.url)
        self.assertEqual(self.current(), "omnirelay 1.1.0")
        self.assertIn("omnirelay 1.0.0 is current again", self.install("--rollback"))
        self.assertEqual(self.current(), "omnirelay 1.0.0")
        self.install("--rollback")
        self.assertEqual(self.current(), "omnirelay 1.1.0")

    def test_the_same_version_twice_keeps_the_one_before(self):
        for version in ("1.0.0", "1.1.0", "1.1.0"):
            self.offer(version)
            self.install("--base-url", self.url)
        self.install("--rollback")
        self.assertEqual(self.current(), "omnirelay 1.0.0")

    def test_a_changed_archive_is_refused_and_nothing_changes(self):
        self.offer("1.0.0")
        self.install("--base-url", self.url)
        with self.offer("1.1.0").open("ab") as archive:
            archive.write(b"more")
        self.assertIn("is not what the release says", self.install("--base-url", self.url, fails=True))
        self.assertEqual(self.current(), "omnirelay 1.0.0")

    def test_sums_that_somebody_else_signed_are_refused(self):
        self.offer("1.0.0")
        with (self.web / "SHA256SUMS").open("a", encoding="ascii") as sums:
            sums.write("\n")
        said = self.install("--base-url", self.url, "--key", self.folder / "cosign.pub", fails=True)
        self.assertIn("does not hold", said)
        self.assertFalse((self.folder / "here").exists())

    def test_a_program_that_does_not_run_here_is_not_installed(self):
        self.offer("1.0.0")
        self.install("--base-url", self.url)
        self.offer("1.1.0", says="exit 126")
        self.assertIn("nothing was changed", self.install("--base-url", self.url, fails=True))
        self.assertEqual(self.current(), "omnirelay 1.0.0")

    def test_what_is_not_there_is_said(self):
        self.assertIn("no version before", self.install("--rollback", fails=True))
        self.assertIn("SHA256SUMS cannot be fetched", self.install("--base-url", self.url, fails=True))
        (self.web / "SHA256SUMS").write_text("", encoding="ascii")
        self.assertIn(f"has nothing for {HERE.name}", self.install("--base-url", self.url, fails=True))
        self.assertIn("unknown option --wrong", self.install("--wrong", fails=True))
        self.assertIn("--key needs a value", self.install("--key", fails=True))
        self.offer("1.0.0")
        self.assertIn("has version 1.0.0, not 2.0.0", self.install("--base-url", self.url, "--version", "2.0.0", fails=True))
