"""A program that calls oci.py with files of its runfiles."""

# A path below the runfiles folder, which lies beside the script, or which `bazel test` and wrappers name.
_SCRIPT = """\
#!/bin/sh
set -eu
runfiles=${{RUNFILES_DIR:-$0.runfiles}}
exec python3 "$runfiles/{tool}" {arguments} "$@"
"""

def runfiles_path(ctx, file):
    """A file's path below the runfiles folder."""
    path = file.short_path
    return path.removeprefix("../") if path.startswith("../") else ctx.workspace_name + "/" + path

def script(ctx, tool, arguments, files):
    """An executable; in `arguments`, a File stands for its path at run time.

    Args:
      ctx: the rule's context.
      tool: the oci.py file.
      arguments: strings and Files.
      files: further files which are needed.

    Returns:
      the rule's providers.
    """
    words = []
    for argument in arguments:
        if type(argument) == "File":
            words.append("\"$runfiles/{}\"".format(runfiles_path(ctx, argument)))
        else:
            words.append("'{}'".format(argument.replace("'", "'\\''")))
    executable = ctx.actions.declare_file(ctx.label.name + ".sh")
    ctx.actions.write(
        executable,
        _SCRIPT.format(arguments = " ".join(words), tool = runfiles_path(ctx, tool)),
        is_executable = True,
    )
    return DefaultInfo(
        executable = executable,
        runfiles = ctx.runfiles([tool] + files + [a for a in arguments if type(a) == "File"]),
    )
