"""Killed at any instant, it resumes anywhere; nothing takes effect twice, no orphan is left."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rollout.journal import RECORDS
from tests.e2e.kit import ROOT, SERVICE, Fleet, Load, environment, open_fleet, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]  # up to a hundred processes, one after the other
EVERY = "journal,inside,acts"
START = ("start", SERVICE, "--image", "base-2", "--key", "nightly", "--json")


def kill_at_every_point(fleet: Fleet, kinds: str, *command: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What was seen after each kill, and how the attempt ended that was left alone."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.killed", str(fleet.config), kinds, *command],
        cwd=ROOT,
        env=environment(fleet.folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    *kills, end = [json.loads(line) for line in done.stdout.splitlines()]
    return kills, end


def assert_told_truly(kills: list[dict[str, Any]]) -> None:
    """After each kill `status` named the weights that the balancer had, and nobody who drives."""
    for seen in kills:
        status = seen["status"]
        if status.get("traffic") is not None:
            assert status["traffic"] == seen["weights"], seen
        if "id" in status:  # else there was nothing to tell of yet
            assert status["driven_by"] is None, f"a dead process is said to drive it: {seen}"


def assert_once_each(fleet: Fleet) -> None:
    """One result for a step, one change of the balancer for a token, and a chain that verifies."""
    entries = fleet.entries()
    results = Counter(step for _, kind, step, _ in entries if kind in RECORDS)
    assert set(results.values()) == {1}, results
    tokens = Counter(data["token"] for _, kind, _, data in entries if kind == "intended")
    assert set(tokens.values()) == {1}, tokens
    changes = Counter(re.findall(r'applied .*"token": "([^"]+)"', (fleet.balancer / "balancer.log").read_text()))
    assert set(changes.values()) <= {1}, changes
    assert fleet.rollout("journal", "verify").code == 0


def assert_stands(fleet: Fleet, load: Load, *, on: str, beside: int, started: int) -> None:
    """Traffic on one slot, so many instances beside it, and none was ever started twice."""
    other = "green" if on == "blue" else "blue"
    assert fleet.weights == {on: 100, other: 0}
    assert len(fleet.instances(on)) == 1
    assert len(fleet.instances(other)) == beside
    assert len(set(fleet.started())) == len(fleet.started()) == started
    assert not list((fleet.state / "local" / "images").glob(".build-*")), "a half-built image is left"
    assert load.requests > 0
    assert load.failures == []


@pytest.mark.parametrize("kinds", ["journal", "inside", "acts"])
def test_start_killed_at_every_point_ends_promoted(tmp_path: Path, kinds: str) -> None:
    """A crash of the machine that drives a rollout would strand it, or do something twice."""
    with open_fleet(tmp_path / "fleet") as fleet:
        fleet.up()
        with fleet.load(pause_s=0.03) as load:
            kills, end = kill_at_every_point(fleet, kinds, *START)
        assert end["code"] == 0, end["out"].splitlines()[-1:]
        assert json.loads(end["out"].splitlines()[-1])["outcome"] == "promoted"
        assert len(kills) >= 40
        assert_told_truly(kills)
        assert_once_each(fleet)
        assert_stands(fleet, load, on="green", beside=1, started=2)


def test_retire_killed_at_every_point_gives_the_original_up_once(tmp_path: Path) -> None:
    """A crash while the old side is given up would leave its instances behind for ever."""
    with open_fleet(tmp_path / "fleet", keep_warm="0s") as fleet:
        fleet.up()
        fleet.promoted()
        with fleet.load(pause_s=0.03) as load:
            kills, end = kill_at_every_point(fleet, EVERY, "resume", SERVICE, "--json")
        assert end["code"] == 0, end["out"].splitlines()[-1:]
        assert len(kills) >= 80
        assert_told_truly(kills)
        assert_once_each(fleet)
        assert_stands(fleet, load, on="green", beside=0, started=2)
        assert fleet.status()["phase"] == "retired"


def test_rollback_killed_at_every_point_ends_on_the_original(tmp_path: Path) -> None:
    """The on-call engineer's laptop dies in the middle, and traffic would stay between the sides."""
    with open_fleet(tmp_path / "fleet") as fleet:
        fleet.up()
        fleet.promoted()
        with fleet.load(pause_s=0.03) as load:
            kills, end = kill_at_every_point(fleet, EVERY, "rollback", SERVICE, "--json")
            assert end["code"] == 0, end["out"].splitlines()[-1:]
            assert fleet.weights == {"blue": 100, "green": 0}
            rest, end = kill_at_every_point(fleet, EVERY, "resume", SERVICE, "--json")
        kills += rest
        assert end["code"] == 4, end
        assert len(kills) >= 100
        assert_told_truly(kills)
        assert_once_each(fleet)
        assert_stands(fleet, load, on="blue", beside=0, started=2)
        assert fleet.status()["outcome"] == "rolled_back"


def test_turning_back_by_itself_killed_at_every_point(tmp_path: Path) -> None:
    """A bad patch whose rollback is interrupted again and again would go on serving."""
    live = {"live": [{"failed_responses": {"min_requests": 5}}]}
    with open_fleet(tmp_path / "fleet", checks=live) as fleet:
        fleet.image("bad", behaves="faulty")
        fleet.up()
        with fleet.load() as load:
            running = fleet.begin("start", SERVICE, "--image", "bad")
            fleet.wait_reached("roll_back_decided", "", running)
            running.kill()
            kills, end = kill_at_every_point(fleet, EVERY, "resume", SERVICE, "--json")
        assert end["code"] == 4, end
        assert len(kills) >= 80
        assert_told_truly(kills)
        assert_once_each(fleet)
        assert fleet.weights == {"blue": 100, "green": 0}
        assert load.served["blue"] > 0
        assert fleet.instances("green") == []
        assert fleet.rollout("start", SERVICE, "--image", "bad").code == 2, "the image that failed is denied"


def test_commands_killed_from_outside_at_random_are_resumed(fleet: Fleet) -> None:
    """The whole program, as users run it, killed by somebody else: resume would not know where it was."""
    chance = random.Random(20_260)
    with fleet.load(pause_s=0.03) as load:
        for point in sorted(chance.sample(range(2, 58), 4)):
            running = fleet.begin(*START)
            fleet.wait_journalled(point, running)
            running.signal(signal.SIGKILL)
            assert running.wait().code == -signal.SIGKILL
            status = fleet.status()
            assert status["outcome"] == "running"
            assert status["driven_by"] is None
            assert status["next"] == f"rollout resume {status['id']}"
            if status["traffic"] is not None:
                assert status["traffic"] == fleet.weights
        done = fleet.rollout("resume", SERVICE, "--json")
        assert done.code == 0, done
        assert done.last["outcome"] == "promoted"
    assert_once_each(fleet)
    assert_stands(fleet, load, on="green", beside=1, started=2)


def test_killed_while_the_image_is_built(fleet: Fleet) -> None:
    """Half an image would be taken for a whole one, or the build's process would outlive everything."""
    running = fleet.begin("start", SERVICE, "--image", "base-2")
    images = fleet.state / "local" / "images"
    wait_until(lambda: list(images.glob(".build-*/env")) or running.process.poll() is not None, "it is being built")
    running.signal(signal.SIGKILL)
    assert running.wait().code == -signal.SIGKILL
    done = fleet.rollout("resume", SERVICE, "--json")
    assert done.code == 0, done
    assert not list(images.glob(".build-*"))
    assert fleet.weights == {"blue": 0, "green": 100}
