"""Where crates are downloaded from: the one address in the rendered files."""

def crate_url(name, version):
    """The address of a crate's source archive.

    Args:
      name: the crate's name.
      version: its exact version.

    Returns:
      an address that serves the `.crate` file.
    """
    return "https://static.crates.io/crates/{name}/{name}-{version}.crate".format(name = name, version = version)
