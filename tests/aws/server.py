"""The test cloud over HTTP, on this machine only: for other processes, and for faults that only a socket has.

As a program: `python -m tests.aws.server [--port N]` prints its URL and serves until it is ended. Another process says
what is to go wrong by POST /_line {"deed": "fail", "operation": "ModifyListener", "times": 1} (the methods of Line),
and what moto lacks by POST /_answers {"inventory": {…}}; GET /_line tells how often each operation was called.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from threading import Event
from typing import Any, cast

from moto.core.request import Request
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from tests.aws.account import Account, credentials
from tests.aws.calls import Answer, read_call
from tests.aws.stubs import Answers
from tests.aws.truer import Manner, truer
from tests.aws.wire import Cut, Line, Wire

LOCAL = "127.0.0.1"
ENDS_WITHIN_S = 0.02
"""So often it looks whether it is to end: many tests have a server of their own."""
Environ = dict[str, Any]
Start = Callable[..., Any]


class Quiet(MotoRequestHandler):
    """Requests are no news."""

    def log_request(self, *args: Any, **more: Any) -> None:
        pass


class Application:
    """WSGI: moto behind the wire."""

    def __init__(self, between: Wire, line: Line) -> None:
        self.wire, self.line = between, line
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if environ.get("PATH_INFO", "") in ("/_line", "/_answers"):
            return _send(start, self._controlled(environ["PATH_INFO"], environ["REQUEST_METHOD"], body))
        environ["wsgi.input"] = BytesIO(body)
        call = read_call(Request(dict(environ)))
        environ["wsgi.input"] = BytesIO(body)
        if call is None:
            found: Iterable[bytes] = self._moto.get_application(environ)(environ, start)
            return found
        try:
            return _send(start, self.wire.handle(call, lambda: self._applied(environ)))
        except Cut:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return _send(start, (500, {}, b""))

    def _applied(self, environ: Environ) -> Answer:
        said: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            said[:] = [int(status.split()[0]), dict(headers)]

        body = b"".join(self._moto.get_application(environ)(environ, cast(Any, start)))
        return said[0], said[1], body

    def _controlled(self, path: str, method: str, body: bytes) -> Answer:
        if method == "POST":
            asked = json.loads(body)
            if path == "/_line":
                getattr(self.line, asked.pop("deed"))(**asked)
            else:
                for name, value in asked.items():
                    getattr(self.wire.answers, name).update(value)
        counted = Counter(call.name for call in list(self.line.calls))
        return 200, {"Content-Type": "application/json"}, json.dumps(counted).encode()


def _send(start: Start, answer: Answer) -> Iterable[bytes]:
    status, headers, body = answer
    start(f"{status} {status}", [(str(name), str(value)) for name, value in headers.items()])
    return [body]


class _Threaded(ThreadedMotoServer):
    def __init__(self, application: Application, port: int) -> None:
        super().__init__(ip_address=LOCAL, port=port, verbose=False)
        self._application = application

    def _server_entry(self) -> None:
        self._server = make_server(LOCAL, self._port, self._application, threaded=True, request_handler=Quiet)
        self._server_ready_event.set()
        self._server.serve_forever(ENDS_WITHIN_S)


@dataclass
class Served:
    """A server that runs: `url`, and what a test may change while it does."""

    url: str
    manner: Manner
    answers: Answers
    wire: Wire

    def account(self, **account: Any) -> Account:
        """A new account's things on it (the server itself is one account); `account`: fields of Account."""
        return Account(self.url, manner=self.manner, answers=self.answers, wire=self.wire, **account)


@contextmanager
def server(port: int = 0) -> Iterator[Served]:
    """Empty at its start; this process has credentials for it meanwhile."""
    answers = Answers()
    between, line = Wire(answers), Line(time.sleep)
    between.lines.append(line)
    with credentials(), truer() as manner:
        running = _Threaded(Application(between, line), port)
        running.start()
        url = "http://{}:{}".format(*running.get_host_and_port())
        try:
            urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST"), timeout=10).close()
            yield Served(url, manner, answers, between)
        finally:
            running.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description="The test cloud on this machine.")
    parser.add_argument("--port", type=int, default=0)
    ended = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with server(parser.parse_args().port) as served:
        os.write(1, f"{served.url}\n".encode())
        ended.wait()


if __name__ == "__main__":
    main()
