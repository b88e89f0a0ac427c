"""The report as JUnit XML: test targets, build failures, budgets and side checks as suites."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from .model import UNTRIED
from .verdict import human


def render(report: dict) -> str:
    root = ET.Element("testsuites", name="omnirelay gate", time=_seconds(report["wall_ms"]))
    failures = {(f["kind"], f["name"]): f for f in report["failures"]}
    tests = [t for t in report["targets"] if t["test"]]
    _suite(root, "tests", [_test(t, failures) for t in tests])
    _suite(root, "build", [_failed(f["name"], "build", f) for f in report["failures"] if f["kind"] in ("build", "bazel")])
    _suite(root, "warnings", [_failed(f["name"], "warnings", f) for f in report["failures"] if f["kind"] == "warning"])
    _suite(root, "budgets", [case for a in report["artifacts"] for case in _artifact(a)])
    _suite(root, "checks", [_check(c, failures) for c in report["checks"]])
    for attribute in ("tests", "failures", "errors", "skipped"):
        root.set(attribute, str(sum(int(s.get(attribute, "0")) for s in root)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, name: str, cases: list[ET.Element]) -> None:
    if not cases:
        return
    suite = ET.SubElement(root, "testsuite", name=name, tests=str(len(cases)),
                          failures=str(sum(c.find("failure") is not None for c in cases)),
                          errors=str(sum(c.find("error") is not None for c in cases)),
                          skipped=str(sum(c.find("skipped") is not None for c in cases)),
                          time=f"{sum(float(c.get('time', '0')) for c in cases):.3f}")
    suite.extend(cases)


def _case(name: str, group: str, seconds: str = "0.000") -> ET.Element:
    return ET.Element("testcase", name=_xml(name), classname=_xml(group), time=seconds)


def _test(target: dict, failures: dict) -> ET.Element:
    package, _, name = target["label"].removeprefix("//").partition(":")
    case = _case(name or package, package.replace("/", "."), _seconds(target["duration_ms"]))
    if target["status"] in UNTRIED:
        ET.SubElement(case, "skipped", message=_xml(target["message"] or target["status"]))
    elif not target["ok"]:
        told = failures.get(("test", target["label"]))
        kind = "error" if target["status"] in ("failed to build", "not run", "incomplete") else "failure"
        body = ET.SubElement(case, kind, type=target["status"], message=_xml(told["why"] if told else target["status"]))
        body.text = _xml(target["log"] or (_story(told) if told else target["message"]))
    return case


def _artifact(row: dict) -> list[ET.Element]:
    cases = []
    for one in row["measures"]:
        if one["limit"] is None:
            continue
        case = _case(f"{row['name']}: {one['label']}", "budgets")
        if not one["ok"]:
            limit = human(one["limit"], one["unit"])
            ET.SubElement(case, "failure", type="budget",
                          message=f"{human(one['value'], one['unit'])}, over its budget of {limit}")
        cases.append(case)
    for problem in row["problems"]:
        case = _case(row["name"], "budgets")
        ET.SubElement(case, "error", type="budget", message=_xml(problem))
        cases.append(case)
    return cases


def _check(check: dict, failures: dict) -> ET.Element:
    case = _case(check["name"], "checks", f"{check['seconds']:.3f}")
    if check["status"] == "not checked":
        ET.SubElement(case, "skipped", message=_xml(f"not checked: {check['note']}"))
    elif check["status"] == "failed":
        told = failures.get(("check", check["name"]))
        ET.SubElement(case, "failure", type="check", message=_xml(check["note"])).text = _xml(told["log"] if told else "")
    return case


def _failed(name: str, group: str, told: dict) -> ET.Element:
    case = _case(name, group)
    ET.SubElement(case, "failure", type=told["kind"], message=_xml(told["why"])).text = _xml(_story(told))
    return case


def _story(told: dict) -> str:
    lines = list(told["lines"])
    if told["affected"]:
        lines += ["", "takes down:"] + told["affected"]
    return "\n".join(lines + ["", f"reproduce: {told['command']}"])


def _seconds(ms: float) -> str:
    return f"{ms / 1000:.3f}"


def _xml(text: str) -> str:
    """XML 1.0 has no way to write most control characters or lone surrogates."""
    return "".join(c for c in text
                   if c in "\t\n" or "\x20" <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c >= "\U00010000")
