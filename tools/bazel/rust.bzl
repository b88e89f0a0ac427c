"""One macro for a Rust crate: library, binaries, tests, clippy and rustfmt.

Third-party dependencies come from the crate's Cargo.toml by way of the rendered crates; a BUILD file names only the
first-party ones, which are the architecture.
"""

load("@cargo_workspace//:defs.bzl", "EDITION", "RUSTC_LINTS", "VERSION")
load("@crates//:defs.bzl", "aliases", "all_crate_deps")
load("@rules_rust//rust:defs.bzl", "rust_binary", "rust_clippy", "rust_library", "rust_test", "rustfmt_test")
load(":small.bzl", "small_binary")

# Addresses that a position-independent program corrects at its start, in a bit each instead of 24 bytes.
_RELR = "-Clink-arg=-Wl,-z,pack-relative-relocs"

_FLAGS = RUSTC_LINTS + ["-Dwarnings"]

# What binaries are compiled for; crates that no call passes through are compiled for size for every one of them
# (tools/crates/config.json). A pass over all crates of a binary makes it smaller and faster; what does not ship does
# not pay for it.
_OPTIMIZE = {
    "none": [],
    "size": ["-Clto=fat", "-Ccodegen-units=1", "-Copt-level=z", "-Cllvm-args=-inline-threshold=10", _RELR],
    "small": ["-Clto=fat", "-Ccodegen-units=1", "-Copt-level=z", "-Cllvm-args=-inline-threshold=10", _RELR],
    "speed": ["-Clto=thin", "-Ccodegen-units=1", "-Cllvm-args=-inline-threshold=120", _RELR],
}

# Tests run crates that are optimised as they ship; only their own code is compiled quickly. Unit tests are their crate.
_UNIT_TEST_FLAGS = _FLAGS + ["-Copt-level=1"]
_TEST_FLAGS = _FLAGS + ["-Copt-level=0"]

def rust_crate(
        name,
        crate_name,
        deps = [],
        bins = [],
        optimize = "speed",
        compile_data = [],
        data = [],
        test_compile_data = [],
        test_data = [],
        test_deps = [],
        test_env = {},
        test_harness = True,
        test_size = "small",
        test_tags = [],
        visibility = None):
    """Declares everything one crate consists of.

    Targets: `name` (the library, where src/lib.rs is), one per binary, `name_unit_test`, one `STEM_test` per
    tests/STEM.rs, one `benchmark/STEM` per benches/STEM.rs, `clippy` and `rustfmt`.

    Args:
      name: the library's target, by convention the folder's name.
      crate_name: the package's name in its Cargo.toml.
      deps: first-party libraries, the same as in Cargo.toml.
      bins: names of binaries: src/bin/NAME.rs, or src/main.rs for one that has no such file.
      optimize: what the binaries are for: `speed` (the data plane), `size` (their own crates and the linking are for
        size), `small` (every crate is, for this program alone), `none` (tools of the build). A library through which no
        call passes is compiled for `size` too.
      compile_data: files which the sources include at compile time.
      data: files which the binaries read when they run.
      test_compile_data: files which the tests include at compile time.
      test_data: files and programs which the integration tests use; a dictionary by the tests' stems where only some do.
      test_deps: first-party libraries which only the tests use.
      test_env: environment of the integration tests that have data, where the variable names it; `CARGO_BIN_EXE_NAME` of each binary is there already.
      test_harness: whether the integration tests run under libtest; otherwise each has a `main` of its own.
      test_size: how long the integration tests may take, as Bazel's `size`.
      test_tags: tags of the integration tests.
      visibility: who may depend on the library: a group of //tools/bazel/layers.
    """

    # Generated code is included by hand-written files and not formatted.
    generated = ["src/gen/**"]
    sources = native.glob(["src/**/*.rs"], exclude = generated)
    has_library = "src/lib.rs" in sources
    common = dict(
        aliases = aliases(),
        compile_data = compile_data + native.glob(generated, allow_empty = True),
        edition = EDITION,
        proc_macro_deps = all_crate_deps(proc_macro = True),
        version = VERSION,
    )
    crate_deps = deps + all_crate_deps(normal = True)
    linted = []

    if has_library:
        rust_library(
            name = name,
            srcs = [file for file in sources if file != "src/main.rs" and not file.startswith("src/bin/")],
            crate_name = crate_name.replace("-", "_"),
            crate_root = "src/lib.rs",
            rustc_flags = _FLAGS + (["-Copt-level=z"] if optimize == "size" else []),
            visibility = visibility,
            deps = crate_deps,
            **common
        )
        linted.append(":" + name)

    for bin in bins:
        own = "src/bin/{}.rs".format(bin)
        built = bin
        if optimize == "small":
            # What is linted is the program as it is without. Its file is called as the program that it is.
            built = "program/" + bin
            small_binary(
                name = bin,
                binary = ":" + built,
                visibility = ["//visibility:public"],
            )
        rust_binary(
            name = built,
            srcs = sources,
            crate_name = bin.replace("-", "_"),
            crate_root = own if own in sources else "src/main.rs",
            data = data,
            rustc_flags = _FLAGS + _OPTIMIZE[optimize],
            tags = ["manual"] if built != bin else [],
            visibility = ["//visibility:public"],
            deps = crate_deps + ([":" + name] if has_library else []),
            **common
        )
        linted.append(":" + built)

    _benchmarks(name, common, crate_deps, test_deps, has_library, linted)
    _tests(
        name = name,
        bins = bins,
        small = optimize == "small",
        sources = sources,
        common = common,
        deps = crate_deps,
        has_library = has_library,
        linted = linted,
        test_compile_data = test_compile_data,
        test_data = test_data,
        test_deps = test_deps,
        test_env = test_env,
        test_harness = test_harness,
        test_size = test_size,
        test_tags = test_tags,
    )

    # What //tools/bazel/layers and //tools/crates compare.
    native.filegroup(
        name = "manifests",
        srcs = [
            "BUILD.bazel",
            "Cargo.toml",
        ],
        visibility = ["//tools:__subpackages__"],
    )
    rust_clippy(
        name = "clippy",
        testonly = True,
        deps = linted,
    )
    rustfmt_test(
        name = "rustfmt",
        size = "small",
        targets = linted,
    )

