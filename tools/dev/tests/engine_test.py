#!/usr/bin/env python3
"""The container engine does what the suites need: load, run on a network of its own, publish TCP and UDP, logs, stop, export.

Usage: engine_test.py ARCHIVE: of an image whose program prints something and ends well.
"""

import os
import subprocess
import sys


def docker(*arguments: str, **options) -> str:
    done = subprocess.run(["docker", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **options)
    if done.returncode:
        sys.exit(f"docker {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def main(archive: str) -> None:
    assert os.environ.get("DOCKER_HOST"), "DOCKER_HOST is not set: go through ./bazelw, or set it"
    print(docker("version", "--format", "{{.Server.Version}}"))
    image = docker("load", "--input", archive).rpartition(" ")[2]
    name = f"omnirelay-engine-test-{os.getpid()}"
    docker("network", "create", name)
    try:
        docker("create", "--name", name, "--network", name, "--publish", "127.0.0.1::7001/tcp", "--publish", "127.0.0.1::7001/udp",
               image)
        docker("start", name)
        assert docker("wait", name) == "0", docker("logs", name)
        assert docker("logs", name), "no log"
        listed = subprocess.run(f"docker export {name} | tar -t", shell=True, check=True, stdout=subprocess.PIPE, text=True).stdout
        assert "ca-roots" in listed, listed
        docker("stop", name)
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=False, stdout=subprocess.DEVNULL)
        subprocess.run(["docker", "network", "rm", name], check=False, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(*sys.argv[1:])
