#!/usr/bin/env python3
"""Builds OCI layouts, packs them into archives, loads and pushes them.

Nothing here reads a clock or a random source: the same inputs give the same bytes.
"""

import argparse
import gzip
import hashlib
import io
import json
import pathlib
import shutil
import subprocess
import sys
import tarfile

CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EPOCH = "1970-01-01T00:00:00Z"


class Layout:
    """An OCI layout folder that is being written."""

    def __init__(self, folder: str):
        self.folder = pathlib.Path(folder)
        self.blobs = self.folder / "blobs" / "sha256"
        self.blobs.mkdir(parents=True, exist_ok=True)
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def add(self, media_type: str, content: bytes) -> dict:
        digest = hashlib.sha256(content).hexdigest()
        (self.blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def finish(self, root: dict, digest_file: str) -> None:
        (self.folder / "index.json").write_bytes(encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": [root]}))
        pathlib.Path(digest_file).write_text(root["digest"])


def encode(value: dict) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def lines(path: str | None) -> list[str]:
    return [line for line in pathlib.Path(path).read_text().splitlines() if line] if path else []


def pairs(path: str | None) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines(path))


def build_image(args: argparse.Namespace) -> None:
    layout = Layout(args.layout)
    layers, diff_ids, history = [], [], []
    created = (lines(args.created) or [EPOCH])[0]
    for path in args.layer:
        content = pathlib.Path(path).read_bytes()
        packed = content[:2] == b"\x1f\x8b"
        plain = gzip.decompress(content) if packed else content
        layers.append(layout.add(LAYER + ("+gzip" if packed else ""), content))
        diff_ids.append("sha256:" + hashlib.sha256(plain).hexdigest())
        history.append({"created": created, "created_by": "oci_image"})
    config = {
        "Env": [f"{name}={value}" for name, value in pairs(args.env).items()],
        "Entrypoint": lines(args.entrypoint),
        "Cmd": lines(args.cmd),
        "User": args.user,
        "WorkingDir": args.workdir,
        "Labels": pairs(args.labels),
        "ExposedPorts": {port if "/" in port else port + "/tcp": {} for port in lines(args.exposed_ports)},
        "Volumes": {volume: {} for volume in lines(args.volumes)},
    }
    image = {
        "architecture": args.architecture,
        "os": args.os,
        "created": created,
        "config": {name: value for name, value in config.items() if value},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    }
    if args.variant:
        image["variant"] = args.variant
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": layout.add(CONFIG, encode(image)),
        "layers": layers,
    }
    if args.annotations:
        manifest["annotations"] = pairs(args.annotations)
    root = layout.add(MANIFEST, encode(manifest))
    root["platform"] = {key: image[key] for key in ("architecture", "os", "variant") if key in image}
    layout.finish(root, args.digest_file)


def build_index(args: argparse.Namespace) -> None:
    layout = Layout(args.layout)
    manifests = []
    for image in map(pathlib.Path, args.image):
        for blob in sorted((image / "blobs" / "sha256").iterdir()):
            shutil.copyfile(blob, layout.blobs / blob.name)
        manifests += json.loads((image / "index.json").read_text())["manifests"]
    root = layout.add(INDEX, encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}))
    layout.finish(root, args.digest_file)


def write_archive(args: argparse.Namespace, out) -> None:
    """Packs a layout so that `docker load` (format docker) or a newer engine (format oci) takes it."""
    layout = pathlib.Path(args.layout)
    tags = lines(args.repo_tags)
    index = json.loads((layout / "index.json").read_text())
    files = {f"blobs/sha256/{blob.name}": blob for blob in (layout / "blobs" / "sha256").iterdir()}
    if args.format == "oci":
        root = index["manifests"][0]
        index["manifests"] = [
            {**root, "annotations": {"io.containerd.image.name": tag, "org.opencontainers.image.ref.name": tag}}
            for tag in tags
        ] or [root]
        extra = {"oci-layout": (layout / "oci-layout").read_bytes(), "index.json": encode(index)}
    else:
        digest = index["manifests"][0]["digest"].split(":")[1]
        manifest = json.loads((layout / "blobs" / "sha256" / digest).read_text())
        if "layers" not in manifest:
            sys.exit("an image index can only be packed with format = \"oci\"")
        path = lambda blob: "blobs/sha256/" + blob["digest"].split(":")[1]
        entry = {"Config": path(manifest["config"]), "RepoTags": tags, "Layers": [path(b) for b in manifest["layers"]]}
        files = {name: files[name] for name in (entry["Config"], *entry["Layers"])}
        extra = {"manifest.json": encode([entry])}
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        for name in sorted([*files, *extra]):
            content = extra[name] if name in extra else files[name].read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(content))