def _about(env, files):
    """The variables that name one of these files, or none at all."""
    return {
        name: value
        for name, value in env.items()
        if "$(" not in value or any([file in value for file in files])
    }

def _benchmarks(name, common, deps, test_deps, has_library, linted):
    """Benchmarks that cargo runs (docs/operations/bench.md): linted here, so that they do not rot."""
    for file in native.glob(["benches/*.rs"], allow_empty = True):
        benchmark = "benchmark/" + file.removeprefix("benches/").removesuffix(".rs")
        rust_binary(
            name = benchmark,
            testonly = True,
            srcs = [file],
            crate_root = file,
            rustc_flags = _FLAGS,
            tags = ["manual"],
            deps = deps + test_deps + all_crate_deps(normal_dev = True) + ([":" + name] if has_library else []),
            **dict(
                common,
                aliases = aliases(normal_dev = True, proc_macro_dev = True),
                proc_macro_deps = all_crate_deps(proc_macro = True, proc_macro_dev = True),
            )
        )
        linted.append(":" + benchmark)

def _tests(
        name,
        bins,
        small,
        sources,
        common,
        deps,
        has_library,
        linted,
        test_compile_data,
        test_data,
        test_deps,
        test_env,
        test_harness,
        test_size,
        test_tags):
    """Unit tests of the library (of the binary, where there is no library) and one test per file in tests/."""
    test_common = dict(
        common,
        compile_data = common["compile_data"] + test_compile_data,
        rustc_env = {"CARGO": "cargo"},
        rustc_flags = _TEST_FLAGS,
    )
    test_common["aliases"] = aliases(normal_dev = True, proc_macro_dev = True)
    test_common["proc_macro_deps"] = all_crate_deps(proc_macro = True, proc_macro_dev = True)
    dev_deps = test_deps + all_crate_deps(normal_dev = True)

    unit = dict(test_common, rustc_flags = _UNIT_TEST_FLAGS)
    if small:
        # A test of the program as a crate would have that linked as well.
        unit.update(srcs = sources, crate_root = "src/main.rs", deps = deps + dev_deps)
    else:
        unit.pop("edition")
        unit.update(crate = ":" + (name if has_library else bins[0]), deps = dev_deps)
    rust_test(
        name = name + "_unit_test",
        size = "small",
        **unit
    )
    linted.append(":" + name + "_unit_test")

    # CARGO_BIN_EXE_NAME as cargo has it: at compile time from rules_rust, at run time from here.
    own_env = {"CARGO_BIN_EXE_" + bin: "$(rootpath :{})".format(bin) for bin in bins}
    own_data = [":" + bin for bin in bins]
    integration = test_common
    if small:
        # rules_rust knows the path of its own binaries alone.
        integration = dict(test_common, rustc_env = dict(test_common["rustc_env"], **own_env))
    shared = native.glob(["tests/*/**/*.rs"], allow_empty = True)
    for file in native.glob(["tests/*.rs"], allow_empty = True):
        stem = file.removeprefix("tests/").removesuffix(".rs")
        target = stem if stem.endswith("_test") else stem + "_test"
        uses = test_data.get(stem) if type(test_data) == "dict" else test_data
        rust_test(
            name = target,
            size = test_size,
            srcs = [file] + shared,
            crate_name = stem,
            crate_root = file,
            data = own_data + (uses or []),
            env = own_env if uses == None else dict(own_env, **_about(test_env, uses)),
            tags = test_tags,
            use_libtest_harness = test_harness,
            deps = deps + dev_deps + ([":" + name] if has_library else []),
            **integration
        )
        linted.append(":" + target)
