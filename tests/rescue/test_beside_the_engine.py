"""The way back beside a real engine on the simulated cloud: whoever is in the middle of what, traffic stays back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from providers.memory import rollback as thin
from rollout import emergency, exits
from rollout.rescue import deciding
from rollout.rescue.told import Told
from rollout.store import StoreError
from tests.core.scene import World

BACK = {"blue": 100, "green": 0}


class Clock:
    """The world's time, in which things may happen at a moment (seconds after the beginning)."""

    def __init__(self, world: World) -> None:
        self._world, self.began = world, world.clock.now()
        self.happens = dict[float, Callable[[], Any]]()

    def time(self) -> float:
        """Seconds of the world."""
        return self._world.clock.now()

    monotonic = time

    def sleep(self, seconds: float) -> None:
        """Let it pass, and what is due happen."""
        self._world.passes(seconds)
        for at in [at for at in self.happens if self.began + at <= self.time()]:
            self.happens.pop(at)()


class Scene:
    """A rollout under way in a fleet, and the command beside it."""

    def __init__(self, folder: Path, **cloud: Any) -> None:
        (folder / "state").mkdir()
        self.fleet = folder / "fleet.yaml"
        self.fleet.write_text("version: 1\nstate: state\n")
        self.world = World(folder / "state", **cloud)
        self.clock, self.told = Clock(self.world), Told()

    def reach(self, step: str) -> None:
        """Drive until this is journalled."""
        self.world.drive(until=lambda world: any(step in kind for kind in world.kinds()))
        self.clock = Clock(self.world)

    def rollback(self, *arguments: str) -> int:
        """The exit code."""
        return emergency.run(["rollback", "shop", "--config", str(self.fleet), *arguments], self.told, self.clock)

    def ends_on_blue(self) -> None:
        """Drive to the end; traffic never leaves blue again."""

        def is_back(world: World) -> bool:
            assert dict(world.weights) == BACK
            return False

        row = self.world.drive(until=is_back)
        if row.outcome == "halted":  # it had met our weights before our mark; `rollout serve` looks at it again
            self.world.store.wake_all(self.world.clock.now(), halted=True)
            row = self.world.drive(until=is_back)
        assert (row.closed_at is not None, row.outcome) == (True, "rolled_back"), self.world.kinds()[-6:]
        assert self.world.cloud.snapshot("shop")["mark"] is None


