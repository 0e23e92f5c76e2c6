"""The client of the control socket, and what is built on it, against balancers that answer slowly or never."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from providers.base import Context, Route, Service, Transient
from providers.local import adapter
from providers.local.balancer import identity, store
from providers.local.balancer.client import SOCKET, BalancerClient, Unreachable
from tests.local.instance_kit import RealClock

TARGETS = {"blue": ["127.0.0.1:1"], "green": ["127.0.0.1:2"]}
STATE = {
    "revision": 1,
    "weights": {"blue": 100, "green": 0},
    "targets": {slot: [{"address": address} for address in found] for slot, found in TARGETS.items()},
    "token": None,
    "mark": None,
}
SHOP = Service("shop", {"listen": "127.0.0.1:1", "test_listen": "127.0.0.1:2"})


class SlowBalancer:
    """Answers reads after `read_s`; the answers to writes drip without an end."""

    def __init__(self, directory: Path, read_s: float) -> None:
        self._read_s, self._over = read_s, threading.Event()
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        folder = os.open(directory, os.O_PATH)  # the kernel limits a socket's path, not a folder's
        self._listening.bind(f"/proc/self/fd/{folder}/{SOCKET}")
        os.close(folder)
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Let go of everybody."""
        self._over.set()
        self._listening.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=[connection], daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            asked = connection.recv(65536)
            body = json.dumps(STATE).encode()
            try:
                if asked.startswith(b"GET"):
                    self._over.wait(self._read_s)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                    return
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not self._over.wait(0.05):
                    connection.sendall(b" ")
            except OSError:
                return


@contextmanager
def slow_balancer(directory: Path, read_s: float = 0.0) -> Iterator[None]:
    """One that is gone in the end."""
    balancer = SlowBalancer(directory, read_s)
    try:
        yield
    finally:
        balancer.close()


def test_an_answer_that_drips_does_not_extend_the_time(tmp_path: Path) -> None:
    """Else a write is still open long after everybody was told that none is."""
    began = time.monotonic()
    with slow_balancer(tmp_path), pytest.raises(Unreachable) as late:
        BalancerClient(tmp_path, 0.4).cut("green")
    assert 0.3 < time.monotonic() - began < 1.0
    assert late.value.may_have_applied


def test_the_calls_of_a_client_share_its_time(tmp_path: Path) -> None:
    """Else an act of two calls takes twice as long as it may."""
    client, began = BalancerClient(tmp_path, 0.8), time.monotonic()
    with slow_balancer(tmp_path, read_s=0.5):
        client.state()
        with pytest.raises(Unreachable):
            client.state()
    assert time.monotonic() - began < 1.2
    with pytest.raises(Unreachable) as too_late:
        client.cut("green")
    assert not too_late.value.may_have_applied


ROUTE = Route({"blue": 100, "green": 0}, "r1")
WRITES: dict[str, Callable[[Any], object]] = {
    "set_weights": lambda traffic: traffic.set_weights(SHOP, {"blue": 0, "green": 100}, ROUTE, "t"),
    "attach": lambda traffic: traffic.attach(SHOP, "green", [], "t"),
    "detach": lambda traffic: traffic.detach(SHOP, "green", "t"),
    "cut": lambda traffic: traffic.cut(SHOP, "green", "t"),
}


@pytest.mark.parametrize("name", WRITES)
def test_every_write_is_over_in_time(tmp_path: Path, name: str) -> None:
    """Else a write lands after a rollback has waited for it, and traffic is on the bad side again."""
    folder = tmp_path / "local" / "services" / "shop" / "balancer"
    store.create(folder, STATE["weights"], TARGETS)  # type: ignore[arg-type]  # read from one plain document
    (folder / "config.json").write_text(json.dumps({"listen": "127.0.0.1:1"}))
    identity.record(folder / "parent.json", os.getpid())  # it seems to run, so nobody starts it
    provider = adapter.build(Context(tmp_path, tmp_path, RealClock()))
    began = time.monotonic()
    with slow_balancer(folder, read_s=0.4), pytest.raises(Transient):
        WRITES[name](provider.traffic)
    assert time.monotonic() - began < provider.write_timeout_s
