"""Images and indexes as OCI layout folders."""

_FILE_ATTRS = ["annotations", "cmd", "created", "entrypoint", "env", "exposed_ports", "labels", "volumes"]

def _build(ctx, arguments, inputs):
    layout = ctx.actions.declare_directory(ctx.label.name)
    digest = ctx.actions.declare_file(ctx.label.name + ".sha256")
    ctx.actions.run(
        executable = "/usr/bin/python3",
        arguments = [ctx.file._tool.path] + arguments + ["--digest-file", digest.path, layout.path],
        inputs = [ctx.file._tool] + inputs,
        outputs = [layout, digest],
        mnemonic = "OCIImage",
        progress_message = "OCI Image %{label}",
    )
    return [
        DefaultInfo(files = depset([layout])),
        OutputGroupInfo(digest = depset([digest])),
    ]

def _oci_image_impl(ctx):
    if ctx.attr.base:
        fail("{}: `base` needs rules_oci itself: this stand-in builds from nothing".format(ctx.label))
    if not ctx.attr.os or not ctx.attr.architecture:
        fail("'os' and 'architecture' are mandatory when 'base' is unspecified.")
    arguments = ["image", "--os", ctx.attr.os, "--architecture", ctx.attr.architecture]
    if ctx.attr.variant:
        arguments += ["--variant", ctx.attr.variant]
    if ctx.attr.user:
        arguments += ["--user", ctx.attr.user]
    if ctx.attr.workdir:
        arguments += ["--workdir", ctx.attr.workdir]
    inputs = list(ctx.files.tars)
    for tar in ctx.files.tars:
        arguments += ["--layer", tar.path]
    for name in _FILE_ATTRS:
        file = getattr(ctx.file, name)
        if file:
            arguments += ["--" + name.replace("_", "-"), file.path]
            inputs.append(file)
    return _build(ctx, arguments, inputs)

_TOOL = {"_tool": attr.label(default = ":oci.py", allow_single_file = True)}

oci_image = rule(
    implementation = _oci_image_impl,
    attrs = dict(
        {name: attr.label(allow_single_file = True) for name in _FILE_ATTRS},
        architecture = attr.string(),
        base = attr.label(allow_single_file = True),
        os = attr.string(),
        tars = attr.label_list(allow_files = [".tar", ".tgz", ".tar.gz"]),
        user = attr.string(),
        variant = attr.string(),
        workdir = attr.string(),
        **_TOOL
    ),
)

def _oci_image_index_impl(ctx):
    arguments = ["index"]
    for image in ctx.files.images:
        arguments += ["--image", image.path]
    return _build(ctx, arguments, ctx.files.images)

oci_image_index = rule(
    implementation = _oci_image_index_impl,
    attrs = dict(images = attr.label_list(mandatory = True), **_TOOL),
)
