"""The labels of an image, with the revision it was built from."""

load("@cargo_workspace//:defs.bzl", "LICENSE", "REPOSITORY", "VERSION")

def _image_labels_impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".txt")
    fixed = {
        "org.opencontainers.image.description": ctx.attr.description,
        "org.opencontainers.image.licenses": LICENSE,
        "org.opencontainers.image.source": REPOSITORY,
        "org.opencontainers.image.title": ctx.attr.title,
        "org.opencontainers.image.version": VERSION,
    }

    # The stable status file changes with the commit: this file and the images are made anew then, the binaries are not.
    ctx.actions.run_shell(
        arguments = [out.path, ctx.info_file.path] + ["{}={}".format(name, value) for name, value in fixed.items()],
        command = """\
set -eu
out=$1 status=$2
shift 2
printf '%s\\n' "$@" >"$out"
sed -n 's/^STABLE_OMNIRELAY_REVISION /org.opencontainers.image.revision=/p' "$status" >>"$out"
""",
        inputs = [ctx.info_file],
        outputs = [out],
        mnemonic = "ImageLabels",
    )
    return [DefaultInfo(files = depset([out]))]

image_labels = rule(
    implementation = _image_labels_impl,
    attrs = {
        "description": attr.string(mandatory = True),
        "title": attr.string(mandatory = True),
    },
    doc = "A file of `name=value` lines, as the `labels` of oci_image.",
)
