#!/usr/bin/env python3
"""gRPC's interop cases over HTTP/3 with aioquic, which shares no code with our QUIC, and protobuf for the contract.

grpc_interop_http3.py TARGET CA DESCRIPTORS

As grpc_interop.py, with gRPC's framing written out here. Prints a line a case; ends with 1 where one fails. Without
arguments it says whether it can run: 0, or 3 where aioquic or protobuf is missing.
"""

import asyncio
import base64
import gzip
import pathlib
import struct
import sys
import traceback
import urllib.parse

try:
    from aioquic.asyncio.client import connect
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.h3.connection import H3_ALPN, H3Connection
    from aioquic.h3.events import DataReceived, HeadersReceived
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.events import StreamReset
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
except ImportError as missing:
    print(f"grpc_interop_http3.py: {missing}: apt-get install python3-aioquic python3-protobuf", file=sys.stderr)
    sys.exit(3)

SERVICE = "grpc.testing.TestService"
PATIENCE = 30
REQUEST_CANCELLED = 0x10C
REQUESTS = [27182, 8, 1828, 45904]
RESPONSES = [31415, 9, 2653, 58979]


class Call:
    """One call on a stream of its own."""

    def __init__(self, protocol, path: str, headers: dict) -> None:
        self.protocol = protocol
        self.stream = protocol._quic.get_next_available_stream_id()
        protocol.calls[self.stream] = self
        self.headers, self.trailers = None, {}
        self.buffer, self.arrived = b"", asyncio.Queue()
        fields = {":method": "POST", ":scheme": "https", ":authority": "localhost", ":path": path}
        fields |= {"content-type": "application/grpc", "te": "trailers", **headers}
        protocol.http.send_headers(self.stream, [(name.encode(), value.encode()) for name, value in fields.items()])

    def send(self, message=None, compressed: bool = False, end: bool = False) -> None:
        framed = b""
        if message is not None:
            data = message.SerializeToString()
            data = gzip.compress(data) if compressed else data
            framed = struct.pack(">BI", compressed, len(data)) + data
        self.protocol.http.send_data(self.stream, framed, end_stream=end)
        self.protocol.transmit()

    def cancel(self) -> None:
        self.protocol._quic.reset_stream(self.stream, REQUEST_CANCELLED)
        self.protocol._quic.stop_stream(self.stream, REQUEST_CANCELLED)
        self.protocol.transmit()

    def happened(self, event) -> None:
        if isinstance(event, HeadersReceived):
            fields = {name.decode(): value.decode() for name, value in event.headers}
            if self.headers is None:
                self.headers = fields
            else:
                assert fields, "empty trailers came"
                self.trailers = fields
        elif isinstance(event, DataReceived):
            self.buffer += event.data
            while len(self.buffer) >= 5:
                flag, length = struct.unpack(">BI", self.buffer[:5])
                if len(self.buffer) < 5 + length:
                    break
                message, self.buffer = self.buffer[5 : 5 + length], self.buffer[5 + length :]
                self.arrived.put_nowait((gzip.decompress(message) if flag else message, bool(flag)))
        if event.stream_ended:
            self.arrived.put_nowait(None)

    async def next(self):
        """The next message and whether it came compressed; None at the end."""
        return await asyncio.wait_for(self.arrived.get(), PATIENCE)

    async def rest(self) -> list:
        messages = []
        while (message := await self.next()) is not None:
            messages.append(message)
        assert self.buffer == b"", "the answer ends within a message"
        return messages

    def status(self) -> tuple[int, str]:
        fields = self.trailers if "grpc-status" in self.trailers else self.headers
        return int(fields["grpc-status"]), urllib.parse.unquote(fields.get("grpc-message", ""))


