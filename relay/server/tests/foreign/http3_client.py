#!/usr/bin/env python3
"""Calls every shape of RPC over HTTP/3 with aioquic and checks what comes back.

http3_client.py TARGET CA CERTIFICATE KEY

Prints one line a call that went as it should; ends with 1 at the first that did not.
"""

import asyncio
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration

LARGE = bytes(range(256)) * 1024


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def expect(what: str, found, wanted) -> None:
    if found != wanted:
        sys.exit(f"{what}: {str(found)[:200]} instead of {str(wanted)[:200]}")
    print(what, flush=True)


class Answer:
    """What came back on one stream."""

    def __init__(self):
        self.sections: list[dict[str, str]] = []
        self.body = b""
        self.news = asyncio.Event()
        self.ended = False

    async def until(self, holds) -> None:
        async with asyncio.timeout(30):
            while not holds(self):
                self.news.clear()
                await self.news.wait()

    def messages(self) -> list[bytes]:
        found, rest = [], self.body
        while len(rest) >= 5:
            end = 5 + int.from_bytes(rest[1:5], "big")
            found.append(rest[5:end])
            rest = rest[end:]
        return found

    def outcome(self) -> str:
        return self.sections[-1].get("grpc-status", "none")


class Http3Client(QuicConnectionProtocol):
    """Calls on one connection."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.answers: dict[int, Answer] = {}

    def begin(self, authority: str, method: str) -> tuple[int, Answer]:
        stream = self._quic.get_next_available_stream_id()
        headers = [
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":authority", authority.encode()),
            (b":path", f"/test.Echo/{method}".encode()),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
            (b"grpc-timeout", b"30S"),
            (b"x-mark", b"7"),
        ]
        self.http.send_headers(stream, headers)
        self.answers[stream] = Answer()
        self.transmit()
        return stream, self.answers[stream]

    def send(self, stream: int, message: bytes | None) -> None:
        """One message, or the end."""
        data = b"" if message is None else framed(message)
        self.http.send_data(stream, data, end_stream=message is None)
        self.transmit()

    def quic_event_received(self, event) -> None:
        for happened in self.http.handle_event(event):
            answer = self.answers[happened.stream_id]
            if isinstance(happened, HeadersReceived):
                answer.sections.append({name.decode(): value.decode() for name, value in happened.headers})
            elif isinstance(happened, DataReceived):
                answer.body += happened.data
            answer.ended = answer.ended or getattr(happened, "stream_ended", False)
            answer.news.set()


async def main(target: str, ca: str, certificate: str, key: str) -> None:
    host, port = target.rsplit(":", 1)
    settings = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="localhost")
    settings.load_verify_locations(ca)
    settings.load_cert_chain(certificate, key)
    async with connect(host, int(port), configuration=settings, create_protocol=Http3Client) as client:

        async def call(method: str, *messages: bytes) -> Answer:
            stream, answer = client.begin(target, method)
            for message in messages:
                client.send(stream, message)
            client.send(stream, None)
            await answer.until(lambda it: it.ended)
            return answer

        unary = await call("Unary", LARGE)
        expect("unary", (unary.messages(), unary.outcome()), ([LARGE], "0"))
        expect("trailers", unary.sections[-1].get("x-mark"), "7")
        streamed = await call("ServerStream", b"one")
        expect("server-stream", (streamed.messages(), streamed.outcome()), ([b"one"] * 3, "0"))
        joined = await call("ClientStream", b"a", b"", b"c" * 70_000)
        expect("client-stream", (joined.messages(), joined.outcome()), ([b"a" + b"c" * 70_000], "0"))

        # Each message is sent only once the one before it came back.
        stream, answer = client.begin(target, "Bidi")
        for turn in range(5):
            client.send(stream, str(turn).encode())
            await answer.until(lambda it: len(it.messages()) == turn + 1)
            expect(f"pong-{turn}", answer.messages()[-1], str(turn).encode())
        client.send(stream, None)
        await answer.until(lambda it: it.ended)
        expect("ping-pong", answer.outcome(), "0")

        empty = await call("Bidi")
        expect("empty-stream", (empty.messages(), empty.outcome()), ([], "0"))
        refused = (await call("Fail", b"")).sections[-1]
        told = (refused.get("grpc-status"), refused.get("grpc-message"))
        expect("fail", told, ("9", "not today: 100 %25 %C3%BC"))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
