"""One macro for an image: the static binary, CA roots, a non-root user, labels, nothing else."""

load("@rules_oci//oci:defs.bzl", "oci_image", "oci_load", "oci_push")
load("@rules_pkg//pkg:mappings.bzl", "pkg_attributes", "pkg_files")
load("//tools/bazel:image_labels.bzl", "image_labels")
load("//tools/bazel:image_layer.bzl", "image_layer")
load("//tools/bazel:python.bzl", "python_test")

def omnirelay_image(name, binary, program, description, cmd = None, exposed_ports = None, roles = {}, visibility = None):
    """Declares an image with what loads, pushes and tests it.

    Targets: `NAME` (an OCI layout), `NAME_archive` (for `docker load`), `load_NAME`, `push_NAME`, `NAME_contents_test`,
    `NAME_reproducible_test`, `NAME_push_test`; and for each role `NAME_ROLE`, `NAME_ROLE_archive`, `load_NAME_ROLE` and
    `push_NAME_ROLE`: an image of its own name with the same layers, so that a host keeps them once.

    Args:
      name: by convention `image`.
      binary: the static binary.
      program: its name; it becomes /usr/local/bin/PROGRAM, the title label and the local repository omnirelay/PROGRAM.
      description: one line for the description label.
      cmd: default arguments.
      exposed_ports: as in rules_oci.
      roles: what the program is started as, by the name of the image: its first arguments.
      visibility: who may use the image.
    """
    pkg_files(
        name = name + "_binary",
        srcs = [binary],
        attributes = pkg_attributes(mode = "0755"),
        prefix = "usr/local/bin",
        renames = {binary: program},
    )
    for suffix, testonly in [("", False), ("_again", True)]:
        image_layer(
            name = name + "_layer" + suffix,
            testonly = testonly,
            srcs = [":" + name + "_binary"],
        )
    config = dict(cmd = cmd, exposed_ports = exposed_ports, visibility = visibility)
    entrypoint = ["/usr/local/bin/" + program]
    _image(name, name, program, description, entrypoint, **config)
    oci_image(
        name = name + "_again",
        testonly = True,
        **_what(name, name, entrypoint, cmd, exposed_ports, "_again")
    )
    for role, arguments in roles.items():
        _image(name, name + "_" + role, role, description, entrypoint + arguments, **config)
    _tests(name, binary, program)

def _what(layers, name, entrypoint, cmd, exposed_ports, suffix = ""):
    """What an image consists of."""
    return dict(
        architecture = select({
            "@platforms//cpu:aarch64": "arm64",
            "//conditions:default": "amd64",
        }),
        cmd = cmd,
        entrypoint = entrypoint,
        exposed_ports = exposed_ports,
        labels = ":" + name + "_labels",
        os = "linux",
        tars = [
            "//tools/bazel/image:base" + suffix,
            ":" + layers + "_layer" + suffix,
        ],
        user = "65532:65532",
        workdir = "/var/lib/omnirelay",
    )

def _image(layers, name, title, description, entrypoint, cmd, exposed_ports, visibility):
    """An image of the layers of another one or of its own, and what loads and pushes it."""
    image_labels(
        name = name + "_labels",
        description = description,
        title = title,
    )
    oci_image(
        name = name,
        visibility = visibility,
        **_what(layers, name, entrypoint, cmd, exposed_ports)
    )
    oci_load(
        name = "load_" + name,
        image = ":" + name,
        repo_tags = ["omnirelay/{}:latest".format(title)],
        visibility = visibility,
    )
    native.filegroup(
        name = name + "_archive",
        srcs = [":load_" + name],
        output_group = "tarball",
        visibility = visibility,
    )
    oci_push(
        name = "push_" + name,
        image = ":" + name,
        visibility = visibility,
    )

def _tests(name, binary, program):
    test = "//tools/bazel/image:image_test.py"
    python_test(
        name = name + "_contents_test",
        src = test,
        args = ["contents", "$(rootpath :{})".format(name), "$(rootpath {})".format(binary), program],
        data = [":" + name, binary],
    )
    python_test(
        name = name + "_reproducible_test",
        src = test,
        args = ["same", "$(rootpath :{})".format(name), "$(rootpath :{}_again)".format(name)],
        data = [":" + name, ":" + name + "_again"],
    )
    python_test(
        name = name + "_push_test",
        src = test,
        args = ["push", "$(rootpath :{})".format(name), "$(rootpath :push_{})".format(name)],
        data = [":" + name, ":push_" + name],
    )
