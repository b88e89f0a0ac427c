"""A layer of an image."""

load("@rules_pkg//pkg:tar.bzl", "pkg_tar")

def image_layer(name, srcs, testonly = False, **kwargs):
    """A compressed tar archive whose bytes depend on its content alone.

    Args:
      name: the layer's name; NAME.tar.gz is the file.
      srcs: pkg_files and the like.
      testonly: whether only tests may use it.
      **kwargs: as of pkg_tar.
    """
    pkg_tar(
        name = name + "_tar",
        srcs = srcs,
        out = name + "_tar.tar",
        mode = "0755",
        tags = ["manual"],
        testonly = testonly,
        **kwargs
    )

    # pkg_tar's own compression writes the file's name into the archive.
    native.genrule(
        name = name,
        srcs = [":" + name + "_tar"],
        outs = [name + ".tar.gz"],
        cmd = "gzip --no-name --best <$< >$@",
        testonly = testonly,
        visibility = ["//visibility:public"],
    )
