"""From events to every form of the report, with the terminal's summary as a golden file."""

import contextlib
import html.parser
import io
import json
import os
import re
import tempfile
import unittest
import xml.etree.ElementTree as ET
from pathlib import Path

from omnigate import bep, cli, diagnose, history, profile, report, stages, terminal
from omnigate.measure import measurement
from omnigate.places import Places
from tests.events import LIBTEST, RUSTC, Events, broken_build

DATA = Path(__file__).parent / "data"


def span(tid, begin, dur, name, cat="general information", **args):
    return {"ph": "X", "tid": tid, "ts": begin, "dur": dur, "name": name, "cat": cat, "args": args}


# Two threads: one action that ran, one that was fetched, a link, and a test's run.
PROFILE = [
    span(1, 0, 2_500_000, "Compiling", "action processing", target="//a:ran", mnemonic="Rustc"),
    span(1, 10, 50, "check cache hit", "remote action cache check"),
    span(1, 70, 2_000_000, "subprocess.run"),
    span(1, 2_500_000, 30_000, "Compiling", "action processing", target="//a:fetched", mnemonic="Rustc"),
    span(1, 2_500_010, 9, "check cache hit", "remote action cache check"),
    span(2, 0, 90_000, "Linking", "action processing", target="//a:kept", mnemonic="Symlink"),
    span(2, 90_000, 90_000, "Testing", "action processing", target="//a:kept", mnemonic="TestRunner"),
    span(2, 90_010, 70, "subprocess.run"),
    {"ph": "M", "name": "thread_name"},
]


def artifacts(version_ms=1.4):
    return [{
        "name": "omnirelay", "kind": "cli", "target": "//cli:omnirelay", "path": "/x", "problems": [],
        "measures": [measurement("bytes", "size", "B", 5_312_000, 8_000_000),
                     measurement("version_ms", "--version", "ms", version_ms, 3.0)],
    }]


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def report(self, events, rows=(), checks=(), **more):
        run = bep.parse(events.text())
        return report.build(run, Places(self.folder), list(rows), list(checks), stages=[], **more)

    def broken(self):
        checks = [
            stages.check("crates", 1, 1.25, "error[duplicate]: found 2 duplicate entries for crate 'syn'\n", "deny.sh policy"),
            stages.check("advisories", 77, 0.8, "noise\nnot checked: advisory database unreachable\n", "deny.sh advisories"),
        ]
        return self.report(broken_build(self.folder), artifacts(4.8), checks)

    def failures(self, result):
        return {(f["kind"], f["name"]): f for f in result["failures"]}


