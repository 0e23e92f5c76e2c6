"""`rollout serve --listen HOST:PORT`: the hotline for those who are on another machine.

The standard library's HTTP server with what it lacks: TLS within the client's own thread, a bound on connections, on
sizes and on time. What there is to ask stands in one mapping from path to `Page`.
"""

from __future__ import annotations

import ipaddress
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AF_INET6, SHUT_RDWR, SO_REUSEADDR, SOL_SOCKET, socket
from typing import Any

from rollout.hotline.converse import Answer, Trouble, converse
from rollout.hotline.request import MOST_BYTES, BadRequest, parse_request
from rollout.hotline.tokens import BadTokens, Tokens

AT_ONCE = 8
READ_S = 10.0
"""Handshake, head and body have to be here by then."""
PATH = "/v1/rollback"


class BadListen(ValueError):
    """What `--listen` and the options beside it ask for is not safe, or cannot be; the message says what would be."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one path answers. `answer(handler, who, body)` writes all of the response; `who` is empty without a token.

    `needs_token`: whoever has none is told 401 before anything else.
    """

    method: str
    answer: Callable[[BaseHTTPRequestHandler, str, bytes], None]
    needs_token: bool = True


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen, and what proves who is who."""

    address: str
    token_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def parts(self) -> tuple[str, int]:
        """Host and port. Raises BadListen for what is no address, or would show the token on its way."""
        host, colon, port = self.address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not port.isdigit() or not 0 <= int(port) < 65536:
            raise BadListen(f"--listen {self.address}: HOST:PORT is wanted, such as 127.0.0.1:8443")
        try:
            ip = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        except ValueError:
            raise BadListen(f"--listen {self.address}: HOST is an address of this machine, such as 10.0.0.5") from None
        if (self.tls_cert is None) != (self.tls_key is None):
            raise BadListen("--tls-cert and --tls-key belong together")
        if not ip.is_loopback and self.tls_cert is None:
            raise BadListen(f"--listen {self.address}: others could read the token: add --tls-cert FILE --tls-key FILE")
        if self.token_file is None:
            raise BadListen("--listen needs --token-file FILE: whoever may ask for a rollback has a token from there")
        return str(ip), int(port)


def rollback_page(answer: Answer, trouble: Trouble) -> Page:
    """POST /v1/rollback: the same request and the same lines as on the local socket."""

    def respond(handler: BaseHTTPRequestHandler, who: str, body: bytes) -> None:
        try:
            request = parse_request(body)
        except BadRequest as error:
            refuse(handler, HTTPStatus.BAD_REQUEST, str(error))
            return
        handler.send_response(HTTPStatus.OK)
        handler.send_header("Content-Type", "application/x-ndjson")
        handler.send_header("Cache-Control", "no-store")
        handler.send_header("X-Accel-Buffering", "no")
        handler.end_headers()

        def send(raw: bytes) -> None:
            handler.wfile.write(raw)
            handler.wfile.flush()

        converse(send, request, who, answer, trouble)

    return Page("POST", respond)


def refuse(handler: BaseHTTPRequestHandler, status: HTTPStatus, why: str) -> None:
    """Say no in one line of text."""
    body = f"{why}\n".encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "text/plain; charset=utf-8")
    handler.send_header("Content-Length", str(len(body)))
    if status == HTTPStatus.UNAUTHORIZED:
        handler.send_header("WWW-Authenticate", "Bearer")
    handler.end_headers()
    handler.wfile.write(body)


class Web:
    """Listens while it is open. Raises BadListen, BadTokens and OSError on opening."""

    def __init__(self, listen: Listen, pages: Mapping[str, Page], trouble: Trouble) -> None:
        host, port = listen.parts()
        self._listen = listen
        assert listen.token_file is not None  # noqa: S101 - parts() said so
        tokens = Tokens(listen.token_file)
        tokens.read()
        self._tls = self._context()
        self._server = _Server((host, port), _handler(dict(pages), tokens, trouble), self._tls, trouble)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def open(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.2,), daemon=True, name="hotline on the net").start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def read_again(self) -> None:
        """The certificate anew, for the connections to come. Raises BadListen."""
        if self._tls is not None:
            self._load(self._tls)

    def _context(self) -> ssl.SSLContext | None:
        if self._listen.tls_cert is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        assert self._listen.tls_cert is not None  # noqa: S101 - asked for only then
        try:
            context.load_cert_chain(self._listen.tls_cert, self._listen.tls_key, password=lambda: "")
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise BadListen(f"the certificate {self._listen.tls_cert} with its key cannot be used: {error}") from None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(
        self,
        address: tuple[str, int],
        handler: Callable[..., BaseHTTPRequestHandler],
        tls: ssl.SSLContext | None,
        trouble: Trouble,
    ) -> None:
        if ":" in address[0]:
            self.address_family = AF_INET6
        self._made, self._tls, self._trouble = handler, tls, trouble
        self._places = threading.BoundedSemaphore(AT_ONCE)
        super().__init__(address, BaseHTTPRequestHandler)

    def server_bind(self) -> None:
        """Without a look at the name server, which may not answer tonight."""
        self.socket.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """The handshake is here, in the client's own thread: one that hangs keeps nobody else waiting."""
        request.settimeout(READ_S)
        late = threading.Timer(READ_S, lambda: _shut(request))
        late.daemon = True
        late.start()
        try:
            channel = self._tls.wrap_socket(request, server_side=True) if self._tls else request
            self._made(channel, client_address, self, late)
            if channel is not request:
                with suppress(OSError):
                    channel.unwrap()
        except OSError:
            pass  # no handshake, or it hung up
        finally:
            late.cancel()

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            self._trouble("hotline on the net", error)


