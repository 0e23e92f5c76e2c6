"""A client gets an answer, or goes on by himself a moment later; asking costs next to nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.hotline import client
from tests.hotline.kit import PATIENCE_S, Heard

ROOT = Path(__file__).parents[2]


class Server:
    """Takes one call and sends what it is given."""

    def __init__(self, folder: Path, answer: bytes, *, hangs: bool = False) -> None:
        self.path = folder / "s.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._answer, self._hangs, self.close = answer, hangs, threading.Event()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        channel, _ = self._listener.accept()
        with channel, self._listener:
            channel.recv(20_000)
            channel.sendall(self._answer)
            if self._hangs:
                self.close.wait(PATIENCE_S)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Patience is for people."""
    monkeypatch.setattr(client, "SILENCE_S", 0.1)
    yield


def ask(folder: Path, answer: bytes, *, hangs: bool = False) -> tuple[int | None, Heard]:
    """The code for this answer, and what was heard."""
    server, heard = Server(folder, answer, hangs=hangs), Heard()
    code = client.ask(server.path, ["rollback"], heard.say, 0.1 if hangs else PATIENCE_S)
    server.close.set()
    server.thread.join(PATIENCE_S)
    return code, heard


LINE = b'{"say": "moving", "facts": {"id": "shop-1", "line": "x"}}\n'


@pytest.mark.parametrize(
    ("answer", "hangs", "lines"),
    [
        (b"", False, []),
        (b"", True, []),
        (b'{"exit": null}\n', False, []),
        (b'{"alive": true}\n', True, []),
        (b"<html>", False, []),
        (b"[]\n", False, []),
        (b'"exit"\n', False, []),
        (LINE, False, ["moving", "  the server's answer broke off; going on directly, which is harmless"]),
        (LINE, True, ["moving", "  the server's answer broke off; going on directly, which is harmless"]),
    ],
)
def test_whoever_is_not_answered_to_the_end_goes_on_by_himself(
    tmp_path: Path, answer: bytes, hangs: bool, lines: list[str]
) -> None:
    """A server that died, hangs or talks nonsense stands between a person and the rollback."""
    code, heard = ask(tmp_path, answer, hangs=hangs)
    assert (code, heard.lines) == (None, lines)


def test_an_answer_is_its_lines_facts_and_code(tmp_path: Path) -> None:
    """Scripts that read the document of a rollback get less through a server."""
    code, heard = ask(tmp_path, b'{"alive": true}\n' + LINE + b'{"exit": 5}\n')
    assert (code, heard.lines, heard.facts) == (5, ["moving"], {"id": "shop-1"})


def test_nobody_there_is_no_answer(tmp_path: Path) -> None:
    """Without a server nothing can be put back."""
    assert client.ask(tmp_path / "none.sock", ["rollback"], Heard().say) is None
    (tmp_path / "file").write_text("")
    assert client.ask(f"unix://{tmp_path}/file", ["rollback"], Heard().say) is None


@pytest.mark.parametrize(
    ("accepted", "waited_s"), [(None, client.NEWS_S), (False, 5 + client.NEWS_S), (True, 5 + client.WATCH_S)]
)
def test_a_server_that_lives_and_gets_nowhere_is_left(accepted: bool | None, waited_s: float) -> None:
    """The server's call to its platform hangs; it says each second that it lives, and the engineer waits for ever."""
    now, heard = [0.0], Heard()

    def next_line() -> bytes:
        now[0] += 1.0
        assert now[0] < 1000, "it waits for ever"
        if now[0] == 5.0 and accepted is not None:
            return json.dumps({"say": "moving", "facts": {"accepted": accepted}}).encode()
        return b'{"alive": true}'

    assert client.heard(next_line, heard.say, now=lambda: now[0]) is None
    assert now[0] == waited_s and "gets nowhere; going on directly" in heard.lines[-1]


@given(st.lists(st.binary(max_size=40)))
def test_no_answer_breaks_the_client(lines: list[bytes]) -> None:
    """A newer server's answer ends the command with a traceback."""
    left = [line + b"\n" for line in lines]
    assert client.heard(lambda: left.pop() if left else b"", Heard().say) in {None, *range(-1000, 1000)}


def test_a_place_that_is_none_is_said() -> None:
    """A typo in the address is taken for a server that is down."""
    with pytest.raises(ValueError, match="https://host:port"):
        client.ask("shop.example.com", ["rollback"], Heard().say)


@pytest.mark.parametrize(
    ("named", "environ", "found"),
    [
        (None, {}, "/var/lib/rollout/hotline.sock"),
        (None, {"ROLLOUT_SERVER": "https://ops:8443"}, "https://ops:8443"),
        ("unix:///run/x", {"ROLLOUT_SERVER": "https://ops:8443"}, "unix:///run/x"),
    ],
)
def test_where_to_ask(named: str | None, environ: dict[str, str], found: str) -> None:
    """What was named on the command line is not what is asked."""
    assert client.place_of(named, environ, Path("/var/lib/rollout")) == found


BENCH = """
import json, sys, time
import socket  # what every command that talks to anybody pays
began = time.perf_counter()
import rollout.hotline.client
print(json.dumps([time.perf_counter() - began, sorted(sys.modules)]))
"""


def test_asking_costs_next_to_nothing() -> None:
    """The short cut takes longer than the way round."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    best, loaded = 1e9, set[str]()
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", BENCH], capture_output=True, text=True, env=environment, check=True
        )
        seconds, modules = json.loads(done.stdout)
        best, loaded = min(best, seconds), set(modules)
    assert not loaded & {"http.client", "ssl", "argparse", "dataclasses", "sqlite3", "logging", "asyncio"}
    assert best < 0.05, f"{best * 1000:.1f} ms (5 ms on a machine that is not busy)"