def archive(args: argparse.Namespace) -> None:
    with open(args.output, "wb") as out:
        write_archive(args, out)


def load(args: argparse.Namespace) -> None:
    engine = args.loader or find_engine()
    process = subprocess.Popen([engine, "load"], stdin=subprocess.PIPE)
    try:
        write_archive(args, process.stdin)
        process.stdin.close()
    except BrokenPipeError:
        pass
    sys.exit(process.wait())


def find_engine() -> str:
    """podman or docker, whichever is here and answers."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    for engine in ("docker", "podman"):
        if shutil.which(engine) and subprocess.run([engine, "info"], check=False, **quiet).returncode == 0:
            return engine
    sys.exit("error: neither docker nor podman answers here\n  hint: install podman, or set DOCKER_HOST")


def push(args: argparse.Namespace) -> None:
    repository = args.repository or "".join(lines(args.repository_file))
    if not repository:
        sys.exit("error: no repository\n  hint: pass --repository HOST[:PORT]/NAME")
    layout = pathlib.Path(args.layout)
    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    tags = lines(args.tags_file) + args.tag
    host = repository.split("/")[0].rsplit(":", 1)[0].strip("[]")
    loopback = host in ("localhost", "::1") or host.startswith("127.")
    for target in [f"{repository}:{tag}" for tag in tags] or [f"{repository}@{digest}"]:
        if shutil.which("crane"):
            command = ["crane", "push", *(["--insecure"] if loopback else []), str(layout), target]
        elif shutil.which("skopeo"):
            tls = ["--dest-tls-verify=false"] if loopback else []
            command = ["skopeo", "--insecure-policy", "copy", "--all", "--preserve-digests", "--quiet", *tls]
            command += [f"oci:{layout.resolve()}", f"docker://{target}"]
        else:
            sys.exit("error: neither crane nor skopeo is on the PATH\n  hint: go through ./bazelw, or install skopeo")
        done = subprocess.run(command, stdout=sys.stderr, check=False)
        if done.returncode:
            sys.exit(done.returncode)
    print(f"{repository}@{digest}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)

    image = commands.add_parser("image")
    image.set_defaults(run=build_image)
    for name in ("os", "architecture", "variant", "user", "workdir", "entrypoint", "cmd", "env", "labels"):
        image.add_argument("--" + name)
    for name in ("annotations", "exposed-ports", "volumes", "created"):
        image.add_argument("--" + name)
    image.add_argument("--layer", action="append", default=[])

    index = commands.add_parser("index")
    index.set_defaults(run=build_index)
    index.add_argument("--image", action="append", default=[])
    for command in (image, index):
        command.add_argument("--digest-file")

    pack = commands.add_parser("archive")
    pack.set_defaults(run=archive)
    pack.add_argument("--output")
    into = commands.add_parser("load")
    into.set_defaults(run=load)
    into.add_argument("--loader")
    for command in (pack, into):
        command.add_argument("--format", choices=("docker", "oci"))
        command.add_argument("--repo-tags")

    to = commands.add_parser("push")
    to.set_defaults(run=push)
    to.add_argument("-r", "--repository")
    to.add_argument("--repository-file")
    to.add_argument("--tags-file")
    to.add_argument("-t", "--tag", action="append", default=[])

    for command in (image, index, pack, into, to):
        command.add_argument("layout")
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