def _shut(channel: socket) -> None:
    with suppress(OSError):
        channel.shutdown(SHUT_RDWR)


def _handler(pages: Mapping[str, Page], tokens: Tokens, trouble: Trouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "rollout", ""
        timeout = READ_S

        def __init__(self, request: Any, address: Any, server: Any, late: threading.Timer) -> None:
            self._late = late
            super().__init__(request, address, server)

        def do_POST(self) -> None:
            self._respond("POST")

        def do_GET(self) -> None:
            self._respond("GET")

        def _respond(self, method: str) -> None:
            page = pages.get(self.path.partition("?")[0])
            if page is None or page.method != method:
                refuse(self, HTTPStatus.NOT_FOUND, "there is nothing here")
                return
            who = ""
            if page.needs_token:
                name = self._name()
                if name is None:
                    return
                who = f"token:{name}@{self.client_address[0]}"
            body = self._body()
            if body is not None:
                self._late.cancel()
                page.answer(self, who, body)

        def _name(self) -> str | None:
            kind, _, token = self.headers.get("Authorization", "").partition(" ")
            try:
                name = tokens.owner(token.strip()) if kind.lower() == "bearer" else None
            except BadTokens as error:
                trouble("hotline on the net", error)
                name = None
            if name is None:
                refuse(self, HTTPStatus.UNAUTHORIZED, "a token is wanted: Authorization: Bearer …")
            return name

        def _body(self) -> bytes | None:
            length = self.headers.get("Content-Length", "0")
            is_number = length.isascii() and length.isdigit() and len(length) < 12
            if not is_number or self.headers.get("Transfer-Encoding"):
                refuse(self, HTTPStatus.LENGTH_REQUIRED, "a Content-Length is wanted")
                return None
            if int(length) > MOST_BYTES:
                refuse(self, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MOST_BYTES} bytes")
                return None
            return self.rfile.read(int(length))

        def log_message(self, format: str, *args: Any) -> None:
            pass  # what a rollback does is journalled; everybody else is nobody

    return Handler
