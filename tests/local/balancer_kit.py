"""What the balancer's tests share: a balancer in a folder, target processes, a strict load client, waiting."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from providers.local.balancer import launcher, store
from providers.local.balancer.client import BalancerClient
from providers.local.balancer.identity import Identity
from tests.ports import free_port

PATIENCE_S = 15.0
ROOT = Path(__file__).resolve().parents[2]


def wait_until(true: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.005)


@dataclass
class TargetProcess:
    name: str
    process: subprocess.Popen[str]
    address: str

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass
class Kit:
    """One balancer and its targets; `close` ends all of it."""

    directory: Path
    listen: str = ""
    test_listen: str = ""
    targets: list[TargetProcess] = field(default_factory=list)

    @property
    def client(self) -> BalancerClient:
        return BalancerClient(self.directory, 10.0)

    def target(self, name: str) -> TargetProcess:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.local.balancer_target", name, "0"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        with process.stdout as said:
            started = TargetProcess(name, process, f"127.0.0.1:{int(said.readline())}")
        self.targets.append(started)
        return started

    def configure(self, **more: object) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.listen, self.test_listen = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        health = {"path": "/health", "interval_s": 0.05, "timeout_s": 2.0}
        config = {"listen": self.listen, "test_listen": self.test_listen, "health": health, "drain_s": 1.0}
        (self.directory / "config.json").write_text(json.dumps({**config, **more}))

    def start(self, blue: list[TargetProcess], green: list[TargetProcess], **config: object) -> None:
        """All traffic on blue; returns when every target that lives is known to be healthy."""
        self.configure(**config)
        targets = {"blue": [t.address for t in blue], "green": [t.address for t in green]}
        store.create(self.directory, {"blue": 100, "green": 0}, targets)
        launcher.ensure_running(self.directory, PATIENCE_S)
        wait_until(lambda: all(self.health().values()), "the targets are healthy")

    def health(self) -> dict[str, bool | None]:
        state = self.client.state()
        return {t["address"]: t["healthy"] for slot in state["targets"].values() for t in slot}

    def weigh(self, blue: int, green: int, token: str) -> None:
        self.client.set_weights({"blue": blue, "green": green}, expected_revision=None, token=token)

    def ask(
        self,
        path: str = "/who",
        method: str = "GET",
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        at: str = "",
    ) -> Reply:
        host, port = (at or self.listen).split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    @contextmanager
    def connected(self, at: str = "") -> Iterator[socket.socket]:
        host, port = (at or self.listen).split(":")
        with socket.create_connection((host, int(port)), PATIENCE_S) as client:
            yield client

    def pid(self, who: str) -> int:
        """parent or worker"""
        return int(json.loads((self.directory / f"{who}.json").read_text())["pid"])

    def wait_for_another_worker(self, pid: int) -> None:
        wait_until(lambda: self.pid("worker") != pid, "there is another worker")

    def kill(self, who: str) -> None:
        pid = self.pid(who)
        os.kill(pid, signal.SIGKILL)
        self.wait_for_death(pid)

    def wait_for_death(self, pid: int) -> None:
        wait_until(lambda: Identity.of(pid) is None, f"{pid} is dead")

    def close(self) -> None:
        launcher.stop(self.directory, PATIENCE_S)
        for target in self.targets:
            target.kill()


K = TypeVar("K", bound=Kit)


@contextmanager
def serving(kit: K, a_side: int = 2) -> Iterator[K]:
    """So many targets a side (b1 …, g1 …), and all of it ended again, whatever happens."""
    numbers = range(1, a_side + 1)
    try:
        kit.start([kit.target(f"b{number}") for number in numbers], [kit.target(f"g{number}") for number in numbers])
        yield kit
    finally:
        kit.close()


def swap_ten_times_under_load(kit: Kit) -> None:
    """No request is lost, and once a swap was answered none is served by the side that it left."""
    swaps: list[tuple[float, float, str]] = []
    with Load(kit.listen).running() as load:
        load.wait_for(50)
        for number in range(10):
            slot = "blue" if number % 2 else "green"
            asked = time.monotonic()
            kit.weigh(*((100, 0) if slot == "blue" else (0, 100)), token=f"swap-{number}")
            swaps.append((asked, time.monotonic(), slot))
            load.wait_for(50)
    assert load.failed() == []
    for (_, since, slot), (until, _, _) in zip(swaps, [*swaps[1:], (time.monotonic(), 0.0, "")], strict=True):
        by = {sent.by for sent in load.sent if sent.began > since and sent.ended < until}
        assert by == {slot}


@dataclass
class Sent:
    method: str
    began: float
    ended: float
    status: int  # 0: no answer
    by: str


class Load:
    """Keep-alive clients, half of them posting, that never retry and note what became of every request."""

    def __init__(self, address: str, connections: int = 8) -> None:
        self.connections = connections
        self.sent: list[Sent] = []
        self._host, port = address.split(":")
        self._port = int(port)
        self._stopping = False

    def failed(self) -> list[Sent]:
        return [sent for sent in self.sent if sent.status != 200]

    def wait_for(self, more: int) -> None:
        target = len(self.sent) + more
        wait_until(lambda: len(self.sent) >= target, f"{more} more requests were answered", 60.0)

    @contextmanager
    def running(self) -> Iterator[Load]:
        thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        thread.start()
        try:
            yield self
        finally:
            self._stopping = True
            thread.join()

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(n) for n in range(self.connections)))

    async def _client(self, number: int) -> None:
        method = "POST" if number % 2 else "GET"
        body = b"order" if method == "POST" else b""
        head = f"{method} /who HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        request = head + body
        while not self._stopping:
            began = time.monotonic()
            try:
                reader, writer = await asyncio.open_connection(self._host, self._port)
            except OSError:
                self.sent.append(Sent("CONNECT", began, time.monotonic(), 0, ""))
                await asyncio.sleep(0.01)
                continue
            try:
                while not self._stopping:
                    began = time.monotonic()
                    try:
                        writer.write(request)
                        status, by, stays = await _answer(reader)
                    except (OSError, asyncio.IncompleteReadError, ValueError):
                        self.sent.append(Sent(method, began, time.monotonic(), 0, ""))
                        break
                    self.sent.append(Sent(method, began, time.monotonic(), status, by))
                    if not stays:
                        break
            finally:
                writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, str, bool]:
    """Status, side, and whether the connection may be used again."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    await reader.readexactly(int(fields["content-length"]))
    return int(head.split(" ")[1]), fields.get("x-rollout-served-by", ""), fields.get("connection") != "close"
