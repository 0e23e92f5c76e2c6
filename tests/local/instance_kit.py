"""What the tests of instances share: a fleet folder with tiny images, free ports, waiting, and cleaning up."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from providers.base import Context, Instance, Provider, Service, Slot
from providers.local import adapter
from providers.local.processes import SERVICE
from tests.ports import free_port, free_row

PATIENCE_S = 30.0
SERVING = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["ROLLOUT_INSTANCE"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[-1])), Handler).serve_forever()
"""
COMMAND = ("{python}", "-S", "{image}/app.py", "--port", "{port}")


class RealClock:
    """The time of this machine."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Fleet:
    """A fleet folder and a state folder of its own, with the local provider over them."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.images = folder / "images"
        self.images.mkdir(parents=True)
        self.context = Context(folder / "state", folder, RealClock())
        first = free_row()
        self.options = {
            "listen": f"127.0.0.1:{free_port()}",
            "test_listen": f"127.0.0.1:{free_port()}",
            "ports": f"{first}-{first + 11}",
            **options,
        }
        self.provider: Provider = adapter.build(self.context)

    @property
    def root(self) -> Path:
        return self.context.state_dir.resolve() / "local"

    def service(self, name: str = "shop", **options: Any) -> Service:
        return Service(name, {**self.options, **options})

    def image(self, name: str, app: str = SERVING, lock: str = "", command: tuple[str, ...] = COMMAND) -> Path:
        folder = self.images / name
        folder.mkdir(exist_ok=True)
        (folder / "app.py").write_text(app)
        (folder / "requirements.lock").write_text(lock)
        document = {"command": list(command), "files": ["app.py"], "lock": "requirements.lock"}
        (folder / "image.yaml").write_text(json.dumps(document))
        return folder

    def digest(self, name: str) -> str:
        return self.provider.patcher.resolve(self.service(), name).image

    def up(self, name: str = "base-1", capacity: int = 1, token: str = "up-1", **options: Any) -> Service:  # noqa: S107
        """A service on blue with the instances started."""
        service = self.service(**options)
        self.provider.compute.stand_up(service, "blue", self.digest(name), capacity, token)
        return service

    def instances(self, service: Service, slot: Slot = "blue") -> list[Instance]:
        found = self.provider.compute.observe([service])[service.name]
        return [instance for instance in found if instance.slot == slot]

    def running(self, service: Service, slot: Slot = "blue") -> list[Instance]:
        return [instance for instance in self.instances(service, slot) if instance.state == "running"]

    def all_running(self, service: Service, capacity: int) -> bool:
        """Fails at once, with the reason, when one of them cannot."""
        found = self.instances(service)
        assert all(instance.state != "failed" for instance in found), found
        return [instance.state for instance in found] == ["running"] * capacity

    def record(self, service: Service, instance: Instance) -> dict[str, Any]:
        path = self.root / "services" / service.name / "instances" / f"{instance.id}.json"
        document: dict[str, Any] = json.loads(path.read_text())
        return document

    def processes(self) -> list[psutil.Process]:
        """All live processes of this fleet, balancers too, found without the provider's help."""
        return [process for process in psutil.process_iter() if self._ours(process)]

    def close(self) -> None:
        for folder in (self.root / "services").glob("*"):
            adapter.tear_down(self.context, Service(folder.name))
        assert self.processes() == [], "left behind"

    def _ours(self, process: psutil.Process) -> bool:
        try:
            said = " ".join(process.cmdline())
            here = f"--dir {self.root}" in said or f"-C {self.root}" in said
            return here or process.environ().get(SERVICE, "").endswith(f"@{self.root}")
        except psutil.Error:
            return False


@contextmanager
def open_fleet(folder: Path, **options: Any) -> Iterator[Fleet]:
    fleet = Fleet(folder, **options)
    try:
        yield fleet
    finally:
        fleet.close()


def wait_until(true: Callable[[], object], why: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, why
        time.sleep(0.01)


def environment(**values: str) -> Mapping[str, str]:
    """The variables of a child of the test."""
    return {**os.environ, **values}
