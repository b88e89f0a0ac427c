"""The commands of docs/operations/install.md, in their order, against a release on this machine's web server."""

import re
import shutil
import subprocess
import unittest
from pathlib import Path

from .release import Release

RELEASES = "https://github.com/omnirelay/omnirelay/releases/latest/download"


def blocks(text):
    """The shell blocks of a document."""
    return re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


class Documented(Release):
    def test_every_command_does_what_the_page_says(self):
        self.offer("0.1.0")
        shutil.copy(self.folder / "cosign.pub", self.home)
        left = []
        for block in blocks(self.page().read_text(encoding="utf-8")):
            program = block.split()[0]
            if program in ("sudo", "cosign"):
                # Neither root nor, on most machines, cosign is there; test_sign and test_archives hold what these would do.
                left.append(" ".join(block.split()[:2]))
                continue
            if block == "sh install.sh --rollback\n":
                self.offer("0.1.1")
                self.run_it("sh install.sh\n")
            if "--version 0.1.0" in block:
                self.offer("0.1.0")
            if "sha256sum --check" in block:
                shutil.copy(self.web / self.archive.name, self.home)
            self.run_it(block)
        self.assertEqual(left, ["sudo dpkg", "cosign verify-blob"])
        self.assertEqual(self.run_it(".local/bin/omnirelay --version"), "omnirelay 0.1.0\n")

    def page(self):
        """Beside the sources, and where Bazel lays it."""
        return Path(__file__).parents[3] / "docs" / "operations" / "install.md"

    def run_it(self, block):
        block = block.replace(RELEASES, self.url).replace("sh install.sh", f"sh install.sh --base-url {self.url}")
        block = block.replace(f"--base-url {self.url} --rollback", "--rollback")
        done = subprocess.run(["sh", "-eu", "-c", block], cwd=self.home, env=self.environment(), capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, f"{block}\n{done.stdout}\n{done.stderr}")
        return done.stdout
