#!/usr/bin/env python3
"""Calls every shape of RPC over HTTP/2 with grpcio and checks what comes back.

grpc_client.py TARGET CA CERTIFICATE KEY

Prints one line a call that went as it should; ends with 1 at the first that did not.
"""

import pathlib
import queue
import sys

import grpc

LARGE = bytes(range(256)) * 1024


def expect(what: str, found, wanted) -> None:
    if found != wanted:
        sys.exit(f"{what}: {str(found)[:200]} instead of {str(wanted)[:200]}")
    print(what, flush=True)


def main(target: str, ca: str, certificate: str, key: str) -> None:
    read = lambda path: pathlib.Path(path).read_bytes()
    credentials = grpc.ssl_channel_credentials(read(ca), read(key), read(certificate))
    with grpc.secure_channel(target, credentials) as channel:
        reply, call = channel.unary_unary("/test.Echo/Unary").with_call(LARGE, timeout=30, metadata=[("x-mark", "7")])
        expect("unary", reply, LARGE)
        trailers = {item.key: item.value for item in call.trailing_metadata()}
        expect("trailers", trailers.get("x-mark"), "7")
        replies = channel.unary_stream("/test.Echo/ServerStream")(b"one", timeout=30)
        expect("server-stream", list(replies), [b"one"] * 3)
        reply = channel.stream_unary("/test.Echo/ClientStream")(iter([b"a", b"", b"c" * 70_000]), timeout=30)
        expect("client-stream", reply, b"a" + b"c" * 70_000)
        ping_pong(channel)
        expect("empty-stream", list(channel.stream_stream("/test.Echo/Bidi")(iter([]), timeout=30)), [])
        try:
            channel.unary_unary("/test.Echo/Fail")(b"", timeout=30)
            sys.exit("fail: it succeeded")
        except grpc.RpcError as error:
            expect("fail", (error.code().name, error.details()), ("FAILED_PRECONDITION", "not today: 100 % ü"))


def ping_pong(channel: grpc.Channel) -> None:
    """Each message is sent only once the one before it came back: both directions are open at once."""
    sending = queue.SimpleQueue()
    replies = channel.stream_stream("/test.Echo/Bidi")(iter(sending.get, None), timeout=30)
    for turn in range(5):
        sending.put(str(turn).encode())
        expect(f"pong-{turn}", next(replies), str(turn).encode())
    sending.put(None)
    expect("ping-pong", list(replies), [])


if __name__ == "__main__":
    main(*sys.argv[1:])
