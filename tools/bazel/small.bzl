"""A program whose every crate is compiled for size, with those that other programs compile for speed."""

_RUSTC_FLAGS = "@rules_rust//rust/settings:extra_rustc_flag"

# A program that ends with a panic needs no way back through its callers: no landing pads, no tables of them.
_SMALL = ["-Copt-level=z", "-Cpanic=abort"]

def _for_size_impl(settings, _attr):
    return {_RUSTC_FLAGS: settings[_RUSTC_FLAGS] + _SMALL}

_for_size = transition(
    implementation = _for_size_impl,
    inputs = [_RUSTC_FLAGS],
    outputs = [_RUSTC_FLAGS],
)

def _small_binary_impl(ctx):
    program = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = program, target_file = ctx.executable.binary, is_executable = True)
    return [DefaultInfo(
        executable = program,
        files = depset([program]),
        runfiles = ctx.runfiles([program]),
    )]

small_binary = rule(
    implementation = _small_binary_impl,
    attrs = {
        "binary": attr.label(
            cfg = _for_size,
            doc = "The program as it is without this rule.",
            executable = True,
            mandatory = True,
        ),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
    doc = "The same program, with all of its crates compiled for size.",
    executable = True,
)
