"""A running server is asked first, and is never an obstacle: hung, dead or broken off, it costs a second at most."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from rollout import emergency, exits
from rollout.rescue import daemon
from rollout.rescue.told import Told
from tests.rescue.kit import BACK, Night

Answer = Callable[[socket.socket, dict[str, Any]], None]


class Server:
    """Listens where `rollout serve` does, and answers as it is told."""

    def __init__(self, path: Path) -> None:
        self.asked = list[dict[str, Any]]()
        self.answer: Answer = lambda channel, request: None
        self.release = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen(4)
        self._thread = threading.Thread(target=self._take_calls, daemon=True)
        self._thread.start()

    def _take_calls(self) -> None:
        while True:
            try:
                channel, _ = self._socket.accept()
            except OSError:
                return
            with channel:
                try:
                    request = json.loads(channel.makefile("rb").readline() or b"{}")
                    self.asked.append(request)
                    self.answer(channel, request)
                except OSError:
                    continue

    def close(self) -> None:
        """Nobody listens any more."""
        self.release.set()
        with suppress(OSError):  # it may be closed already
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@pytest.fixture
def server(night: Night) -> Iterator[Server]:
    """A server at the fleet's own socket."""
    path = night.folder / "state" / daemon.SOCKET
    if len(str(path)) > 100:
        pytest.fail(f"the socket's path is too long for this test: {path} ({tempfile.gettempdir()})")
    opened = Server(path)
    yield opened
    opened.close()


def tell(channel: socket.socket, *told: dict[str, Any]) -> None:
    """Send lines."""
    channel.sendall(b"".join(json.dumps(each).encode() + b"\n" for each in told))


def test_what_the_server_did_is_not_done_again(night: Night, server: Server) -> None:
    """Each rollback is done twice, or the reason is lost on the way."""
    facts = {"id": "shop-1", "service": "shop", "traffic": BACK}
    server.answer = lambda channel, request: tell(
        channel, {"alive": True}, {"say": "shop: all new traffic is on blue", "facts": facts}, {"exit": 0}
    )
    assert night.rollback("shop", "--reason", "it is slow", "--force") == exits.DONE
    assert night.toy.calls == [] and night.toy.looks == 0
    assert "shop: all new traffic is on blue" in night.err
    words = server.asked[0]["arguments"]
    assert words == ["rollback", "shop", "--reason=it is slow", "--force", "--direct"]
    assert night.unfinished == ["resume", "shop-1", "--config", str(night.fleet), "--after-rollback"]


def test_its_refusal_is_the_answer(night: Night, server: Server) -> None:
    """A refusal of the server is tried around, and traffic goes to a sick side."""
    server.answer = lambda channel, request: tell(channel, {"say": "refused", "facts": {}}, {"exit": 5})
    assert night.rollback("shop") == exits.PERSON_NEEDED
    assert night.toy.calls == [] and night.unfinished == []


def test_a_server_that_cannot_leave_the_mark_is_followed_by_one_who_can(night: Night, server: Server) -> None:
    """The server's disk is full: its engine steps forward again, though this process could have said not to."""
    facts = {"traffic": BACK, "unmarked": True, "error": "the hold mark was not confirmed"}
    server.answer = lambda channel, request: tell(channel, {"say": "not finished", "facts": facts}, {"exit": 5})
    assert night.rollback("shop", "--json") == exits.DONE
    assert len(night.toy.marks) == 1
    assert not {"unmarked", "error"} & night.document().keys()


def test_many_that_a_server_could_not_mark_are_marked_here(night: Night, server: Server) -> None:
    """A hundred commands are to be typed, because one server's disk is full."""
    facts = {"services": {"shop": {"traffic": BACK, "unmarked": True}}, "failed": {"shop": "rollout rollback shop"}}
    server.answer = lambda channel, request: tell(channel, {"say": "0 of 1", "facts": facts}, {"exit": 5})
    assert night.rollback("--all", "--json") == exits.DONE
    assert len(night.toy.marks) == 1 and night.document()["failed"] == {}


