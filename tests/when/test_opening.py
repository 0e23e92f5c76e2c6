"""May it begin now? By windows, blackouts and freezes; and if not, when, and what to type."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from providers.memory.clock import VirtualClock
from rollout import control
from rollout.cli import _explain
from rollout.control import NothingToDo
from rollout.engine.job import advance
from rollout.exits import LOCKED, USAGE
from rollout.fleetfile.timing import Timing
from rollout.freeze import Freeze, Freezes, Frozen
from rollout.journal import canonical
from rollout.opening import OutsideWindow, launch_s, opening_of, seconds_for, shown_in
from rollout.plan import LAUNCH_S, Plan, PlanWindow, seconds_needed, seconds_to_undo
from rollout.store import NEVER
from rollout.wiring import Installation
from tests.core.scene import FLEET, HOLDER, a_plan

NIGHTS = """\
    windows: [{from: "22:00", to: "04:00"}]
    time_zone: Europe/Zurich
    tags: {team: payments}
"""
POLICY = "policy: {blackouts: [{dates: 2026-11-27, why: black friday}]}\n"

MONTHLY = """\
campaigns:
  monthly:
    image: base-2
    schedule: {weekday: tuesday, nth: 2, plus_days: 3, at: "01:00"}
    windows: [{from: "02:00", to: "05:00"}]
    time_zone: Europe/Zurich
    waves: [{name: all, select: {rest: true}}]
"""

Made = Callable[..., Installation]


def at(text: str) -> float:
    """A time as Zurich's clocks show it."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Zurich")).timestamp()


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """An installation at a time, with these lines more for its service and its fleet."""

    def make(now: str = "2026-11-24T23:00", service: str = NIGHTS, fleet: str = POLICY) -> Installation:
        (tmp_path / "fleet.yaml").write_text(FLEET + service + fleet)
        return Installation(tmp_path / "fleet.yaml", VirtualClock(at(now)))

    return make


def start(installation: Installation, **more: Any) -> control.Started:
    """As the command does, without options."""
    asked: dict[str, Any] = {"image": None, "saved": None, "key": None, "actor": "me", "reason": "because"}
    return control.start(installation, "shop", **{**asked, **more})


def test_in_its_window_it_begins_and_has_to_be_done_by_its_end(made: Made) -> None:
    """It begins, and nobody remembers when it has to be over."""
    row = start(made()).row
    assert row.plan["window"] == {
        "opens_at": at("2026-11-24T22:00"),
        "closes_at": at("2026-11-25T04:00"),
        "at_end": "turn_back",
        "outside": False,
    }


def test_without_windows_nothing_of_it_is_in_the_plan(made: Made) -> None:
    """Every plan has another hash since there are windows."""
    installation = made(service="", fleet="")
    assert "window" not in start(installation).row.plan


def test_outside_of_its_window_it_is_refused(made: Made) -> None:
    """Patches go out in the middle of the day."""
    installation = made("2026-11-24T12:00")
    with pytest.raises(OutsideWindow) as refused:
        start(installation)
    said = str(refused.value)
    assert "shop may not be begun now: it is outside its windows" in said
    assert "the next window opens 2026-11-24 22:00 CET and closes 2026-11-25 04:00 CET" in said
    assert said.endswith("rollout start shop --outside-window --reason TEXT")
    assert installation.store.rollouts() == [] and _explain(refused.value)[0] == USAGE


def test_in_a_blackout_it_is_refused_with_its_reason(made: Made) -> None:
    """Nobody knows why nothing may be patched today."""
    installation = made("2026-11-27T12:00")
    with pytest.raises(
        OutsideWindow, match=r"blackout 2026-11-27 .black friday. until 2026-11-28 01:00 CET"
    ) as refused:
        start(installation)
    assert "the next window opens 2026-11-28 01:00 CET" in str(refused.value), (
        "within the night, when UTC's day is over"
    )


def test_a_blackout_closes_a_service_without_windows(made: Made) -> None:
    """A rollout reaches into the day on which nothing may be done."""
    row = start(made("2026-11-26T23:00", service="")).row
    assert row.plan["window"]["closes_at"] == at("2026-11-27T01:00") and row.plan["window"]["opens_at"] is None
    assert "window" not in start_again(made("2026-10-01T12:00", service="")).row.plan, "that is far away"


def start_again(installation: Installation) -> control.Started:
    """With the first rollout out of the way."""
    with installation.store.db.transaction() as db:
        db.execute("UPDATE rollouts SET closed_at = 1")
    return start(installation)


def test_what_could_not_be_done_in_time_is_not_begun(made: Made) -> None:
    """It is begun a minute before the end, mirrors everything, and turns back."""
    installation = made("2026-11-25T03:59")
    with pytest.raises(OutsideWindow, match=r"it takes at least .*, the time to undo it included") as refused:
        start(installation)
    assert "closes 2026-11-25 04:00 CET; the next window opens 2026-11-25 22:00 CET" in str(refused.value)
    needed_s = seconds_for(installation, control.make_plan(installation, "shop"))
    installation.clock.sleep(at("2026-11-26T04:00") - needed_s - installation.clock.now())
    assert start(installation).again is False, "so much is just enough"


def test_a_person_may_go_before_the_window(made: Made) -> None:
    """An actively exploited hole stays open until Tuesday night."""
    row = start(made("2026-11-27T12:00"), outside_window=True, reason="CVE-2026-1").row
    window = row.plan["window"]
    assert window == {"opens_at": None, "closes_at": None, "at_end": "finish", "outside": True}
    assert row.reason == "CVE-2026-1", "on record"


