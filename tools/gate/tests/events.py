"""Builds event files in the shape Bazel 7 writes, for tests to read back."""

from __future__ import annotations

import json
from pathlib import Path

CONFIG = {"id": "c0ffee"}


class Events:
    """A stream under construction; `finish()` ends it the way Bazel does."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.lines: list[dict] = []
        self.add({"started": {}}, started={
            "uuid": "0f7c", "startTimeMillis": "1790000000000", "buildToolVersion": "7.7.1",
            "command": "test", "workspaceDirectory": str(folder), "workingDirectory": str(folder)})
        self.add({"configuration": CONFIG}, configuration={
            "mnemonic": "k8-fastbuild", "makeVariable": {"BINDIR": "bazel-out/k8-fastbuild/bin"}})

    def add(self, ident: dict, children: list | None = None, **payload) -> Events:
        self.lines.append({"id": ident, **({"children": children} if children else {}), **payload})
        return self

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path.as_uri()

    def progress(self, stderr: str) -> Events:
        return self.add({"progress": {"opaqueCount": len(self.lines)}}, progress={"stderr": stderr})

    def configured(self, label: str, kind: str, tags: tuple = ()) -> Events:
        test = {"testSize": "MEDIUM"} if kind.endswith("_test") else {}
        return self.add({"targetConfigured": {"label": label}},
                        children=[{"targetCompleted": {"label": label, "configuration": CONFIG}}],
                        configured={"targetKind": f"{kind} rule", "tag": list(tags), **test})

    def built(self, label: str, kind: str = "rust_library", files: list | None = None, chosen: bool = True) -> Events:
        """`chosen` is false for a test that a filter leaves out: Bazel builds it and announces no result."""
        self.configured(label, kind)
        group = []
        if files:
            set_id = str(len(self.lines))
            self.add({"namedSet": {"id": set_id}}, namedSetOfFiles={"files": files})
            group = [{"name": "default", "fileSets": [{"id": set_id}]}]
        result = [{"testSummary": {"label": label, "configuration": CONFIG}}] if kind.endswith("_test") and chosen else []
        return self.add({"targetCompleted": {"label": label, "configuration": CONFIG}}, children=result,
                        completed={"success": True, "outputGroup": group})

    def broken(self, label: str, kind: str, cause: dict | None, message: str = "") -> Events:
        self.configured(label, kind)
        self.add({"targetCompleted": {"label": label, "configuration": CONFIG}},
                 children=[{"actionCompleted": cause}] if cause else None,
                 completed={"failureDetail": {"message": message}} if message else {})
        if kind.endswith("_test"):
            self.add({"testSummary": {"label": label, "configuration": CONFIG}},
                     testSummary={"overallStatus": "FAILED_TO_BUILD"})
        return self

    def failed_action(self, label: str, stderr: str, mnemonic: str = "Rustc") -> dict:
        """A failed action; returns its id, for the targets it breaks."""
        ident = {"primaryOutput": f"bazel-out/{label.strip('/').replace(':', '/')}.{mnemonic}",
                 "label": label, "configuration": CONFIG}
        uri = self.file(f"stderr-{len(self.lines)}", stderr)
        self.add({"actionCompleted": ident}, action={
            "exitCode": 1, "label": label, "type": mnemonic, "configuration": CONFIG,
            "stderr": {"name": "stderr", "uri": uri},
            "failureDetail": {"message": f"error executing {mnemonic} command"}})
        return ident

    def ran_action(self, label: str, stderr: str) -> Events:
        uri = self.file(f"stderr-{len(self.lines)}", stderr)
        return self.add({"actionCompleted": {"primaryOutput": f"out-{len(self.lines)}", "label": label,
                                             "configuration": CONFIG}},
                        action={"success": True, "type": "Rustc", "label": label,
                                "stderr": {"name": "stderr", "uri": uri}})

    def result(self, label: str, status: str = "PASSED", log: str = "", ms: int = 40, shard: int = 1,
               attempt: int = 1, cached: str = "no") -> Events:
        info = {"strategy": "linux-sandbox"}
        if cached in ("remote", "disk"):
            info = {"strategy": f"{cached} cache hit", "cachedRemotely": True}
        outputs = []
        if log:
            uri = self.file(f"testlogs/{label.strip('/').replace(':', '/')}-{shard}-{attempt}/test.log", log)
            outputs = [{"name": "test.log", "uri": uri}]
        return self.add({"testResult": {"label": label, "run": 1, "shard": shard, "attempt": attempt,
                                        "configuration": CONFIG}},
                        testResult={"status": status, "testAttemptDurationMillis": str(ms), "executionInfo": info,
                                    "testActionOutput": outputs,
                                    **({"cachedLocally": True} if cached == "local" else {})})

    def test(self, label: str, status: str = "PASSED", kind: str = "rust_test", **result) -> Events:
        self.built(label, kind)
        self.result(label, "PASSED" if status == "FLAKY" else status, **result)
        return self.summary(label, status, result.get("ms", 40))

    def summary(self, label: str, status: str, ms: int = 40) -> Events:
        return self.add({"testSummary": {"label": label, "configuration": CONFIG}}, testSummary={
            "overallStatus": status, "totalRunCount": 1, "totalRunDurationMillis": str(ms)})

    def finish(self, name: str = "SUCCESS", code: int = 0, runners: dict | None = None) -> Events:
        self.add({"buildFinished": {}}, finished={
            "overallSuccess": code == 0, "finishTimeMillis": "1790000012300",
            "exitCode": {"name": name, **({"code": code} if code else {})}})
        counts = [{"name": n, "count": c} for n, c in (runners or {"linux-sandbox": 12}).items()]
        self.add({"buildMetrics": {}}, buildMetrics={"actionSummary": {"actionsExecuted": "12", "runnerCount": counts}})
        self.lines[-1]["lastMessage"] = True
        return self

    def text(self) -> str:
        return "".join(json.dumps(line) + "\n" for line in self.lines)

    def write(self, name: str = "bep.json") -> Path:
        path = self.folder / name
        path.write_text(self.text(), encoding="utf-8")
        return path


RUSTC = """\
\x1b[1m\x1b[91merror[E0308]\x1b[0m: mismatched types
   --> relay/core/src/peers.rs:41:9
    |
 40 |     pub fn len(&self) -> usize {
    |                          ----- expected `usize` because of return type
 41 |         "three"
    |         ^^^^^^^ expected `usize`, found `&str`

error: aborting due to 1 previous error

For more information about this error, try `rustc --explain E0308`.
"""

LIBTEST = """\
exec ${PAGER:-/usr/bin/less} "$0" || exit 1
Executing tests from //relay/policy:unit
-----------------------------------------------------------------------------

running 2 tests
test tests::accepts_http3 ... ok
test tests::refuses_expired ... FAILED

failures:

---- tests::refuses_expired stdout ----

thread 'tests::refuses_expired' (7) panicked at relay/policy/src/tests.rs:88:5:
assertion `left == right` failed: <script>alert("exception")</script> & more
  left: Allowed
 right: Expired

failures:
    tests::refuses_expired

test result: FAILED. 1 passed; 1 failed; 0 ignored; finished in 0.01s
"""


def broken_build(folder: Path) -> Events:
    """One compile error that takes down three targets, and one of every bad test status."""
    events = Events(folder)
    events.progress("INFO: Analyzed 9 targets\n")
    cause = events.failed_action("//relay/core:relay_core", RUSTC)
    events.broken("//relay/core:relay_core", "rust_library", cause)
    events.broken("//relay/core:unit", "rust_test", cause)
    events.broken("//relay/server:relayd", "rust_binary", cause)
    events.test("//relay/policy:unit", "FAILED", log=LIBTEST, ms=120)
    events.test("//smoke:mesh", "PASSED", "sh_test", ms=4200)
    events.built("//meshkit/store:unit", "rust_test")
    events.result("//meshkit/store:unit", "FAILED", attempt=1, log="thread 't' panicked at src/a.rs:1:1:\nrace\n")
    events.result("//meshkit/store:unit", "PASSED", attempt=2)
    events.summary("//meshkit/store:unit", "FLAKY", 80)
    events.test("//smoke:drain", "TIMEOUT", "sh_test", log="waiting for /readyz\n-- Test timed out at 60 s --\n", ms=60_000)
    events.test("//tools/tidy:tidy", cached="local", kind="sh_test")
    events.test("//runtime:unit", cached="remote")
    events.configured("//cli:windows_test", "sh_test")
    events.add({"targetCompleted": {"label": "//cli:windows_test", "configuration": CONFIG}},
               aborted={"reason": "SKIPPED", "description": "Target //cli:windows_test is incompatible"})
    return events.finish("BUILD_FAILURE", 1)
