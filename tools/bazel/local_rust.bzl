"""Rust toolchains made from an installed Rust (LOCAL_RUST_SYSROOT, or the `rustc` on PATH)."""

_BUILD = """\
load("@rules_rust//rust:toolchain.bzl", "rust_stdlib_filegroup", "rust_toolchain", "rustfmt_toolchain")

package(default_visibility = ["//visibility:public"])

filegroup(
    name = "rustc_lib",
    srcs = glob(
        [
            "lib/*.so*",
            "lib/rustlib/{triple}/codegen-backends/*.so",
            "lib/rustlib/{triple}/bin/**",
            "lib/rustlib/{triple}/lib/*.so",
        ],
        allow_empty = True,
    ),
)

rust_stdlib_filegroup(
    name = "rust_std",
    srcs = glob(
        [
            "lib/rustlib/{triple}/lib/*.rlib",
            "lib/rustlib/{triple}/lib/*.rmeta",
            "lib/rustlib/{triple}/lib/*.so",
            "lib/rustlib/{triple}/lib/*.a",
            "lib/rustlib/{triple}/lib/self-contained/**",
            # Beside the standard library, because only its files keep the path that the linker is named by.
            "lib/rustlib/{triple}/bin/gcc-ld/ld.lld",
            "lib/rustlib/{triple}/bin/rust-lld",
        ],
        allow_empty = True,
    ),
)

rust_toolchain(
    name = "rust_toolchain",
    binary_ext = "",
    cargo = "bin/cargo",
    clippy_driver = "bin/clippy-driver",
    default_edition = "2024",
    dylib_ext = ".so",
    exec_triple = "{triple}",
    extra_rustc_flags_for_crate_types = {{"bin": {link}}},
    rust_doc = "bin/rustdoc",
    rust_std = ":rust_std",
    rustc = "bin/rustc",
    rustc_lib = ":rustc_lib",
    rustfmt = "bin/rustfmt",
    staticlib_ext = ".a",
    stdlib_linkflags = ["-lpthread", "-ldl"],
    strip_level = {{"dbg": "none", "fastbuild": "none", "opt": "symbols"}},
    target_triple = "{triple}",
)

toolchain(
    name = "toolchain",
    exec_compatible_with = ["@platforms//os:linux", "@platforms//cpu:{cpu}"],
    target_compatible_with = ["@platforms//os:linux", "@platforms//cpu:{cpu}"],
    toolchain = ":rust_toolchain",
    toolchain_type = "@rules_rust//rust:toolchain_type",
)

rustfmt_toolchain(
    name = "local_rustfmt",
    rustc = "bin/rustc",
    rustc_lib = ":rustc_lib",
    rustfmt = "bin/rustfmt",
)

toolchain(
    name = "rustfmt_toolchain",
    exec_compatible_with = ["@platforms//os:linux", "@platforms//cpu:{cpu}"],
    target_compatible_with = ["@platforms//os:linux", "@platforms//cpu:{cpu}"],
    toolchain = ":local_rustfmt",
    toolchain_type = "@rules_rust//rust/rustfmt:toolchain_type",
)
"""

def _link(rctx, triple):
    """The linker that comes with Rust, where it does: rustc passes it over when Bazel names a C compiler."""
    linkers = "lib/rustlib/{}/bin/gcc-ld".format(triple)
    if not rctx.path(linkers).get_child("ld.lld").exists:
        return []

    # Nobody defines a weak symbol of a static program later; without the last flag it would be found at the program's
    # own beginning.
    flags = [
        "-Bexternal/{}/{}".format(rctx.name, linkers),
        "-fuse-ld=lld",
        "-Wl,--icf=all",
        "-Wl,-z,nodynamic-undefined-weak",
    ]
    return ["-Clink-arg=" + flag for flag in flags]

def _local_rust_impl(rctx):
    sysroot = rctx.getenv("LOCAL_RUST_SYSROOT")
    if not sysroot:
        found = rctx.execute(["rustc", "--print", "sysroot"])
        if found.return_code != 0:
            fail("no rustc found: install Rust, or set --repo_env=LOCAL_RUST_SYSROOT=<sysroot>")
        sysroot = found.stdout.strip()
    root = rctx.path(sysroot)
    for tool in ["clippy-driver", "rustfmt"]:
        if not root.get_child("bin").get_child(tool).exists:
            fail("{} is missing from {}: rustup component add clippy rustfmt".format(tool, sysroot))
    cpu = "aarch64" if rctx.os.arch in ("aarch64", "arm64") else "x86_64"
    rctx.symlink(root.get_child("bin"), "bin")
    rctx.symlink(root.get_child("lib"), "lib")
    triple = cpu + "-unknown-linux-gnu"
    rctx.file("BUILD.bazel", _BUILD.format(cpu = cpu, link = repr(_link(rctx, triple)), triple = triple))

_local_rust = repository_rule(
    implementation = _local_rust_impl,
    configure = True,
    local = True,
)

def _local_rust_extension_impl(_module_ctx):
    _local_rust(name = "local_rust")

local_rust = module_extension(implementation = _local_rust_extension_impl)
