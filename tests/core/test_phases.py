"""The table of phases is closed, complete, and what the documents show."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from rollout.phases import (
    CLOSED,
    PHASES,
    POINT_OF_NO_RETURN,
    PROMOTED,
    as_mermaid,
    can_turn_back,
    may_follow,
)
from rollout.plan import DEADLINES

DOCUMENT = Path(__file__).parents[2] / "docs" / "phases.md"
FORWARD = (
    "opened",
    "preparing",
    "mirroring",
    "patching",
    "proving",
    "shifting",
    "baking",
    "warm",
    "retiring",
    "retired",
)


def reachable(start: str) -> set[str]:
    """All that may come after a phase."""
    found, left = set[str](), [start]
    while left:
        now = left.pop()
        for then in PHASES:
            if may_follow(now, then) and then not in found:
                found.add(then)
                left.append(then)
    return found


def test_the_table_is_closed() -> None:
    """A phase follows one that does not exist, and the rollout stops there."""
    assert {before for phase in PHASES.values() for before in phase.follows} <= set(PHASES)


def test_every_phase_can_be_reached() -> None:
    """A phase that people read about never comes."""
    assert {"opened"} | reachable("opened") == set(PHASES)


def test_no_phase_comes_twice() -> None:
    """A rollout goes round in circles."""
    assert all(name not in reachable(name) for name in PHASES)


@pytest.mark.parametrize("name", PHASES)
def test_every_phase_leads_to_an_end(name: str) -> None:
    """A rollout gets to where it can neither go on nor back, and keeps its claim for ever."""
    assert name in CLOSED or reachable(name) & set(CLOSED)


def test_the_way_forward_is_in_the_table() -> None:
    """The story is told in an order that the table refuses."""
    assert all(may_follow(before, after) for before, after in pairwise(FORWARD))


@pytest.mark.parametrize("name", PHASES)
def test_turning_back_is_possible_exactly_before_the_point_of_no_return(name: str) -> None:
    """The on-call engineer is refused a rollback that was possible, or offered one that is not."""
    before = FORWARD.index(name) < FORWARD.index(POINT_OF_NO_RETURN) if name in FORWARD else False
    assert can_turn_back(name) == before


def test_nothing_follows_an_end() -> None:
    """A closed rollout goes on."""
    assert all(not reachable(name) for name in CLOSED)


def test_promoted_phases_are_those_from_warm_on() -> None:
    """`start` says promoted before it is, or goes on waiting after it was."""
    assert FORWARD[FORWARD.index("warm") :] == PROMOTED


def test_every_phase_has_a_deadline_that_plans_have() -> None:
    """A job that has trouble in one phase ends with a KeyError instead of turning back."""
    assert {phase.deadline for phase in PHASES.values()} <= set(DEADLINES)


def test_every_phase_says_its_undo_and_who_has_traffic() -> None:
    """A person who has to intervene is told nothing about what to undo."""
    assert all(phase.undo and phase.traffic in ("original", "replacement", "both") for phase in PHASES.values())


def test_traffic_leaves_the_original_only_after_the_proof() -> None:
    """The table says that an unproven side has traffic."""
    assert {phase.traffic for phase in PHASES.values() if phase.name in FORWARD[:5]} == {"original"}


def test_the_diagram_in_the_documents_is_the_table() -> None:
    """Readers of the documents learn a state machine that the program does not have."""
    assert f"```mermaid\n{as_mermaid()}```" in DOCUMENT.read_text(encoding="utf-8")


def test_the_table_in_the_documents_is_the_table() -> None:
    """Readers look up the undo of a phase and find an old one."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for phase in PHASES.values():
        assert f"| `{phase.name}` | {phase.traffic} | `{phase.deadline}` | {phase.undo} |" in text
