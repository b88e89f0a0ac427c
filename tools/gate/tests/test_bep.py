"""Reading events: every state a target can end in, and streams that end badly."""

import tempfile
import unittest
from pathlib import Path

from omnigate import bep
from tests.events import CONFIG, Events, broken_build


class Reading(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def statuses(self, events):
        return {t.label: t.status for t in bep.parse(events.text()).targets.values()}

    def test_every_status_is_told_apart(self):
        self.assertEqual(self.statuses(broken_build(self.folder)), {
            "//cli:windows_test": "skipped",
            "//meshkit/store:unit": "flaky",
            "//relay/core:relay_core": "failed to build",
            "//relay/core:unit": "failed to build",
            "//relay/policy:unit": "failed",
            "//relay/server:relayd": "failed to build",
            "//runtime:unit": "passed",
            "//smoke:drain": "timed out",
            "//smoke:mesh": "passed",
            "//tools/tidy:tidy": "passed",
        })

    def test_a_flaky_test_is_not_fine(self):
        self.assertFalse(bep.parse(broken_build(self.folder).text()).targets["//meshkit/store:unit"].ok)

    def test_cached_flags(self):
        events = Events(self.folder)
        for source in ("no", "local", "remote", "disk"):
            events.test(f"//a:{source}", cached=source)
        run = bep.parse(events.finish().text())
        self.assertEqual({t.label: t.attempts[0].cached for t in run.targets.values()},
                         {f"//a:{s}": s for s in ("no", "local", "remote", "disk")})

    def test_shards_and_attempts_are_kept_in_order(self):
        events = Events(self.folder).built("//a:t", "rust_test")
        events.result("//a:t", "PASSED", shard=2).result("//a:t", "FAILED", shard=1)
        run = bep.parse(events.summary("//a:t", "FAILED").finish().text())
        self.assertEqual([(a.shard, a.status) for a in run.targets["//a:t"].attempts], [(1, "FAILED"), (2, "PASSED")])

    def test_a_failed_aspect_is_the_targets_failure(self):
        events = Events(self.folder).built("//a:lib")
        events.add({"targetCompleted": {"label": "//a:lib", "aspect": "@rules_rust//rust:defs.bzl%rust_clippy_aspect",
                                        "configuration": CONFIG}}, completed={})
        target = bep.parse(events.finish("BUILD_FAILURE", 1).text()).targets["//a:lib"]
        self.assertEqual((target.status, target.failed_aspects), ("failed to build", ["rust_clippy_aspect"]))

    def test_the_worst_configuration_counts(self):
        events = Events(self.folder).built("//a:t", "rust_test")
        run = bep.parse(events.summary("//a:t", "FAILED").summary("//a:t", "PASSED").finish().text())
        self.assertEqual(run.targets["//a:t"].status, "failed")

    def test_durations_in_both_spellings(self):
        events = Events(self.folder).built("//a:t", "rust_test")
        events.add({"testResult": {"label": "//a:t"}}, testResult={"status": "PASSED", "testAttemptDuration": "1.250s"})
        self.assertEqual(bep.parse(events.finish().text()).targets["//a:t"].attempts[0].duration_ms, 1250)

    def test_an_analysis_failure_is_a_broken_target(self):
        events = Events(self.folder).configured("//a:t", "rust_test")
        events.add({"targetCompleted": {"label": "//a:t"}},
                   aborted={"reason": "ANALYSIS_FAILURE", "description": "no such target '//b:c'"})
        target = bep.parse(events.finish("BUILD_FAILURE", 1).text()).targets["//a:t"]
        self.assertEqual((target.status, target.message), ("failed to build", "no such target '//b:c'"))

    def test_outputs_follow_nested_sets(self):
        events = Events(self.folder).built("//a:b", "rust_binary", [{"name": "a/b", "uri": "file:///x"}])
        events.lines[-2]["namedSetOfFiles"]["fileSets"] = [{"id": "nested"}]
        events.add({"namedSet": {"id": "nested"}}, namedSetOfFiles={"files": [{"name": "a/c", "uri": "file:///y"}]})
        self.assertEqual([f["name"] for f in bep.parse(events.finish().text()).outputs("//a:b")], ["a/b", "a/c"])


class EndingBadly(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_a_complete_stream_has_no_problem(self):
        self.assertEqual(bep.parse(Events(self.folder).test("//a:t").finish().text()).problems, [])

    def test_a_killed_bazel_is_noticed(self):
        run = bep.parse(Events(self.folder).test("//a:t").text(), "bep.json")
        self.assertEqual(len(run.problems), 1)
        self.assertIn("no end-of-build event; Bazel was killed", run.problems[0])

    def test_a_cut_off_line_is_named_and_the_rest_is_kept(self):
        run = bep.parse(Events(self.folder).test("//a:t").text() + '{"id":{"testRes', "bep.json")
        self.assertEqual(len(run.problems), 1)
        self.assertRegex(run.problems[0], r"^bep.json:\d+: the last event is cut off")
        self.assertEqual(run.targets["//a:t"].status, "passed")

    def test_a_damaged_line_in_the_middle_is_named(self):
        lines = Events(self.folder).test("//a:t").finish().text().splitlines()
        run = bep.parse("\n".join([lines[0], "[1", *lines[1:]]), "bep.json")
        self.assertEqual(len(run.problems), 1)
        self.assertTrue(run.problems[0].startswith("bep.json:2: not a build event"))

    def test_an_odd_shape_is_a_problem_and_not_a_crash(self):
        events = Events(self.folder)
        events.add({"testResult": "?"}, testResult=3).add({"targetCompleted": {}}, completed={"success": True})
        events.add({"progress": {}}, aborted={"reason": "INTERNAL"})
        self.assertEqual(len(bep.parse(events.finish().text()).problems), 2)

    def test_unusable_input_is_refused_with_a_reason(self):
        for text, reason in (("", "is empty"), ("not json\n", "holds no build event"), ("\x00\x01", "holds no build event")):
            with self.subTest(text), self.assertRaisesRegex(bep.UnreadableEvents, reason):
                bep.parse(text)
        with self.assertRaisesRegex(bep.UnreadableEvents, "does not exist: Bazel did not start"):
            bep.load(self.folder / "nothing.json")
