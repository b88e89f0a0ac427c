"""`.ci/run` as a whole, with a stand-in for Bazel and for the side checks: what it publishes and what it keeps."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from tests.events import Events

ROOT = Path(__file__).resolve().parents[3]
KEY = "planted-key-7f3a9c"
COMMIT = "0123456789abcdef" * 2 + "01234567"

# Copies the events a test prepared to where the gate asks for them; shouts the key as a confused Bazel would.
BAZELW = """\
#!/bin/sh
for argument in "$@"; do
  case $argument in
    --build_event_json_file=*) cp prepared.json "${argument#*=}" ;;
  esac
done
echo "WARNING: --remote_header=x-buildbuddy-api-key=$BUILDBUDDY_API_KEY did not help"
exit "$(cat prepared.code)"
"""

# A commit, and the changes since that a test prepared.
GIT = f"""\
#!/bin/sh
case $1 in
  rev-parse) echo {COMMIT} ;;
  status) cat changes ;;
esac
"""


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "workspace"
        self.home = Path(folder.name) / "home"
        self.copy(".ci/run")
        self.copy(".github/workflows/ci.yml")
        shutil.copytree(ROOT / "tools/gate/omnigate", self.folder / "tools/gate/omnigate")
        self.copy("tools/gate/__main__.py")
        self.put("tools/gate/budgets.toml", "")
        self.put("bazelw", BAZELW)
        self.put("programs/git", GIT)
        self.put("changes", "")
        for check in ("buildifier", "deny"):
            self.put(f"tools/gate/{check}.sh", "#!/bin/sh\necho fine\n")

    def copy(self, path):
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, self.folder / path)

    def put(self, path, text):
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text, encoding="utf-8")
        (self.folder / path).chmod(0o755)

    def run_gate(self, events, code=0):
        events.write("prepared.json")
        self.put("prepared.code", str(code))
        path = f"{self.folder}/programs:{os.environ['PATH']}"
        env = {"PATH": path, "HOME": str(self.home), "BUILDBUDDY_API_KEY": KEY, "LC_ALL": "C.UTF-8",
               "BUILDBUDDY_ENDPOINT": "grpc://127.0.0.1:1", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([self.folder / ".ci/run"], env=env, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr


class Revisions(Case):
    def test_a_tree_that_differs_from_its_commit_says_so_everywhere(self):
        for marks in ("", "-dirty"):
            with self.subTest(marks):
                self.put("changes", "?? new.rs\n" if marks else "")
                _, said = self.run_gate(Events(self.folder).test("//a:t").finish())
                self.assertIn(f"gate of {COMMIT}{marks}\n", said)
                report = json.loads((self.folder / "gate/gate.json").read_text(encoding="utf-8"))
                self.assertEqual(report["revision"], COMMIT + marks)
                self.assertIn(f"<code>{COMMIT[:12]}{marks}</code>", (self.folder / "gate/index.html").read_text(encoding="utf-8"))
        kept = {path.name.partition("-")[2] for path in (self.home / ".cache/omnirelay/gate-history").iterdir()}
        self.assertEqual(kept, {f"{COMMIT[:12]}.json", f"{COMMIT[:12]}-dirty.json"})


class Publishing(Case):
    def events_with_a_key(self):
        """The events in which Bazel writes its options down, and a failure that quotes them."""
        events = Events(self.folder)
        header = f"--remote_header=x-buildbuddy-api-key={KEY}"
        events.add({"optionsParsed": {}}, optionsParsed={"cmdLine": [header], "explicitCmdLine": [header]})
        events.add({"unstructuredCommandLine": {}}, unstructuredCommandLine={
            "args": ["test", f"--default_override=0:build={header}", f"--client_env=BUILDBUDDY_API_KEY={KEY}"]})
        events.add({"structuredCommandLine": {"commandLineLabel": "canonical"}}, structuredCommandLine={
            "sections": [{"optionList": {"option": [{"combinedForm": header, "optionValue": KEY}]}}]})
        events.progress(f"ERROR: {header} is refused, and {KEY} too\n").test("//a:t", "FAILED", log=f"panicked: key {KEY}\n")
        return events.finish("TESTS_FAILED", 3)

    def published(self):
        """The files that the workflow uploads."""
        text = (self.folder / ".github/workflows/ci.yml").read_text(encoding="utf-8")
        upload = text[text.index("actions/upload-artifact"):]
        block = re.search(r"^( +)path: *\|?\n?((?:\1  .*\n)+)", upload, re.MULTILINE)
        self.assertIsNotNone(block, "the upload names its files one a line")
        return {p for pattern in block[2].split() for p in self.folder.glob(pattern)}

    def holding_the_key(self, paths):
        return sorted(str(p.relative_to(self.folder)) for p in paths if p.is_file() and KEY.encode() in p.read_bytes())

    def test_what_is_uploaded_is_the_report_without_the_key(self):
        code, said = self.run_gate(self.events_with_a_key(), 3)
        self.assertEqual(code, 1, said)
        files = self.published()
        self.assertLess({"index.html", "gate.json", "junit.xml", "metrics.prom", "summary.txt", "gate.svg"}, {p.name for p in files})
        self.assertEqual(self.holding_the_key(files), [])

    def test_a_key_in_the_events_is_in_no_file_of_the_report(self):
        self.run_gate(self.events_with_a_key(), 3)
        self.assertEqual(self.holding_the_key((self.folder / "gate").rglob("*")), [])

    def test_the_events_are_removed(self):
        self.run_gate(self.events_with_a_key(), 3)
        kept = [str(p) for p in (self.home / ".cache/omnirelay").rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]
        self.assertEqual((kept, list((self.home / ".cache/omnirelay/run").iterdir())), ([], []))
