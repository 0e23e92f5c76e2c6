"""The hotline on the net answers those who have a token, over TLS, and is of no use to anybody else."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rollout.hotline import client, web, web_client
from rollout.hotline.request import MOST_BYTES
from rollout.hotline.tokens import BadTokens, Tokens
from rollout.hotline.web import PATH, BadListen, Listen, Page, Web, refuse, rollback_page
from tests.healthchecks.certificates import Authority
from tests.hotline.kit import PATIENCE_S, Desk, Heard

TOKEN = "0123456789abcdef0123456789abcdef"
ASKED = {"v": 1, "arguments": ["rollback", "shop"]}


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """A token file with alice's token."""
    path = tmp_path / "tokens"
    path.write_text(f"# who may\nalice {TOKEN}\n")
    path.chmod(0o600)
    return path


@contextmanager
def listening(desk: Desk, tokens: Path, more: dict[str, Page] | None = None, **tls: Path) -> Iterator[Web]:
    """On a port of this machine that nobody has."""
    made = Web(
        Listen("127.0.0.1:0", tokens, **tls),
        {PATH: rollback_page(desk.answer, desk.troubled), **(more or {})},
        desk.troubled,
    )
    made.open()
    try:
        yield made
    finally:
        desk.go_on.set()
        made.close()


def post(
    port: int, body: bytes | None = None, path: str = PATH, method: str = "POST", **headers: str
) -> tuple[int, str]:
    """Status and text of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    sent = {"Authorization": f"Bearer {TOKEN}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request(method, path, json.dumps(ASKED).encode() if body is None else body, sent)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def ask(port: int, heard: Heard, scheme: str = "http", host: str = "127.0.0.1", **environ: str) -> int | None:
    """As the command does."""
    request = (json.dumps(ASKED) + "\n").encode()
    return web_client.asked(
        f"{scheme}://{host}:{port}", request, heard.say, PATIENCE_S, {"ROLLOUT_TOKEN": TOKEN, **environ}
    )


def test_a_rollback_from_elsewhere(tokens: Path) -> None:
    """From a laptop nothing can be put back, or nobody can say afterwards whose laptop it was."""
    desk, heard = Desk(), Heard()
    with listening(desk, tokens) as made:
        assert ask(made.port, heard) == 0
    assert heard.lines[-1] == "all new traffic is on blue" and heard.facts["traffic"] == {"blue": 100, "green": 0}
    assert desk.asked == [(("rollback", "shop"), "token:alice@127.0.0.1")]


def test_over_tls(tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody on the way reads the token; or the server of somebody else gets it."""
    authority = Authority.new(tmp_path)
    authority.context(tmp_path, "127.0.0.1")
    both = tmp_path / "127.0.0.1-90.pem"
    desk, heard, refused = Desk(), Heard(), Heard()
    with listening(desk, tokens, tls_cert=both, tls_key=both) as made:
        made.read_again()
        assert ask(made.port, heard, "https", ROLLOUT_SERVER_CA=str(authority.file)) == 0
        assert ask(made.port, refused, "https") is None, "an authority that nobody trusts"
        assert ask(made.port, Heard(), "http") is None
        with socket.create_connection(("127.0.0.1", made.port), PATIENCE_S):
            assert ask(made.port, heard, "https", ROLLOUT_SERVER_CA=str(authority.file)) == 0, "one that says nothing"
    assert "CERTIFICATE_VERIFY_FAILED" in refused.lines[0] and TOKEN not in refused.lines[0]
    assert desk.trouble == []


@pytest.mark.parametrize(
    "header", ["", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer", "Bearer \u00e4", f"bearer{TOKEN}"]
)
def test_nobody_without_a_token(tokens: Path, header: str) -> None:
    """Whoever reaches the port moves the traffic."""
    desk = Desk()
    with listening(desk, tokens) as made:
        status, text = post(made.port, Authorization=header.encode("utf-8").decode("latin-1"))
    assert status == 401 and TOKEN not in text and desk.asked == []


def test_tokens_are_read_anew_and_never_shown(tokens: Path) -> None:
    """Whoever left last week still has the key; or a fault shows it."""
    desk, heard = Desk(), Heard()
    with listening(desk, tokens) as made:
        tokens.write_text(f"bob {'x' * 40}\n")
        assert ask(made.port, heard) is None and "does not know this token" in heard.lines[0]
        tokens.chmod(0o644)
        assert ask(made.port, heard) is None
        tokens.chmod(0o600)
        tokens.write_text(TOKEN)
        assert ask(made.port, heard) == 0
    assert desk.asked[0][1] == "token:token@127.0.0.1"
    assert "chmod 600" in str(desk.trouble[0][1]) and not any(
        TOKEN in str(said) for said in (heard.lines, desk.trouble)
    )


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        ("", 0o600, "has no token"),
        ("short", 0o600, "line 1: shorter than"),
        (f"a b {TOKEN}", 0o600, "NAME TOKEN"),
        (f"na!me {TOKEN}", 0o600, "NAME TOKEN"),
        (f"\u00e4{TOKEN}", 0o600, "not plain text"),
        (TOKEN, 0o604, "chmod 600"),
        (TOKEN, 0o620, "chmod 600"),
        (TOKEN * 4000, 0o600, "too large"),
    ],
)
def test_a_token_file_that_cannot_be_relied_on(tmp_path: Path, text: str, mode: int, says: str) -> None:
    """A file with a typo lets nobody in, or everybody, and a message shows what is in it."""
    path = tmp_path / "tokens"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(BadTokens, match=says) as error:
        Tokens(path).read()
    assert TOKEN not in str(error.value) and error.value.__cause__ is None
    with pytest.raises(BadTokens):
        Tokens(tmp_path / "none").read()


