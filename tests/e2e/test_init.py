"""`rollout init`, and then what it says to type: on a clean machine, without network, with real processes."""

from __future__ import annotations

import shlex
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.kit import PROGRAM, Done, Running, environment
from tests.ports import ROW, free_port, free_row

pytestmark = pytest.mark.e2e
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "PIP_INDEX_URL"), "http://127.0.0.1:9")
"""Whoever asks anybody for a package gets no answer."""


class Beginner:
    """Somebody in an empty folder who types what the program says."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()

    def rollout(self, *arguments: str) -> Done:
        """One command, to its end."""
        running = Running([*PROGRAM, *arguments], self.folder, {**environment(self.folder), **NO_NETWORK})
        try:
            return running.wait(110)
        finally:
            running.kill()

    def begin(self) -> list[str]:
        """`rollout init`; the commands that it says to type."""
        done = self.rollout("init", "--json")
        assert done.code == 0, done
        commands: list[str] = done.last["next"]
        return commands

    def hurry(self) -> None:
        """Ports that are free here, and times for a test; the rest stays as it was written."""
        first = free_row()
        changes = {
            "127.0.0.1:8080": f"127.0.0.1:{self.port}",
            "127.0.0.1:8081": f"127.0.0.1:{free_port()}",
            "18100-18199": f"{first}-{first + ROW - 1}",
            "soak: 10s": "soak: 1s",
            "interval: 1s": "interval: 300ms",
            "bake: 10s": "bake: 1s",
        }
        text = (self.folder / "fleet.yaml").read_text()
        for before, after in changes.items():
            assert before in text
            text = text.replace(before, after)
        (self.folder / "fleet.yaml").write_text(text)

    def page(self) -> str:
        """What the service answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=10) as answer:
            text: str = answer.read().decode()
        return text

    def processes(self) -> list[psutil.Process]:
        """All that runs of this folder: balancer and instances."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.cwd().startswith(str(self.folder)) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture
def beginner(tmp_path: Path) -> Iterator[Beginner]:
    """Nothing of it is left afterwards."""
    folder = tmp_path.resolve() / "first"
    folder.mkdir()
    made = Beginner(folder)
    try:
        yield made
    finally:
        made.rollout("down", "web", "--yes", "web")
        left = made.processes()
        for process in left:
            process.kill()
        assert not left, f"left behind: {left}"


def test_what_it_says_to_type_really_works(beginner: Beginner) -> None:
    """The first five minutes end in an error message, and nobody comes back."""
    up, curl, copy, start, rollback = beginner.begin()
    beginner.hurry()
    assert typed(beginner, up).last["healthy"] == 2
    assert len(beginner.processes()) >= 4, "two instances, and the balancer's two"
    assert "web-blue" in beginner.page() and curl == "curl http://127.0.0.1:8080/"
    subprocess.run(["/bin/sh", "-c", copy], cwd=beginner.folder, check=True, timeout=20)
    done = typed(beginner, start)
    assert (done.last["outcome"], done.last["active_slot"]) == ("promoted", "green")
    assert "web-green" in beginner.page()
    assert typed(beginner, rollback).last["exit_code"] == 0
    assert "web-blue" in beginner.page()


def typed(beginner: Beginner, command: str) -> Any:
    """A command as it was said, with --json."""
    program, *arguments = shlex.split(command)
    assert program == "rollout"
    done = beginner.rollout(*arguments, "--json")
    assert done.code == 0, done
    return done


def test_a_copy_that_changes_nothing_is_said_to_be_the_same(beginner: Beginner) -> None:
    """Users who copy a folder and change nothing wait for a patch that there is not."""
    up, _, copy, start, _ = beginner.begin()
    beginner.hurry()
    typed(beginner, up)
    subprocess.run(["/bin/sh", "-c", copy.partition(" && ")[0]], cwd=beginner.folder, check=True, timeout=20)
    done = beginner.rollout(*shlex.split(start)[1:])
    assert done.code == 0 and "runs v2 already" in done.err


def test_a_second_time_is_refused(beginner: Beginner) -> None:
    """A fleet that was worked on for weeks is overwritten by a slip."""
    beginner.begin()
    (beginner.folder / "fleet.yaml").write_text("mine")
    done = beginner.rollout("init")
    assert done.code == 2, done
    assert (done.out, "nothing was written" in done.err) == ("", True)
    assert all(name in done.err for name in ("fleet.yaml", "fleet.schema.json", "images/v1/app.py"))
    assert (beginner.folder / "fleet.yaml").read_text() == "mine"
