#!/usr/bin/env python3
"""Hears over HTTP/3 with aioquic how calls break off, and gives one up itself.

http3_resets.py TARGET CA CERTIFICATE KEY CODE...

Prints for each call that the server ends with CODE the `grpc-status` where it had not answered, the code of the reset where
it had; then the code that the server heard when this client cancelled.
"""

import asyncio
import sys

from aioquic.asyncio.client import connect
from aioquic.h3.connection import H3_ALPN
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamReset
from http3_client import Http3Client

H3_REQUEST_CANCELLED = 0x10C


class Client(Http3Client):
    """Calls on one connection, with the codes of those that were reset."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.resets: dict[int, int] = {}

    def quic_event_received(self, event) -> None:
        if isinstance(event, StreamReset):
            self.resets[event.stream_id] = event.error_code
            self.answers[event.stream_id].news.set()
        super().quic_event_received(event)

    async def reset(self, target: str, code: str, answered: bool) -> str:
        stream, answer = self.begin(target, "Reset")
        if answered:
            self.send(stream, b"begin")
            await answer.until(lambda it: it.messages() == [b"begin"])
        self.send(stream, code.encode())
        await answer.until(lambda it: it.ended or stream in self.resets)
        return "clean end" if answer.ended and answered else str(self.resets.get(stream) or answer.outcome())

    async def cancelled(self, target: str) -> str:
        stream, answer = self.begin(target, "Reset")
        self.send(stream, b"begin")
        await answer.until(lambda it: it.messages() == [b"begin"])
        self._quic.reset_stream(stream, H3_REQUEST_CANCELLED)
        self._quic.stop_stream(stream, H3_REQUEST_CANCELLED)
        self.transmit()
        stream, seen = self.begin(target, "Seen")
        self.send(stream, b"")
        self.send(stream, None)
        await seen.until(lambda it: it.ended)
        return seen.messages()[0].decode()


async def main(target: str, ca: str, certificate: str, key: str, *codes: str) -> None:
    host, port = target.rsplit(":", 1)
    settings = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="localhost")
    settings.load_verify_locations(ca)
    settings.load_cert_chain(certificate, key)
    async with connect(host, int(port), configuration=settings, create_protocol=Client) as client:
        for code in codes:
            print(await client.reset(target, code, False), await client.reset(target, code, True), flush=True)
        print(await client.cancelled(target), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