def test_one_that_hangs_costs_about_a_second(night: Night, server: Server) -> None:
    """A frozen server keeps traffic on the bad side."""
    server.answer = lambda channel, request: (server.release.wait(30), None)[1]
    began = time.monotonic()
    assert night.rollback("shop") == exits.DONE
    assert time.monotonic() - began < 3 * daemon.PATIENCE_S
    assert night.toy.weights == BACK and "no answer from" in night.err and "going on directly" in night.err
    server.release.set()


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [{"alive": True}],
        [{"say": "shop: putting traffic back", "facts": {}}],
        [{"say": "x", "facts": {}}, {"exit": None}],
        [{"say": "x", "facts": {}}, {"exit": "five"}],
        [["no", "mapping"]],
    ],
)
def test_an_answer_that_breaks_off_is_none(night: Night, server: Server, lines: list[Any]) -> None:
    """The server dies in the middle of it, and its last word is taken for success."""
    server.answer = lambda channel, request: tell(channel, *lines)
    assert night.rollback("shop") == exits.DONE
    assert night.toy.weights == BACK and len(night.toy.marks) == 1


def test_a_socket_that_nobody_listens_at_is_no_obstacle(night: Night, server: Server) -> None:
    """The server was killed, and its socket is left."""
    server.close()
    assert night.rollback("shop") == exits.DONE
    assert night.toy.weights == BACK


def test_direct_asks_nobody(night: Night, server: Server) -> None:
    """The server asks itself, and waits for its own answer."""
    assert night.rollback("shop", "--direct") == exits.DONE
    assert server.asked == [] and night.toy.weights == BACK
    told = Told()
    assert (
        emergency.run(["rollback", "shop", "--config", str(night.fleet), "--direct"], told, night.clock) == exits.DONE
    )
    assert server.asked == [] and told.facts["traffic"] == BACK


def test_run_says_all_to_whoever_listens_and_prints_nothing(night: Night, capsys: pytest.CaptureFixture[str]) -> None:
    """The server's own terminal gets what was meant for the person who asked."""

    class Heard(Told):
        """Remembers."""

        def __init__(self) -> None:
            super().__init__()
            self.lines = list[str]()

        def write(self, line: str, facts: dict[str, Any]) -> None:
            """Keep the line."""
            self.lines.append(line)

    night.store()
    heard = Heard()
    arguments = ["rollback", "shop", "--config", str(night.fleet)]
    assert emergency.run(arguments, heard, night.clock, actor="ana@desk") == exits.DONE
    assert capsys.readouterr() == ("", "") and heard.lines[-1].startswith("shop: all new traffic is on blue")
    assert night.toy.marks[0]["by"] == "ana@desk"


def test_a_server_elsewhere_is_asked_without_a_fleet_file(night: Night, server: Server) -> None:
    """The laptop has no fleet file, and its only way is not tried."""
    server.answer = lambda channel, request: tell(channel, {"say": "back", "facts": {"traffic": BACK}}, {"exit": 0})
    where = f"unix://{night.folder}/state/{daemon.SOCKET}"
    night.fleet.unlink()
    code, rest = emergency.main(["--server", where, "rollback", "shop"], night.clock)
    assert (code, len(server.asked)) == (exits.DONE, 1)
    assert rest == [] or "--config" in rest


@pytest.mark.parametrize("where", ["nonsense", "http://elsewhere.invalid:1", "/nowhere/at/all.sock"])
def test_a_server_that_cannot_be_asked_is_passed_by(night: Night, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped address in the environment takes the way back away."""
    monkeypatch.setenv("ROLLOUT_SERVER", where)
    assert night.rollback("shop") == exits.DONE
    assert night.toy.weights == BACK


def test_where_is_the_option_then_the_environment_then_the_socket(night: Night, server: Server) -> None:
    """Another fleet's server is asked."""
    socket_path = str(night.folder / "state" / daemon.SOCKET)
    assert daemon.place("a", {"ROLLOUT_SERVER": "b"}, night.fleet) == "a"
    assert daemon.place(None, {"ROLLOUT_SERVER": "b"}, night.fleet) == "b"
    assert daemon.place(None, {}, night.fleet) == socket_path
    assert daemon.place(None, {}, None) == "" == daemon.place(None, {}, night.folder / "other" / "fleet.yaml")
