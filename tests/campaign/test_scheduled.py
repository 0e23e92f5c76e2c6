"""Campaigns start by themselves, each occurrence once, in their windows, also after the server was down."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from rollout.campaign import register
from rollout.fleet_journal import FleetJournal
from rollout.freeze import Freeze, Freezes
from tests.campaign.conftest import Make
from tests.campaign.scene import RIVAL, Scene, a_wave

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
NIGHT = {"schedule": "0 22 * * *", "windows": [{"from": "22:00", "to": "04:00"}], "time_zone": "UTC"}


def at(scene: Scene) -> str:
    """The clock of the scene."""
    return datetime.fromtimestamp(scene.clock.now(), UTC).strftime("%m-%d %H:%M")


def until(scene: Scene, day: int, hour: int) -> None:
    """Sleep: nobody serves."""
    then = datetime(2026, 1, day, hour, tzinfo=UTC).timestamp()
    scene.passes(then - scene.clock.now())


def runs(scene: Scene) -> list[str]:
    """The keys of all runs, oldest first."""
    return [str(run.key) for run in register.runs(scene.db, open_only=False)]


def missed(scene: Scene) -> list[Any]:
    """What was told as missed."""
    return [entry.data for entry in FleetJournal(scene.db).entries() if entry.kind == "campaign_missed"]


def test_it_starts_at_its_time_and_not_before(make: Make) -> None:
    """The patch night comes and nothing happens; or it happens in the afternoon, when the file was written."""
    scene = make([a_wave("all", max_parallel=4)], **NIGHT)
    scene.look()
    assert runs(scene) == []
    scene.go(lambda: scene.run_or_none)
    assert at(scene) == "01-01 22:00" and runs(scene) == ["at 2026-01-01T22:00Z"]
    assert scene.run.actor == "schedule"
    scene.go(lambda: scene.over)
    scene.go(lambda: len(runs(scene)) == 2, hours=30)
    assert runs(scene)[1] == "at 2026-01-02T22:00Z"


def test_each_occurrence_starts_once(make: Make) -> None:
    """Two servers, or one that was started again, patch the fleet twice in a night."""
    scene = make([a_wave("all", max_parallel=4)], **NIGHT)
    scene.look()
    until(scene, 1, 22)
    for runner in (scene.runner, scene.another(RIVAL), scene.another(RIVAL)):
        runner.look()
    assert runs(scene) == ["at 2026-01-01T22:00Z"]


def test_a_late_server_starts_it_while_the_window_is_open(make: Make) -> None:
    """A reboot at ten in the evening costs the fleet its patch night."""
    scene = make([a_wave("all", max_parallel=4)], **NIGHT)
    scene.look()
    until(scene, 2, 3)
    scene.another(RIVAL).look()
    assert runs(scene) == ["at 2026-01-01T22:00Z"] and missed(scene) == []


def test_what_is_too_late_is_told(make: Make) -> None:
    """A patch night fell out, and nobody knows; or it is made up for at noon."""
    scene = make([a_wave("all", max_parallel=4)], **NIGHT)
    scene.look()
    until(scene, 3, 12)
    scene.look()
    scene.look()
    assert runs(scene) == []
    assert [each["reason"] for each in missed(scene)] == ["a later one was due already", "nobody served at that time"]
    assert any("rollout wave start monthly" in line for line in scene.said)


def test_late_says_how_late(make: Make) -> None:
    """A campaign without windows starts days later, or never."""
    scene = make([a_wave("all", max_parallel=4)], schedule="0 22 * * *", late="2h")
    scene.look()
    until(scene, 2, 1)
    scene.look()
    assert runs(scene) == [] and len(missed(scene)) == 1


def test_one_that_still_runs_is_not_started_again(make: Make) -> None:
    """The next night begins a second run of what has not ended yet."""
    scene = make([a_wave("staging", "a", go_on="asked"), a_wave("rest")], **NIGHT)
    scene.look()
    scene.go(lambda: scene.run_or_none)
    scene.go(lambda: missed(scene), hours=30)
    assert len(runs(scene)) == 1 and "runs already" in missed(scene)[0]["reason"]


def test_what_cannot_start_is_tried_again_in_its_window(make: Make) -> None:
    """The image was published five minutes late, and the night is lost."""
    scene = make([a_wave("all", max_parallel=4)], image="base-9", **NIGHT)
    scene.look()
    until(scene, 1, 22)
    scene.look()
    scene.look()
    assert runs(scene) == [] and len(scene.said) == 1, "told once"
    scene.cloud.add_image("base-9")
    scene.go(lambda: scene.run_or_none, hours=1)


def test_work_is_done_in_windows_only(make: Make) -> None:
    """The wave goes on into the working day."""
    scene = make([a_wave("all", max_parallel=1)], services=["a", "b", "c", "d", "e", "f"], **NIGHT)
    scene.campaign["windows"] = [{"from": "22:00", "to": "22:40"}]
    scene.write()
    scene.installation.read_again()
    scene.look()
    scene.go(lambda: scene.run_or_none and scene.over, hours=100)
    opened = [scene.rollout(name).opened_at for name in "abcdef"]
    clocks = [datetime.fromtimestamp(each, UTC) for each in opened]
    assert all(each.hour == 22 and each.minute < 40 for each in clocks)
    assert len({each.date() for each in clocks}) > 1, "it took more than one night"


def test_a_freeze_is_waited_out(make: Make) -> None:
    """A frozen fleet is patched, or the campaign gives up during the freeze."""
    scene = make([a_wave("all", max_parallel=4)])
    now = scene.clock.now()
    Freezes(scene.db).put(Freeze("all", "boss", "sale", "", now, now + DAY_S))
    scene.start()
    scene.go(lambda: scene.over, hours=48)
    assert min(scene.rollout(name).opened_at for name in "abcd") >= now + DAY_S


def test_a_freeze_of_one_service_keeps_that_one(make: Make) -> None:
    """A freeze of one service is overlooked by campaigns."""
    scene = make([a_wave("all", max_parallel=4)])
    now = scene.clock.now()
    Freezes(scene.db).put(Freeze("service:b", "boss", "sale", "", now, now + DAY_S))
    scene.start()
    scene.go(lambda: scene.over, hours=48)
    assert scene.rollout("b").opened_at >= now + DAY_S > scene.rollout("c").opened_at


def test_the_deadline_stops_it(make: Make) -> None:
    """What was planned for one night drags on for a week."""
    scene = make([a_wave("all", max_parallel=1)], deadline="4h")
    now = scene.clock.now()
    Freezes(scene.db).put(Freeze("all", "boss", "sale", "", now, now + DAY_S))
    scene.start()
    scene.go(lambda: scene.run.state == "stopped")
    assert "deadline" in scene.run.said and scene.begun() == []


@pytest.mark.parametrize("count", [1000])
def test_a_thousand_services_take_seconds(make: Make, count: int) -> None:
    """Ten thousand services take the server minutes for each look, and nothing else is done meanwhile."""
    names = [f"s{number}" for number in range(count)]
    scene = make([a_wave("canary", "s0", soak="0s"), a_wave("rest", max_parallel=count)], services=names, hosts=1)
    scene.start()
    for _ in range(count // 32 + 60):
        scene.runner.look()
        scene.passes(30)
        if len(scene.begun()) == 1:
            scene.work()
        if len(scene.begun()) == count:
            break
    assert len(scene.begun()) == count


def test_one_that_cannot_be_judged_keeps_no_other_from_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter of one scheduled campaign cannot be loaded, and every other campaign of the fleet stands still."""
    scene = make([a_wave("all", max_parallel=4)], **NIGHT)
    scene.look()
    run = scene.start()
    until(scene, 1, 22)

    def broken(*_: Any) -> Any:
        raise RuntimeError("no module named boto3")

    monkeypatch.setattr(scene.runner._occasions, "_heed", broken)
    with pytest.raises(RuntimeError, match="boto3"):
        scene.runner.look()
    assert len(scene.begun()) == 4, "the run that is open was taken further"
    scene.runner.look()  # told once, and put off
    assert scene.run.id == run.id


def test_a_clock_that_was_a_year_ahead_is_forgotten(make: Make) -> None:
    """A machine's clock jumps for a minute, and no campaign starts by itself until that date has come."""
    scene = make([a_wave("all", max_parallel=4)], **NIGHT)
    scene.look()
    year_s = 365.5 * DAY_S
    scene.passes(year_s)
    scene.runner.look()
    assert len(missed(scene)) > 300 and runs(scene) == []
    scene.clock._now -= year_s
    scene.runner.look()
    until(scene, 3, 22)
    scene.runner.look()
    assert runs(scene) == ["at 2026-01-03T22:00Z"]
