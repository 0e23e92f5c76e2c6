"""The same question to a server on another machine: HTTPS, with a token that is read and shown nowhere.

Standard library only.
"""

from __future__ import annotations

import http.client
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from rollout.hotline.client import MOST_LINE, SILENCE_S, Say, heard

PATH = "/v1/rollback"
TOKEN = "ROLLOUT_TOKEN"  # noqa: S105 - a variable's name
TOKEN_FILE = "ROLLOUT_TOKEN_FILE"  # noqa: S105 - a variable's name
CA_FILE = "ROLLOUT_SERVER_CA"
"""Certificates to trust beside the machine's own, for a server with one of its own making."""
CONNECT_S = 5.0
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_WRONG = {
    401: "the server does not know this token (ROLLOUT_TOKEN, or ROLLOUT_TOKEN_FILE)",
    503: "the server answers others just now",
}


def asked(url: str, request: bytes, say: Say, patience_s: float, environ: Mapping[str, str] = os.environ) -> int | None:
    """The exit code of this request there; None where it is not answered to the end, and why is told.

    Raises ValueError for an address that is not to be used: the token would be sent in clear, or there is none.
    """
    connection = _connection(url, environ)
    try:
        token = read_token(environ)
        connection.connect()
        connection.request(
            "POST", PATH, request, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        )
        assert connection.sock is not None  # noqa: S101 - it is connected
        channel = connection.sock
        channel.settimeout(max(patience_s, SILENCE_S))
        answer = connection.getresponse()
        if answer.status != 200:
            say(f"  {_host(url)}: {_WRONG.get(answer.status, f'HTTP {answer.status} {answer.reason}'[:200])}")
            return None
        return heard(lambda: answer.readline(MOST_LINE), say)
    except (OSError, http.client.HTTPException) as error:
        say(f"  {_host(url)} cannot be asked: {type(error).__name__}: {error}")
        return None
    finally:
        connection.close()


def read_token(environ: Mapping[str, str]) -> str:
    """From ROLLOUT_TOKEN, else from the file that ROLLOUT_TOKEN_FILE names. Raises ValueError, OSError."""
    token = environ.get(TOKEN, "")
    if not token and environ.get(TOKEN_FILE):
        token = Path(environ[TOKEN_FILE]).read_text("utf-8").strip()
    if not token:
        raise ValueError(f"a server elsewhere wants a token: set {TOKEN_FILE} (a file), or {TOKEN}")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("the token is not one word of plain characters")
    return token


def _connection(url: str, environ: Mapping[str, str]) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or parts.path.strip("/") or parts.query or parts.username:
        raise ValueError(f"{_host(url)}: https://host:port is wanted")
    if parts.scheme == "http":
        if host not in LOOPBACK:
            raise ValueError(f"{_host(url)}: http:// would show the token to everybody on the way; https:// is wanted")
        return http.client.HTTPConnection(host, parts.port, timeout=CONNECT_S)
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if environ.get(CA_FILE):
        context.load_verify_locations(environ[CA_FILE])
    return http.client.HTTPSConnection(host, parts.port, timeout=CONNECT_S, context=context)


def _host(url: str) -> str:
    """The address without anything secret that somebody may have put into it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
