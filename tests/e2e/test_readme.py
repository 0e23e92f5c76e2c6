"""The README's walk through one's own service, word by word, where nothing else is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.kit import environment
from tests.ports import free_port, free_row

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def console(heading: str) -> list[str]:
    """The commands of the first console block below a heading, comments and all, as a person would paste them."""
    (_, part) = README.split(f"\n## {heading}\n", 1)
    block = part.split("```console\n", 1)[1].split("```", 1)[0]
    return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """An empty folder with `rollout` on the PATH; nothing that was started there outlives the test."""
    program = tmp_path / "bin" / "rollout"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m rollout "$@"\n')
    program.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    yield work
    for process in psutil.process_iter():
        try:
            if str(tmp_path) in " ".join([*process.cmdline(), process.cwd()]):
                process.kill()
        except psutil.Error:
            continue


def typed(place: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    """Lines typed into one shell that stops at the first that fails."""
    own = environment(place)
    path = f"{place.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"
    script = "\n".join(["set -eux", *lines])
    return subprocess.run(
        ["bash", "-c", script],
        cwd=place,
        env={**own, "PATH": path, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=280,
    )


def with_own_ports(lines: list[str]) -> list[str]:
    """The same walk where the ports of the starter may be in use by another test."""
    first, service, test = free_row(), free_port(), free_port()
    change = (
        f"sed -i 's/18100-18199/{first}-{first + 19}/; s/:8080/:{service}/; s/:8081/:{test}/; "
        "s/soak: 10s/soak: 2s/; s/bake: 10s/bake: 2s/' fleet.yaml"
    )
    walked = [line.replace(":8080", f":{service}") for line in lines]
    return [walked[0], change, *walked[1:]]


def test_the_walk_is_what_it_says(place: Path) -> None:
    """Whoever follows the README on a new machine is stuck at some line of it."""
    lines = console("Your own service on one machine")
    assert len(lines) >= 12 and lines[0].startswith("rollout init web && cd web")
    done = typed(place, *with_own_ports(lines))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "Hello from web-blue" in done.stdout
    assert "promoted (warm)" in done.stdout
    assert "all new traffic is on blue" in done.stderr
    assert "web is gone from this machine" in done.stdout
    assert (place / "web" / "report.html").read_text().startswith("<!doctype html>")
    assert (place / "web" / ".rollout" / "rollout.db").exists()


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`(rollout [a-z-]+(?: [a-z-]+)?)", README))))
def test_every_command_that_the_readme_names_is_there(place: Path, command: str) -> None:
    """The README sends people to a command that does not exist."""
    words = [word for word in command.split()[:3] if word.islower()]
    known = words if len(words) == 3 and words[1] in ("journal", "store") else words[:2]
    done = typed(place, " ".join([*known, "--help"]))
    assert done.returncode == 0, done.stderr
