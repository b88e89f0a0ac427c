#!/usr/bin/env python3
"""gRPC's interop service on grpcio, which knows nothing of this project but the contract.

grpc_interop_server.py CERTIFICATE KEY DESCRIPTORS

Serves HTTP/2 on a free port of 127.0.0.1 and prints it as one line; ends when its standard input does. Without arguments
it says whether it can run: 0, or 3 where grpcio or protobuf is missing.
"""

import pathlib
import sys
import time
from concurrent import futures

try:
    import grpc
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
except ImportError as missing:
    print(f"grpc_interop_server.py: {missing}: apt-get install python3-grpcio python3-protobuf", file=sys.stderr)
    sys.exit(3)

SERVICE = "grpc.testing.TestService"
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
CODES = {code.value[0]: code for code in grpc.StatusCode}


class Interop:
    def __init__(self, descriptors: str) -> None:
        self.pool = descriptor_pool.DescriptorPool()
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(descriptors).read_bytes())
        for file in files.file:
            self.pool.Add(file)
        # Older protobuf has a factory instead of the function.
        make = getattr(message_factory, "GetMessageClass", None)
        self.make = make or message_factory.MessageFactory(self.pool).GetPrototype

    def type_of(self, descriptor):
        return self.make(descriptor)

    def message(self, name: str, **fields):
        return self.type_of(self.pool.FindMessageTypeByName(f"grpc.testing.{name}"))(**fields)

    def payload(self, size: int):
        return self.message("Payload", body=bytes(size))

    def begin(self, context) -> None:
        for name, value in context.invocation_metadata():
            if name == INITIAL:
                context.send_initial_metadata(((name, value),))
            if name == TRAILING:
                context.set_trailing_metadata(((name, value),))

    def check(self, request, context) -> None:
        if request.HasField("response_status") and request.response_status.code:
            context.abort(CODES[request.response_status.code], request.response_status.message)

    def EmptyCall(self, request, context):
        self.begin(context)
        return request

    def UnaryCall(self, request, context):
        self.begin(context)
        self.check(request, context)
        if request.HasField("response_compressed"):
            compressed = request.response_compressed.value
            context.set_compression(grpc.Compression.Gzip if compressed else grpc.Compression.NoCompression)
        return self.message("SimpleResponse", payload=self.payload(request.response_size))

    def answers(self, request, context):
        for parameters in request.response_parameters:
            time.sleep(min(parameters.interval_us / 1e6, 1))
            if not parameters.compressed.value:
                context.disable_next_message_compression()
            yield self.message("StreamingOutputCallResponse", payload=self.payload(parameters.size))

    def StreamingOutputCall(self, request, context):
        context.set_compression(grpc.Compression.Gzip)
        self.begin(context)
        self.check(request, context)
        yield from self.answers(request, context)

    def StreamingInputCall(self, requests, context):
        self.begin(context)
        size = sum(len(request.payload.body) for request in requests)
        return self.message("StreamingInputCallResponse", aggregated_payload_size=size)

    def FullDuplexCall(self, requests, context):
        self.begin(context)
        for request in requests:
            self.check(request, context)
            yield from self.answers(request, context)

    def handlers(self):
        handlers = {}
        for method in self.pool.FindServiceByName(SERVICE).methods:
            in_stream = method.name in ("StreamingInputCall", "FullDuplexCall")
            out_stream = method.name in ("StreamingOutputCall", "FullDuplexCall")
            kind = f"{'stream' if in_stream else 'unary'}_{'stream' if out_stream else 'unary'}_rpc_method_handler"
            handlers[method.name] = getattr(grpc, kind)(
                getattr(self, method.name),
                request_deserializer=self.type_of(method.input_type).FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
        return grpc.method_handlers_generic_handler(SERVICE, handlers)


def main(certificate: str, key: str, descriptors: str) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((Interop(descriptors).handlers(),))
    pair = (pathlib.Path(key).read_bytes(), pathlib.Path(certificate).read_bytes())
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(grace=None)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(*sys.argv[1:])
