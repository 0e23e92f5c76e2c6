"""What keeps a rollout from its next step forward: a window that closes, a freeze, a pause, a hold.

All of it is asked anew before each act that goes forward, so after every wait, and the window also at each job's
beginning. Ways back, and what only watches, are never kept from anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rollout import vigil
from rollout.flow import NotYet, TurnBack
from rollout.one_look import WITHIN_S
from rollout.phases import PROMOTED
from rollout.plan import Plan, seconds_to_undo
from rollout.telling import clock_time

if TYPE_CHECKING:
    from rollout.journal import Journal
    from rollout.run import Run

SWAP = "swap:"


def tell_in_time(run: Run, story: Callable[[Run], None]) -> None:
    """Tell a story as far as it goes; what waits is looked at again when its window closes, at the latest."""
    turn_back_if_closing(run)
    try:
        with run.provider.at_one_look(WITHIN_S):
            story(run)
    except NotYet as wait:
        at = _turns_back_at(run)
        if at is None or (wait.due_at is not None and wait.due_at <= at):
            raise
        raise NotYet(wait.why, at) from wait.__cause__


def heed(run: Run, step: str) -> None:
    """Before an act that goes forward: TurnBack where its window closes, NotYet where a person says stop."""
    turn_back_if_closing(run, needs_s=run.provider.write_timeout_s if step.startswith(SWAP) else 0.0)
    vigil.stand_still_if_told(run)


def turns_back_at(plan: Plan, journal: Journal, write_timeout_s: float) -> float | None:
    """When a rollout that is not promoted by then has to turn back, so that traffic is back when its window closes.

    None: nothing ends it. One that may finish is ended only as long as none of its traffic was moved.
    """
    window = plan.window
    if window is None or window.closes_at is None or journal.phase in PROMOTED:
        return None
    if journal.decision or journal.adoption or (window.at_end == "finish" and journal.intended_routes()):
        return None
    return window.closes_at - seconds_to_undo(plan, write_timeout_s)


def _turns_back_at(run: Run) -> float | None:
    return turns_back_at(run.plan, run.journal, run.provider.write_timeout_s)


def turn_back_if_closing(run: Run, needs_s: float = 0.0) -> None:
    """TurnBack where what is begun now, and takes `needs_s`, could not be undone before the window closes."""
    at = _turns_back_at(run)
    if at is None or run.clock.now() + needs_s < at:
        return
    window = run.plan.window
    assert window is not None and window.closes_at is not None  # noqa: S101 - else nothing ends it
    evidence = {"window": {"closes_at": window.closes_at, "at_end": window.at_end, "turns_back_at": at}}
    raise TurnBack(
        f"window closed: it ends at {clock_time(window.closes_at)}, and what is not promoted by then is put back",
        evidence,
    )
