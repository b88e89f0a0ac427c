"""Pushing to a registry."""

load(":script.bzl", "script")

def _oci_push_impl(ctx):
    if ctx.attr.repository and ctx.file.repository_file:
        fail("must specify exactly one of 'repository_file' or 'repository'")
    arguments = ["push", ctx.file.image]
    if ctx.attr.repository:
        arguments += ["--repository", ctx.attr.repository]
    if ctx.file.repository_file:
        arguments += ["--repository-file", ctx.file.repository_file]
    if ctx.file.remote_tags:
        arguments += ["--tags-file", ctx.file.remote_tags]
    return [script(ctx, ctx.file._tool, arguments, [])]

oci_push = rule(
    implementation = _oci_push_impl,
    attrs = {
        "image": attr.label(allow_single_file = True, mandatory = True),
        "remote_tags": attr.label(allow_single_file = True),
        "repository": attr.string(),
        "repository_file": attr.label(allow_single_file = True),
        "_tool": attr.label(default = ":oci.py", allow_single_file = True),
    },
    executable = True,
)
