"""What one Bazel invocation did, as far as its Build Event Protocol file tells."""

from __future__ import annotations

from dataclasses import dataclass, field

# Bazel's test statuses, in the words of the report.
TEST_STATUS = {
    "PASSED": "passed",
    "FLAKY": "flaky",
    "TIMEOUT": "timed out",
    "FAILED": "failed",
    "INCOMPLETE": "incomplete",
    "REMOTE_FAILURE": "remote failure",
    "FAILED_TO_BUILD": "failed to build",
    "TOOL_HALTED_BEFORE_TESTING": "not run",
    "BLAZE_HALTED_BEFORE_TESTING": "not run",
    "NO_STATUS": "not run",
}

# Statuses that do not fail the gate. `flaky` is absent on purpose: a test that needs
# a second try hides a race, and the gate does not help it hide.
GOOD = frozenset({"passed", "built", "skipped", "left out"})

# Of these tests nothing is known: they are for another platform, or a filter of the caller left them out.
UNTRIED = frozenset({"skipped", "left out"})


@dataclass
class Attempt:
    """One try of one shard of one test."""

    run: int
    shard: int
    attempt: int
    status: str
    duration_ms: int
    cached: str  # "local", "disk", "remote" or "no"
    strategy: str = ""
    details: str = ""
    outputs: dict[str, str] = field(default_factory=dict)  # "test.log" -> URI


@dataclass
class Action:
    """A published action; Bazel publishes every failed one."""

    key: str
    label: str
    mnemonic: str
    success: bool
    exit_code: int
    message: str = ""
    stdout: str = ""  # URIs
    stderr: str = ""


@dataclass
class Target:
    """A top-level target and everything that happened to it."""

    label: str
    kind: str = ""
    tags: list[str] = field(default_factory=list)
    is_test: bool = False
    configured: bool = False
    completed: bool = False
    built: bool | None = None
    chosen: bool = False  # a test that Bazel means to run
    summary: str = ""  # Bazel's overall test status
    summary_ms: int | None = None
    summary_cached: int = 0
    summary_runs: int = 0
    aborted: str = ""  # Bazel's abort reason
    message: str = ""
    causes: list[str] = field(default_factory=list)  # keys of root-cause actions
    failed_aspects: list[str] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    file_sets: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        """The one word the report shows."""
        if self.aborted == "SKIPPED":
            return "skipped"
        if self.failed_aspects or self.built is False:
            return "failed to build"
        if self.summary and self.summary != "NO_STATUS":
            return TEST_STATUS.get(self.summary, self.summary.lower().replace("_", " "))
        if self.attempts:
            worst = max(self.attempts, key=lambda a: a.status != "PASSED")
            return TEST_STATUS.get(worst.status, worst.status.lower().replace("_", " "))
        if self.aborted:
            broken = {"ANALYSIS_FAILURE", "LOADING_FAILURE"}
            return "failed to build" if self.aborted in broken else "not run"
        if self.is_test:
            return "not run" if self.chosen or not self.built else "left out"
        return "built" if self.built else "not built"

    @property
    def ok(self) -> bool:
        return self.status in GOOD


@dataclass
class Abort:
    """Something Bazel announced and then gave up on, without a target of its own."""

    subject: str
    reason: str
    description: str


@dataclass
class Invocation:
    """One run of Bazel."""

    uuid: str = ""
    command: str = ""
    version: str = ""
    workspace: str = ""
    started_ms: int = 0
    finished_ms: int = 0
    exit_name: str = ""
    exit_code: int | None = None
    complete: bool = False  # the stream ended the way Bazel ends it
    problems: list[str] = field(default_factory=list)  # unreadable or cut-off input
    targets: dict[str, Target] = field(default_factory=dict)
    actions: dict[str, Action] = field(default_factory=dict)
    aborts: list[Abort] = field(default_factory=list)
    progress: list[str] = field(default_factory=list)
    file_sets: dict[str, dict] = field(default_factory=dict)
    bin_dirs: list[str] = field(default_factory=list)
    runners: dict[str, int] = field(default_factory=dict)  # strategy -> actions
    actions_executed: int = 0

    @property
    def wall_ms(self) -> int:
        if self.started_ms and self.finished_ms:
            return max(0, self.finished_ms - self.started_ms)
        return 0

    def failed_actions(self) -> list[Action]:
        return [a for a in self.actions.values() if not a.success]

    def progress_text(self) -> str:
        return "".join(self.progress)

    def outputs(self, label: str) -> list[dict]:
        """The default output files of a target, nested file sets included."""
        target = self.targets.get(label)
        files: list[dict] = []
        seen: set[str] = set()
        queue = list(target.file_sets) if target else []
        while queue:
            set_id = queue.pop(0)
            if set_id in seen:
                continue
            seen.add(set_id)
            one = self.file_sets.get(set_id, {})
            files += one.get("files", [])
            queue += [s.get("id", "") for s in one.get("fileSets", [])]
        return files
