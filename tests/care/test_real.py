"""Backup, restore, doctor and repair with real processes, as their users run them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.kit import SERVICE, Fleet, open_fleet, wait_until

pytestmark = pytest.mark.e2e
PATCHED = {"blue": 0, "green": 100}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """The service runs base-1 on blue."""
    with open_fleet(tmp_path / "fleet") as fleet:
        fleet.state.mkdir(mode=0o700)
        fleet.up()
        yield fleet


def kill_balancer(fleet: Fleet) -> None:
    """Both processes, at once."""
    for who in ("parent", "worker"):
        os.kill(fleet.pid_of(who), signal.SIGKILL)


def test_backup_then_on_then_restore(fleet: Fleet, tmp_path: Path) -> None:
    """A restored store moves live traffic to where it was when the backup was made."""
    fleet.change(traffic={"soak": "60s"})
    running = fleet.begin("start", SERVICE, "--image", "base-2")
    fleet.wait_reached("waiting", "live:1:50", running)
    kept, marks = tmp_path / "kept.db", tmp_path / "elsewhere" / "checkpoints.jsonl"
    assert fleet.rollout("store", "backup", str(kept), "--json").last["rollouts"] == 1
    assert fleet.rollout("store", "restore", str(kept), "--yes").code == 6, "the driver lives"
    at_backup = len(fleet.entries())
    running.signal(signal.SIGKILL)
    running.wait()
    done = fleet.rollout("rollback", SERVICE, "--reason", "odd")
    assert done.code == 0, done
    assert fleet.rollout("journal", "checkpoint", "--out", str(marks)).code == 0
    with fleet.load() as load:
        restored = fleet.rollout("store", "restore", str(kept), "--yes", "--json")
        assert restored.code == 0, restored
        assert Path(restored.last["aside"]).is_file()
        assert len(fleet.entries()) <= at_backup
        sick = fleet.rollout("doctor", "--json")
        assert sick.code == 5, sick
        assert any("repair --restored" in each["fix"] for each in sick.last["findings"])
        lost = fleet.rollout("journal", "verify", "--against", str(marks))
        assert lost.code == 5 and "its end was cut off" in lost.out, lost
        mended = fleet.rollout("repair", "--restored", "--against", str(marks), "--json")
        assert mended.code == 0, mended
        assert any("closed as rolled_back" in text for text in mended.last["done"])
        assert fleet.status()["outcome"] == "rolled_back"
        assert fleet.weights == {"blue": 100, "green": 0}
    assert load.failures == []
    assert fleet.rollout("journal", "verify").code == 0
    assert fleet.rollout("repair").code == 0
    fleet.change(traffic={"soak": "600ms"})
    assert fleet.promoted("base-3")["outcome"] == "promoted", "the service can be patched again"
    assert fleet.weights == PATCHED


def test_a_balancer_that_died(fleet: Fleet) -> None:
    """Nobody is served, and the doctor says that all is well; or looking starts processes by the way."""
    well = fleet.rollout("doctor", "--json")
    assert well.code == 0, well
    kill_balancer(fleet)
    sick = fleet.rollout("doctor")
    assert sick.code == 5, sick
    assert "its balancer is dead, and nobody is served" in sick.out and f"rollout repair {SERVICE}" in sick.out
    assert fleet.rollout("doctor").code == 5, "a look started nothing"
    rehearsed = fleet.rollout("repair", "--dry-run", "--json")
    assert any("balancer is dead" in text for text in rehearsed.last["done"]), rehearsed
    mended = fleet.rollout("repair", "--json")
    assert mended.code == 0 and any("runs again" in text for text in mended.last["done"]), mended
    assert fleet.weights == {"blue": 100, "green": 0}
    assert fleet.rollout("doctor").code == 0
    assert fleet.rollout("repair").out.splitlines()[-1] == "nothing is left to do"


def test_an_instance_that_died(fleet: Fleet) -> None:
    """A service limps on with what is left of it until the next patch."""
    (instance,) = fleet.instances("blue")
    instance.kill()
    wait_until(lambda: not fleet.instances("blue"), "it is dead")
    sick = fleet.rollout("doctor")
    assert sick.code == 5 and "0 of 1 instances of blue live" in sick.out, sick
    mended = fleet.rollout("repair", SERVICE, "--json")
    assert mended.code == 0 and any("run again" in text for text in mended.last["done"]), mended
    wait_until(lambda: fleet.healthy("blue") == 1, "the balancer has noticed")
    assert fleet.rollout("doctor").code == 0
    with fleet.load() as load:
        wait_until(lambda: load.requests > 20, "it is served")
    assert load.failures == []


def test_what_a_machine_lacks(tmp_path: Path) -> None:
    """The first rollout fails for want of something that could have been said before."""
    with open_fleet(tmp_path / "fleet") as fleet:
        new = fleet.rollout("doctor", "--json")
        assert new.code == 0, new
        assert any(each["fix"] == f"rollout up {SERVICE}" for each in new.last["findings"])
        fleet.change(patch={"image": "base-77"}, options={"environment": {"KEY": {"env": "NO_SUCH_VARIABLE_HERE"}}})
        (fleet.folder / "images" / "base-3" / "requirements.lock").write_text("flask\n")
        sick = fleet.rollout("doctor", "--json")
        assert sick.code == 5, sick
        told = " ".join(each["text"] for each in sick.last["findings"])
        assert "base-77 cannot be resolved" in told
        assert "refers to env NO_SUCH_VARIABLE_HERE" in told
        assert "image base-3 cannot be used" in told
        fleet.change(options={"images": "nowhere"})
        assert "there is no folder of images" in fleet.rollout("doctor").out
