"""What runs when, for everybody to see beforehand."""

from __future__ import annotations

from rollout.agenda import DAY_S, Item, agenda
from rollout.freeze import Freeze, Freezes
from rollout.holds import Holds
from rollout.rows import Hold
from tests.when.test_opening import MONTHLY, POLICY, Made, at, made, start
from tests.when.test_why_not import drive

__all__ = ["made"]


def told(found: list[Item]) -> list[tuple[str, str, str]]:
    """Kind, whom it concerns, when."""
    return [(item.kind, item.of, item.shown) for item in found]


def test_windows_without_what_is_blacked_out(made: Made) -> None:
    """Somebody plans his night for a window that will not open."""
    found = agenda(made("2026-11-25T12:00"), 4)
    assert told(found) == [
        ("window", "shop", "2026-11-25 22:00 CET – 2026-11-26 04:00 CET"),
        ("window", "shop", "2026-11-26 22:00 CET – 2026-11-27 01:00 CET"),
        ("blackout", "all", "2026-11-27 00:00 UTC – 2026-11-28 00:00 UTC"),
        ("window", "shop", "2026-11-28 01:00 CET – 2026-11-28 04:00 CET"),
        ("window", "shop", "2026-11-28 22:00 CET – 2026-11-29 04:00 CET"),
    ]
    assert found[2].text == "black friday"


def test_the_window_that_is_open_now(made: Made) -> None:
    """What is open already is not seen, as it began before."""
    first = agenda(made("2026-11-24T23:00"), 1)[0]
    assert (first.kind, first.at) == ("window", at("2026-11-24T22:00")) and "open now" in first.text


def test_campaigns_and_when_they_may_really_begin(made: Made) -> None:
    """A campaign starts at night, and nobody knew; or it starts and waits, and nobody knows for what."""
    found = agenda(made("2026-12-01T12:00", service="", fleet=POLICY + MONTHLY), 30)
    (start_of,) = [item for item in found if item.kind == "campaign"]
    assert (start_of.of, start_of.shown) == ("monthly", "2026-12-11 01:00 CET")
    assert start_of.text == "campaign monthly starts with base-2; its first window opens 2026-12-11 02:00 CET"


def test_what_stands_still_and_for_how_long(made: Made) -> None:
    """Everything is frozen, and the schedule promises a window tonight without a word of it."""
    installation = made("2026-11-25T12:00", service="", fleet="")
    now = installation.clock.now()
    Freezes(installation.store.db).put(Freeze("service:shop", "lead", "incident", "", now, now + DAY_S))
    Holds(installation.store.db).put(Hold("shop", "pipeline", "release 7", "", now, None))
    found = agenda(installation, 1)
    assert told(found) == [
        ("freeze", "service:shop", "2026-11-25 11:00 UTC – 2026-11-26 11:00 UTC"),
        ("hold", "shop", "2026-11-25 11:00 UTC"),
    ]
    assert [item.text for item in found] == ["lead: incident", "pipeline: release 7"]


def test_ways_back_that_close_and_rollouts_that_end(made: Made) -> None:
    """The way back is gone on the morning on which it is wanted."""
    installation = made()
    row = start(installation).row
    (ends,) = [item for item in agenda(installation, 1) if item.kind == "window_closes"]
    assert ends.at == at("2026-11-25T04:00") and ends.text.endswith("what is not promoted is put back by then")
    drive(installation, row, lambda row: row.phase == "warm")
    found = {item.kind: item for item in agenda(installation, 1)}
    assert "window_closes" not in found
    closes = found["way_back_closes"]
    assert 0 < closes.at - installation.clock.now() <= 60
    assert closes.text == f"the way back of {row.id} to blue closes (until then: rollout rollback shop)"


def test_how_far_is_looked(made: Made) -> None:
    """A schedule of a year fills the screen, or one of a week leaves Saturday out."""
    assert len(agenda(made("2026-11-25T12:00", fleet=""), 1)) == 1
    assert len(agenda(made("2026-11-25T12:00", fleet=""), 100)) == 100
    assert len(agenda(made("2026-11-25T12:00", fleet=""), 400)) == 200


def test_as_data(made: Made) -> None:
    """A calendar that is fed from it has texts in place of times."""
    item = agenda(made("2026-11-25T12:00", fleet=""), 1)[0].to_json()
    assert item == {
        "at": at("2026-11-25T22:00"),
        "until": at("2026-11-26T04:00"),
        "kind": "window",
        "of": "shop",
        "text": "shop may be begun",
        "shown": "2026-11-25 22:00 CET – 2026-11-26 04:00 CET",
    }
