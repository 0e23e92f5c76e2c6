"""All that is open or happened lately, with the command that puts each back; on paper and on a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.holds import Holds
from rollout.lease import Holder, this_process
from rollout.presence import leave_server, note_server, note_sharing
from rollout.rows import Hold
from rollout.store import Store
from rollout.view.board import board
from rollout.view.listing import RECENT_S, list_all, recent_rows
from rollout.view.overview import nothing, overview, text_of, unattended
from tests.core.scene import ROLLOUT, World, a_plan
from tests.views.kit import NOW, lines, stands, widest


def opened(store: Store, rollout: str, service: str, at: float, closed_at: float | None = None) -> None:
    """A rollout in the store."""
    plan = a_plan()
    store.open_rollout(rollout, service, plan.to_json(), plan.hash, at=at, actor="me", reason="CVE-2026-1", ref="CHG-1")
    if closed_at is not None:
        store.append(rollout, 0, "closed", "retired", {"outcome": "promoted"}, closed_at, outcome="promoted")


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """A store with nothing in it."""
    made = Store(tmp_path / "rollout.db")
    yield made
    made.close()


def listed(*summaries: dict[str, Any], **more: Any) -> dict[str, Any]:
    """As the listing makes it."""
    return {**nothing(), "rollouts": list(summaries), **more}


# What is listed


def test_open_ones_recent_ones_and_the_latest_of_the_others(store: Store) -> None:
    """What somebody else did an hour ago, or a rollout that is open since last week, is not to be found at night."""
    day = RECENT_S
    opened(store, "a-1", "a", NOW - 9 * day, NOW - 8 * day)
    opened(store, "a-2", "a", NOW - 7 * day)  # open for a week
    opened(store, "b-1", "b", NOW - 2 * day, NOW - day + 60)  # ended within the last day
    opened(store, "b-2", "b", NOW - 3600, NOW - 1800)
    opened(store, "c-1", "c", NOW - 5 * day, NOW - 4 * day)
    opened(store, "c-2", "c", NOW - 3 * day, NOW - 2 * day)
    opened(store, "d-1", "d", NOW - 30 * day, NOW - 29 * day)
    recent, older = recent_rows(store, NOW)
    assert [row.id for row in recent] == ["b-2", "b-1", "a-2"]
    assert [row.id for row in older] == ["c-2", "d-1"]
    found = list_all(store, NOW, lambda rows: {"b-2": {"blue": 0, "green": 100}})
    assert json.dumps(found)
    assert [(each["id"], each["recent"]) for each in found["rollouts"]] == [
        ("b-2", True), ("b-1", True), ("a-2", True), ("c-2", False), ("d-1", False),
    ]  # fmt: skip
    assert [each["traffic_read"] for each in found["rollouts"]] == ["live"] + 4 * ["journal"]


def test_holds_in_force_and_who_serves(store: Store) -> None:
    """A rollout stands still, and nobody sees that a pipeline holds its service; or that nobody serves."""
    assert list_all(store, NOW) == nothing()
    Holds(store.db).put(Hold("db", "ci@host", "deploying v7", "CHG-9", NOW - 60, NOW + 60))
    Holds(store.db).put(Hold("web", "ci@host", "over", "", NOW - 60, NOW - 1))
    note_server(store.db, this_process(), NOW)
    found = list_all(store, NOW)
    assert found["holds"] == [
        {
            "service": "db",
            "actor": "ci@host",
            "reason": "deploying v7",
            "ref": "CHG-9",
            "at": NOW - 60,
            "until": NOW + 60,
        }
    ]
    assert found["served_by"] == {"holder": str(this_process()), "since": NOW, "seen_at": NOW}
    text = text_of(overview(found))
    assert "db  by ci@host (CHG-9) until" in text and ": deploying v7" in text and "web" not in text
    assert text.splitlines()[-1].startswith(f"served by {this_process()} since ")


def test_workers_are_told_where_nobody_serves(store: Store) -> None:
    """`status` says that nothing runs, while workers carry out all that is due; or nobody sees that campaigns wait."""
    me = this_process()
    note_sharing(store.db, me, NOW - 60, NOW, works=True)
    found = list_all(store, NOW)
    assert found["workers"] == [{"holder": str(me), "since": NOW - 60, "seen_at": NOW}]
    (line,) = [each for each in text_of(overview(found)).splitlines() if "workers" in each]
    assert line.startswith("workers: 1; no rollout serve is running")
    leave_server(store.db, me)
    note_server(store.db, me, NOW)
    assert "workers" not in text_of(overview(list_all(store, NOW)))


def test_what_nobody_drives_is_said_last(store: Store) -> None:
    """A rollout hangs half done over a weekend, because status only says that it runs."""
    opened(store, "a-1", "a", NOW - 60)
    opened(store, "b-1", "b", NOW - 50)
    store.append("b-1", 0, "entered", "warm", {}, NOW, outcome="promoted")
    opened(store, "c-1", "c", NOW - 40, NOW - 30)
    found = list_all(store, NOW)
    assert [summary["id"] for summary in unattended(found)] == ["b-1", "a-1"]
    assert text_of(overview(found)).splitlines()[-4:] == [
        "nobody watches b-1:",
        "  rollout serve, or rollout resume b-1",
        "nobody drives a-1:",
        "  rollout serve, or rollout resume a-1",
    ]
    store.note_driver("a-1", Holder("elsewhere", "boot", 1, "1"), NOW)
    assert [summary["id"] for summary in unattended(list_all(store, NOW))] == ["b-1"]
    note_server(store.db, this_process(), NOW)
    assert unattended(list_all(store, NOW)) == []


def test_a_rollout_that_waits_for_a_person_is_not_called_unattended(world: World) -> None:
    """People are told to drive what stands still on somebody's word."""
    world.store.decide(ROLLOUT, world.row.head_seq, "paused", {"by": "me", "reason": "sale"}, world.clock.now())
    found = list_all(world.store, world.clock.now())
    assert unattended(found) == []
    text = text_of(overview(found))
    assert f"{ROLLOUT}  paused (opened)" in text
    assert "paused   by me: sale" in text
    assert f"next     rollout resume {ROLLOUT}" in text


