"""Real servers on 127.0.0.1, each with one way to behave or misbehave."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

Behave = Callable[[socket.socket, threading.Event], None]


@dataclass
class Server:
    """`requests` are what was asked, as it came: heads, and bodies where there were any."""

    address: str
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.address}"


class Servers(ExitStack):
    """Starts servers; all end with this context."""

    def answering(self, status: int = 200, body: bytes = b"ok", headers: str = "") -> Server:
        head = f"HTTP/1.1 {status} Said\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode()
        return self.saying(head + body)

    def saying(self, what: bytes) -> Server:
        """These bytes, whatever was asked, and then nothing more."""
        return self.start(lambda connection, _: connection.sendall(what))

    def deciding(self, answer: Callable[[str], bytes]) -> Server:
        """Whole answers, each made from the head of what was asked (and what came with it)."""

        def decide(connection: socket.socket, _: threading.Event, head: str) -> None:
            connection.sendall(answer(head))

        return self._start(decide)

    def greeting(self, what: bytes) -> Server:
        """These bytes at once, before anything was asked."""
        return self._start(lambda connection, *_: connection.sendall(what), hears=False)

    def secured(self, context: ssl.SSLContext) -> Server:
        """Speaks TLS, and says ok to whoever gets that far."""
        return self._start(lambda connection, *_: connection.sendall(said("ok")), context=context)

    def silent(self) -> Server:
        """Takes the request and never says anything."""

        def wait(connection: socket.socket, closing: threading.Event) -> None:
            closing.wait(30)

        return self.start(wait)

    def dripping(self, start: bytes) -> Server:
        """Each byte comes before any read could time out, but the end never comes."""

        def drip(connection: socket.socket, closing: threading.Event) -> None:
            connection.sendall(start)
            while not closing.wait(0.02):
                connection.sendall(b"x")

        return self.start(drip)

    def start(self, behave: Behave, hears: bool = True) -> Server:
        """hears: behaves so once it was asked, else at once."""
        return self._start(lambda connection, closing, _: behave(connection, closing), hears)

    def _start(
        self,
        behave: Callable[[socket.socket, threading.Event, str], None],
        hears: bool = True,
        context: ssl.SSLContext | None = None,
    ) -> Server:
        listener = socket.create_server(("127.0.0.1", 0))
        host, port = listener.getsockname()
        server, closing = Server(f"{host}:{port}"), threading.Event()

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                spoken = context.wrap_socket(connection, server_side=True) if context else connection
                with spoken:
                    head = _head(spoken) if hears else ""
                    server.requests.append(head)
                    behave(spoken, closing, head)

        threading.Thread(target=serve, daemon=True).start()
        self.callback(_close, listener)
        self.callback(closing.set)
        return server

    @staticmethod
    def nobody() -> str:
        """An address at which nothing listens."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            host, port = listener.getsockname()
        return f"{host}:{port}"


def said(body: str, status: int = 200, headers: str = "") -> bytes:
    """A whole answer."""
    content = body.encode()
    return f"HTTP/1.1 {status} Said\r\ncontent-length: {len(content)}\r\n{headers}\r\n".encode() + content


def _close(listener: socket.socket) -> None:
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
    listener.close()


def _head(connection: socket.socket) -> str:
    said = b""
    while b"\r\n\r\n" not in said:
        more = connection.recv(4096)
        if not more:
            break
        said += more
    head, _, body = said.partition(b"\r\n\r\n")
    length = re.search(rb"\ncontent-length: *([0-9]+)", head, re.IGNORECASE)
    while length and len(body) < int(length.group(1)):  # unread bytes would break off the answer
        more = connection.recv(4096)
        if not more:
            break
        said, body = said + more, body + more
    return said.decode("latin-1")
