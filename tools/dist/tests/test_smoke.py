"""The smoke report: a planted failure is named, and what was not run is not called passed."""

import hashlib
import json
import platform
import struct
import sys
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from omnidist import cli, macho, package, smoke
from omnidist.archive import Entry
from omnidist.package import Release
from omnidist.platforms import PLATFORMS
from omnidist.say import Failure

BY_NAME = {one.name: one for one in PLATFORMS}
HERE = {"x86_64": "linux-x64", "aarch64": "linux-arm64"}.get(platform.machine(), "")
# What stands in for the command line: it behaves, but for what is planted.
PROGRAM = """\
#!{python}
import json, sys
words = sys.argv[1:]
if words == ["--version"]: print({version!r})
elif words == ["--help"]: print("".join(f"  {{word}}  does\\n" for word in ("up", "request", "mesh", "introspect", "drain")))
elif words[0] == "completion": print("_omnirelay() {{ :; }}")
elif words[:2] == ["dev", "init"]: print(json.dumps({{"components": []}}))
elif "validate" in words: print("it is a valid relay configuration")
elif "peers" in words: sys.exit(print("error: nobody", file=sys.stderr) or 7)
else: sys.exit(print("error: what\\n  hint: that", file=sys.stderr) or 2)
"""


def mach_o(libraries=("/usr/lib/libSystem.B.dylib",), minimum=(11, 0), machine=0x0100000C, flags=0x2):
    """A program for macOS that says little and bears an ad-hoc signature."""
    commands = [struct.pack("<6I", 0x32, 24, 1, minimum[0] << 16 | minimum[1] << 8, 0, 0)]
    for name in libraries:
        text = name.encode() + b"\0" * (8 - len(name) % 8)
        commands.append(struct.pack("<6I", 0xC, 24 + len(text), 24, 0, 0, 0) + text)
    size = 32 + sum(map(len, commands)) + 16
    body = struct.pack("<8I", 0xFEEDFACF, machine, 0, 2, len(commands) + 1, size - 32, 0, 0) + b"".join(commands)
    code = 5000  # two pages
    body += struct.pack("<4I", 0x1D, 16, code, 300)
    body += b"\xcc" * (code - len(body))
    hashes = b"".join(hashlib.sha256(body[begin:min(begin + 4096, code)]).digest() for begin in (0, 4096))
    directory = struct.pack(">9I4BI", 0xFADE0C02, 44 + len(hashes), 0x20400, flags, 44, 40, 0, 2, code, 32, 2, 0, 12, 0) + hashes
    return body + struct.pack(">5I", 0xFADE0CC0, 20 + len(directory), 1, 0, 20) + directory


class Smoke(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = Path(folder.name)
        (self.out / "packages").mkdir()

    def offer(self, name, content):
        chosen = BY_NAME[name]
        files = {"omnirelay" + chosen.suffix: Entry(content, executable=True)}
        packed = package.pack(files, chosen, Release("1.0.0", "abc", 0), f"omnirelay-1.0.0-{name}")
        (self.out / "packages" / f"omnirelay-1.0.0-{name}{chosen.archive}").write_bytes(packed)

    def run_it(self, *names):
        words = [word for name in names for word in ("--platform", name)]
        with redirect_stdout(StringIO()) as said, redirect_stderr(StringIO()):
            code = cli.main(["smoke", *words, "--out", str(self.out)])
        rows = json.loads((self.out / "smoke.json").read_text(encoding="utf-8"))["results"]
        return code, said.getvalue(), {row["case"]: row for row in rows}

    @unittest.skipUnless(HERE, "a script stands in for a program of this machine")
    def test_a_planted_failure_is_named_and_the_rest_goes_on(self):
        self.offer(HERE, PROGRAM.format(python=sys.executable, version="omnirelay one").encode())
        code, said, rows = self.run_it(HERE)
        self.assertEqual(code, 1)
        failed = sorted(name for name, row in rows.items() if row["status"] != "passed")
        self.assertEqual(failed, ["omnirelay: structure", "omnirelay: version"])
        self.assertIn(f"{HERE}: omnirelay: version: `omnirelay --version` said 'omnirelay one'", said)
        self.assertIn("this is no 64-bit ELF program", rows["omnirelay: structure"]["note"])

    @unittest.skipUnless(HERE, "a script stands in for a program of this machine")
    def test_an_exit_code_that_is_off_is_named_with_what_was_said(self):
        self.offer(HERE, f"#!{sys.executable}\nimport sys; sys.exit('error: broken')\n".encode())
        _, _, rows = self.run_it(HERE)
        self.assertEqual(rows["omnirelay: help"]["note"],
                         "`omnirelay --help` ended with exit code 1, not 0, and said: error: broken")

    def test_an_archive_that_is_missing_is_named(self):
        code, said, _ = self.run_it("linux-x64")
        self.assertEqual(code, 1)
        self.assertIn("has 0 archives for linux-x64", said)

    @unittest.skipIf(platform.system() == "Darwin", "there they are run")
    def test_what_cannot_run_here_is_checked_and_not_called_passed(self):
        self.offer("macos-arm64", mach_o())
        code, said, rows = self.run_it("macos-arm64")
        self.assertEqual(code, 0)
        self.assertEqual(rows["omnirelay: structure"]["note"],
                         "macOS 11.0, 1 system libraries, signature ad hoc, holds for 2 pages")
        self.assertEqual((rows["omnirelay: version"]["status"], rows["omnirelay: version"]["note"]), ("not run", "no macos machine here"))
        self.assertIn("not run", said)

    def test_a_macos_program_that_would_not_start_is_named(self):
        for content, expected in (
            (mach_o(libraries=("/opt/homebrew/lib/libz.dylib",)), "does not bring: /opt/homebrew/lib/libz.dylib"),
            (mach_o(minimum=(14, 2)), "asks for macOS 14.2, not 11.0"),
            (mach_o(machine=0x01000007), "is for x86_64, not aarch64"),
            (mach_o(flags=0), "not ad hoc"),
            (mach_o().replace(b"\xcc" * 9, b"\xcd" + b"\xcc" * 8, 1), "does not hold for page 0 of 2"),
            (mach_o()[:40], "cut off"),
        ):
            with self.subTest(expected):
                self.offer("macos-arm64", content)
                _, _, rows = self.run_it("macos-arm64")
                self.assertEqual(rows["omnirelay: structure"]["status"], "failed")
                self.assertIn(expected, rows["omnirelay: structure"]["note"])

    def test_a_linux_program_that_is_not_static_is_named(self):
        if not Path("/bin/sh").resolve().read_bytes().startswith(b"\x7fELF\x02\x01") or not HERE:
            self.skipTest("the machine's own programs are the example")
        self.offer(HERE, Path("/bin/sh").resolve().read_bytes())
        _, _, rows = self.run_it(HERE)
        self.assertIn("asks for a dynamic loader", rows["omnirelay: structure"]["note"])

    def test_garbage_is_no_program(self):
        with self.assertRaises(Failure):
            macho.read(b"\0" * 100)
