"""Where the demo plays: a fleet file with free ports, and the real command line as a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout import resources

SERVICE = "shop"
PORTS = 40


@dataclass(frozen=True, slots=True)
class Stage:
    """A folder with a fleet file. `tell` is given each line that a command says while it runs."""

    folder: Path
    port: int
    tell: Callable[[str], None]

    def rollout(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run `rollout …` and return its exit code and last JSON object; its sentences are told as they come."""
        self.tell(f"$ rollout {' '.join(arguments)}")
        command = [sys.executable, "-m", "rollout", *arguments, "--config", str(self.folder / "fleet.yaml"), "--json"]
        last: dict[str, Any] = {}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=self.folder) as process:
            assert process.stdout is not None  # noqa: S101 - asked for above
            for line in process.stdout:
                document = json.loads(line)
                if document.get("event"):
                    if document.get("text"):
                        self.tell(f"    {document['text']}")
                else:
                    last = document
        return process.returncode, last


def set_up(folder: Path, tell: Callable[[str], None]) -> Stage:
    """Write the fleet file; nothing is started."""
    folder.mkdir(parents=True, exist_ok=True)
    port, test_port, first_port = _free_ports()
    images = resources.path("demo/images/base-1/image.yaml").parent.parent
    values = {
        "images": images,
        "advisories": resources.path("demo/advisories.json"),
        "port": port,
        "test_port": test_port,
        "first_port": first_port,
        "last_port": first_port + PORTS - 1,
    }
    text = resources.read_text("demo/fleet.yaml")
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    (folder / "fleet.yaml").write_text(text)
    return Stage(folder, port, tell)


def _free_ports() -> tuple[int, int, int]:
    """Two free ports, and the first of a range in which most are free."""
    with socket.socket() as one, socket.socket() as two:
        for listener in (one, two):
            listener.bind(("127.0.0.1", 0))
        first = 20000 + (os.getpid() * PORTS) % 10000
        return one.getsockname()[1], two.getsockname()[1], first
