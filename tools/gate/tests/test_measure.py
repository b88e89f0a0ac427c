"""Measuring real processes: small scripts stand in for the binaries."""

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path

from omnigate import budgets, image, measure, mesh
from omnigate.measure import MeasureError

TAR = "application/vnd.oci.image.layer.v1.tar"

# A daemon with the contract's surface: /readyz, a `ready` event, SIGTERM drains.
DAEMON = """\
    import http.server, json, signal, ssl, sys, time
    port, how = int(sys.argv[1]), sys.argv[2]
    if how == "refuse":
        sys.exit("error: port taken\\n  hint: choose another")
    class Ready(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            late = time.time() < begin + 0.02
            self.send_response(503 if late else 200); self.end_headers()
        def log_message(self, *a): pass
    begin = time.time()
    server = http.server.HTTPServer(("127.0.0.1", port), Ready)
    if how == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[3], sys.argv[4])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    signal.signal(signal.SIGTERM, lambda *a: sys.exit(3 if how == "dirty" else 0))
    print(json.dumps({"fields": {"message": "ready", "startup_ms": 7.5}}), file=sys.stderr, flush=True)
    server.serve_forever()
"""


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def script(self, name, text):
        path = self.folder / name
        path.write_text(f"#!{sys.executable}\n{textwrap.dedent(text)}", encoding="utf-8")
        path.chmod(0o755)
        return path

    def budgets(self, **limits):
        lines = ["[measure]", "version_runs = 3", "start_runs = 2", "ready_timeout_ms = 5000", "idle_ms = 10"]
        for name, kind in (("omnirelay", "cli"), ("relayd", "daemon"), ("relay-image", "image")):
            lines += ["[[artifact]]", f'name = "{name}"', f'kind = "{kind}"', f'target = "//x:{name}"', f'path = "{name}"']
            lines += ['binary = "relayd"'] if kind == "image" else []
            lines += [f"{key} = {value}" for key, value in limits.get(name.replace("-", "_"), {}).items()]
        path = self.folder / "budgets.toml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return budgets.load(path)

    def find(self, artifact):
        path = self.folder / artifact.path
        return path if path.exists() else None

    def values(self, row):
        return {m["key"]: (m["value"], m["ok"]) for m in row["measures"]}


