"""BUILD and .bzl files that Bazel cannot load: who is blamed, and what counts as failed."""

from omnigate import terminal
from tests import test_report
from tests.events import Events


class Loading(test_report.Case):
    def test_a_broken_build_file_is_told_with_bazels_own_words(self):
        events = Events(self.folder)
        events.add({"pattern": {"pattern": ["//..."]}}, aborted={
            "reason": "LOADING_FAILURE", "description": "error loading package 'cli': syntax error\ncli/BUILD.bazel:3:1"})
        told = self.report(events.finish("PARSING_FAILURE", 1))["failures"]
        self.assertEqual([(f["kind"], f["name"], f["why"], f["lines"]) for f in told], [
            ("bazel", "//...", "error loading package 'cli': syntax error", ["cli/BUILD.bazel:3:1"])])

    def test_a_syntax_error_in_a_build_file_is_told_by_file_and_line(self):
        # Bazel's own output, of `rust_crate(` at the end of fuzz/BUILD.bazel; no event names the file.
        where = f"{self.folder}/fuzz/BUILD.bazel"
        missing = f"no such target '//fuzz:manifests': target 'manifests' not declared in package 'fuzz' defined by {where}"
        events = Events(self.folder).test("//a:t").progress(
            f"ERROR: {where}:20:1: syntax error at 'newline': expected expression\n"
            "ERROR: package contains errors: fuzz\n"
            "ERROR: package contains errors: fuzz: syntax error at 'newline': expected expression\n"
            f"ERROR: {where}: {missing}\n"
            f"ERROR: {self.folder}/tools/crates/BUILD.bazel:4:12: {missing} and referenced by '//tools/crates:crates_test'\n"
            "ERROR: command succeeded, but there were errors parsing the target pattern\n")
        for label in ("//tools/crates:all_tests", "//tools/crates:crates_test"):
            events.add({"targetConfigured": {"label": label}}, aborted={"reason": "ANALYSIS_FAILURE"})
        result = self.report(events.finish("BUILD_FAILURE", 1))
        self.assertEqual([(f["name"], f["why"], f["command"], f["affected"]) for f in result["failures"]], [
            ("fuzz/BUILD.bazel:20:1", "syntax error at 'newline': expected expression", "./bazelw build //fuzz:all",
             ["//fuzz:all", "//tools/crates:all_tests", "//tools/crates:crates_test"])])
        self.assertEqual(terminal.render(result).splitlines()[-1], "1 passed, 3 failed")

    def test_a_syntax_error_in_a_module_names_the_module(self):
        events = Events(self.folder).test("//a:t").progress(
            f"ERROR: {self.folder}/tools/python.bzl:21:1: syntax error at 'newline': expected identifier\n"
            "ERROR: error loading package 'tools/crates': compilation of module 'tools/python.bzl' failed\n"
            "ERROR: error loading package 'cli': compilation of module 'tools/python.bzl' failed\n")
        result = self.report(events.finish("PARSING_FAILURE", 1))
        self.assertEqual([(f["name"], f["affected"]) for f in result["failures"]],
                         [("tools/python.bzl:21:1", ["//tools/crates:all", "//cli:all"])])
        self.assertEqual(terminal.render(result).splitlines()[-1], "1 passed, 2 failed")
