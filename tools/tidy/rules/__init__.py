"""One module a rule; each has `check(workspace) -> list[Problem]`."""
