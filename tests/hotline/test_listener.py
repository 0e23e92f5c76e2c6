"""The hotline answers while all else hangs, is nobody else's, and steps aside where it cannot answer."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from rollout.actor import this_person
from rollout.hotline import client, converse, listener
from rollout.hotline.listener import AT_ONCE, Hotline, is_answered
from rollout.hotline.place import MOST_PATH_BYTES, SOCKET, connected
from tests.hotline.kit import PATIENCE_S, Desk, Heard, hotline

ASKED = ["rollback", "shop", "--reason=slow"]


def test_an_answer_is_told_line_by_line_to_its_end(tmp_path: Path) -> None:
    """The person at the keyboard sees nothing, or not how it ended."""
    desk, heard = Desk(), Heard()
    desk.code = 5
    with hotline(tmp_path, desk) as line:
        assert client.ask(line.path, ASKED, heard.say) == 5
    assert heard.lines == ["now blue 0 %, green 100 %", "all new traffic is on blue"]
    assert heard.facts == {"before": {"blue": 0, "green": 100}, "traffic": {"blue": 100, "green": 0}}
    assert desk.trouble == []


def test_who_asks_is_what_the_kernel_says(tmp_path: Path) -> None:
    """Whoever reaches the socket writes another name into the journal."""
    desk = Desk()
    with hotline(tmp_path, desk) as line:
        assert client.ask(line.path, ASKED, Heard().say, claim="alice@host") == 0
    assert desk.asked == [(tuple(ASKED), f"{this_person()} for alice@host")]


def test_a_long_platform_call_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    """One service's platform hangs, and no other service can be put back."""
    desk, slow, quick = Desk(), Heard(), Desk()
    with hotline(tmp_path, desk) as line:
        desk.go_on.clear()
        codes: list[int | None] = []
        first = threading.Thread(target=lambda: codes.append(client.ask(line.path, ASKED, slow.say)))
        first.start()
        assert slow.first.wait(PATIENCE_S)
        line._answer = quick.answer
        assert client.ask(line.path, ["rollback", "web"], Heard().say) == 0
        desk.go_on.set()
        first.join(PATIENCE_S)
    assert codes == [0]


def test_a_client_that_waits_is_told_that_somebody_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollback that takes its time is given up by its client, who then does it a second time."""
    monkeypatch.setattr(converse, "ALIVE_S", 0.01)
    desk = Desk()
    desk.go_on.clear()
    with hotline(tmp_path, desk) as line, connected(str(line.path), PATIENCE_S) as channel:
        channel.sendall(b'{"v": 1, "arguments": ["rollback"]}\n')
        with channel.makefile("rb") as answer:
            assert sum(b"alive" in answer.readline() for _ in range(10)) >= 8
            desk.go_on.set()
            assert any(b'"exit": 0' in raw for raw in answer)


def test_a_client_that_goes_away_leaves_nothing_half_done(tmp_path: Path) -> None:
    """Ctrl-C in the middle leaves traffic between the sides."""
    desk = Desk()
    desk.go_on.clear()
    with hotline(tmp_path, desk) as line:
        with connected(str(line.path), PATIENCE_S) as channel:
            channel.sendall(b'{"v": 1, "arguments": ["rollback"]}\n')
            assert b"alive" in channel.recv(100)
        desk.go_on.set()
        assert desk.ended.wait(PATIENCE_S)
    assert desk.trouble == []


def test_a_fault_of_ours_sends_the_client_on_his_way(tmp_path: Path) -> None:
    """A fault in the server is taken for the end of the rollback."""
    desk, heard = Desk(), Heard()
    desk.fault = "a fault"
    with hotline(tmp_path, desk) as line:
        assert client.ask(line.path, ASKED, heard.say) is None
    assert [str(error) for _, error in desk.trouble] == ["a fault"]


def test_rubbish_ends_nothing(tmp_path: Path) -> None:
    """One strange request, and the hotline is dead for the next person."""
    desk = Desk()
    with hotline(tmp_path, desk) as line:
        for text in (b"\n", b"{}\n", b"x" * 40_000, b'{"v": 9}\n', b'{"v": 1, "arguments": ["start"]}\n'):
            with connected(str(line.path), PATIENCE_S) as channel:
                channel.sendall(text)
                with suppress(ConnectionResetError):
                    assert b"exit" not in channel.recv(100)
        assert client.ask(line.path, ASKED, Heard().say) == 0
    assert len(desk.asked) == 1


def test_those_beyond_its_bound_go_on_directly(tmp_path: Path) -> None:
    """Somebody opens connections by the thousand, and the hotline keeps everybody waiting."""
    desk = Desk()
    with hotline(tmp_path, desk) as line:
        idle = [connected(str(line.path), PATIENCE_S) for _ in range(AT_ONCE)]
        try:
            assert client.ask(line.path, ASKED, Heard().say, PATIENCE_S) is None
        finally:
            for channel in idle:
                channel.close()


def test_one_that_drips_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that never ends its line takes a place for ever."""
    monkeypatch.setattr(listener, "READ_S", 0.05)
    with hotline(tmp_path, Desk()) as line, connected(str(line.path), PATIENCE_S) as channel:
        channel.sendall(b'{"v"')
        assert channel.recv(10) == b""


@pytest.mark.parametrize(("folder_mode", "mode"), [(0o700, 0o600), (0o2770, 0o660)])
def test_the_socket_is_as_open_as_its_folder(tmp_path: Path, folder_mode: int, mode: int) -> None:
    """Anybody on the machine moves traffic; or the team that shares the folder cannot."""
    tmp_path.chmod(folder_mode)
    with hotline(tmp_path, Desk()) as line:
        assert stat.S_IMODE(line.path.stat().st_mode) == mode
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_is_too_long_for_the_kernel(tmp_path: Path) -> None:
    """A state folder that is deep in the tree has no hotline, and nobody knows why."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    assert len(os.fsencode(deep / SOCKET)) > MOST_PATH_BYTES
    with hotline(deep, Desk()) as line:
        assert client.ask(line.path, ASKED, Heard().say) == 0


def test_a_living_one_is_respected(tmp_path: Path) -> None:
    """Two servers take the socket from each other."""
    with hotline(tmp_path, Desk()) as line:
        assert Hotline(tmp_path, Desk().answer, Desk().troubled).open() is False
        assert line.is_ours and is_answered(line.path)


DIES = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
os._exit(0)
"""


def test_what_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    """After a crash there is no hotline until somebody removes a file."""
    subprocess.run([sys.executable, "-S", "-c", DIES, str(tmp_path / SOCKET)], check=True)
    assert (tmp_path / SOCKET).exists() and not is_answered(tmp_path / SOCKET)
    desk = Desk()
    with hotline(tmp_path, desk) as line:
        assert client.ask(line.path, ASKED, Heard().say) == 0


def test_one_that_is_frozen_is_replaced_and_stays_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs keeps the hotline from the one that took over; or takes the socket away when it wakes."""
    monkeypatch.setattr(listener, "PING_S", 0.1)
    frozen = socket.socket(socket.AF_UNIX)
    frozen.bind(str(tmp_path / SOCKET))
    frozen.listen()  # and never answers
    with hotline(tmp_path, Desk()) as line:
        late = Hotline(tmp_path, Desk().answer, Desk().troubled)
        late._listener, late._id = frozen, (0, 0)
        late.close()
        assert line.is_ours and client.ask(line.path, ASKED, Heard().say) == 0