def test_a_campaigns_window_holds_besides(made: Made) -> None:
    """A campaign's rollouts go on when its night is over, as the service's is longer."""
    installation = made()
    also = Timing.model_validate({"windows": ({"from": "21:00", "to": "00:30"},), "time_zone": "Europe/Zurich"})
    assert start(installation, also=also).row.plan["window"]["closes_at"] == at("2026-11-25T00:30")
    opening = opening_of(installation, "shop", also)
    assert opening.hours.closes_at(at("2026-11-24T23:00")) == at("2026-11-25T00:30") and opening.at_end == "turn_back"


def test_finish_only_where_everybody_says_so(made: Made) -> None:
    """A service that has to be back by the morning is left half-way, because its campaign may finish."""
    installation = made(service=NIGHTS + "    at_end: finish\n")
    assert opening_of(installation, "shop").at_end == "finish"
    nights = {"windows": ({"from": "21:00", "to": "05:00"},)}
    assert opening_of(installation, "shop", Timing.model_validate(nights)).at_end == "turn_back"
    finish = Timing.model_validate({**nights, "at_end": "finish"})
    assert opening_of(installation, "shop", finish).at_end == "finish"
    assert opening_of(installation, "shop", Timing()).at_end == "finish", "one without windows says nothing"


def test_what_never_opens_says_so(made: Made) -> None:
    """Somebody waits for years for a window that the blackouts cover."""
    window = "    windows: [{opens: 0 3 1 1 *, lasts: 2h}]\n"
    installation = made("2026-11-24T12:00", service=window, fleet="policy: {blackouts: [12-20..01-06]}\n")
    with pytest.raises(OutsideWindow, match="no window opens within five years: correct windows and blackouts"):
        start(installation)


def test_a_saved_plan_keeps_what_it_says_and_gets_its_window_when_it_begins(made: Made) -> None:
    """A plan that was looked at in the morning is stale in the evening."""
    installation = made("2026-11-24T12:00")
    saved = control.make_plan(installation, "shop")
    assert saved.window is None
    installation.clock.sleep(12 * 3600)
    row = start(installation, saved=saved).row
    assert row.plan["window"]["closes_at"] == at("2026-11-25T04:00")
    assert replace(Plan.from_json(row.plan), window=None) == Plan.from_json(json.loads(canonical(saved.to_json())))


# Freezes


def test_nothing_begins_while_it_is_frozen(made: Made) -> None:
    """A freeze stops what runs, and the next rollout begins."""
    installation = made()
    now = installation.clock.now()
    Freezes(installation.store.db).put(Freeze("tag:team=payments", "lead", "incident", "", now, now + 3600))
    with pytest.raises(Frozen) as refused:
        start(installation)
    code, said = _explain(refused.value)
    assert code == LOCKED
    assert said.startswith("shop is frozen (tag:team=payments) by lead: incident (since ")
    assert said.endswith("Ways back are open. Lift it with: rollout freeze off tag:team=payments")
    with pytest.raises(Frozen):
        start(installation, outside_window=True)
    installation.clock.sleep(3600)
    assert start(installation).row.service == "shop"


def test_a_start_that_was_made_before_is_known_still(made: Made) -> None:
    """CI asks again with the same key, and is told that its rollout may not begin."""
    installation = made()
    row = start(installation, key="build-7").row
    now = installation.clock.now()
    Freezes(installation.store.db).put(Freeze("all", "lead", "incident", "", now))
    assert start(installation, key="build-7") == control.Started(installation.store.rollout(row.id), True)


# How long it takes


def test_the_least_that_it_takes() -> None:
    """What is begun cannot be done in time, and everybody could have known."""
    plan = a_plan(settle_s=7.0)  # passes=2, interval 2 s, soak 2 s in each gate; two steps
    assert seconds_needed(plan, 10.0) == 10.0 + 7.0 + 5 * 2.0
    assert seconds_to_undo(plan, 5.0) == 10.0 + 30.0


def test_it_is_learned_from_earlier_rollouts(made: Made) -> None:
    """A mirror takes half an hour, and a minute is reckoned for it each time."""
    installation = made(service="", fleet="")
    assert launch_s(installation.store, "shop") == LAUNCH_S
    row = start(installation).row
    for _ in range(200):
        row = installation.store.rollout(row.id)
        if row.closed_at is not None or row.due_at >= NEVER:
            break
        installation.clock.sleep(row.due_at - installation.clock.now())
        advance(row.id, installation.means("memory"), HOLDER)
    assert row.outcome == "promoted"
    assert 0 < launch_s(installation.store, "shop") < LAUNCH_S / 2
    with pytest.raises(NothingToDo):
        start(installation)


def test_it_is_not_begun_and_is_turned_back_by_one_and_the_same_reckoning(made: Made) -> None:
    """A start is accepted that turns back at once, as its way back would take too long."""
    installation = made()
    row = start(installation).row
    assert PlanWindow(**row.plan["window"]).closes_at == at("2026-11-25T04:00")
    assert seconds_for(installation, control.make_plan(installation, "shop"), "finish") < seconds_for(
        installation, control.make_plan(installation, "shop")
    )


def test_times_are_told_in_the_services_zone() -> None:
    """02:00 is told, and nobody knows whose."""
    assert shown_in(at("2026-07-01T02:00"), "Europe/Zurich") == "2026-07-01 02:00 CEST"
