#!/usr/bin/env python3
"""A gRPC server over HTTP/2, frame by frame (RFC 9113), that ends streams with any code.

http2_server.py CERTIFICATE KEY

`Reset` gives messages back until one is a number, which is the code that it resets its stream with; `Seen` answers with
the code that a caller has reset its own with. Prints the port once it listens and ends with its standard input.
"""

import socket
import ssl
import sys
import threading

DATA, HEADERS, RST_STREAM, SETTINGS, PING = 0, 1, 3, 4, 6
ACK = END_STREAM = 1
END_HEADERS = 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

SEEN: list[int] = []
NEWS = threading.Condition()


def field(name: bytes, value: bytes) -> bytes:
    """A literal without indexing (RFC 7541, section 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


ANSWER = b"\x88" + field(b"content-type", b"application/grpc")  # :status 200
DONE = field(b"grpc-status", b"0")


class Peer:
    """One connection."""

    def __init__(self, connection: ssl.SSLSocket):
        self.connection = connection
        self.file = connection.makefile("rb")
        self.writing = threading.Lock()
        self.answered: set[int] = set()
        self.calls: dict[int, bytes] = {}

    def write(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        with self.writing:
            head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
            self.connection.sendall(head + payload)

    def serve(self) -> None:
        if self.file.read(len(PREFACE)) != PREFACE:
            return
        self.write(SETTINGS, 0, 0, b"")
        while len(head := self.file.read(9)) == 9:
            payload = self.file.read(int.from_bytes(head[:3], "big"))
            self.read(head[3], head[4], int.from_bytes(head[5:], "big"), payload)

    def read(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind in (SETTINGS, PING) and not flags & ACK:
            self.write(kind, ACK, 0, payload if kind == PING else b"")
        elif kind == HEADERS:
            # Huffman-coded or not, which of the two it is shows in what it asks with.
            self.calls[stream] = b""
            if flags & END_STREAM:
                self.tell(stream)
        elif kind == DATA and stream in self.calls:
            self.calls[stream] += payload
            self.take(stream)
            if flags & END_STREAM and stream in self.calls:
                self.tell(stream)
        elif kind == RST_STREAM and self.calls.pop(stream, None) is not None:
            with NEWS:
                SEEN.append(int.from_bytes(payload, "big"))
                NEWS.notify_all()

    def take(self, stream: int) -> None:
        while len(self.calls.get(stream, b"")) >= 5:
            waiting = self.calls[stream]
            end = 5 + int.from_bytes(waiting[1:5], "big")
            if len(waiting) < end:
                return
            message, self.calls[stream] = waiting[5:end], waiting[end:]
            if message.isdigit():
                del self.calls[stream]
                self.write(RST_STREAM, 0, stream, int(message).to_bytes(4, "big"))
            elif message:
                self.begin(stream)
                self.write(DATA, 0, stream, waiting[:end])

    def begin(self, stream: int) -> None:
        if stream not in self.answered:
            self.answered.add(stream)
            self.write(HEADERS, END_HEADERS, stream, ANSWER)

    def tell(self, stream: int) -> None:
        """Only `Seen` ends its request."""
        del self.calls[stream]

        def wait() -> None:
            with NEWS:
                NEWS.wait_for(lambda: SEEN)
            code = str(SEEN[0]).encode()
            self.begin(stream)
            self.write(DATA, 0, stream, b"\0" + len(code).to_bytes(4, "big") + code)
            self.write(HEADERS, END_HEADERS | END_STREAM, stream, DONE)

        threading.Thread(target=wait, daemon=True).start()


def accept(listener: ssl.SSLSocket) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=Peer(connection).serve, daemon=True).start()


def main(certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    plain = socket.create_server(("127.0.0.1", 0))
    listener = context.wrap_socket(plain, server_side=True)
    threading.Thread(target=accept, args=[listener], daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
