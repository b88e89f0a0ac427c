#!/usr/bin/env python3
"""Calls gRPC services over HTTP/2 with grpcio, which knows nothing of this project but the contracts.

grpc_calls.py TARGET CA CERTIFICATE KEY DESCRIPTORS METHOD JSON

Prints the answer as JSON. METHOD is "package.Service/Method", DESCRIPTORS a FileDescriptorSet.
"""

import pathlib
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory


def main(target: str, ca: str, certificate: str, key: str, descriptors: str, method: str, body: str) -> None:
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(descriptors).read_bytes())
    for file in files.file:
        pool.Add(file)
    service, name = method.split("/")
    contract = pool.FindServiceByName(service).FindMethodByName(name)
    # Older protobuf has a factory instead of the function.
    message_class = getattr(message_factory, "GetMessageClass", None) or message_factory.MessageFactory(pool).GetPrototype
    request, answer = message_class(contract.input_type)(), message_class(contract.output_type)

    read = lambda path: pathlib.Path(path).read_bytes()
    credentials = grpc.ssl_channel_credentials(read(ca), read(key), read(certificate))
    with grpc.secure_channel(target, credentials) as channel:
        call = channel.unary_unary(
            f"/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        reply = call(json_format.Parse(body, request), timeout=30, metadata=[("rpc-caller", "grpcio")])
    print(json_format.MessageToJson(reply))


if __name__ == "__main__":
    main(*sys.argv[1:])
