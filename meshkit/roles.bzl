"""The modules of the control plane that run by themselves in an image of their own."""

# As docs/reference/meshkit.md lists them under `modules`.
MODULES = [
    "audit",
    "backup",
    "bootstrap",
    "clusters",
    "config",
    "leaders",
    "members",
    "registry",
    "shards",
]
