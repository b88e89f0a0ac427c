#!/usr/bin/env python3
"""gRPC's interop cases over HTTP/2 with grpcio, which knows nothing of this project but the contract.

grpc_interop.py TARGET CA DESCRIPTORS

Runs every case against the interop service at TARGET ("host:port"), believing the authority in the file CA, with the
messages of the FileDescriptorSet in the file DESCRIPTORS. Prints a line a case; ends with 1 where one fails. Without
arguments it says whether it can run: 0, or 3 where grpcio or protobuf is missing.

The cases: https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md
"""

import pathlib
import queue
import sys
import traceback

try:
    import grpc
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
except ImportError as missing:
    print(f"grpc_interop.py: {missing}: apt-get install python3-grpcio python3-protobuf", file=sys.stderr)
    sys.exit(3)

SERVICE = "grpc.testing.TestService"
PATIENCE = 30
REQUESTS = [27182, 8, 1828, 45904]
RESPONSES = [31415, 9, 2653, 58979]


class Peer:
    """The service, called by the contract alone."""

    def __init__(self, target: str, ca: str, descriptors: str) -> None:
        self.pool = descriptor_pool.DescriptorPool()
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(descriptors).read_bytes())
        for file in files.file:
            self.pool.Add(file)
        # Older protobuf has a factory instead of the function.
        make = getattr(message_factory, "GetMessageClass", None)
        self.make = make or message_factory.MessageFactory(self.pool).GetPrototype
        credentials = grpc.ssl_channel_credentials(pathlib.Path(ca).read_bytes())
        self.channel = grpc.secure_channel(target, credentials)

    def message(self, name: str, **fields):
        return self.type_of(self.pool.FindMessageTypeByName(f"grpc.testing.{name}"))(**fields)

    def type_of(self, descriptor):
        return self.make(descriptor)

    def method(self, name: str):
        contract = self.pool.FindServiceByName(SERVICE).FindMethodByName(name)
        in_stream = name in ("StreamingInputCall", "FullDuplexCall")
        out_stream = name in ("StreamingOutputCall", "FullDuplexCall")
        kind = f"{'stream' if in_stream else 'unary'}_{'stream' if out_stream else 'unary'}"
        return getattr(self.channel, kind)(
            f"/{SERVICE}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.type_of(contract.output_type).FromString,
        )

    def unknown(self, path: str):
        return self.channel.unary_unary(path, lambda message: message, lambda message: message)

    def payload(self, size: int):
        return self.message("Payload", body=bytes(size))

    def parameters(self, size: int, **more):
        return self.message("ResponseParameters", size=size, **more)

    def duplex(self, request: int, response: int, **more):
        return self.message(
            "StreamingOutputCallRequest",
            response_parameters=[self.parameters(response, **more)],
            payload=self.payload(request),
        )


def same(what, got, expected) -> None:
    assert got == expected, f"{what}: {got!r} came instead of {expected!r}"