class Protocol(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.http, self.calls = H3Connection(self._quic), {}

    def quic_event_received(self, event) -> None:
        if isinstance(event, StreamReset) and event.stream_id in self.calls:
            self.calls[event.stream_id].arrived.put_nowait(None)
        for happened in self.http.handle_event(event):
            if isinstance(happened, (HeadersReceived, DataReceived)) and happened.stream_id in self.calls:
                self.calls[happened.stream_id].happened(happened)


class Peer:
    """The service, called by the contract alone."""

    def __init__(self, protocol: Protocol, descriptors: str) -> None:
        self.protocol = protocol
        self.pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(descriptors).read_bytes()).file:
            self.pool.Add(file)
        # Older protobuf has a factory instead of the function.
        make = getattr(message_factory, "GetMessageClass", None)
        self.make = make or message_factory.MessageFactory(self.pool).GetPrototype

    def type_of(self, name: str):
        return self.make(self.pool.FindMessageTypeByName(f"grpc.testing.{name}"))

    def message(self, name: str, **fields):
        return self.type_of(name)(**fields)

    def payload(self, size: int):
        return self.message("Payload", body=bytes(size))

    def yes(self, value: bool = True):
        return self.message("BoolValue", value=value)

    def call(self, method: str, headers: dict | None = None) -> Call:
        return Call(self.protocol, method if method.startswith("/") else f"/{SERVICE}/{method}", headers or {})

    async def unary(self, method: str, request, headers: dict | None = None, compressed: bool = False) -> tuple:
        call = self.call(method, headers)
        call.send(request, compressed=compressed, end=True)
        return call, await call.rest()

    def answer(self, name: str, messages: list):
        same("how many messages came", len(messages), 1)
        return self.type_of(name).FromString(messages[0][0])

    def duplex(self, request: int, response: int, **more):
        parameters = self.message("ResponseParameters", size=response, **more)
        return self.message(
            "StreamingOutputCallRequest", response_parameters=[parameters], payload=self.payload(request)
        )

    def size(self, message) -> int:
        return len(self.type_of("StreamingOutputCallResponse").FromString(message[0]).payload.body)


def same(what, got, expected) -> None:
    assert got == expected, f"{what}: {got!r} came instead of {expected!r}"


async def empty_unary(peer: Peer) -> None:
    call, messages = await peer.unary("EmptyCall", peer.message("Empty"))
    same("the answer", (messages, call.status()), ([(b"", False)], (0, "")))


async def large_unary(peer: Peer) -> None:
    request = peer.message("SimpleRequest", response_size=314159, payload=peer.payload(271828))
    call, messages = await peer.unary("UnaryCall", request)
    same("the payload", peer.answer("SimpleResponse", messages).payload.body, bytes(314159))
    same("the status", call.status(), (0, ""))


async def client_streaming(peer: Peer) -> None:
    call = peer.call("StreamingInputCall")
    for size in REQUESTS:
        call.send(peer.message("StreamingInputCallRequest", payload=peer.payload(size)))
    call.send(end=True)
    same("the sum", peer.answer("StreamingInputCallResponse", await call.rest()).aggregated_payload_size, 74922)


async def server_streaming(peer: Peer) -> None:
    wanted = [peer.message("ResponseParameters", size=size) for size in RESPONSES]
    request = peer.message("StreamingOutputCallRequest", response_parameters=wanted)
    call, messages = await peer.unary("StreamingOutputCall", request)
    same("the sizes", [peer.size(message) for message in messages], RESPONSES)
    same("the status", call.status(), (0, ""))


async def ping_pong(peer: Peer) -> None:
    call = peer.call("FullDuplexCall")
    for request, response in zip(REQUESTS, RESPONSES):
        call.send(peer.duplex(request, response))
        same("an answer's size", peer.size(await call.next()), response)
    call.send(end=True)
    same("what follows", (await call.rest(), call.status()), ([], (0, "")))


async def empty_stream(peer: Peer) -> None:
    call = peer.call("FullDuplexCall")
    call.send(end=True)
    same("what comes", (await call.rest(), call.status()), ([], (0, "")))


async def cancel_after_begin(peer: Peer) -> None:
    call = peer.call("StreamingInputCall")
    call.send(peer.message("StreamingInputCallRequest", payload=peer.payload(1)))
    call.cancel()
    await empty_unary(peer)


async def cancel_after_first_response(peer: Peer) -> None:
    call = peer.call("FullDuplexCall")
    call.send(peer.duplex(REQUESTS[0], RESPONSES[0]))
    same("an answer's size", peer.size(await call.next()), RESPONSES[0])
    call.cancel()
    await empty_unary(peer)


async def timeout_on_sleeping_server(peer: Peer) -> None:
    call = peer.call("FullDuplexCall", {"grpc-timeout": "100m"})
    call.send(peer.duplex(REQUESTS[0], 1, interval_us=30_000_000))
    # This client does not look at the clock: the server ends the call.
    same("what comes", (await call.rest(), call.status()[0]), ([], 4))


async def custom_metadata(peer: Peer) -> None:
    sent = {
        "x-grpc-test-echo-initial": "test_initial_metadata_value",
        "x-grpc-test-echo-trailing-bin": base64.b64encode(b"\xab" * 3).decode(),
    }
    unary, _ = await peer.unary("UnaryCall", peer.message("SimpleRequest", response_size=1), sent)
    duplex = peer.call("FullDuplexCall", sent)
    duplex.send(peer.duplex(1, 1), end=True)
    await duplex.rest()
    for call in (unary, duplex):
        got = {**call.headers, **{name: value for name, value in call.trailers.items() if name.endswith("-bin")}}
        same("the metadata", {name: got.get(name) for name in sent}, sent)


