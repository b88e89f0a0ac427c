"""The report as Prometheus text (exposition format 0.0.4)."""

from __future__ import annotations

from datetime import datetime

# Compilers, per-run names and messages stay out: labels are targets, artifacts and checks only.


def render(report: dict) -> str:
    out: list[str] = []
    counts, ok = report["counts"], report["status"] == "passed"
    _family(out, "omnirelay_gate_passed", "gauge", "1 when the gate passed.", [({}, int(ok))])
    started = datetime.fromisoformat(report["started"].replace("Z", "+00:00")).timestamp()
    _family(out, "omnirelay_gate_start_time_seconds", "gauge", "When the run began, in Unix time.", [({}, int(started))])
    _family(out, "omnirelay_gate_duration_seconds", "gauge", "Wall time of Bazel.", [({}, report["wall_ms"] / 1000)])
    _family(out, "omnirelay_gate_tests", "gauge", "Test targets by outcome.",
            [({"outcome": k}, counts[k]) for k in ("passed", "failed", "skipped", "left_out")])
    _family(out, "omnirelay_gate_targets", "gauge", "Targets of the run.", [({}, counts["targets"])])
    _family(out, "omnirelay_gate_warnings", "gauge", "Compiler and linter warnings.", [({}, counts["warnings"])])
    _family(out, "omnirelay_gate_actions", "gauge", "Build actions by where they ran.",
            [({"runner": name}, count) for name, count in sorted(report["actions"]["runners"].items()) if name != "total"])
    _family(out, "omnirelay_gate_target_passed", "gauge", "1 when the target is fine.",
            [({"target": t["label"], "status": t["status"]}, int(t["ok"])) for t in report["targets"]])
    _family(out, "omnirelay_gate_target_duration_seconds", "gauge", "Time of a target's test or build actions.",
            [({"target": t["label"], "cached": t["cached"] or "unknown"}, t["duration_ms"] / 1000)
             for t in report["targets"]])
    measures = [(a["name"], m) for a in report["artifacts"] for m in a["measures"]]
    for unit, suffix, divisor in (("B", "bytes", 1), ("ms", "seconds", 1000)):
        of_unit = [(name, m) for name, m in measures if m["unit"] == unit]
        _family(out, f"omnirelay_gate_artifact_{suffix}", "gauge", f"Measured {suffix} of an artifact.",
                [({"artifact": n, "measure": _measure(m)}, m["value"] / divisor) for n, m in of_unit])
        _family(out, f"omnirelay_gate_artifact_budget_{suffix}", "gauge", f"Budget in {suffix} of an artifact.",
                [({"artifact": n, "measure": _measure(m)}, m["limit"] / divisor)
                 for n, m in of_unit if m["limit"] is not None])
    _family(out, "omnirelay_gate_check_passed", "gauge", "1 when a side check passed, 0 when not.",
            [({"check": c["name"], "status": c["status"]}, int(c["status"] == "passed")) for c in report["checks"]])
    _family(out, "omnirelay_gate_stage_duration_seconds", "gauge", "Wall time of a stage of .ci/run.",
            [({"stage": s["name"]}, s["seconds"]) for s in report["stages"]])
    return "\n".join(out) + "\n"


def _measure(m: dict) -> str:
    """The measure's name without its unit, which the metric's name carries."""
    return m["key"].removesuffix("_bytes").removesuffix("_ms").replace("bytes", "size")


def _family(out: list[str], name: str, kind: str, text: str, samples: list[tuple[dict, float]]) -> None:
    if not samples:
        return
    out.append(f"# HELP {name} {text}")
    out.append(f"# TYPE {name} {kind}")
    for labels, value in samples:
        inside = ",".join(f'{k}="{_escape(str(v))}"' for k, v in labels.items())
        out.append(f"{name}{{{inside}}} {value:.10g}" if inside else f"{name} {value:.10g}")


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
