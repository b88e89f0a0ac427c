"""Where artifacts come from: an in-toto statement with a SLSA provenance, version 1 (https://slsa.dev/spec/v1.0/provenance)."""

from __future__ import annotations

import json
from pathlib import Path

from .fetch import sha256


def statement(artifacts: list[Path], *, revision: str, version: str, materials: dict[str, str], builder: str) -> str:
    """The statement about these files. `materials` are what they were made of: name and SHA-256."""
    source = "git+https://github.com/omnirelay/omnirelay"
    clean = revision.removesuffix("-dirty")
    return json.dumps({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": path.name, "digest": {"sha256": sha256(path)}} for path in sorted(artifacts)],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://github.com/omnirelay/omnirelay/tree/main/tools/dist",
                "externalParameters": {"source": f"{source}@{revision}", "version": version},
                "internalParameters": {"dirty": revision != clean},
                "resolvedDependencies": [{"uri": source, "digest": {"gitCommit": clean}}]
                + [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(materials.items())],
            },
            "runDetails": {"builder": {"id": builder}},
        },
    }, indent=1) + "\n"
