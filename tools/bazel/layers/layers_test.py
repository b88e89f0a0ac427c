#!/usr/bin/env python3
"""The layers hold: BUILD files and Cargo.toml files name the same first-party crates, and no group lets in what must stay out."""

import ast
import pathlib
import sys
import tomllib

# What must never know what, whatever else changes: (who, whom).
FORBIDDEN = [
    ("relay/core", "runtime"),
    ("relay/core", "relay/transport"),
    ("relay/core", "relay/client"),
    ("relay/policy", "runtime"),
    ("relay/policy", "relay/transport"),
    ("relay/transport", "relay/client"),
    ("relay/transport", "relay/server"),
    ("relay/server", "meshkit/model"),
    ("relay/server", "meshkit/store"),
    ("relay/server", "meshkit/shards"),
    ("meshkit/model", "runtime"),
    ("meshkit/model", "relay/core"),
    ("meshkit/store", "relay/transport"),
    ("meshkit/registry", "meshkit/shards"),
    ("meshkit/registry", "relay/client"),
    ("meshkit/shards", "meshkit/registry"),
    ("meshkit/shards", "relay/client"),
    ("meshkit/client", "meshkit/model"),
    ("meshkit/client", "meshkit/store"),
    ("cli", "meshkit/host"),
    ("cli", "meshkit/model"),
    ("cli", "meshkit/store"),
    ("cli", "relay/server"),
    ("samples", "meshkit/store"),
    ("runtime", "relay/core"),
    ("runtime", "meshkit/model"),
]


def calls(path: pathlib.Path, function: str) -> list[dict]:
    """The keyword arguments of every call of `function` in a BUILD file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == function:
            found.append({keyword.arg: keyword.value for keyword in node.keywords})
    return found


def text_list(node) -> list[str]:
    return [item.value for item in ast.walk(node) if isinstance(item, ast.Constant)] if node else []


def admits(packages: list[str], folder: str) -> bool:
    return any(
        folder == package[2:].removesuffix("/...") or (package.endswith("/...") and (folder + "/").startswith(package[2:-3]))
        for package in packages
    )


def main() -> None:
    members = tomllib.loads(pathlib.Path("Cargo.toml").read_text())["workspace"]["members"]
    manifests = {folder: tomllib.loads(pathlib.Path(folder, "Cargo.toml").read_text()) for folder in members}
    folders = {manifest["package"]["name"]: folder for folder, manifest in manifests.items()}
    groups = {
        call["name"].value: text_list(call["packages"])
        for call in calls(pathlib.Path("tools/bazel/layers/BUILD.bazel"), "package_group")
    }
    problems, visibility = [], {}

    for folder, manifest in manifests.items():
        (crate,) = calls(pathlib.Path(folder, "BUILD.bazel"), "rust_crate")
        if crate["crate_name"].value != manifest["package"]["name"]:
            problems.append(f"{folder}/BUILD.bazel: crate_name is not {manifest['package']['name']}")
        for attribute, table in (("deps", "dependencies"), ("test_deps", "dev-dependencies")):
            wanted = {folders[name] for name in manifest.get(table, {}) if name in folders}
            named = {label.removeprefix("//") for label in text_list(crate.get(attribute))}
            for missing in sorted(wanted - named):
                problems.append(f"{folder}/BUILD.bazel: {attribute} lacks //{missing}, which Cargo.toml has")
            for surplus in sorted(named - wanted):
                problems.append(f"{folder}/BUILD.bazel: {attribute} has //{surplus}, which Cargo.toml lacks")
        visibility[folder] = [label.rpartition(":")[2] for label in text_list(crate.get("visibility"))]
        for group in visibility[folder]:
            if group not in groups:
                problems.append(f"{folder}/BUILD.bazel: visibility names no group of //tools/bazel/layers: {group}")

    for who in manifests:
        (crate,) = calls(pathlib.Path(who, "BUILD.bazel"), "rust_crate")
        for whom in (label.removeprefix("//") for label in text_list(crate.get("deps")) + text_list(crate.get("test_deps"))):
            if not any(admits(groups.get(group, []), who) for group in visibility.get(whom, [])):
                problems.append(f"{who}/BUILD.bazel: {whom} is not visible to {who}: see tools/bazel/layers")

    for who, whom in FORBIDDEN:
        if who not in manifests or whom not in manifests:
            problems.append(f"tools/bazel/layers/layers_test.py: no such crate: {who} or {whom}")
        elif any(admits(groups.get(group, []), who) for group in visibility[whom]):
            problems.append(f"tools/bazel/layers/BUILD.bazel: {whom} is visible to {who}, which must not know it")

    if problems:
        problems.append("dependencies of BUILD files are rewritten by tools/bazel/layers/update.py")
    print("\n".join(problems))
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
