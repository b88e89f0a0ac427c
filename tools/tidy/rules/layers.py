"""Who may know whom: the arrows of ARCHITECTURE.md against every Cargo.toml.

Bazel's visibility refuses the same arrows, but only once a BUILD file has them; this rule
reads the crates' own manifests, so that a plain `cargo build` cannot drift from it either.
Tests may reach further: dev-dependencies are not arrows.
"""

from __future__ import annotations

import re

from .workspace import Problem, Workspace

_CONTRACTS = {"omnirelay-proto"}
_LIFE = {"omnirelay-runtime"}
_PURE = {"relay-core", "relay-policy"}
_CLIENT = _PURE | {"relay-transport", "relay-client"}
_API = _CONTRACTS | _LIFE | {"meshkit-model", "meshkit-store", "meshkit-leadership", "relay-core", "relay-transport"}
_MODULE = _API | {"meshkit-api"}
_MODULES = {"meshkit-registry", "meshkit-shards", "meshkit-leaders", "meshkit-clusters", "meshkit-settings", "meshkit-audit",
            "meshkit-backup", "meshkit-bootstrap", "meshkit-members"}

# A crate may depend on these first-party crates and on no other. No module is in
# another module's row, and nothing but the host sees the modules.
ALLOWED: dict[str, set[str]] = {
    "omnirelay-proto": set(),
    "proto-gen": set(),
    "ca-roots": set(),
    "omnirelay-runtime": _CONTRACTS,
    "relay-core": set(),
    "relay-jwt": set(),
    "relay-jwks": _LIFE | {"relay-core", "relay-jwt", "relay-transport", "relay-client"},
    "relay-balance": set(),
    "relay-policy": {"relay-core"},
    "relay-enforcement": _LIFE | _PURE | {"relay-transport"},
    "relay-config": _LIFE | _CLIENT,
    "relay-transport": _LIFE | _PURE | {"relay-jwt"},
    "relay-client": _LIFE | _PURE | {"relay-transport"},
    "relay-server": _CONTRACTS | _LIFE | _CLIENT | {"relay-balance", "relay-enforcement", "relay-config", "relay-jwks", "meshkit-client"},
    "relay-rpc": _LIFE | {"relay-core", "relay-transport"},
    "relay-rpc-gen": set(),
    "relay-interop": _LIFE | {"relay-rpc"},
    "relay-testkit": _LIFE | _CLIENT,
    "meshkit-model": set(),
    "meshkit-config": _LIFE | _PURE | {"relay-transport", "meshkit-model"},
    "meshkit-etcd": _LIFE | _CLIENT,
    "meshkit-store": _LIFE | {"meshkit-model", "meshkit-etcd"},
    "meshkit-leadership": _LIFE | {"meshkit-model", "meshkit-store"},
    "meshkit-membership": _LIFE | {"meshkit-model", "relay-transport"},
    "meshkit-testkit": {"meshkit-model", "meshkit-store"},
    "meshkit-fleet": _LIFE | _CLIENT | {"relay-testkit", "meshkit-client"},
    "meshkit-api": _API,
    "meshkit-registry": _MODULE | {"meshkit-membership"},
    "meshkit-shards": _MODULE,
    "meshkit-clusters": _MODULE,
    "meshkit-leaders": _MODULE,
    "meshkit-members": _MODULE | {"meshkit-membership"},
    "meshkit-settings": _MODULE,
    "meshkit-audit": _MODULE,
    "meshkit-backup": _MODULE,
    "meshkit-bootstrap": _MODULE,
    "meshkit-client": _CONTRACTS | _LIFE | _CLIENT,
    "omnirelay-cli": _CONTRACTS | _LIFE | _CLIENT | {"relay-config", "meshkit-config", "meshkit-client"},
    "meshkit-bench": _LIFE | {"meshkit-client", "meshkit-model", "meshkit-store", "meshkit-testkit"},
    "omnirelay-bench": _CONTRACTS | _LIFE | _CLIENT | {"relay-rpc", "relay-testkit"},
    "meshkit-host": _MODULE | _MODULES | {"meshkit-membership", "relay-policy", "relay-enforcement", "relay-jwks", "relay-rpc", "meshkit-config"},
    "omnirelay-samples": _CONTRACTS | _LIFE | _CLIENT | {"relay-enforcement", "relay-rpc", "meshkit-client"},
    "omnirelay-fuzz": _CONTRACTS | _LIFE | _CLIENT | {"relay-config", "relay-jwt", "relay-rpc", "relay-testkit"},
    "omnirelay-smoke": _CONTRACTS | _LIFE | _CLIENT | {"meshkit-client"},
    "ca-roots": set(),
}


def check(workspace: Workspace) -> list[Problem]:
    members = workspace.members()
    problems = []
    for name, folder in members.items():
        path = f"{folder}/Cargo.toml"
        if name not in ALLOWED:
            problems.append(Problem(path, workspace.line_of(path, r"^name\b"), f"{name} has no place in the layers",
                                    "give it a row in tools/tidy/rules/layers.py and a paragraph in ARCHITECTURE.md"))
            continue
        for dependency in sorted(_first_party(workspace.toml(path), members) - ALLOWED[name]):
            allowed = ", ".join(sorted(ALLOWED[name])) or "no first-party crate"
            problems.append(Problem(path, workspace.line_of(path, rf"^{re.escape(dependency)}\b"),
                                    f"{name} must not know {dependency}",
                                    f"it may depend on {allowed}; move the code to the layer that may know both"))
    for name in sorted(set(ALLOWED) - set(members)):
        problems.append(Problem("tools/tidy/rules/layers.py",
                                workspace.line_of("tools/tidy/rules/layers.py", f'^    "{re.escape(name)}":')
                                if (workspace.root / "tools/tidy/rules/layers.py").exists() else 1,
                                f"{name} is no crate of the workspace", "drop its row"))
    return problems + _mapped(workspace, members)


def _first_party(manifest: dict, members: dict[str, str]) -> set[str]:
    tables = [manifest, *manifest.get("target", {}).values()]
    named = {name for table in tables for kind in ("dependencies", "build-dependencies") for name in table.get(kind, {})}
    return named & set(members)


def _mapped(workspace: Workspace, members: dict[str, str]) -> list[Problem]:
    """A stranger finds every crate and folder from ARCHITECTURE.md."""
    if not (workspace.root / "ARCHITECTURE.md").exists():
        return [Problem("ARCHITECTURE.md", 1, "is missing", "write the code map: one paragraph a crate")]
    text = workspace.text("ARCHITECTURE.md")
    problems = []
    for name, folder in members.items():
        for what, word in (("the crate", name), ("the folder", folder)):
            if not re.search(rf"(?<![\w/-]){re.escape(word)}(?![\w-])", text):
                problems.append(Problem("ARCHITECTURE.md", 1, f"does not mention {what} {word}",
                                        "say in a paragraph what it is for and what it must not know"))
    return problems
