"""Signatures that `cosign verify-blob` and openssl verify: ECDSA on P-256 over SHA-256, in base64.

The key is a file. A key that cosign encrypted is opened by cosign alone, so such a key needs cosign on the PATH.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path

from .say import Failure, run

PAYLOAD = "application/vnd.in-toto+json"


class Key:
    """A private key in a PEM file."""

    def __init__(self, path: Path):
        try:
            pem = path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"the key {path} cannot be read: {error}", "it is a PEM file with an EC private key") from error
        self.path = path
        self._cosign = "ENCRYPTED" in pem and ("SIGSTORE" in pem or "COSIGN" in pem)
        if self._cosign:
            return
        curve = _openssl(["pkey", "-in", path, "-noout", "-text"], f"reading the key {path}", b"").decode(errors="replace")
        if "prime256v1" not in curve:
            raise Failure(f"the key {path} is no ECDSA key on P-256", "openssl ecparam -name prime256v1 -genkey -noout makes one")

    def sign(self, content: bytes) -> bytes:
        """The signature of `content`, as ASN.1."""
        if self._cosign:
            # The file name is cosign's to give: it signs no standard input in all its versions.
            return base64.b64decode(run(
                ["cosign", "sign-blob", "--yes", "--tlog-upload=false", "--key", self.path, "/dev/stdin"],
                "signing with cosign", input=content.decode("utf-8")))
        return _openssl(["dgst", "-sha256", "-sign", self.path], "signing", content)

    def sign_file(self, path: Path) -> Path:
        """Writes the signature of a file beside it, in base64, as cosign does."""
        signature = path.with_name(f"{path.name}.sig")
        raw = (base64.b64decode(run(["cosign", "sign-blob", "--yes", "--tlog-upload=false", "--key", self.path, path],
                                    "signing with cosign"))
               if self._cosign else _openssl(["dgst", "-sha256", "-sign", self.path, path], f"signing {path.name}", b""))
        signature.write_bytes(base64.b64encode(raw))
        return signature

    def public(self) -> str:
        """The public key, in PEM."""
        if self._cosign:
            return run(["cosign", "public-key", "--key", self.path], "asking cosign for the public key")
        return _openssl(["pkey", "-in", self.path, "-pubout"], "deriving the public key", b"").decode("ascii")

    def envelope(self, statement: str) -> str:
        """A statement in a signed envelope (DSSE, https://github.com/secure-systems-lab/dsse)."""
        payload = statement.encode("utf-8")
        signed = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode("ascii"), len(payload), payload)
        return json.dumps({
            "payloadType": PAYLOAD,
            "payload": base64.b64encode(payload).decode("ascii"),
            "signatures": [{"keyid": "", "sig": base64.b64encode(self.sign(signed)).decode("ascii")}],
        }) + "\n"


def _openssl(words: list[str | Path], what: str, content: bytes) -> bytes:
    try:
        done = subprocess.run(["openssl", *map(str, words)], input=content, capture_output=True, check=False,
                              env=os.environ | {"LC_ALL": "C"})
    except FileNotFoundError as error:
        raise Failure(f"{what}: openssl is not there", "install it") from error
    if done.returncode != 0:
        # What openssl says names no secret.
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
        raise Failure(f"{what}: openssl ended with exit code {done.returncode} and said: {said[-1]}",
                      "the key is a PEM file without a password, or one made by cosign")
    return done.stdout
