"""What Bazel needs to know of the root Cargo.toml: `@cargo_workspace//:defs.bzl` with MEMBERS, VERSION, EDITION, RUSTC_LINTS.

Lints, versions and editions thus stand in Cargo.toml alone. Only the few forms which that file uses are read:
`key = "value"` and `key = { level = "…", priority = N }`, one a line.
"""

def _section(text, name):
    """The `key = value` lines of one section, as a list of pairs."""
    pairs = []
    inside = False
    for line in text.split("\n"):
        line = line.strip()
        if line.startswith("["):
            inside = line == "[" + name + "]"
        elif inside and line and not line.startswith("#"):
            key, _, value = line.partition("=")
            pairs.append((key.strip(), value.strip()))
    return pairs

def _string(value, where):
    if not value.startswith("\"") or value.count("\"") < 2:
        fail("Cargo.toml: {} is not a plain string: {}".format(where, value))
    return value.split("\"")[1]

def _level_and_priority(value, where):
    if value.startswith("\""):
        return _string(value, where), 0
    level = None
    priority = 0
    for part in value.strip("{} ").split(","):
        key, _, item = part.partition("=")
        if key.strip() == "level":
            level = _string(item.strip(), where)
        elif key.strip() == "priority":
            priority = int(item.strip())
        else:
            fail("Cargo.toml: {} has a part that tools/bazel/cargo_workspace.bzl does not know: {}".format(where, part))
    if level == None:
        fail("Cargo.toml: {} has no level".format(where))
    return level, priority

def _lint_flags(text, section, prefix):
    lints = []
    for name, value in _section(text, section):
        level, priority = _level_and_priority(value, section + "." + name)
        lints.append((priority, name, level))

    # rustc reads its flags from left to right and the last one wins; cargo puts low priorities first.
    return ["--{}={}{}".format(level, prefix, name.replace("-", "_")) for _, name, level in sorted(lints)]

def _members(text):
    """The folders of the workspace's crates."""
    listed = text.partition("members = [")[2].partition("]")[0]
    return [line.split("\"")[1] for line in listed.split("\n") if line.strip().startswith("\"")]

def _cargo_workspace_repository_impl(rctx):
    text = rctx.read(rctx.attr.manifest)
    package = dict(_section(text, "workspace.package"))
    flags = _lint_flags(text, "workspace.lints.rust", "") + _lint_flags(text, "workspace.lints.clippy", "clippy::")
    rctx.file("BUILD.bazel", "exports_files([\"defs.bzl\"])\n")
    rctx.file("defs.bzl", "MEMBERS = {}\nVERSION = {}\nEDITION = {}\nREPOSITORY = {}\nLICENSE = {}\nRUSTC_LINTS = {}\n".format(
        repr(_members(text)),
        repr(_string(package["version"], "version")),
        repr(_string(package["edition"], "edition")),
        repr(_string(package["repository"], "repository")),
        repr(_string(package["license"], "license")),
        repr(flags),
    ))

_cargo_workspace_repository = repository_rule(
    implementation = _cargo_workspace_repository_impl,
    attrs = {"manifest": attr.label(default = "//:Cargo.toml", allow_single_file = True)},
)

def _cargo_workspace_impl(module_ctx):
    _cargo_workspace_repository(name = "cargo_workspace")
    return module_ctx.extension_metadata(reproducible = True)

cargo_workspace = module_extension(implementation = _cargo_workspace_impl)
