"""The size of an image as it lies on a disk: the layers of its OCI layout, unpacked.

The layout itself is smaller where layers are compressed, which would let an image hold megabytes beside its binary.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_CHUNK = 1 << 16  # of packed bytes; unpacked, a thousand times as many at most
_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")


class BadImage(Exception):
    """The layout is not one, or a layer cannot be unpacked; the message names the part."""


def unpacked_bytes(layout: Path) -> int:
    """Bytes of all unpacked layers; of the largest image where the layout holds several (one a platform)."""
    index = _json(layout / "index.json")
    sizes = [sum(_layer_bytes(layout, layer) for layer in manifest.get("layers", [])) for manifest in _manifests(layout, index)]
    if not sizes:
        raise BadImage(f"{layout / 'index.json'} names no image")
    return max(sizes)


def _manifests(layout: Path, index: dict) -> Iterator[dict]:
    for descriptor in index.get("manifests", []):
        content = _json(_blob(layout, descriptor))
        if descriptor.get("mediaType") in _INDEXES:
            yield from _manifests(layout, content)
        else:
            yield content


def _layer_bytes(layout: Path, descriptor: dict) -> int:
    kind, path = descriptor.get("mediaType", ""), _blob(layout, descriptor)
    try:
        if kind.endswith(("tar+gzip", "tar.gzip")):
            with path.open("rb") as file:
                return sum(_gunzipped(file))
        if kind.endswith(("tar+zstd", "tar.zstd")):
            return _zstd_bytes(path)
        if kind.endswith(".tar"):
            return path.stat().st_size
    except (OSError, zlib.error) as error:
        raise BadImage(f"the layer {path} cannot be unpacked: {error}") from error
    raise BadImage(f"the layer {path} is of an unknown kind, {kind!r}")


def _gunzipped(file: BinaryIO) -> Iterator[int]:
    """The sizes of the unpacked parts. A file may hold several streams, one after another."""
    stream, ended = zlib.decompressobj(wbits=31), False
    while packed := file.read(_CHUNK):
        while packed:
            if ended:
                stream = zlib.decompressobj(wbits=31)
            yield len(stream.decompress(packed))
            ended, packed = stream.eof, stream.unused_data
    if not ended:
        raise zlib.error("it is cut off")


def _zstd_bytes(path: Path) -> int:
    program = shutil.which("zstd")
    if program is None:
        raise BadImage(f"the layer {path} is packed with zstd, and there is no program zstd on the PATH to unpack it")
    with subprocess.Popen([program, "-dcq", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        size = sum(len(part) for part in iter(lambda: process.stdout.read(_CHUNK), b""))
        said = process.stderr.read().decode("utf-8", "replace").strip()
    if process.returncode:
        raise BadImage(f"the layer {path} cannot be unpacked: {said}")
    return size


def _blob(layout: Path, descriptor: dict) -> Path:
    algorithm, _, digest = descriptor.get("digest", "").partition(":")
    if not algorithm.isalnum() or not digest.isalnum():
        raise BadImage(f"{layout}: {descriptor.get('digest')!r} is no digest")
    return layout / "blobs" / algorithm / digest


def _json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadImage(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise BadImage(f"{path} is not an object")
    return content
