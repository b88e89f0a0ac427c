#!/usr/bin/env python3
"""A gRPC server over HTTP/3 by aioquic, which shares no code with our QUIC: messages are plain bytes.

http3_server.py CERTIFICATE KEY

Prints the port once it listens and ends with its standard input.
"""

import asyncio
import socket
import sys

from aioquic.asyncio import serve
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StopSendingReceived, StreamReset

PREFIX = 5

SEEN: asyncio.Future[int]
"""The code that a caller has ended its call with."""


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


class Call:
    """One request's stream: what came so far and which procedure it is for."""

    def __init__(self, headers: list[tuple[bytes, bytes]]):
        fields = dict(headers)
        self.method = fields[b":path"].decode().rsplit("/", 1)[1]
        self.marks = [(name, value) for name, value in headers if name.startswith(b"x-")]
        self.waiting = b""
        self.messages: list[bytes] = []
        self.answered = False

    def take(self, data: bytes) -> list[bytes]:
        """The messages that became whole."""
        self.waiting += data
        whole = []
        while len(self.waiting) >= PREFIX:
            end = PREFIX + int.from_bytes(self.waiting[1:PREFIX], "big")
            if len(self.waiting) < end:
                break
            whole.append(self.waiting[PREFIX:end])
            self.waiting = self.waiting[end:]
        self.messages += whole
        return whole


class EchoServer(QuicConnectionProtocol):
    """Answers every shape of call on one connection."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.calls: dict[int, Call] = {}

    def quic_event_received(self, event) -> None:
        if isinstance(event, (StreamReset, StopSendingReceived)) and event.stream_id in self.calls:
            SEEN.set_result(event.error_code)
            del self.calls[event.stream_id]
            self._quic.reset_stream(event.stream_id, 0x10C)
        for happened in self.http.handle_event(event):
            if isinstance(happened, HeadersReceived):
                self.calls[happened.stream_id] = Call(happened.headers)
            elif isinstance(happened, DataReceived):
                call = self.calls[happened.stream_id]
                for message in call.take(happened.data):
                    if call.method == "Bidi":
                        self.send(happened.stream_id, call, message)
                    elif call.method == "Reset":
                        self.reset(happened.stream_id, call, message)
            if getattr(happened, "stream_ended", False) and happened.stream_id in self.calls:
                self.finish(happened.stream_id, self.calls.pop(happened.stream_id))
        self.transmit()

    def tell(self, stream: int, call: Call, code: int) -> None:
        self.send(stream, call, str(code).encode())
        self.http.send_headers(stream, [(b"grpc-status", b"0")], end_stream=True)
        self.transmit()

    def send(self, stream: int, call: Call, message: bytes) -> None:
        self.begin(stream, call)
        self.http.send_data(stream, framed(message), end_stream=False)

    def reset(self, stream: int, call: Call, message: bytes) -> None:
        """The first message comes back; one that is a number ends the stream with it."""
        if not message.isdigit():
            return self.send(stream, call, message)
        del self.calls[stream]
        self._quic.reset_stream(stream, int(message))
        self._quic.stop_stream(stream, int(message))

    def begin(self, stream: int, call: Call) -> None:
        if not call.answered:
            call.answered = True
            self.http.send_headers(stream, [(b":status", b"200"), (b"content-type", b"application/grpc")])

    def finish(self, stream: int, call: Call) -> None:
        if call.method == "Fail":
            refusal = [(b":status", b"200"), (b"content-type", b"application/grpc")]
            refusal += [(b"grpc-status", b"9"), (b"grpc-message", b"not today: 100 %25 %C3%BC")]
            return self.http.send_headers(stream, refusal, end_stream=True)
        if call.method == "Seen":
            return SEEN.add_done_callback(lambda seen: self.tell(stream, call, seen.result()))
        whole = b"".join(call.messages)
        answers = {"Unary": [whole], "ServerStream": [whole] * 3, "ClientStream": [whole]}
        for message in answers.get(call.method, []):
            self.send(stream, call, message)
        self.begin(stream, call)
        self.http.send_headers(stream, [(b"grpc-status", b"0"), *call.marks], end_stream=True)


async def main(certificate: str, key: str) -> None:
    global SEEN
    SEEN = asyncio.get_running_loop().create_future()
    settings = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    settings.load_cert_chain(certificate, key)
    # The port is chosen here since the server does not tell which one it got.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = await serve("127.0.0.1", port, configuration=settings, create_protocol=EchoServer)
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
