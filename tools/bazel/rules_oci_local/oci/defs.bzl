"""Public API: the macros of rules_oci with the same names and attributes."""

load("//oci/private:image.bzl", _oci_image = "oci_image", _oci_image_index = "oci_image_index")
load("//oci/private:load.bzl", _oci_load = "oci_load")
load("//oci/private:push.bzl", _oci_push = "oci_push")

def _lines(name, lines, **kwargs):
    """A target that holds these lines in a file."""
    native.genrule(
        name = name,
        outs = [name + ".txt"],
        cmd = "\n".join(["cat >$@ <<'END_OF_LINES'"] + [line.replace("$", "$$") for line in lines] + ["END_OF_LINES"]),
        visibility = ["//visibility:private"],
        **kwargs
    )
    return ":" + name

def _as_file(name, suffix, value, kwargs):
    """rules_oci takes a dict, a list or the label of a file; the rules below take files."""
    forwarded = {key: kwargs[key] for key in ["tags", "testonly", "target_compatible_with"] if key in kwargs}
    if type(value) == "dict":
        return _lines("_{}_{}".format(name, suffix), ["{}={}".format(k, v) for k, v in value.items()], **forwarded)
    if type(value) == "list":
        return _lines("_{}_{}".format(name, suffix), value, **forwarded)
    return value

def oci_image(
        name,
        labels = None,
        annotations = None,
        env = None,
        cmd = None,
        entrypoint = None,
        exposed_ports = None,
        volumes = None,
        created = None,
        **kwargs):
    """An image as an OCI layout folder; `NAME.digest` is a file with its digest."""
    _oci_image(
        name = name,
        annotations = _as_file(name, "annotations", annotations, kwargs),
        cmd = _as_file(name, "cmd", cmd, kwargs),
        created = created,
        entrypoint = _as_file(name, "entrypoint", entrypoint, kwargs),
        env = _as_file(name, "env", env, kwargs),
        exposed_ports = _as_file(name, "exposed_ports", exposed_ports, kwargs),
        labels = _as_file(name, "labels", labels, kwargs),
        volumes = _as_file(name, "volumes", volumes, kwargs),
        **kwargs
    )
    _digest(name, kwargs)

def oci_image_index(name, images, platforms = [], **kwargs):
    """Several images under one name; `NAME.digest` is a file with its digest.

    Args:
      name: the index, an OCI layout folder.
      images: one image per platform.
      platforms: of rules_oci; refused here when it names any.
      **kwargs: what every rule takes.
    """
    if platforms:
        fail("{}: `platforms` needs rules_oci itself; give one image per platform".format(name))
    _oci_image_index(name = name, images = images, **kwargs)
    _digest(name, kwargs)

def _digest(name, kwargs):
    native.filegroup(
        name = name + ".digest",
        srcs = [":" + name],
        output_group = "digest",
        visibility = kwargs.get("visibility"),
        testonly = kwargs.get("testonly"),
    )

def oci_load(name, image, repo_tags, format = "docker", **kwargs):
    """`bazel run` it: loads the image into podman or docker."""
    _oci_load(
        name = name,
        format = format,
        image = image,
        repo_tags = _as_file(name, "repo_tags", repo_tags, kwargs),
        **kwargs
    )

def oci_push(name, image, repository = None, repository_file = None, remote_tags = None, **kwargs):
    """`bazel run` it with `--repository` and `--tag`: pushes the image and prints its digest."""
    _oci_push(
        name = name,
        image = image,
        remote_tags = _as_file(name, "remote_tags", remote_tags, kwargs),
        repository = repository,
        repository_file = repository_file,
        **kwargs
    )
