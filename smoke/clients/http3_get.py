#!/usr/bin/env python3
"""Reads a URL over HTTP/3 with aioquic, which shares no code with our QUIC.

http3_get.py URL CA TOKEN

Prints the status and the headers on standard error, the body on standard output; ends with 1 where the status is none
of success.
"""

import asyncio
import sys
import urllib.parse

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration


class Http3Client(QuicConnectionProtocol):
    """One request on one connection."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.ended = asyncio.get_running_loop().create_future()

    async def get(self, url: urllib.parse.SplitResult, token: str) -> None:
        stream = self._quic.get_next_available_stream_id()
        headers = [
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":authority", url.netloc.encode()),
            (b":path", url.path.encode()),
            (b"authorization", f"Bearer {token}".encode()),
        ]
        self.http.send_headers(stream, headers, end_stream=True)
        self.transmit()
        await asyncio.wait_for(self.ended, 30)

    def quic_event_received(self, event) -> None:
        for happened in self.http.handle_event(event):
            if isinstance(happened, HeadersReceived):
                self.headers += happened.headers
            elif isinstance(happened, DataReceived):
                self.body += happened.data
            if getattr(happened, "stream_ended", False) and not self.ended.done():
                self.ended.set_result(None)


async def main(address: str, ca: str, token: str) -> int:
    url = urllib.parse.urlsplit(address)
    settings = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=url.hostname)
    settings.load_verify_locations(ca)
    async with connect(url.hostname, url.port, configuration=settings, create_protocol=Http3Client) as client:
        await client.get(url, token)
        headers = {name.decode(): value.decode() for name, value in client.headers}
    for name, value in headers.items():
        print(f"{name}: {value}", file=sys.stderr)
    sys.stdout.write(client.body.decode())
    return 0 if headers[":status"].startswith("2") else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
