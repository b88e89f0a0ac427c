"""What is said about artifacts: bills of materials, licences, man pages, provenance."""

import json
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from omnidist import crates, licences, manual, provenance, sbom
from omnidist.crates import Crate
from omnidist.platforms import PLATFORMS
from omnidist.say import Failure

TREE = """\
0|omnirelay-cli v0.1.0 (/src/cli)
1|bytes v1.2.0
1|http v1.0.0
2|bytes v1.2.0 (*)
2|itoa v1.0.1
1|http v0.2.0
"""


def crate(name, version="1.0.0", license="MIT", folder=Path("/nowhere"), sha256="ab", **more):
    return Crate(name, version, license, (), "", folder, sha256, **more)


class Crates(unittest.TestCase):
    def test_a_tree_says_what_each_crate_needs_by_version(self):
        found = crates.parse_tree(TREE)
        self.assertEqual(found["omnirelay-cli", "0.1.0"], {("bytes", "1.2.0"), ("http", "1.0.0"), ("http", "0.2.0")})
        self.assertEqual(found["http", "1.0.0"], {("bytes", "1.2.0"), ("itoa", "1.0.1")})
        self.assertEqual(found["http", "0.2.0"], set())

    def test_old_licence_fields_become_expressions(self):
        self.assertEqual(crates.spdx("MIT/Apache-2.0"), "MIT OR Apache-2.0")
        self.assertEqual(crates.spdx("Apache-2.0 / MIT"), "Apache-2.0 OR MIT")


class Bills(unittest.TestCase):
    def document(self):
        ours = crate("omnirelay-cli", "0.1.0", sha256="", needs=(("bytes", "1.0.0"),))
        return sbom.document([crate("bytes"), ours], PLATFORMS[0], "0.1.0", 0, ["omnirelay-cli"])

    def test_every_reference_leads_to_a_component(self):
        found = json.loads(self.document())
        top = found["metadata"]["component"]
        known = {one["bom-ref"] for one in (*found["components"], *top["components"], top)}
        for edge in found["dependencies"]:
            self.assertLessEqual({edge["ref"], *edge["dependsOn"]}, known)
        self.assertEqual(found["components"][0]["hashes"], [{"alg": "SHA-256", "content": "ab"}])
        self.assertEqual(found["components"][0]["purl"], "pkg:cargo/bytes@1.0.0")

    def test_it_says_the_same_of_the_same(self):
        self.assertEqual(self.document(), self.document())


class Licences(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_texts_come_from_the_crate(self):
        (self.folder / "LICENSE-MIT").write_bytes(b"mit\r\n\r\n")
        (self.folder / "license.md").write_text("other", encoding="utf-8")
        self.assertEqual(licences.of_crate(crate("bytes", folder=self.folder)), ["mit\n", "other\n"])

    def test_a_crate_without_text_is_under_the_standard_one(self):
        found, = licences.of_crate(crate("bytes", license="MIT OR Apache-2.0", folder=self.folder))
        self.assertIn("Copyright (c) the authors of bytes", found)

    def test_a_crate_without_any_licence_is_not_distributed(self):
        with self.assertRaisesRegex(Failure, "bytes 1.0.0 .no licence. brings no text"):
            licences.of_crate(crate("bytes", license="", folder=self.folder))


class Manual(unittest.TestCase):
    def test_the_reference_becomes_a_page(self):
        found = manual.of_reference("# The `omnirelay` command line\n\n## Exit codes\n\n| code | meaning |\n| --- | --- |\n| 0 | fine |\n"
                                    "\n## omnirelay up\n\nStart `it`\n\n```text\nomnirelay up [OPTIONS]\n```\n\n"
                                    "| argument | meaning |\n| --- | --- |\n| `--dir <DIR>` | Where |\n", "1.0.0", "2026-01-02")
        self.assertIn('.TH OMNIRELAY 1 2026-01-02 "omnirelay 1.0.0"', found)
        self.assertIn('.SH "EXIT CODES"\n.PP\n.TP\n\\fB0\\fR\nfine', found)
        self.assertIn('.SH COMMANDS\n.SS "omnirelay up"\n.PP\nStart \\fBit\\fR', found)
        self.assertIn(".TP\n\\fB\\-\\-dir <DIR>\\fR\nWhere", found)

    def test_a_daemons_help_becomes_a_page(self):
        found = manual.of_help("relayd", "Relays calls.\n\nUsage: relayd [OPTIONS]\n\nOptions:\n      --config <FILE>  A file; a later\n"
                               "                       one wins\n  -h, --help           Print help\n", "1.0.0", "2026-01-02")
        self.assertIn("relayd \\- Relays calls\n", found)
        self.assertIn(".TP\n\\fB\\-\\-config <FILE>\\fR\nA file; a later\none wins\n.TP\n\\fB\\-h, \\-\\-help\\fR\nPrint help", found)


    def test_nothing_of_the_users_own_settings_reaches_a_page(self):
        with tempfile.TemporaryDirectory() as folder:
            relayd = Path(folder, "relayd")
            relayd.write_text('#!/bin/sh\nprintf "Relays ${OMNIRELAY_LOG:-nothing}.\\n\\nUsage: relayd\\n"\n', encoding="utf-8")
            relayd.chmod(0o755)
            with mock.patch.dict(os.environ, {"OMNIRELAY_LOG": "secret"}):
                found = manual.pages({"relayd": relayd}, "1.0.0", 0)
        self.assertIn(b"Relays nothing", found["relayd.8"])


class Provenance(unittest.TestCase):
    def test_it_names_every_artifact_and_the_commit(self):
        with tempfile.TemporaryDirectory() as folder:
            artifact = Path(folder, "omnirelay.zip")
            artifact.write_bytes(b"")
            found = json.loads(provenance.statement([artifact], revision="abc-dirty", version="1.0.0", materials={"zig": "12"},
                                                    builder="here"))
        self.assertEqual(found["subject"], [{"name": "omnirelay.zip", "digest": {
            "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}])
        definition = found["predicate"]["buildDefinition"]
        self.assertEqual(definition["resolvedDependencies"][0]["digest"], {"gitCommit": "abc"})
        self.assertTrue(definition["internalParameters"]["dirty"])