# On paper


def test_a_rollout_says_who_why_where_and_the_way_back() -> None:
    """At 3 a.m. the command that puts traffic back has to be looked up."""
    warm = stands(
        phase="warm", outcome="promoted", traffic={"blue": 0, "green": 100}, traffic_read="live", active_slot="green",
        ref="CHG-1", way_back_until=NOW + 3600, warning="http: 503", reason="x\ny",
    )  # fmt: skip
    (block, last) = overview(listed(warm))
    text = "\n".join(block.lines)
    for needed in (
        "shop-20261121-6d5855  promoted (warm)  20",
        "opened   by alice@host (CHG-1): CVE-2026-1",
        "because  x y",
        "warning  http: 503",
        "driven   by process 12 on host",
        "way back rollout rollback shop until 20",
        "traffic  blue 0 %, green 100 % (base-2 sha256:ab12ab12ab12)",
    ):
        assert needed in text
    assert last.lines == ("no rollout serve is running",)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"traffic": None}, "  traffic  not moved yet"),
        ({}, "  traffic  blue 90 %, green 10 % (sha256:ab12ab12ab12, as last journalled)"),
        ({"way_back": None}, "  next     rollout resume shop-20261121-6d5855"),
    ],
)
def test_what_is_not_known_is_not_claimed(changes: dict[str, Any], line: str) -> None:
    """A journalled route is taken for the one that is."""
    assert line in overview(listed(stands(**changes)))[0].lines


def test_services_without_news_take_one_line() -> None:
    """The rollout of an hour ago drowns among those of last year."""
    old = stands(recent=False, outcome="promoted", phase="retired", closed_at=NOW - 9e5, driven_by=None, id="web-1")
    blocks = overview(listed(stands(), old))
    assert len(blocks[1].lines) == 2
    assert "web-1  promoted (retired)  20" in blocks[1].lines[1]


def test_nothing_yet() -> None:
    """A new user gets an empty screen."""
    assert text_of(overview(nothing())) == "no rollouts yet; begin with: rollout plan SERVICE"


# On a terminal


@given(st.integers(20, 200), st.integers(1, 50), st.integers(0, 12), st.text(max_size=60))
def test_the_board_fits_every_terminal(width: int, height: int, count: int, text: str) -> None:
    """A fleet of many services scrolls its own view away."""
    found = [stands(id=f"shop-{number}", reason=text, opened_reason=text, driven_by=None) for number in range(count)]
    shown = lines(board(listed(*found), now=NOW, height=height), width)
    assert len(shown) <= height
    assert widest(shown) <= width


def test_what_does_not_fit_is_counted_and_the_end_stays() -> None:
    """A person takes three of twenty rollouts for all of them."""
    found = [stands(id=f"shop-{number}") for number in range(20)]
    shown = lines(board(listed(*found, served_by=None), now=NOW, height=20), 80)
    assert "and 17 more: rollout status" in shown
    assert shown[-2] == "no rollout serve is running"
    assert shown[-1].endswith("Ctrl-C ends the watching, and nothing else")
    assert lines(board({}, now=NOW, height=20), 80) == [""]


def test_the_list_needs_no_library() -> None:
    """`rollout status` takes a second, because a list of lines imports a drawing library."""
    program = "import rollout.view.overview, rollout.view.listing, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"rich", "yaml", "pydantic", "tenacity", "typer"} & set(done.stdout.split())
