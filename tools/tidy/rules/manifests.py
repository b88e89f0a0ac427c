"""The root Cargo.toml is the only place with versions and lints."""

from __future__ import annotations

import re

from .workspace import Problem, Workspace

_PACKAGE = ("version", "edition", "rust-version", "license", "repository", "publish")
_TABLES = ("dependencies", "dev-dependencies", "build-dependencies")
_FORBIDDEN = ("version", "path", "git", "registry", "branch", "tag", "rev")


def check(workspace: Workspace) -> list[Problem]:
    problems = []
    for member in workspace.toml("Cargo.toml").get("workspace", {}).get("members", []):
        path = f"{member}/Cargo.toml"
        if not (workspace.root / path).exists():
            problems.append(Problem("Cargo.toml", workspace.line_of("Cargo.toml", f'"{re.escape(member)}"'),
                                    f"member {member} has no Cargo.toml", "add the crate or drop the member"))
            continue
        problems += _member(workspace, path)
    return problems


def _member(workspace: Workspace, path: str) -> list[Problem]:
    manifest, problems = workspace.toml(path), []
    package = manifest.get("package", {})
    for key in _PACKAGE:
        if package.get(key) != {"workspace": True}:
            problems.append(Problem(path, workspace.line_of(path, rf"^{key}\b"),
                                    f"package.{key} is not the workspace's", f"write `{key}.workspace = true`"))
    if manifest.get("lints") != {"workspace": True}:
        problems.append(Problem(path, workspace.line_of(path, r"^\[lints"), "the lints are not the workspace's",
                                "write `[lints]` with `workspace = true`; lints are changed in the root Cargo.toml"))
    for table in [manifest, *manifest.get("target", {}).values()]:
        for kind in _TABLES:
            for name, value in table.get(kind, {}).items():
                problems += _dependency(workspace, path, name, value)
    for table in ("profile", "patch", "replace", "workspace"):
        if table in manifest:
            problems.append(Problem(path, workspace.line_of(path, rf"^\[{table}"), f"[{table}] in a member",
                                    "move it to the root Cargo.toml"))
    return problems


def _dependency(workspace: Workspace, path: str, name: str, value: object) -> list[Problem]:
    line = workspace.line_of(path, rf"^{re.escape(name)}\b")
    remedy = f"put it under [workspace.dependencies] in the root and write `{name}.workspace = true`"
    if not isinstance(value, dict) or value.get("workspace") is not True:
        return [Problem(path, line, f"{name} brings its own version or source", remedy)]
    own = [key for key in _FORBIDDEN if key in value]
    return [Problem(path, line, f"{name} sets {', '.join(own)} itself", remedy)] if own else []