class Judging(Case):
    def test_green_is_green(self):
        result = self.report(Events(self.folder).test("//a:t").finish(), artifacts())
        self.assertEqual((result["status"], result["failures"]), ("passed", []))

    def test_a_compile_error_names_what_it_takes_down_and_how_to_see_it(self):
        told = self.failures(self.broken())[("build", "//relay/core:relay_core")]
        self.assertEqual(told["affected"], ["//relay/core:relay_core", "//relay/core:unit", "//relay/server:relayd"])
        self.assertEqual(told["command"], "./bazelw build //relay/core:relay_core")
        self.assertEqual(told["lines"][:2], ["error[E0308]: mismatched types", "   --> relay/core/src/peers.rs:41:9"])

    def test_one_error_told_by_compiler_and_clippy_is_one_failure(self):
        events = Events(self.folder)
        clippy = events.failed_action("//a:lib", RUSTC, "Clippy")
        rustc = events.failed_action("//a:lib", RUSTC)
        unit = events.failed_action("//a:unit", RUSTC)
        events.broken("//a:clippy", "rust_clippy", clippy).broken("//a:lib", "rust_library", rustc)
        events.broken("//a:bin", "rust_binary", rustc).broken("//a:unit", "rust_test", unit)
        told = self.report(events.finish("BUILD_FAILURE", 1))["failures"]
        self.assertEqual([(f["name"], f["why"], f["affected"]) for f in told], [
            ("//a:lib", "Rustc failed with exit code 1", ["//a:bin", "//a:clippy", "//a:lib", "//a:unit"])])

    def test_a_check_by_an_aspect_is_reproduced_by_the_target_that_asks_for_it(self):
        for mnemonic, kind, asker in (("Clippy", "rust_clippy", "clippy"), ("Rustfmt", "rustfmt_test", "rustfmt")):
            with self.subTest(mnemonic):
                events = Events(self.folder)
                cause = events.failed_action("//fuzz:bounded_test", RUSTC, mnemonic)
                events.test("//fuzz:bounded_test").broken("//all:checks", "filegroup", cause)
                events.broken(f"//fuzz:{asker}", kind, cause)
                told = self.report(events.finish("BUILD_FAILURE", 1))["failures"]
                self.assertEqual([(f["name"], f["why"], f["command"], f["affected"]) for f in told], [
                    ("//fuzz:bounded_test", f"{mnemonic} failed with exit code 1", f"./bazelw build //fuzz:{asker}",
                     ["//all:checks", f"//fuzz:{asker}"])])

    def test_only_what_failed_is_named(self):
        self.assertEqual(set(self.failures(self.broken())), {
            ("build", "//relay/core:relay_core"), ("test", "//relay/policy:unit"), ("test", "//meshkit/store:unit"),
            ("test", "//smoke:drain"), ("budget", "omnirelay"), ("check", "crates")})

    def test_an_exceeded_budget_is_named(self):
        told = self.failures(self.broken())[("budget", "omnirelay")]
        self.assertEqual(told["why"], "--version is 4.80 ms, over its budget of 3.00 ms")
        self.assertEqual(told["command"], "./bazelw build //cli:omnirelay && python3 tools/gate measure omnirelay")

    def test_what_was_not_measured_fails_unless_its_target_already_did(self):
        row = {**artifacts()[0], "problems": ["was not built, so nothing was measured"], "measures": []}
        green = self.report(Events(self.folder).test("//a:t").finish(), [row])
        self.assertIn(("budget", "omnirelay"), self.failures(green))
        row["target"] = "//relay/server:relayd"
        self.assertNotIn(("budget", "omnirelay"), self.failures(self.report(broken_build(self.folder), [row])))

    def test_a_warning_fails_wherever_it_is_said(self):
        said = "warning: unused variable: `x`\n --> relay/core/src/a.rs:3:9\n\nwarning: 1 warning emitted\n"
        events = Events(self.folder).test("//a:t").ran_action("//relay/core:relay_core", stderr=said)
        events.progress("WARNING: Option 'x' is deprecated\nINFO: From Clippy //cli:cli:\n" + said.replace("a.rs", "b.rs"))
        result = self.report(events.finish())
        self.assertEqual(result["status"], "failed")
        self.assertEqual({n: f["lines"] for (k, n), f in self.failures(result).items() if k == "warning"}, {
            "Clippy //cli:cli": ["relay/core/src/b.rs:3:9: unused variable: `x`"],
            "//relay/core:relay_core": ["relay/core/src/a.rs:3:9: unused variable: `x`"]})

    def test_a_killed_bazel_fails_even_when_all_tests_so_far_passed(self):
        result = self.report(Events(self.folder).test("//a:t"))
        self.assertEqual(result["status"], "failed")
        self.assertIn("Bazel was killed", result["failures"][0]["why"])

    def test_tests_that_never_ran_are_failures(self):
        events = Events(self.folder).built("//a:t", "rust_test")
        events.add({"testSummary": {"label": "//a:t"}},
                   aborted={"reason": "USER_INTERRUPTED", "description": "interrupted"})
        result = self.report(events.finish("INTERRUPTED", 8))
        self.assertEqual(result["counts"]["failed"], 1)
        self.assertEqual(self.failures(result)[("test", "//a:t")]["why"], "interrupted")

    def test_what_a_killed_bazel_did_not_run_is_one_failure_after_the_reason(self):
        events = Events(self.folder).configured("//a:t", "rust_test").configured("//a:u", "rust_test")
        told = self.report(events)["failures"]
        self.assertEqual([(f["kind"], f["name"], f["affected"]) for f in told],
                         [("bazel", "bazel", []), ("test", "2 tests", ["//a:t", "//a:u"])])

    def test_a_test_that_a_filter_left_out_is_neither_passed_nor_failed(self):
        events = Events(self.folder).test("//a:t").built("//smoke:mesh", "sh_test", chosen=False)
        result = self.report(events.finish())
        self.assertEqual((result["status"], result["failures"]), ("passed", []))
        self.assertEqual({k: result["counts"][k] for k in ("tests", "passed", "failed", "left_out")},
                         {"tests": 1, "passed": 1, "failed": 0, "left_out": 1})
        text = terminal.render(result)
        self.assertIn("gate passed (1 left out)", text)
        self.assertRegex(text, r"//smoke:mesh +left out")

    def test_a_chosen_test_without_a_result_fails_beside_one_left_out(self):
        events = Events(self.folder).built("//a:t", "rust_test").built("//smoke:mesh", "sh_test", chosen=False)
        told = self.report(events.finish("TESTS_FAILED", 3))["failures"]
        self.assertEqual([(f["kind"], f["name"], f["affected"]) for f in told], [("test", "//a:t", ["//a:t"])])

    def test_a_bare_exit_code_still_fails(self):
        events = Events(self.folder).test("//a:t").progress("ERROR: disk full\n").finish()
        told = self.report(events, bazel_exit=36)["failures"]
        self.assertEqual([(f["why"], f["lines"]) for f in told],
                         [("bazel ended with exit code 36 (SUCCESS)", ["ERROR: disk full"])])

    def test_built_targets_say_where_they_came_from(self):
        events = Events(self.folder)
        for name in ("ran", "kept", "fetched"):
            events.built(f"//a:{name}")
        events.built("//a:clippy", "rust_clippy").finish(runners={"disk cache hit": 3, "internal": 2, "total": 5})
        work = profile.read(PROFILE)
        rows = {t["label"]: (t["cached"], t["duration_ms"]) for t in self.report(events, work=work)["targets"]}
        self.assertEqual(rows, {"//a:ran": ("no", 2500), "//a:kept": ("local", 0), "//a:fetched": ("disk", 30),
                                "//a:clippy": ("", 0)})

    def test_without_a_profile_nothing_is_claimed(self):
        damaged = self.folder / "profile.gz"
        damaged.write_bytes(b"\x1f\x8bnot gzip")
        self.assertEqual((profile.load(damaged), profile.load(self.folder / "none")), ({}, {}))
        events = Events(self.folder).built("//a:kept").finish()
        self.assertEqual(self.report(events, work={})["targets"][0]["cached"], "")