def refused(call):
    """The error that a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call was not refused")


def empty_unary(peer: Peer) -> None:
    same("the answer", peer.method("EmptyCall")(peer.message("Empty"), timeout=PATIENCE), peer.message("Empty"))


def large_unary(peer: Peer, **more) -> None:
    request = peer.message("SimpleRequest", response_size=314159, payload=peer.payload(271828))
    answer = peer.method("UnaryCall")(request, timeout=PATIENCE, **more)
    same("the payload", answer.payload.body, bytes(314159))


def client_streaming(peer: Peer) -> None:
    requests = (peer.message("StreamingInputCallRequest", payload=peer.payload(size)) for size in REQUESTS)
    same("the sum", peer.method("StreamingInputCall")(requests, timeout=PATIENCE).aggregated_payload_size, 74922)


def server_streaming(peer: Peer) -> None:
    wanted = [peer.parameters(size) for size in RESPONSES]
    request = peer.message("StreamingOutputCallRequest", response_parameters=wanted)
    answers = peer.method("StreamingOutputCall")(request, timeout=PATIENCE)
    same("the sizes", [len(answer.payload.body) for answer in answers], RESPONSES)


def ping_pong(peer: Peer) -> None:
    requests: queue.Queue = queue.Queue()
    answers = peer.method("FullDuplexCall")(iter(requests.get, None), timeout=PATIENCE)
    for request, response in zip(REQUESTS, RESPONSES):
        requests.put(peer.duplex(request, response))
        same("an answer's size", len(next(answers).payload.body), response)
    requests.put(None)
    same("what follows", list(answers), [])


def empty_stream(peer: Peer) -> None:
    same("what comes", list(peer.method("FullDuplexCall")(iter(()), timeout=PATIENCE)), [])


def cancel_after_begin(peer: Peer) -> None:
    requests: queue.Queue = queue.Queue()
    call = peer.method("StreamingInputCall").future(iter(requests.get, None), timeout=PATIENCE)
    call.cancel()
    requests.put(None)
    same("the code", call.code(), grpc.StatusCode.CANCELLED)


def cancel_after_first_response(peer: Peer) -> None:
    requests: queue.Queue = queue.Queue()
    answers = peer.method("FullDuplexCall")(iter(requests.get, None), timeout=PATIENCE)
    requests.put(peer.duplex(REQUESTS[0], RESPONSES[0]))
    same("an answer's size", len(next(answers).payload.body), RESPONSES[0])
    answers.cancel()
    requests.put(None)
    same("the code", refused(lambda: next(answers)).code(), grpc.StatusCode.CANCELLED)


def timeout_on_sleeping_server(peer: Peer) -> None:
    requests: queue.Queue = queue.Queue()
    requests.put(peer.duplex(REQUESTS[0], 1, interval_us=30_000_000))
    answers = peer.method("FullDuplexCall")(iter(requests.get, None), timeout=0.1)
    same("the code", refused(lambda: next(answers)).code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    requests.put(None)


def custom_metadata(peer: Peer) -> None:
    sent = (("x-grpc-test-echo-initial", "test_initial_metadata_value"), ("x-grpc-test-echo-trailing-bin", b"\xab" * 3))
    request = peer.message("SimpleRequest", response_size=1, payload=peer.payload(1))
    _, unary = peer.method("UnaryCall").with_call(request, metadata=sent, timeout=PATIENCE)
    duplex = peer.method("FullDuplexCall")(iter([peer.duplex(1, 1)]), metadata=sent, timeout=PATIENCE)
    same("the answers", len(list(duplex)), 1)
    for call in (unary, duplex):
        same("the header", dict(call.initial_metadata()).get(sent[0][0]), sent[0][1])
        same("the trailer", dict(call.trailing_metadata()).get(sent[1][0]), sent[1][1])


def status_code_and_message(peer: Peer) -> None:
    status = peer.message("EchoStatus", code=2, message="test status message")
    unary = peer.message("SimpleRequest", response_status=status)
    duplex = peer.message("StreamingOutputCallRequest", response_status=status)
    for error in (
        refused(lambda: peer.method("UnaryCall")(unary, timeout=PATIENCE)),
        refused(lambda: list(peer.method("FullDuplexCall")(iter([duplex]), timeout=PATIENCE))),
    ):
        same("the status", (error.code(), error.details()), (grpc.StatusCode.UNKNOWN, "test status message"))


def special_status_message(peer: Peer) -> None:
    words = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    request = peer.message("SimpleRequest", response_status=peer.message("EchoStatus", code=2, message=words))
    error = refused(lambda: peer.method("UnaryCall")(request, timeout=PATIENCE))
    same("the status", (error.code(), error.details()), (grpc.StatusCode.UNKNOWN, words))


def unimplemented_method(peer: Peer) -> None:
    error = refused(lambda: peer.unknown(f"/{SERVICE}/UnimplementedCall")(b"", timeout=PATIENCE))
    same("the code", error.code(), grpc.StatusCode.UNIMPLEMENTED)


def unimplemented_service(peer: Peer) -> None:
    path = "/grpc.testing.UnimplementedService/UnimplementedCall"
    error = refused(lambda: peer.unknown(path)(b"", timeout=PATIENCE))
    same("the code", error.code(), grpc.StatusCode.UNIMPLEMENTED)


def client_compressed_unary(peer: Peer) -> None:
    yes = peer.message("BoolValue", value=True)
    request = peer.message("SimpleRequest", expect_compressed=yes, response_size=314159, payload=peer.payload(271828))
    unary = peer.method("UnaryCall")
    same("the probe", refused(lambda: unary(request, timeout=PATIENCE)).code(), grpc.StatusCode.INVALID_ARGUMENT)
    answer = unary(request, timeout=PATIENCE, compression=grpc.Compression.Gzip)
    same("the payload", answer.payload.body, bytes(314159))
    # deflate is not understood, and the refusal says what is.
    error = refused(lambda: unary(request, timeout=PATIENCE, compression=grpc.Compression.Deflate))
    same("the code", error.code(), grpc.StatusCode.UNIMPLEMENTED)


def server_compressed_unary(peer: Peer) -> None:
    for value in (True, False):
        asked = peer.message("BoolValue", value=value)
        request = peer.message("SimpleRequest", response_compressed=asked, response_size=314159)
        answer = peer.method("UnaryCall")(request, timeout=PATIENCE)
        same("the payload", answer.payload.body, bytes(314159))


def client_compressed_streaming(peer: Peer) -> None:
    yes = peer.message("BoolValue", value=True)
    make = lambda size: peer.message("StreamingInputCallRequest", expect_compressed=yes, payload=peer.payload(size))
    call = peer.method("StreamingInputCall")
    error = refused(lambda: call(iter([make(27182)]), timeout=PATIENCE))
    same("the probe", error.code(), grpc.StatusCode.INVALID_ARGUMENT)
    answer = call(iter([make(27182), make(45904)]), timeout=PATIENCE, compression=grpc.Compression.Gzip)
    same("the sum", answer.aggregated_payload_size, 73086)


def server_compressed_streaming(peer: Peer) -> None:
    wanted = [
        peer.parameters(size, compressed=peer.message("BoolValue", value=value))
        for size, value in ((31415, True), (92653, False))
    ]
    request = peer.message("StreamingOutputCallRequest", response_parameters=wanted)
    answers = peer.method("StreamingOutputCall")(request, timeout=PATIENCE)
    same("the sizes", [len(answer.payload.body) for answer in answers], [31415, 92653])


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


def main(target: str, ca: str, descriptors: str) -> int:
    peer = Peer(target, ca, descriptors)
    failed = 0
    for case in CASES:
        try:
            case(peer)
            print(f"ok {case.__name__}", flush=True)
        except Exception:
            failed += 1
            print(f"failed {case.__name__}\n{traceback.format_exc()}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 1 else 0)
