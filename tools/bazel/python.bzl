"""Tests written in Python, run by the machine's python3; they need its standard library alone unless they say so."""

load("@rules_shell//shell:sh_test.bzl", "sh_test")

def python_test(name, src, size = "small", **kwargs):
    """A test that is one executable Python file.

    Args:
      name: the test's name.
      src: the file, with a #! line.
      size: as of every test.
      **kwargs: as of sh_test: args, data, env, env_inherit, tags, timeout…
    """
    sh_test(
        name = name,
        size = size,
        srcs = [src],
        **kwargs
    )
