"""The bill of materials of a platform's artifacts, as CycloneDX 1.5 JSON."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timezone

from .crates import Crate
from .platforms import Platform

_NAMESPACE = uuid.UUID("6f6d6e69-7265-5c61-9964-697374000000")


def document(crates: list[Crate], platform: Platform, version: str, mtime: int, roots: list[str]) -> str:
    """The document. What is built of the same sources says the same: its time is the commit's, its number made of its content."""
    components = [_component(crate) for crate in crates if crate.name not in roots]
    top = {"type": "application", "bom-ref": f"omnirelay@{version}", "name": "omnirelay", "version": version,
           "licenses": [{"expression": "Apache-2.0"}],
           "components": [_component(crate) | {"type": "application"} for crate in crates if crate.name in roots]}
    dependencies = [{"ref": top["bom-ref"], "dependsOn": [_ref(c.key) for c in crates if c.name in roots]}]
    dependencies += [{"ref": _ref(crate.key), "dependsOn": [_ref(need) for need in crate.needs]} for crate in crates]
    body = {
        "metadata": {
            "timestamp": datetime.fromtimestamp(mtime, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": top,
            "properties": [{"name": "omnirelay:platform", "value": platform.name},
                           {"name": "omnirelay:target", "value": platform.triple}],
        },
        "components": components,
        "dependencies": dependencies,
    }
    serial = uuid.uuid5(_NAMESPACE, json.dumps(body, sort_keys=True))
    head = {"bomFormat": "CycloneDX", "specVersion": "1.5", "serialNumber": f"urn:uuid:{serial}", "version": 1}
    return json.dumps(head | body, indent=1) + "\n"


def _component(crate: Crate) -> dict:
    found = {"type": "library", "bom-ref": _ref(crate.key), "name": crate.name, "version": crate.version,
             "licenses": [{"expression": crate.license}]}
    if crate.sha256:
        found |= {"purl": f"pkg:cargo/{crate.name}@{crate.version}", "hashes": [{"alg": "SHA-256", "content": crate.sha256}]}
    if crate.repository:
        found["externalReferences"] = [{"type": "vcs", "url": crate.repository}]
    return found


def _ref(key: tuple[str, str]) -> str:
    return f"pkg:cargo/{key[0]}@{key[1]}"
