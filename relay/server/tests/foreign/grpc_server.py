#!/usr/bin/env python3
"""A gRPC server over HTTP/2 by grpcio, which shares no code with ours: messages are plain bytes.

grpc_server.py CERTIFICATE KEY

Prints the port once it listens and ends with its standard input.
"""

import pathlib
import sys
from concurrent import futures

import grpc


def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
    for name, value in context.invocation_metadata():
        if name.startswith("x-"):
            context.set_trailing_metadata(((name, value),))
    return request


def server_stream(request: bytes, context: grpc.ServicerContext):
    for _ in range(3):
        yield request


def client_stream(requests, context: grpc.ServicerContext) -> bytes:
    return b"".join(requests)


def bidi(requests, context: grpc.ServicerContext):
    yield from requests


def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: 100 % ü")


def main(certificate: str, key: str) -> None:
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
    }
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    read = lambda path: pathlib.Path(path).read_bytes()
    credentials = grpc.ssl_server_credentials([(read(key), read(certificate))])
    print(server.add_secure_port("127.0.0.1:0", credentials), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(grace=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