class Rendering(Case):
    def test_terminal_summary(self):
        self.maxDiff = None
        text = terminal.render(self.broken(), page="gate/index.html")
        golden = DATA / "summary.txt"
        if os.environ.get("UPDATE_GOLDEN"):
            golden.write_text(text, encoding="utf-8")
        self.assertEqual(text, golden.read_text(encoding="utf-8"))

    def test_the_last_line_is_plain_even_in_colour(self):
        text = terminal.render(self.broken(), colour=True)
        self.assertIn("\x1b[", text)
        self.assertEqual(text.splitlines()[-1], "3 passed, 6 failed")

    def test_unchecked_is_never_shown_as_passed(self):
        checks = [stages.check("advisories", 77, 0.8, "not checked: advisory database unreachable\n", "x")]
        result = self.report(Events(self.folder).test("//a:t").finish(), checks=checks)
        out = self.written(result)
        text = terminal.render(result)
        self.assertIn("not checked: advisories: advisory database unreachable", text)
        self.assertIn("gate passed (1 not checked)", text)
        self.assertIn("✓ passed, 1 not checked", out["index.html"])
        self.assertIn("passed, 1 not checked", out["gate.svg"])
        self.assertIn('omnirelay_gate_check_passed{check="advisories",status="not checked"} 0', out["metrics.prom"])

    def written(self, result):
        out = self.folder / "gate"
        cli.write(out, result)
        return {p.name: p.read_text(encoding="utf-8") for p in out.iterdir() if p.is_file()}

    def test_the_page_holds_it_all_and_escapes_it(self):
        page = self.written(self.broken())["index.html"]
        for text in ("error[E0308]: mismatched types", "./bazelw build //relay/core:relay_core", "timed out after 60 s",
                     "4.80 ms <span>of 3.00 ms", "advisory database unreachable", "1 of 2 suites", "incompatible",
                     '<span class="pill plain">remote</span>', '<span class="pill plain">local</span>',
                     "&lt;script&gt;alert(&quot;exception&quot;)&lt;/script&gt; &amp; more"):
            self.assertTrue(text in page, f"not on the page: {text}")
        self.assertFalse("<script>alert" in page)
        self.assertFalse("\x1b" in page)

    def test_the_page_is_one_balanced_file_that_fetches_nothing(self):
        page = self.written(self.broken())["index.html"]
        checker = Balanced()
        checker.feed(page)
        self.assertEqual((checker.open, checker.wrong), ([], []))
        self.assertEqual(re.findall(r"(?:src|url)\s*[=(]", page), [])
        self.assertTrue("default-src 'none'" in page)

    def test_junit_parses_and_counts(self):
        root = ET.fromstring(self.written(self.broken())["junit.xml"])
        self.assertEqual({s.get("name"): (s.get("tests"), s.get("failures"), s.get("errors"), s.get("skipped")) for s in root}, {
            "tests": ("8", "3", "1", "1"), "build": ("1", "1", "0", "0"),
            "budgets": ("2", "1", "0", "0"), "checks": ("2", "1", "0", "1")})
        self.assertEqual((root.get("tests"), root.get("failures")), ("13", "6"))

    def test_junit_survives_any_bytes(self):
        events = Events(self.folder).test("//a:t", "FAILED", log="panicked \x00\x08\x1b[31m ]]> <&> \udcff".encode(
            "utf-8", "surrogateescape").decode("utf-8", "replace"))
        self.assertEqual(ET.fromstring(self.written(self.report(events.finish("TESTS_FAILED", 3)))["junit.xml"]).tag, "testsuites")

    def test_metrics_are_valid_prometheus_text(self):
        sample = re.compile(r'^[a-z_:][a-z0-9_:]*(\{[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"(,[a-z_]+="(?:[^"\\\n]|\\[\\"n])*")*\})? '
                            r"-?[0-9.]+(e[+-]?[0-9]+)?$")
        text = self.written(self.broken())["metrics.prom"]
        families = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
        self.assertEqual(len(families), len(set(families)))
        for line in text.splitlines():
            self.assertTrue(line.startswith("# ") or sample.match(line), line)
        for line in ("omnirelay_gate_passed 0", 'omnirelay_gate_tests{outcome="failed"} 4',
                     'omnirelay_gate_artifact_seconds{artifact="omnirelay",measure="version"} 0.0048',
                     'omnirelay_gate_artifact_budget_bytes{artifact="omnirelay",measure="size"} 8000000'):
            self.assertIn(line, text.splitlines())

    def test_badges_are_xml_and_tell_the_state(self):
        files = self.written(self.broken())
        badges = {n: ET.fromstring(t).get("aria-label") for n, t in files.items() if n.endswith(".svg")}
        self.assertEqual(badges["gate.svg"], "gate: failed, 1 not checked")
        self.assertEqual(badges["tests.svg"], "tests: 3 passed, 6 failed")
        self.assertEqual(badges["omnirelay-start.svg"], "omnirelay start: 4.80 ms")

    def test_json_is_complete(self):
        data = json.loads(self.written(self.broken())["gate.json"])
        self.assertEqual((data["schema"], data["status"], len(data["targets"])), (1, "failed", 10))


