"""A year of patch nights: the Friday after each second Tuesday, with blackouts in the way, as a server would do it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from rollout.campaign import register
from rollout.fleet_journal import FleetJournal
from tests.campaign.conftest import Make
from tests.campaign.scene import LOOK_S, Scene, a_wave

HOUR_S = 3600.0
ZURICH = ZoneInfo("Europe/Zurich")
NIGHTS = {
    "schedule": {"weekday": "tuesday", "nth": 2, "plus_days": 3, "at": "22:00"},
    "windows": [{"days": ["friday", "saturday"], "from": "22:00", "to": "04:00"}],
    "blackouts": ["07-16..07-18", "2026-09-12", "2026-11-13..2026-11-25", "12-20..01-06"],
    "time_zone": "Europe/Zurich",
}
OCCURRENCES = [
    *("01-16 22:00 CET", "02-13 22:00 CET", "03-13 22:00 CET", "04-17 22:00 CEST", "05-15 22:00 CEST"),
    *("06-12 22:00 CEST", "07-17 22:00 CEST", "08-14 22:00 CEST", "09-11 22:00 CEST", "10-16 22:00 CEST"),
    *("11-13 22:00 CET", "12-11 22:00 CET"),
]
NEXT_WINDOW = {"07-17 22:00 CEST": "07-19 00:00 CEST", "11-13 22:00 CET": "11-27 22:00 CET"}
"""In a blackout: what is left of a window at its end, or the first one after it."""
BLACK = [
    *((date(2026, 7, 16), date(2026, 7, 18)), (date(2026, 9, 12), date(2026, 9, 12))),
    *((date(2026, 11, 13), date(2026, 11, 25)), (date(2026, 1, 1), date(2026, 1, 6))),
    (date(2026, 12, 20), date(2026, 12, 31)),
]


def shown(at: float) -> str:
    """What a clock in Zurich shows."""
    return datetime.fromtimestamp(at, ZURICH).strftime("%m-%d %H:%M %Z")


def serve_until(scene: Scene, ends_at: float) -> None:
    """Looks every hour, and often while a rollout is open. Each month has a patch of its own."""
    store, month = scene.installation.store, 0
    while scene.clock.now() < ends_at:
        if (now := datetime.fromtimestamp(scene.clock.now(), ZURICH)).month != month:
            month = now.month
            scene.campaign["image"] = f"base-{2 + month % 2}"
            scene.write()
            scene.installation.read_again()
        scene.look()
        is_open = store.db.all("SELECT 1 FROM rollouts WHERE closed_at IS NULL")
        scene.passes(LOOK_S if is_open else HOUR_S - scene.clock.now() % HOUR_S)


@pytest.mark.slow
def test_a_year_has_twelve_patch_nights_and_none_in_a_blackout(make: Make) -> None:
    """A patch night falls out or comes twice, or the Christmas trade is patched, and it is noticed months later."""
    scene = make([a_wave("all")], services=["a"], hosts=1, **NIGHTS)
    serve_until(scene, datetime(2027, 1, 1, tzinfo=UTC).timestamp())
    began = sorted(row.opened_at for row in scene.installation.store.rollouts(limit=100))
    assert [shown(at) for at in began] == [NEXT_WINDOW.get(each, each) for each in OCCURRENCES]
    for at in began:
        clock = datetime.fromtimestamp(at, ZURICH)
        assert clock.hour >= 22 or clock.hour < 4
        assert not any(first <= clock.date() <= last for first, last in BLACK), clock
    runs = register.runs(scene.db, open_only=False)
    assert [shown(run.started_at) for run in runs] == OCCURRENCES
    assert {run.state for run in runs} == {"ended"} and {run.actor for run in runs} == {"schedule"}
    assert "campaign_missed" not in [entry.kind for entry in FleetJournal(scene.db).entries()]
    assert {row.outcome for row in scene.installation.store.rollouts(limit=100)} == {"promoted"}
