#!/usr/bin/env python3
"""Reads the peers of a mesh page by page over REST, with Python's own library alone.

    read_peers.py --url https://meshkit.example.org:7400 --ca ca.pem --token-file reader.token --role service

Prints the peers as JSON, and whether the first page was spared the second time.
"""

import argparse
import json
import pathlib
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request


class Mesh:
    """One control plane."""

    def __init__(self, url: str, ca: pathlib.Path, token: str) -> None:
        self.url, self.token = url.rstrip("/"), token
        self.tls = ssl.create_default_context(cafile=str(ca))
        self.tls.minimum_version = ssl.TLSVersion.TLSv1_3

    def get(self, path: str, query: dict[str, str], etag: str = ""):
        """The body as JSON and its ETag; no body where it is the one that is known."""
        asked = urllib.request.Request(f"{self.url}{path}?{urllib.parse.urlencode(query)}")
        asked.add_header("authorization", f"Bearer {self.token}")
        if etag:
            asked.add_header("if-none-match", etag)
        try:
            with urllib.request.urlopen(asked, context=self.tls, timeout=30) as answer:
                return json.load(answer), answer.headers["etag"]
        except urllib.error.HTTPError as error:
            if error.code == 304:
                return None, etag
            problem = json.load(error)
            raise SystemExit(f"{problem['title']}: {problem['detail']}\n  hint: {problem['hint']}") from None

    def pages(self, path: str, query: dict[str, str]):
        """Every page of a listing."""
        while True:
            page, _ = self.get(path, query)
            yield page
            if not page.get("nextCursor"):
                return
            query = {**query, "cursor": page["nextCursor"]}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--url", required=True, help="https://HOST:PORT of meshkitd")
    arguments.add_argument("--ca", required=True, type=pathlib.Path, help="whom to believe, as PEM")
    arguments.add_argument("--token-file", required=True, type=pathlib.Path, help="a token that may read the mesh")
    arguments.add_argument("--role", default="", help="only peers of this role")
    arguments.add_argument("--limit", type=int, default=100, help="peers of a page")
    asked = arguments.parse_args()

    mesh = Mesh(asked.url, asked.ca, asked.token_file.read_text().strip())
    query = {"limit": str(asked.limit)} | ({"role": asked.role} if asked.role else {})
    pages = list(mesh.pages("/meshkit/peers", query))
    # A page that nobody changed is not sent twice.
    _, etag = mesh.get("/meshkit/peers", query)
    again, _ = mesh.get("/meshkit/peers", query, etag)
    peers = [peer for page in pages for peer in page["peers"]]
    print(json.dumps({"pages": len(pages), "unchanged": again is None, "peers": peers}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
