"""Finds the files that Bazel's events name by URI.

Bazel may have run in another root (`--config=debian` builds inside a small Debian
root), so a path in an event need not exist here. `--path-map FROM=TO` says where that
root's folders are seen from outside; logs are also looked for under the workspace's
`bazel-testlogs`.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from urllib.parse import unquote, urlparse

# A log longer than this is cut in the middle: its beginning and its end explain it.
MAX_LOG_BYTES = 120_000


class Places:
    def __init__(self, workspace: Path, path_map: list[str] | None = None):
        self.workspace = workspace
        self.maps: list[tuple[str, str]] = []
        for entry in path_map or []:
            source, sep, dest = entry.partition("=")
            if not sep or not source or not dest:
                raise ValueError(f"--path-map {entry!r}: expected FROM=TO")
            self.maps.append((source.rstrip("/"), dest.rstrip("/")))

    def resolve(self, uri: str) -> Path | None:
        """The local file behind `uri`, or None when it is not on this machine."""
        parsed = urlparse(uri)
        if parsed.scheme != "file":
            return None
        path = unquote(parsed.path)
        for source, dest in self.maps:
            if path == source or path.startswith(source + "/"):
                mapped = Path(dest + path[len(source):])
                if mapped.exists():
                    return mapped
        return Path(path) if Path(path).exists() else None

    def read(self, uri: str) -> str:
        """The text behind `uri`; empty when it cannot be had."""
        if uri.startswith("data:"):
            try:
                return base64.b64decode(uri[5:], validate=True).decode("utf-8", "replace")
            except binascii.Error:
                return uri[5:]
        path = self.resolve(uri) if uri else None
        return read_clipped(path) if path else ""

    def test_log(self, label: str) -> str:
        """The last log of a test by the convenience link, for events whose URI is remote."""
        package, _, name = label.removeprefix("//").partition(":")
        path = self.workspace / "bazel-testlogs" / package / name / "test.log"
        return read_clipped(path) if path.exists() else ""

    def bin_file(self, bin_dirs: list[str], relative: str) -> Path | None:
        """An output by its path under `bazel-bin`."""
        roots = [self.workspace / "bazel-bin"] + [self.workspace / d for d in bin_dirs]
        return next((r / relative for r in roots if (r / relative).exists()), None)


def read_clipped(path: Path) -> str:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if size <= MAX_LOG_BYTES:
                data = file.read()
            else:
                half = MAX_LOG_BYTES // 2
                head = file.read(half)
                file.seek(size - half)
                note = f"\n\n… {size - 2 * half} bytes left out …\n\n".encode()
                data = head + note + file.read()
    except OSError:
        return ""
    return data.decode("utf-8", "replace")