async def status_code_and_message(peer: Peer) -> None:
    status = peer.message("EchoStatus", code=2, message="test status message")
    unary, _ = await peer.unary("UnaryCall", peer.message("SimpleRequest", response_status=status))
    duplex = peer.call("FullDuplexCall")
    duplex.send(peer.message("StreamingOutputCallRequest", response_status=status), end=True)
    same("what comes", await duplex.rest(), [])
    for call in (unary, duplex):
        same("the status", call.status(), (2, "test status message"))


async def special_status_message(peer: Peer) -> None:
    words = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    status = peer.message("EchoStatus", code=2, message=words)
    call, _ = await peer.unary("UnaryCall", peer.message("SimpleRequest", response_status=status))
    same("the status", call.status(), (2, words))
    same("what follows the head alone", call.trailers, {})


async def unimplemented_method(peer: Peer) -> None:
    call, _ = await peer.unary(f"/{SERVICE}/UnimplementedCall", peer.message("Empty"))
    same("the code", call.status()[0], 12)


async def unimplemented_service(peer: Peer) -> None:
    call, _ = await peer.unary("/grpc.testing.UnimplementedService/UnimplementedCall", peer.message("Empty"))
    same("the code", call.status()[0], 12)


async def client_compressed_unary(peer: Peer) -> None:
    request = peer.message(
        "SimpleRequest", expect_compressed=peer.yes(), response_size=314159, payload=peer.payload(271828)
    )
    call, _ = await peer.unary("UnaryCall", request)
    same("the probe's code", call.status()[0], 3)
    call, messages = await peer.unary("UnaryCall", request, {"grpc-encoding": "gzip"}, compressed=True)
    same("the payload", peer.answer("SimpleResponse", messages).payload.body, bytes(314159))
    call, _ = await peer.unary("UnaryCall", request, {"grpc-encoding": "snappy"}, compressed=True)
    same("the refusal", (call.status()[0], call.headers["grpc-accept-encoding"]), (12, "identity,gzip"))


async def server_compressed_unary(peer: Peer) -> None:
    for value in (True, False):
        request = peer.message("SimpleRequest", response_compressed=peer.yes(value), response_size=314159)
        call, messages = await peer.unary("UnaryCall", request, {"grpc-accept-encoding": "gzip"})
        same("whether it came compressed", messages[0][1], value)
        same("the payload", peer.answer("SimpleResponse", messages).payload.body, bytes(314159))


async def client_compressed_streaming(peer: Peer) -> None:
    call = peer.call("StreamingInputCall", {"grpc-encoding": "gzip"})
    for size, value in ((27182, True), (45904, False)):
        request = peer.message("StreamingInputCallRequest", expect_compressed=peer.yes(value), payload=peer.payload(size))
        call.send(request, compressed=value)
    call.send(end=True)
    same("the sum", peer.answer("StreamingInputCallResponse", await call.rest()).aggregated_payload_size, 73086)


async def server_compressed_streaming(peer: Peer) -> None:
    wanted = [(31415, True), (92653, False)]
    parameters = [peer.message("ResponseParameters", size=size, compressed=peer.yes(value)) for size, value in wanted]
    request = peer.message("StreamingOutputCallRequest", response_parameters=parameters)
    _, messages = await peer.unary("StreamingOutputCall", request, {"grpc-accept-encoding": "gzip"})
    same("the messages", [(peer.size(message), message[1]) for message in messages], wanted)


CASES = [
    empty_unary,
    large_unary,
    client_streaming,
    server_streaming,
    ping_pong,
    empty_stream,
    cancel_after_begin,
    cancel_after_first_response,
    timeout_on_sleeping_server,
    custom_metadata,
    status_code_and_message,
    special_status_message,
    unimplemented_method,
    unimplemented_service,
    client_compressed_unary,
    server_compressed_unary,
    client_compressed_streaming,
    server_compressed_streaming,
]


async def main(target: str, ca: str, descriptors: str) -> int:
    host, port = target.rsplit(":", 1)
    settings = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=host)
    settings.load_verify_locations(ca)
    failed = 0
    async with connect(host, int(port), configuration=settings, create_protocol=Protocol) as protocol:
        peer = Peer(protocol, descriptors)
        for case in CASES:
            try:
                await case(peer)
                print(f"ok {case.__name__}", flush=True)
            except Exception:
                failed += 1
                print(f"failed {case.__name__}\n{traceback.format_exc()}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])) if len(sys.argv) > 1 else 0)
