"""Signatures, verified by openssl: what cosign checks too, ECDSA over SHA-256 with the signature in base64."""

import base64
import json
import subprocess
import tempfile
import unittest
from pathlib import Path

from omnidist.say import Failure
from omnidist.sign import Key


class Signatures(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def key(self, curve="prime256v1"):
        path = self.folder / "key.pem"
        subprocess.run(["openssl", "ecparam", "-name", curve, "-genkey", "-noout", "-out", path], check=True, capture_output=True)
        return path

    def verifies(self, key, signature, content):
        (self.folder / "pub").write_text(key.public(), encoding="ascii")
        (self.folder / "sig").write_bytes(signature)
        return subprocess.run(["openssl", "dgst", "-sha256", "-verify", self.folder / "pub", "-signature", self.folder / "sig"],
                              input=content, capture_output=True, check=False).returncode == 0

    def test_a_file_is_signed_and_a_changed_one_does_not_verify(self):
        key = Key(self.key())
        path = self.folder / "artifact"
        path.write_bytes(b"content")
        signature = base64.b64decode(key.sign_file(path).read_bytes(), validate=True)
        self.assertTrue(self.verifies(key, signature, b"content"))
        self.assertFalse(self.verifies(key, signature, b"changed"))

    def test_an_envelope_signs_type_and_payload(self):
        key = Key(self.key())
        found = json.loads(key.envelope('{"a": 1}'))
        signed = b'DSSEv1 28 application/vnd.in-toto+json 8 {"a": 1}'
        self.assertEqual(base64.b64decode(found["payload"]), b'{"a": 1}')
        self.assertTrue(self.verifies(key, base64.b64decode(found["signatures"][0]["sig"]), signed))

    def test_a_key_that_does_not_fit_is_refused_before_anything_is_made(self):
        with self.assertRaisesRegex(Failure, "no ECDSA key on P-256"):
            Key(self.key("secp384r1"))
        (self.folder / "key.pem").write_text("no key", encoding="ascii")
        with self.assertRaisesRegex(Failure, "reading the key"):
            Key(self.folder / "key.pem")
        with self.assertRaisesRegex(Failure, "cannot be read"):
            Key(self.folder / "absent")
