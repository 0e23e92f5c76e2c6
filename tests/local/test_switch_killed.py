"""Killed with SIGKILL at every point of a switch: what comes next finds it, and goes on or back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.local import rollback
from tests.local.switch_kit import Switched, open_switched

KILLED = """
import json, os, signal, sys
from providers.local import rollback
from providers.local.balancer import store
from providers.local.switch import command
from providers.local.switch.turn import Turn
left = int(sys.argv[1])
def wrap(owner, name):
    was = getattr(owner, name)
    def point():
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    def wrapped(*arguments, **options):
        if name == "Popen" and "status" in arguments[0]:
            return was(*arguments, **options)
        point()
        answer = was(*arguments, **options)
        point()
        return answer
    setattr(owner, name, wrapped)
wrap(Turn, "_note"); wrap(command.subprocess, "Popen"); wrap(store.StateStore, "save"); wrap(Turn, "_forget")
rollback.put_back(json.loads(sys.argv[2]), json.loads(sys.argv[3]), "night")
"""
MOST = 60
SCRIPT = """
cd "$2"
case $1 in
enable) touch on-$3; [ -e on-blue ] && [ -e on-green ] && touch ever-both ;;
disable) rm -f on-$3 ;;
status) if [ -e on-$3 ]; then echo enabled; else echo disabled; fi ;;
esac
exit 0
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Switched]:
    """Processes on both sides, switched by files: the fastest commands that there are. Blue is enabled."""
    (tmp_path / "switch.sh").write_text(SCRIPT)
    base = ["/bin/sh", str(tmp_path / "switch.sh")]
    quick = {name: [*base, name, str(tmp_path), "{slot}"] for name in ("enable", "disable", "status")}
    with open_switched(tmp_path, **quick, stats=[]) as switched:
        switched.mirror()
        yield switched


def enabled(folder: Path) -> set[str]:
    """The sides that are on, as the files say."""
    assert not (folder / "ever-both").exists(), "two sides were enabled at once"
    return {slot for slot in ("blue", "green") if (folder / f"on-{slot}").exists()}


def test_killed_at_every_point_it_is_ended_by_whoever_comes_next(shop: Switched, tmp_path: Path) -> None:
    """A crash in the middle leaves a queue without a worker, or with two sides."""
    target = json.dumps(shop.traffic.card_target(shop.service))
    slots = ("green", "blue")
    for point in range(1, MOST):
        goal, other = slots[point % 2], slots[1 - point % 2]
        shop.move(other)  # type: ignore[arg-type]
        weights = json.dumps({goal: 100, other: 0})
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(point), target, weights],
            cwd=Path(rollback.__file__).parents[2],
            env={**os.environ},
            check=False,
        )
        assert len(enabled(tmp_path)) <= 1
        if done.returncode == 0:
            assert enabled(tmp_path) == {goal}
            break
        assert done.returncode == -signal.SIGKILL
        found = shop.traffic.route(shop.service)
        assert sum(found.weights.values()) == 100, "what was interrupted is taken for somebody's hand"
        end = slots[point % 3 % 2]
        shop.move(end)  # type: ignore[arg-type]
        assert enabled(tmp_path) == {end}
        assert not shop.half_done
    else:
        raise AssertionError("it never came to its end")
    assert point > 12, "fewer points than there are"
