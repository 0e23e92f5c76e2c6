"""One rollout as it is told: what its journal says, cut at any moment."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout import exits
from rollout.phases import PHASES
from rollout.tell.case import Case, case_at, case_of
from rollout.tell.dossier import dossier
from rollout.tell.html import page
from rollout.tell.past import events_of, lines_of
from rollout.tell.report import document_of
from rollout.tell.standing import standing_of
from rollout.tell.words import words_of
from tests.core.scene import ROLLOUT, World, a_plan, phase_is
from tests.core.test_job import failing_live
from tests.tell.kit import Shape, a_ledger, case_now, entry


@cache
def stories() -> tuple[Case, ...]:
    """Whole journals: promoted, put back, approved, halted by a stranger and resumed."""
    found = list[Case]()
    for number in range(3):
        with TemporaryDirectory() as folder:
            world = World(Path(folder), a_plan(approval="required") if number == 2 else None)
            if number == 1:
                world.asking(failing_live)
            if number == 2:
                world.drive(lambda world: world.row.outcome == "waiting_approval")
                data = {"by": "boss", "plan_hash": world.row.plan_hash}
                world.store.decide(ROLLOUT, world.row.head_seq, "approved", data, world.clock.now())
                world.drive(phase_is("shifting"))
                world.edit(30)
                world.drive()
                world.edit(50)
                said = {"by": "oncall"}
                world.store.decide(ROLLOUT, world.row.head_seq, "resumed", said, world.clock.now(), outcome="running")
            world.drive()
            found.append(case_now(world))
            world.store.close()
    return tuple(found)


@given(number=st.integers(0, 2), share=st.floats(-0.1, 1.1), columns=st.sampled_from([80, 100]))
def test_any_moment_of_any_story_can_be_told(number: int, share: float, columns: int) -> None:
    """One moment of one rollout ends every question about it in a traceback."""
    case = stories()[number]
    closed_at = case.row.closed_at or 0.0
    at = case.row.opened_at + (closed_at - case.row.opened_at) * share
    then = case_at(case.row, case.entries, at)
    assert then.row.phase in PHASES and exits.code_for(then.row.outcome) >= 0
    told = standing_of(then, at, past=True)
    assert json.dumps(told) and all(len(line) <= columns for line in words_of(told, columns).splitlines())


@given(number=st.integers(0, 2), kept=st.integers(1, 400))
def test_any_beginning_of_a_journal_can_be_reported(number: int, kept: int) -> None:
    """After a crash, or from a backup, there is no report."""
    case = stories()[number]
    cut = case_of(replace(case.row, closed_at=None), case.entries[:kept])
    data = dossier(cut)
    assert Shape(page(document_of(data))).tags and json.dumps(data)
    assert (data["integrity"]["state"] == "whole") == (kept >= len(case.entries))
    (event,), _ = events_of([cut.row], [], 0.0, None, lambda row: cut)
    assert lines_of(event)[0] == ROLLOUT


@given(number=st.integers(0, 2), shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_what_was_known_is_never_unlearned(number: int, shares: tuple[float, float]) -> None:
    """A later moment knows less of what had happened than an earlier one."""
    case = stories()[number]
    length = (case.row.closed_at or 0.0) - case.row.opened_at
    first, second = (case_at(case.row, case.entries, case.row.opened_at + length * each) for each in sorted(shares))
    assert second.entries[: len(first.entries)] == first.entries
    assert first.promoted_at is None or second.promoted_at == first.promoted_at


def test_the_end_of_a_story_is_told_as_the_store_has_it() -> None:
    """The same rollout is told in two ways, by its row and by its journal."""
    for case in stories():
        closed_at = case.row.closed_at
        assert closed_at is not None
        then = case_at(case.row, case.entries, closed_at)
        assert then.row == case.row and then.wait is None


@pytest.mark.parametrize(
    ("ledger", "counts"),
    [
        (a_ledger(), {"fixed": 2, "remaining": 1, "introduced": 1, "unknown": 1}),
        ({**a_ledger(), "counts": None}, {"fixed": 2, "remaining": 1, "introduced": 1, "unknown": 1}),
        ({**a_ledger(), "counts": {"fixed": 70}}, {"fixed": 70, "remaining": 1, "introduced": 1, "unknown": 1}),
        (
            {"fixed": 1, "remaining": "x", "introduced": None, "unknown": []},
            dict.fromkeys(("fixed", "remaining", "introduced", "unknown"), 0),
        ),
        ({"other": 1}, None),
    ],
)
def test_advisories_are_counted(world: World, ledger: dict[str, Any], counts: Any) -> None:
    """A history says that a patch fixed nothing, or more than it did."""
    verdicts = [{"check": "v", "evidence": {}}, {"check": "w", "evidence": ledger}]
    assert case_of(world.row, [entry("ended", "proof", verdicts=verdicts)]).counts == counts


def test_the_latest_look_at_advisories_counts(world: World) -> None:
    """The gain of an earlier attempt is told for the patch that was promoted."""
    looks = [
        entry("ended", "proof", seq=number, verdicts=[{"evidence": {**a_ledger(), "counts": {"fixed": number}}}])
        for number in (1, 2)
    ]
    counts = case_of(world.row, looks).counts
    assert counts is not None and counts["fixed"] == 2


def test_a_case_names_images_and_ticket(world: World) -> None:
    """A patch of several platforms is told as one image."""
    plan = {**world.row.plan, "patch": {**world.row.plan["patch"], "images": {"b": "two", "a": "one", "c": "one"}}}
    opened = entry("opened", actor="me", ref="CHG-1")
    case = case_of(replace(world.row, plan=plan), [opened])
    assert (case.to_image, case.from_image, case.reference) == ("one, two", "base-1", "base-2")
    assert (case.original, case.replacement, case.ref) == ("blue", "green", "CHG-1")
    assert case_of(world.row, []).ref == ""