def test_nothing_else_is_there(tokens: Path) -> None:
    """A port for emergencies is a way in for everything else."""
    desk = Desk()
    with listening(desk, tokens) as made:
        assert post(made.port, path="/")[0] == post(made.port, path="/v1/start")[0] == 404
        assert post(made.port, method="GET")[0] == 404
        assert post(made.port, method="DELETE")[0] == 501
        assert post(made.port, b"{}")[0] == post(made.port, b'{"v": 1, "arguments": ["start"]}')[0] == 400
        assert post(made.port, b"x" * (MOST_BYTES + 1))[0] == 413
        assert post(made.port, Transfer_Encoding="chunked", Content_Length="3")[0] == 411
        assert post(made.port, Content_Length="-1")[0] == 411
        assert post(made.port)[0] == 200
    assert len(desk.asked) == 1 and desk.trouble == []


def test_other_pages_have_a_place(tokens: Path) -> None:
    """Metrics need a second server."""

    def answer(handler: Any, who: str, body: bytes) -> None:
        refuse(handler, http.HTTPStatus.OK, f"up 1 {who}")

    with listening(Desk(), tokens, {"/metrics": Page("GET", answer, needs_token=False)}) as made:
        assert post(made.port, b"", "/metrics?x=1", "GET", Authorization="") == (200, "up 1 \n")


def test_one_that_says_nothing_is_cut_off(tokens: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few connections that say nothing keep everybody else out."""
    monkeypatch.setattr(web, "READ_S", 0.1)
    with listening(Desk(), tokens) as made, socket.create_connection(("127.0.0.1", made.port), PATIENCE_S) as slow:
        slow.sendall(b"POST /v1/rollback HTTP/1.1\r\n")
        assert slow.recv(10) == b""
        assert ask(made.port, Heard()) == 0


def test_connections_are_bounded(tokens: Path) -> None:
    """Somebody opens a thousand, and the server has no thread left for the engine."""
    with listening(Desk(), tokens) as made:
        idle = [socket.create_connection(("127.0.0.1", made.port), PATIENCE_S) for _ in range(web.AT_ONCE)]
        try:
            assert ask(made.port, Heard()) is None
        finally:
            for each in idle:
                each.close()


@pytest.mark.parametrize(
    ("listen", "says"),
    [
        (Listen("0.0.0.0:8443", Path("t")), "--tls-cert FILE"),
        (Listen("[::]:8443", Path("t")), "--tls-cert FILE"),
        (Listen("10.0.0.5:8443", Path("t")), "others could read the token"),
        (Listen("127.0.0.1:8443"), "--token-file"),
        (Listen("127.0.0.1", Path("t")), "HOST:PORT"),
        (Listen("127.0.0.1:99999", Path("t")), "HOST:PORT"),
        (Listen("ops.example.com:1", Path("t")), "an address of this machine"),
        (Listen("127.0.0.1:1", Path("t"), Path("c")), "belong together"),
    ],
)
def test_what_is_not_safe_is_not_listened_at(listen: Listen, says: str) -> None:
    """A server that was begun in a hurry shows its token to the whole network."""
    with pytest.raises(BadListen, match=says):
        listen.parts()


def test_a_certificate_that_cannot_be_used_is_said(tokens: Path, tmp_path: Path) -> None:
    """The server begins, and nobody can connect."""
    (tmp_path / "x").write_text("x")
    with pytest.raises(BadListen, match="with its key cannot be used"):
        Web(Listen("127.0.0.1:0", tokens, tmp_path / "x", tmp_path / "x"), {}, Desk().troubled)


@pytest.mark.parametrize(
    "place", ["http://10.0.0.5:80", "http://ops.example.com", "https://", "https://me:pw@ops:1/x", "https://ops:1/v2?x"]
)
def test_a_client_sends_its_token_nowhere_else(place: str) -> None:
    """The token goes in clear through the network because of a missing s."""
    with pytest.raises(ValueError) as error:
        web_client.asked(place, b"{}", Heard().say, 1.0, {"ROLLOUT_TOKEN": TOKEN})
    assert TOKEN not in str(error.value) and "pw" not in str(error.value)


@pytest.mark.parametrize("environ", [{}, {"ROLLOUT_TOKEN": "two words of it"}, {"ROLLOUT_TOKEN": "a\nb"}])
def test_a_client_without_a_token_says_so(environ: dict[str, str]) -> None:
    """A request without a token is refused by the server in words that nobody understands."""
    with pytest.raises(ValueError, match="token") as error:
        web_client.read_token(environ)
    assert "two words" not in str(error.value)


def test_a_client_reads_its_token_from_a_file(tmp_path: Path) -> None:
    """The token has to be in the environment, where other programs see it."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert web_client.read_token({"ROLLOUT_TOKEN_FILE": str(tmp_path / "token")}) == TOKEN


def test_nobody_there_is_said_and_gone_on_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is down keeps the rollback from happening at all."""
    monkeypatch.setenv("ROLLOUT_TOKEN", TOKEN)
    heard = Heard()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert client.ask(f"http://127.0.0.1:{port}", ["rollback"], heard.say) is None
    assert "cannot be asked" in heard.lines[0]


def test_certificates_are_checked_with_the_machines_own() -> None:
    """Any certificate will do, and the token is anybody's."""
    connection = web_client._connection("https://ops.example.com:1", {})
    context = connection._context  # type: ignore[attr-defined]
    assert context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname
