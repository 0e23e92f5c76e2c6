"""Who did what, when, why, with what effect: newest first, in eighty columns."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.fleet_journal import FLEET
from rollout.journal import GENESIS, Entry, next_entry
from rollout.rows import Row
from rollout.tell.case import case_of
from rollout.tell.past import events_of, lines_of, table_of
from tests.core.scene import ROLLOUT, World
from tests.core.test_job import failing_live
from tests.tell.kit import HOSTILE, case_now, is_plain


def fleet(kind: str, at: float, service: str = "shop", seq: int = 1, **data: Any) -> Entry:
    """As the fleet's own record has it."""
    return next_entry(FLEET, seq, GENESIS, at=at, epoch=0, kind=kind, step=service, data=data)


def rollout_event(world: World) -> dict[str, Any]:
    """The world's rollout in a history."""
    (event,), left_off = events_of([world.row], [], 0.0, None, lambda row: case_now(world))
    assert left_off == 0
    return event


def test_a_promoted_rollout_says_what_it_fixed_and_how_long_it_took(world: World) -> None:
    """Somebody asks what was patched last month, and has to open every rollout."""
    world.drive()
    event = rollout_event(world)
    assert (event["kind"], event["actor"], event["reason"], event["outcome"]) == (
        "rollout",
        "tester",
        "because",
        "promoted",
    )
    assert (event["from_image"], event["to_image"], event["patch"]) == ("base-1", "base-2", "base-2")
    assert event["duration_s"] > 60 and event["advisories"] is None and event["back_s"] is None
    assert lines_of(event) == ["shop-1", "base-1 → base-2: promoted after 15 s", "why: because"]


def test_who_is_legible_in_a_narrow_column(world: World) -> None:
    """An ARN is folded into a column of twelve characters, and nobody can read who it was."""
    world.drive()
    event = {**rollout_event(world), "actor": "ana@ops1 as arn:aws:sts::123456789012:assumed-role/rollout/ana"}
    told = table_of([event], 80)
    assert "arn:" not in told and "ana@ops1 as" in told
    assert all(word in told for word in ("assumed", "role", "ana"))


def test_a_rollback_says_who_why_and_how_fast(world: World) -> None:
    """The number of seconds that users met errors is not to be had."""
    world.asking(failing_live)
    world.drive()
    event = rollout_event(world)
    assert event["back_s"] == 0.0 and event["turned_back_by"] == "rollout"
    lines = lines_of(event)
    assert lines[1] == "base-1 → base-2: rolled back after 16 s"
    assert lines[2].startswith("turned back by rollout, traffic back in 0 s: live:1:50: failed 2 times in a row")


def test_an_open_rollout_says_that_it_is_open(world: World) -> None:
    """What runs now is taken for what is over."""
    event = rollout_event(world)
    assert lines_of(event)[1] == "base-1 → base-2: runs, open (opened)"
    assert event["closed_at"] is None and event["duration_s"] is None


def test_a_pruned_rollout_is_still_listed(world: World) -> None:
    """What was done before the retention time never happened."""
    world.drive()
    row = replace(world.row, pruned_at=9.0)
    (event,), _ = events_of([row], [], 0.0, None, lambda row: case_of(row, []))
    assert event["pruned_at"] == 9.0 and lines_of(event)[1].startswith("base-1 → base-2: promoted after")


@pytest.mark.parametrize(
    ("entry", "lines"),
    [
        (fleet("released", 1.0, actor="ci", reason="", held_by="ci", held_since=5.0), ["released (held by ci)"]),
        (fleet("denied", 1.0, actor="me", reason="CVE", image="base-9"), ["denied (image base-9)", "why: CVE"]),
        (fleet("stood_up", 1.0, by="me", image="base-1", healthy=2), ["stood up (healthy 2, image base-1)"]),
        (fleet("pruned", 1.0, rollouts=["a", "b"], ref="CHG-1"), ["pruned (rollouts a, b)", "why: ref CHG-1"]),
        (fleet("teleported", 1.0, actor="me", deep={"a": 1}), ["teleported"]),
    ],
)
def test_every_kind_of_the_fleets_record_is_told(entry: Entry, lines: list[str]) -> None:
    """What a person did to the fleet is not on record where people look."""
    (event,), _ = events_of([], [entry], 0.0, None, lambda row: case_of(row, []))
    assert lines_of(event) == lines
    assert event["actor"] in ("ci", "me", "") and json.dumps(event)


def test_a_hold_says_until_when() -> None:
    """Nobody knows when patches will go on."""
    (event,), _ = events_of(
        [], [fleet("held", 1.0, actor="ci", reason="deploy", until=1e9)], 0.0, None, lambda row: case_of(row, [])
    )
    first, why = lines_of(event)
    assert first.startswith("held until 2001-09-") and why == "why: deploy"


def test_newest_first_within_the_time_and_the_limit(world: World) -> None:
    """The last thing that happened is at the end of a long list, or missing."""
    row, day = world.row, 86400.0

    def at(number: float, closed: float | None) -> Row:
        closed_at = None if closed is None else closed * day
        return replace(row, id=f"r{number}", opened_at=number * day, closed_at=closed_at)

    rows = [at(9, None), at(5, 6), at(1, 7), at(0, None), at(2, 3)]
    entries = [fleet("held", 8 * day, seq=2), fleet("denied", 3 * day)]
    events, left_off = events_of(rows, entries, 4 * day, None, lambda row: case_of(row, []))
    assert [event["id"] or event["kind"] for event in events] == ["r9", "held", "r5", "r1", "r0"] and left_off == 0
    events, left_off = events_of(rows, entries, 4 * day, 2, lambda row: case_of(row, []))
    assert [event["id"] or event["kind"] for event in events] == ["r9", "held"] and left_off == 3


def test_only_what_is_shown_is_read(world: World) -> None:
    """The history of a large fleet takes minutes."""
    read = list[str]()
    rows = [replace(world.row, id=f"r{number}", opened_at=float(number)) for number in range(50)]

    def case(row: Row) -> Any:
        read.append(row.id)
        return case_of(row, [])

    events_of(rows, [], 0.0, 3, case)
    assert read == ["r49", "r48", "r47"]


hostile = st.sampled_from(HOSTILE) | st.text(alphabet=st.characters(codec=None), max_size=200)


@given(service=hostile, actor=hostile, reason=hostile, columns=st.sampled_from([80, 100, 200]))
def test_any_text_fits_the_table(service: str, actor: str, reason: str, columns: int) -> None:
    """A reason in a ticket breaks the table, or steers the terminal."""
    entries = [fleet("held", 1.0, service[:300], actor=actor, reason=reason, image=reason)]
    events, _ = events_of([], entries, 0.0, None, lambda row: case_of(row, []))
    text = table_of(events, columns)
    from rich.cells import cell_len

    assert is_plain(text) and all(cell_len(line) <= columns for line in text.splitlines())


def test_the_table_says_all_of_it_in_eighty_columns(world: World) -> None:
    """On an ordinary terminal the table is cut, and with it the reason."""
    world.asking(failing_live)
    world.drive()
    row = replace(
        world.row,
        actor="someone.with.a.long.name@build-host-17.example",
        reason="word " * 40,
        service="a-service-with-a-long-name",
    )
    events, _ = events_of(
        [row],
        [fleet("held", 1e9, actor="ci", reason="[red]not markup[/red]")],
        0.0,
        None,
        lambda row: case_of(row, world.store.entries(ROLLOUT)),
    )
    text = table_of(events, 80)
    assert all(len(line) <= 80 for line in text.splitlines())
    squeezed = "".join(text.split())
    assert "traffic back in 0 s".replace(" ", "") in squeezed and squeezed.count("word") == 40
    assert "[red]not markup[/red]" in text
    assert text.splitlines()[0].split() == ["when", "service", "who", "what"]


def test_a_wider_terminal_is_used(tmp_path: Path) -> None:
    """On a wide screen the table is as narrow as on a phone."""
    entries = [fleet("held", 1.0, actor="ci", reason="word " * 40)]
    events, _ = events_of([], entries, 0.0, None, lambda row: case_of(row, []))
    assert len(table_of(events, 200).splitlines()) < len(table_of(events, 80).splitlines())
