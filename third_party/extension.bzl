"""The module extension that declares one repository per third-party crate."""

load("//third_party/crates:crates.bzl", "crate_repositories")

def _impl(module_ctx):
    crate_repositories()
    return module_ctx.extension_metadata(reproducible = True)

crates = module_extension(implementation = _impl)