class Balanced(html.parser.HTMLParser):
    """Collects tags that do not close in order."""

    VOID = {"meta", "input", "link", "br", "wbr"}

    def __init__(self):
        super().__init__()
        self.open, self.wrong = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


class Diagnosing(unittest.TestCase):
    def check(self, text, *expected):
        self.assertEqual(diagnose.first_error(text)[:len(expected)], list(expected))

    def test_the_first_useful_line_is_found(self):
        self.check(RUSTC, "error[E0308]: mismatched types")
        self.check(LIBTEST, "---- tests::refuses_expired stdout ----")
        self.check("ok\nFAIL: test_x (t.C)\n-----\nAssertionError: 1 != 2\n", "FAIL: test_x (t.C)")
        self.check("starting\ncurl: (7) connection refused\n", "curl: (7) connection refused")
        self.check("one\ntwo\n", "one", "two")
        self.check("")

    def test_blocks_are_bounded(self):
        self.assertLessEqual(len(diagnose.first_error("error: x\n" + "line\n" * 500)), diagnose.MAX_LINES)


class History(Case):
    def test_runs_are_kept_bounded_and_damage_is_passed_over(self):
        result = self.report(Events(self.folder).test("//a:t").finish(), artifacts())
        kept = self.folder / "history"
        for second in range(history.KEEP + 5):
            history.save(kept, {**result, "started": f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}Z"})
        self.assertEqual(len(list(kept.iterdir())), history.KEEP)
        (kept / "99999999T000000Z-damaged.json").write_text("{", encoding="utf-8")
        points = history.load(kept)
        self.assertEqual((len(points), points[-1]["started"]), (history.KEEP, "2026-01-01T00:00:54Z"))
        page = report.build(bep.parse(Events(self.folder).test("//a:t").finish().text()), Places(self.folder),
                            artifacts(), [], stages=[], history=points)
        cli.write(self.folder / "gate", page)
        self.assertIn(f"{history.KEEP + 1} runs, this one last", (self.folder / "gate/index.html").read_text(encoding="utf-8"))


class CommandLine(Case):
    def run_gate(self, *args):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main(["--workspace", str(self.folder), *args])
        return code, out.getvalue(), err.getvalue()

    def test_exit_codes(self):
        common = ("--out", str(self.folder / "gate"), "--no-measure")
        good = Events(self.folder).test("//a:t").finish().write("good.json")
        self.assertEqual(self.run_gate("report", "--bep", str(good), *common)[0], 0)
        bad = broken_build(self.folder).write("bad.json")
        self.assertEqual(self.run_gate("report", "--bep", str(bad), *common)[0], 1)
        code, out, _ = self.run_gate("report", "--bep", str(self.folder / "none.json"), *common)
        self.assertEqual(code, 1)
        self.assertIn("none.json does not exist: Bazel did not start", out)
        self.assertEqual(out.splitlines()[-1], "0 passed, 0 failed")

    def test_stages_carry_bazels_exit_code_and_the_side_checks(self):
        good = Events(self.folder).test("//a:t").finish().write("good.json")
        log = self.folder / "log"
        log.write_text("Diff in src/main.rs:1\n", encoding="utf-8")
        rows = self.folder / "stages.tsv"
        rows.write_text(f"bazel\t0\t12.5\t{log}\t./bazelw test //...\ncrates\t1\t0.5\t{log}\tdeny.sh\n", encoding="utf-8")
        code, out, _ = self.run_gate("report", "--bep", str(good), "--stages", str(rows), "--no-measure",
                                     "--out", str(self.folder / "gate"))
        self.assertEqual(code, 1)
        self.assertIn("gate failed: crates", out)

    def test_wrong_budgets_are_named(self):
        good = Events(self.folder).test("//a:t").finish().write("good.json")
        wrong = self.folder / "budgets.toml"
        for text, reason in (
            ("[[artifact]]\nname = 'x'\nkind = 'cli'\n", "x: path is missing"),
            ("[[artifact]]\nname='x'\nkind='cli'\ntarget='//x'\npath='x'\nmax_byte=3\n", "x: unknown key 'max_byte'"),
            ("[measure]\nversion_runs = 0\n", "version_runs must be a whole number"),
            ("[", "budgets.toml: "),
        ):
            wrong.write_text(text, encoding="utf-8")
            code, _, err = self.run_gate("--budgets", str(wrong), "report", "--bep", str(good), "--out", str(self.folder / "g"))
            self.assertEqual(code, 2)
            self.assertIn(reason, err)