class Sizes(Case):
    def image(self, *layers):
        """An OCI layout of these layers, (media type, packed bytes) each."""
        return self.layout(self.folder / "relay-image", [{"layers": [self.blob(kind, data) for kind, data in layers]}])

    def blob(self, kind, data):
        digest = hashlib.sha256(data).hexdigest()
        folder = self.folder / "relay-image" / "blobs" / "sha256"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / digest).write_bytes(data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    def layout(self, path, manifests):
        kind = "application/vnd.oci.image.manifest.v1+json"
        named = [self.blob(kind, json.dumps(m).encode()) for m in manifests]
        (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": named}), encoding="utf-8")
        return path

    def test_an_image_may_unpack_to_its_binary_and_a_little_more(self):
        size = self.script("relayd", "pass\n").stat().st_size
        # Zeros, which pack to almost nothing: it is the unpacked size that counts.
        self.image((TAR, b"\0" * 60), (f"{TAR}+gzip", gzip.compress(b"\0" * size) + gzip.compress(b"\0" * 40)))
        for allowed, ok in ((100, True), (99, False)):
            rows = measure.artifacts(self.budgets(relay_image={"max_over_binary_bytes": allowed}), self.find)
            self.assertEqual(self.values(rows[2])["image_bytes"], (size + 100, ok))
            self.assertEqual(self.values(rows[2])["over_binary_bytes"], (100, True))

    @unittest.skipUnless(shutil.which("zstd"), "needs zstd to pack a layer")
    def test_a_layer_packed_with_zstd(self):
        packed = subprocess.run(["zstd", "-c"], input=b"\0" * 3_000_000, check=True, capture_output=True).stdout
        self.assertEqual(image.unpacked_bytes(self.image((f"{TAR}+zstd", packed))), 3_000_000)
        with self.assertRaisesRegex(image.BadImage, "cannot be unpacked: "):
            image.unpacked_bytes(self.image((f"{TAR}+zstd", packed[:-9])))

    def test_of_several_platforms_the_largest_counts(self):
        many = self.layout(self.image(), [{"layers": [self.blob(TAR, b"x" * n)]} for n in (7, 9, 8)])
        self.assertEqual(image.unpacked_bytes(many), 9)
        inner = self.blob("application/vnd.oci.image.index.v1+json", (many / "index.json").read_bytes())
        (many / "index.json").write_text(json.dumps({"manifests": [inner]}), encoding="utf-8")
        self.assertEqual(image.unpacked_bytes(many), 9)

    def test_an_image_that_cannot_be_unpacked_is_a_problem(self):
        self.script("relayd", "pass\n")
        for kind, data, reason in (
            (f"{TAR}+gzip", gzip.compress(b"x" * 100)[:-9], "it is cut off"),
            (f"{TAR}+gzip", b"no gzip", "cannot be unpacked: Error -3"),
            (f"{TAR}+lz4", b"", f"of an unknown kind, '{TAR}+lz4'"),
        ):
            self.image((kind, data))
            row = measure.artifacts(self.budgets(relay_image={"max_over_binary_bytes": 100}), self.find)[2]
            self.assertEqual(row["measures"], [])
            self.assertIn(reason, row["problems"][0])
        (self.folder / "relay-image" / "index.json").write_text("{}", encoding="utf-8")
        with self.assertRaisesRegex(image.BadImage, "names no image"):
            image.unpacked_bytes(self.folder / "relay-image")

    def test_what_is_missing_says_so(self):
        rows = measure.artifacts(self.budgets(), self.find)
        self.assertEqual({r["name"]: r["problems"] for r in rows}["omnirelay"], ["was not built, so nothing was measured"])


class Version(Case):
    def test_the_median_is_judged(self):
        self.script("omnirelay", "print('1')\n")
        row = measure.artifacts(self.budgets(omnirelay={"max_version_ms": 0.001, "max_bytes": 10**6}), self.find)[0]
        value, ok = self.values(row)["version_ms"]
        self.assertGreater(value, 0)
        self.assertFalse(ok)
        self.assertTrue(self.values(row)["bytes"][1])

    def test_a_program_that_fails_is_a_problem(self):
        with self.assertRaisesRegex(MeasureError, "--version ended with exit code 4"):
            measure.version_times_ms(self.script("broken", "raise SystemExit(4)\n"), 3)
        with self.assertRaisesRegex(MeasureError, "does not start"):
            measure.version_times_ms(self.folder / "absent", 3)


class Daemons(Case):
    def rows(self, how, *more):
        """Measures relayd in a mesh whose set-up is this test's own script."""
        daemon = self.script("relayd", textwrap.dedent(DAEMON))
        listed = {"components": [{"name": "relay-1", "kind": "relay", "binary": "relayd",
                                  "args": ["PORT", how, *map(str, more)], "ready_url": "SCHEME://127.0.0.1:PORT/readyz"}]}
        text = json.dumps(listed).replace("SCHEME", "https" if how == "tls" else "http")
        cli = self.script("omnirelay", f"""\
            import pathlib, sys
            folder, port = sys.argv[sys.argv.index("--dir") + 1], sys.argv[sys.argv.index("--base-port") + 1]
            pathlib.Path(folder).mkdir()
            pathlib.Path(folder, "mesh.json").write_text({text!r}.replace("PORT", port))
            """)
        limits = self.budgets(relayd={"max_ready_ms": 4000})
        rows = [{"name": "relayd", "kind": "daemon", "target": "//x:relayd", "path": str(daemon), "measures": [], "problems": []}]
        mesh.daemons(limits, rows, cli)
        return rows[0]

    def test_ready_memory_and_drain_are_measured(self):
        row = self.rows("plain")
        self.assertEqual(row["problems"], [])
        values = self.values(row)
        self.assertGreater(values["ready_ms"][0], 20)  # it answered 503 at first
        self.assertEqual(values["startup_ms"], (7.5, True))
        self.assertGreater(values["idle_rss_bytes"][0], 10**6)
        self.assertIn("drain_ms", values)

    @unittest.skipUnless(shutil.which("openssl"), "needs openssl for a certificate")
    def test_over_tls(self):
        key, cert = self.folder / "key.pem", self.folder / "cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", cert], check=True, capture_output=True)
        self.assertEqual(self.rows("tls", cert, key)["problems"], [])

    def test_a_daemon_that_refuses_to_start_is_quoted(self):
        self.assertRegex(self.rows("refuse")["problems"][0], "ended with exit code 1 before it was ready: .*hint: choose another")

    def test_a_dirty_drain_is_a_problem(self):
        self.assertRegex(self.rows("dirty")["problems"][0], "exit code 3 after SIGTERM")

    def test_a_mesh_that_cannot_be_set_up_is_a_problem_of_every_daemon(self):
        cli = self.script("omnirelay", "raise SystemExit('error: disk full')\n")
        rows = [{"name": "relayd", "kind": "daemon", "target": "", "path": "/x", "measures": [], "problems": []}]
        mesh.daemons(self.budgets(), rows, cli)
        self.assertEqual(rows[0]["problems"], [
            "start-up was not measured: `omnirelay dev init` ended with exit code 1: error: disk full"])
        rows[0]["problems"].clear()
        mesh.daemons(self.budgets(), rows, None)
        self.assertIn("the CLI, which sets up the mesh, was not built", rows[0]["problems"][0])
