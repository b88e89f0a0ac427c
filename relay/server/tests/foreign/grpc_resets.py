#!/usr/bin/env python3
"""Hears over HTTP/2 with grpcio how calls break off, and gives one up itself.

grpc_resets.py TARGET CA CERTIFICATE KEY CODE...

Prints the gRPC code of each call that the server resets with CODE, before it answers and while it does, and then the
code that the server heard when this client cancelled.
"""

import pathlib
import queue
import sys

import grpc


def reset(channel: grpc.Channel, code: str, answered: bool) -> str:
    sending = queue.SimpleQueue()
    replies = channel.stream_stream("/test.Echo/Reset")(iter(sending.get, None), timeout=30)
    try:
        if answered:
            sending.put(b"begin")
            assert next(replies) == b"begin"
        sending.put(code.encode())
        next(replies)
        return "none"
    except grpc.RpcError as error:
        return error.code().name
    except StopIteration:
        return "clean end"
    finally:
        sending.put(None)


def cancelled(channel: grpc.Channel) -> str:
    sending = queue.SimpleQueue()
    replies = channel.stream_stream("/test.Echo/Reset")(iter(sending.get, None), timeout=30)
    sending.put(b"begin")
    assert next(replies) == b"begin"
    replies.cancel()
    sending.put(None)
    return channel.unary_unary("/test.Echo/Seen")(b"", timeout=30).decode()


def main(target: str, ca: str, certificate: str, key: str, *codes: str) -> None:
    read = lambda path: pathlib.Path(path).read_bytes()
    credentials = grpc.ssl_channel_credentials(read(ca), read(key), read(certificate))
    with grpc.secure_channel(target, credentials) as channel:
        for code in codes:
            print(reset(channel, code, False), reset(channel, code, True), flush=True)
        print(cancelled(channel), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