@pytest.fixture(params=[True, False], ids=["compare-and-set", "last write wins"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    """On a platform that notices a changed route, and on one that does not."""
    return Scene(tmp_path, cas=request.param)


def broken_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """We cannot reach the store; the engine can."""

    def gone(fleet_file: Path) -> Any:
        raise StoreError("connection refused")

    monkeypatch.setattr(deciding, "open_store", gone)


def at_call(scene: Scene, call: str, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine does a job right before or after a call of ours."""
    real = getattr(thin, call)

    def wrapped(*arguments: Any) -> Any:
        if when == "before":
            scene.world.job()
        answer = real(*arguments)
        if when == "after":
            scene.world.job()
        return answer

    monkeypatch.setattr(thin, call, wrapped)


@pytest.mark.parametrize("store", ["there", "gone"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["read", "put_back", "set_mark"])
@pytest.mark.parametrize("step", ["waiting live:1:50", "waiting live:2:100", "entered warm"])
def test_a_worker_that_steps_at_the_same_moment(
    scene: Scene, step: str, call: str, when: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that still has the store moves traffic forward after `done` was said."""
    scene.reach(step)
    if store == "gone":
        broken_store(monkeypatch)
    at_call(scene, call, when, monkeypatch)
    assert scene.rollback() == exits.DONE, scene.told.facts
    monkeypatch.undo()
    assert dict(scene.world.weights) == BACK
    scene.ends_on_blue()


@pytest.mark.parametrize("at", [0.3, 2.0, 4.5])
def test_a_write_of_a_worker_that_died_lands_late(scene: Scene, at: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fences a write that had begun: it undoes the rollback seconds after it was seen to work."""
    scene.reach("waiting live:1:50")
    broken_store(monkeypatch)
    scene.clock.happens[at] = lambda: scene.world.edit(100)
    assert scene.rollback() == exits.DONE
    assert dict(scene.world.weights) == BACK
    monkeypatch.undo()
    scene.ends_on_blue()


def test_with_the_store_it_takes_no_time_at_all(scene: Scene) -> None:
    """Every rollback waits as long as the slowest write might take."""
    scene.reach("entered warm")
    assert scene.rollback() == exits.DONE
    assert scene.clock.time() == scene.clock.began
    scene.ends_on_blue()


def test_an_intent_without_its_result_is_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was killed in the middle of a swap: its write lands a moment later."""
    scene.reach("waiting live:1:50")
    run = scene.world.later()
    intent = {"token": "t", "attempt": 1, "args": {"weights": {"blue": 0, "green": 100}}, "seen": {}}
    run.note("intended", "swap:2:100", intent)
    scene.clock.happens[1.0] = lambda: scene.world.edit(100)
    assert scene.rollback() == exits.DONE
    assert scene.clock.time() - scene.clock.began >= 5.0 and dict(scene.world.weights) == BACK


def test_a_replacement_that_is_gone_already(scene: Scene) -> None:
    """The bad side was ended by hand, and with it the way back."""
    scene.reach("entered warm")
    scene.world.cloud.kill("shop", "green", 2)
    scene.world.passes(3)
    assert scene.rollback() == exits.DONE
    assert dict(scene.world.weights) == BACK


def test_an_original_that_is_half_healthy_is_better_than_one_that_is_dead(scene: Scene) -> None:
    """One of two hosts is alive, the other side has none, and the command refuses."""
    scene.reach("entered warm")
    scene.world.cloud.services["shop"].slots["blue"].instances[0].judged = "unhealthy"
    assert scene.rollback() == exits.PERSON_NEEDED
    assert "blue: 1 of 2 healthy, 2 on the other side" in scene.told.facts["error"]
    scene.world.cloud.kill("shop", "green", 2)
    scene.world.passes(3)
    assert scene.rollback() == exits.DONE


def test_a_persons_weights_are_replaced_and_told(scene: Scene) -> None:
    """A half-done repair by hand stands in the way."""
    scene.reach("entered warm")
    scene.world.edit(60)
    assert scene.rollback() == exits.DONE
    assert scene.told.facts["foreign"] is True and dict(scene.world.weights) == BACK
    scene.ends_on_blue()


def test_what_stays_is_cut(scene: Scene) -> None:
    """Long connections stay on the bad side."""
    scene.reach("entered warm")
    scene.world.passes(5)
    assert scene.rollback("--cut") == exits.DONE
    assert scene.told.facts["cut"] > 0


def test_an_instance_leads_to_its_service(scene: Scene) -> None:
    """The alarm names a host."""
    scene.reach("entered warm")
    host = scene.world.provider.compute.observe([scene.world.plan.service])["shop"][0]
    for named in (host.id, host.address):
        told = Told()
        assert emergency.run(["rollback", named, "--config", str(scene.fleet)], told, scene.clock) == exits.DONE
        assert told.facts["named"] == named


def test_a_store_of_yesterday_does_not_make_the_card_a_liar(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store was put back from a backup that does not know the rollout: its card still leads back."""
    scene.reach("entered warm")
    with scene.world.store.db.transaction() as db:
        for table in ("journal", "waits", "drivers"):
            db.execute(f"DELETE FROM {table}")  # noqa: S608 - three fixed names
        db.execute("DELETE FROM rollouts")
    assert scene.rollback() == exits.DONE
    assert dict(scene.world.weights) == BACK and scene.told.facts["journalled"] is False
    assert len(list((scene.fleet.parent / "state" / "spool").glob("*.json"))) == 1
