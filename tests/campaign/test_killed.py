"""The serving process dies between any two things that it does for a campaign; the next one goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rollout.campaign import register
from rollout.campaign.runner import Runner
from rollout.fleet_journal import FleetJournal
from rollout.journal import first_broken_link
from tests.campaign.conftest import Make
from tests.campaign.scene import RIVAL, Scene, a_wave


class Killed(BaseException):
    """The process is gone."""


class Deadly:
    """Ends the process before or after the n-th change that it makes to the store while it looks."""

    def __init__(self, scene: Scene, at: int, after: bool) -> None:
        self._db, self._really = scene.db, scene.db.transaction
        self._at, self._after = at, after
        self.count = 0
        self.armed = False
        scene.db.transaction = self._transaction

    @contextmanager
    def _transaction(self, **how: Any) -> Iterator[Any]:
        self.count += self.armed
        due = self.armed and self.count == self._at
        if due and not self._after:
            raise Killed
        with self._really(**how) as db:
            yield db
        if due:
            raise Killed

    def look(self, runner: Runner) -> bool:
        """False where it was killed in this look."""
        self.armed = True
        try:
            runner.look()
        except Killed:
            return False
        finally:
            self.armed = False
        return True


SERVICE = {"bake": "1m", "keep_warm": "5m", "traffic": {"steps": [100], "soak": "1m", "interval": "1m"}}
SCHEDULED = {"schedule": "5 0 1 1 *", "time_zone": "UTC"}  # a few minutes after the clock begins


def outcome(make: Make, at: int, after: bool) -> tuple[bool, dict[str, Any]]:
    """Was it killed at all, and what came of the campaign."""
    waves = [a_wave("canary", "a", soak="2m"), a_wave("rest", max_parallel=2, soak="0s", stop_after_failures=2)]
    scene = make(waves, services=dict.fromkeys("abc", SERVICE), **SCHEDULED)
    scene.installation.store.deny("c", "base-2", "known", "", scene.clock.now())
    deadly = Deadly(scene, at, after)
    runner, killed = scene.runner, False
    for _ in range(400):
        if scene.run_or_none and scene.over:
            break
        if not deadly.look(runner):
            killed, runner = True, scene.another(RIVAL)
            scene.passes(130)
        scene.work()
        scene.passes(20)
    assert first_broken_link(FleetJournal(scene.db).entries()) == ""
    found = {
        "state": scene.run.state,
        "begun": scene.begun(),
        "progress": scene.progress(),
        "runs": len(register.runs(scene.db, open_only=False)),
        "told": scene.told(),
    }
    scene.close()
    return killed, found


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_anywhere_it_comes_to_the_same_end(make: Make, after: bool) -> None:
    """A service is begun twice, or never, or the campaign hangs, after a crash at the wrong moment."""
    _, wanted = outcome(make, 0, after)
    assert wanted["state"] == "ended" and wanted["begun"] == ["a", "b"] and wanted["runs"] == 1
    assert wanted["progress"] == {"a": "accepted", "b": "accepted", "c": "skipped"}
    for at in range(1, 60):
        killed, found = outcome(make, at, after)
        if not killed:
            break
        assert found == wanted, f"killed {'after' if after else 'before'} change {at}"
    assert at > 8
