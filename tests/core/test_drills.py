"""Whether a way back was tried is on record, whatever became of the store, and one that failed is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rollout import drills
from rollout.drills import Drill, is_due, keep, kept, last_drills, merge, record, told, with_drill
from rollout.fleet_journal import FleetJournal
from rollout.journal import first_broken_link
from rollout.notify.message import News, describe
from rollout.notify.outbox import Outbox
from rollout.notify.target import Target
from rollout.store import Store

HOUR, DAY = 3600.0, 86_400.0
GOOD = Drill("shop", "shop-1", 1000.0, True, 0.43, "direct", "me@here", "blue: 2 of 2 healthy")
BAD = replace(GOOD, at=2000.0, ok=False, why="blue: 0 of 2 healthy", via="daemon")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty one."""
    return Store(tmp_path / "rollout.db")


def test_the_last_drill_of_each_service(store: Store, tmp_path: Path) -> None:
    """Status shows last month's success over last night's failure."""
    assert last_drills(store.db, tmp_path / "none") == {} == last_drills(None)
    for each in (GOOD, BAD, replace(GOOD, service="web")):
        record(store.db, each)
    assert last_drills(store.db) == {"shop": BAD, "web": replace(GOOD, service="web")}
    entries = FleetJournal(store.db).entries()
    assert [entry.kind for entry in entries] == ["drilled"] * 3 and first_broken_link(entries) == ""


def test_one_without_a_store_lies_beside_the_cards_until_it_is_journalled(store: Store, tmp_path: Path) -> None:
    """A drill on the night when the store was away was never made."""
    folder = tmp_path / "drills"
    keep(folder, GOOD)
    keep(folder, BAD)
    assert last_drills(store.db, folder) == {"shop": BAD} == last_drills(None, folder)
    assert merge(store.db, folder) == [BAD] and merge(store.db, folder) == []
    assert last_drills(store.db) == {"shop": BAD}
    (entry,) = FleetJournal(store.db).entries()
    assert entry.data["spooled"] is True and entry.at == BAD.at
    record(store.db, replace(GOOD, at=3000.0))
    keep(folder, GOOD)
    assert last_drills(store.db, folder)["shop"].at == 3000.0, "an older file does not hide a newer entry"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", json.dumps({**GOOD.to_json(), "at": "soon"})])
def test_a_damaged_file_hides_nothing(store: Store, tmp_path: Path, text: str) -> None:
    """`rollout status` ends with a traceback because of half a file."""
    keep(tmp_path / "drills", GOOD)
    (tmp_path / "drills" / "web.json").write_text(text)
    assert [drill for _, drill in kept(tmp_path / "drills")] == [GOOD]


def test_what_is_said_of_it() -> None:
    """A person reads a number that means nothing."""
    assert told(None, 0.0, "shop") == "never: rollout rollback shop --drill"
    assert told(GOOD, 1000 + 3 * DAY, "shop", "shop-1") == "3 d ago in 0.4 s"
    assert told(replace(GOOD, via="daemon"), 1030, "shop") == "30 s ago in 0.4 s through rollout serve"
    assert told(GOOD, 1030, "shop", "shop-2") == "30 s ago in 0.4 s, of shop-1"
    assert told(BAD, 2000 + 2 * HOUR, "shop") == "FAILED 2 h ago through rollout serve: blue: 0 of 2 healthy"
    assert "\n" not in told(replace(BAD, why="a\nb\x1b[2J"), 2000, "shop")
    summary = with_drill({"service": "shop", "id": "shop-1"}, {"shop": GOOD}, 1000)
    assert (summary["drill"]["seconds"], summary["drilled"]) == (0.43, "0 s ago in 0.4 s")
    assert with_drill({"service": "web", "id": "web-1"}, {"shop": GOOD}, 1000)["drill"] is None


@pytest.mark.parametrize(
    ("rollout", "drill", "now", "due"),
    [
        ("shop-1", None, 0.0, True),
        ("shop-2", GOOD, 1000.0, True),
        ("shop-1", GOOD, 1000 + 7 * DAY - 1, False),
        ("shop-1", GOOD, 1000 + 7 * DAY, True),
        ("shop-1", BAD, 2000 + DAY - 1, False),
        ("shop-1", BAD, 2000 + DAY, True),
        ("shop-1", GOOD, 1000 - 8 * DAY, True),
    ],
    ids=["never", "a new card", "tried", "a week later", "failed", "failed yesterday", "the clock was set back"],
)
def test_when_it_is_time(rollout: str, drill: Drill | None, now: float, due: bool) -> None:
    """A new way back is never tried, or one that fails wakes people every minute."""
    assert is_due(rollout, drill, 7 * DAY, now, DAY) is due


def test_one_that_failed_is_news_in_the_same_transaction(store: Store) -> None:
    """The way back does not work, and nobody is told until the night on which it is needed."""
    record(store.db, GOOD)
    assert store.db.all("SELECT kind FROM news") == []
    record(store.db, BAD)
    outbox, team = Outbox(store.db), Target("team", ("drill_failed",), apprise={"env": "X"})
    outbox.tidy([team], 2000.0)
    (delivery,) = outbox.claim(["team"], 2000.0)
    message = describe(delivery.news)
    assert message.title == "shop: the drill of the way back failed"
    assert (message.reason, message.rollout) == ("blue: 0 of 2 healthy", "shop-1")
    assert message.next == "rollout rollback shop --drill" and "rollout shop-1, 1970-" in message.text


def test_fleet_news_without_a_rollout_says_none() -> None:
    """People look for a rollout that is called fleet."""
    message = describe(News(1, 0.0, "drill_failed", "shop", "fleet", 1))
    assert message.rollout == "" and "rollout fleet" not in message.text


def test_the_name_of_the_kind_is_the_journals() -> None:
    """A renamed kind loses every drill that was ever made."""
    assert drills.KIND == "drilled"
