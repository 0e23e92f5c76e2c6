"""Rubbish on the wire, by its kind: what servers say that are broken, hostile, or none of their kind."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.healthchecks.servers import Behave, Server, Servers

TAKEN_AT_MOST = 16 << 20
"""Bytes of one answer that never ends: what the system's own buffers hold on both ends, and a little."""
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
HANDSHAKE = b"\x16\x03\x03\x40\x00"  # begins a TLS record of 16 KiB


@dataclass
class Rubbish:
    """One kind of it. `taken`: for each connection, how much of an endless answer was taken."""

    behave: Behave
    rash: bool = False
    taken: dict[int, int] = field(default_factory=dict)

    def talk(self, servers: Servers, hears: bool) -> Server:
        """hears: says it only once it was asked. One that is rash never waits for that."""
        return servers.start(self.behave, hears and not self.rash)


def saying(what: bytes, rash: bool = False) -> Callable[[], Rubbish]:
    """These bytes, and then the connection is closed."""
    return lambda: Rubbish(lambda connection, _: connection.sendall(what), rash)


def endless(start: bytes, more: bytes) -> Callable[[], Rubbish]:
    """As fast as it is taken, until the other side has had enough."""
    block = more * (65536 // len(more))

    def kind() -> Rubbish:
        taken: dict[int, int] = {}

        def pour(connection: socket.socket, closing: threading.Event) -> None:
            taken[id(connection)] = 0
            connection.sendall(start)
            while not closing.is_set():
                connection.sendall(block)
                taken[id(connection)] += len(block)

        return Rubbish(pour, taken=taken)

    return kind


def dripping(start: bytes, more: bytes = b"x") -> Callable[[], Rubbish]:
    """Each byte comes before any read could time out, but the end never comes."""

    def drip(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(start)
        while not closing.wait(0.02):
            connection.sendall(more)

    return lambda: Rubbish(drip)


def _reset(connection: socket.socket, _: threading.Event) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


KINDS: dict[str, Callable[[], Rubbish]] = {
    "random bytes": saying(_noise(1, 300_000)),
    "a few random bytes": saying(_noise(2, 3)),
    "endless random bytes": endless(b"", _noise(3, 65536)),
    "endless zeros": endless(b"", b"\0"),
    "random bytes at once": saying(_noise(7, 300), rash=True),
    "closed": saying(b""),
    "closed at once": saying(b"", rash=True),
    "reset": lambda: Rubbish(_reset),
    "reset at once": lambda: Rubbish(_reset, rash=True),
    "half a greeting": saying(b"+O"),
    "half a status line": saying(b"HTTP/1.1 2"),
    "half a head": saying(JSON + b"content-le"),
    "half a body": saying(JSON + b'content-length: 1000\r\n\r\n{"status": "success"'),
    "half a chunk": saying(JSON + b'transfer-encoding: chunked\r\n\r\nff\r\n{"status"'),
    "a chunk of no size": saying(JSON + b"transfer-encoding: chunked\r\n\r\nlots\r\nok\r\n0\r\n\r\n"),
    "two lengths": saying(JSON + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
    "a length below zero": saying(JSON + b"content-length: -2\r\n\r\n{}"),
    "a status of letters": saying(b"HTTP/1.1 2OO OK\r\ncontent-length: 0\r\n\r\n"),
    "a header with random bytes": saying(JSON + b"x-noise: " + _noise(4, 600) + b"\r\ncontent-length: 0\r\n\r\n"),
    "an endless status line": endless(b"HTTP/1.1 200 ", b"O"),
    "an endless header": endless(JSON + b"x-long: ", b"x"),
    "endless headers": endless(JSON, b"x-more: again\r\n"),
    "endless interim answers": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a header that drips": dripping(JSON + b"x-long: "),
    "interim answers that drip": dripping(b"", b"HTTP/1.1 103 Early\r\n\r\n"),
    "half a handshake": saying(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + _noise(5, 40)),
    "a handshake of random bytes": saying(b"\x16\x03\x03\x01\x00" + _noise(6, 256)),
    "an endless handshake": endless(HANDSHAKE + b"\x02\xff\xff\xff" + b"x" * 16380, HANDSHAKE + b"x" * 16384),
    "a handshake that drips": dripping(HANDSHAKE + b"\x02\x00\x40\x00"),
}
