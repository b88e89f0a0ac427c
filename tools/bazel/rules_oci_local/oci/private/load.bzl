"""Loading into the local container engine, and the archive that is loaded."""

load(":script.bzl", "script")

def _oci_load_impl(ctx):
    archive = ["archive", "--format", ctx.attr.format, "--repo-tags", ctx.file.repo_tags, ctx.file.image]
    tarball = ctx.actions.declare_file(ctx.label.name + "/tarball.tar")
    ctx.actions.run(
        executable = "/usr/bin/python3",
        arguments = [ctx.file._tool.path] + [
            word.path if type(word) == "File" else word
            for word in archive
        ] + ["--output", tarball.path],
        inputs = [ctx.file._tool, ctx.file.repo_tags, ctx.file.image],
        outputs = [tarball],
        mnemonic = "OCITarball",
    )

    # Only the `tarball` output group builds the archive; loading makes it on the fly.
    loader = ["--loader", ctx.executable.loader] if ctx.executable.loader else []
    return [
        script(ctx, ctx.file._tool, ["load"] + loader + archive[1:], []),
        OutputGroupInfo(tarball = depset([tarball])),
    ]

oci_load = rule(
    implementation = _oci_load_impl,
    attrs = {
        "format": attr.string(default = "docker", values = ["docker", "oci"]),
        "image": attr.label(allow_single_file = True, mandatory = True),
        "loader": attr.label(allow_files = True, cfg = "target", executable = True),
        "repo_tags": attr.label(allow_single_file = [".txt"], mandatory = True),
        "_tool": attr.label(default = ":oci.py", allow_single_file = True),
    },
    executable = True,
)
