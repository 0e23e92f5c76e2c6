"""One job: take the lease, tell the story until something has to wait, give the lease back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace

from providers.base import ProviderError, plain
from rollout.bluegreen import roll_back, roll_out, take_as_is
from rollout.care.restored import is_rollback_only, looks_restored
from rollout.decide import CannotTurnBack, decide_roll_back
from rollout.flow import Halt, NotYet, StoryChanged, TurnBack
from rollout.journal import Journal
from rollout.lease import Holder
from rollout.means import Means
from rollout.observer import Shared
from rollout.phases import PROMOTED
from rollout.plan import STORY, Plan
from rollout.rows import Row
from rollout.run import BETWEEN_STEPS, RETRY_S, UNEXPECTED, Run
from rollout.standstill import tell_in_time
from rollout.store import Fenced, StoreError


class UnknownStory(Exception):
    """A newer release began it; this one must not drive it."""


@dataclass(frozen=True, slots=True)
class Advanced:
    """How a job ended. `due_at` None: nothing will happen until a person says so, or the rollout is closed.

    `error` is what nobody expected to go wrong: the journal has it in words, the log wants its traceback.
    """

    why: str
    due_at: float | None
    error: Exception | None = None


def advance(
    rollout: str,
    means: Means,
    holder: Holder,
    *,
    shared: Shared | None = None,
    on_lease: Callable[[int], None] = lambda epoch: None,
) -> Advanced:
    """Drive one rollout as far as it can go now. Raises LeaseHeld when another process drives it, UnknownStory."""
    row = means.store.rollout(rollout)
    if row.plan["story"] > STORY:
        raise UnknownStory(
            f"{rollout} was begun by a newer release (story {row.plan['story']}, this one tells {STORY}): "
            f"drive it with that release. rollout rollback {row.service} works with this one too"
        )
    service = row.service
    epoch = means.store.take_lease(service, holder, means.clock.now())
    on_lease(epoch)
    try:
        advanced = _tell(row, means, epoch, shared)
    except Fenced as fenced:
        return Advanced(str(fenced), means.clock.now())
    means.store.release_lease(rollout, epoch, advanced.due_at)
    return advanced


def _tell(row: Row, means: Means, epoch: int, shared: Shared | None) -> Advanced:
    journal = Journal(means.store.entries(row.id))  # under the lease; a plan never changes
    run = Run(row.id, Plan.from_json(row.plan), journal, means, epoch, shared)
    try:
        return _go_on(run)
    except (StoreError, sqlite3.Error):
        raise  # what cannot be journalled is not the rollout's trouble
    except ProviderError as error:
        return _try_again(run, error)
    except Exception as error:  # a fault of an adapter, a check or ours: traffic must not stay half-way for it
        return replace(_try_again(run, error, UNEXPECTED), error=error)


def _go_on(run: Run) -> Advanced:
    if run.journal.closed:
        return Advanced("closed", None)
    if run.journal.halt:
        return _stay_halted(run)
    behind = _why_behind(run) if run.way == "out" else None
    if behind:
        return _halt(run, behind, {})
    story = {"out": roll_out, "back": roll_back, "adopt": take_as_is}[run.way]
    try:
        tell_in_time(run, story)
    except NotYet as wait:
        run.recover_from_unexpected()
        return Advanced(wait.why, wait.due_at, _unexpected(wait))
    except TurnBack as turn:
        return replace(_turn_back(run, turn), error=_unexpected(turn))
    except Halt as halt:
        return _halt(run, halt.reason, halt.evidence)
    except StoryChanged as changed:
        return _halt(run, str(changed), {})
    return Advanced("closed", None)


def _why_behind(run: Run) -> str | None:
    """A store that was put back from a backup knows less than the world does: it may only go back."""
    return is_rollback_only(run.means.store.db) or looks_restored(run.means, run.service.name)


def _unexpected(why: BaseException) -> Exception | None:
    """What a step met that was no answer of the platform."""
    cause = why.__cause__
    return cause if isinstance(cause, Exception) and not isinstance(cause, ProviderError) else None


def _try_again(run: Run, error: Exception, step: str = BETWEEN_STEPS) -> Advanced:
    """Something between two steps failed: the job is due again, until the phase's deadline has passed."""
    reason = f"{type(error).__name__}: {error}"
    stuck_s = run.trouble_s(step, reason)
    if stuck_s <= run.deadline_s():
        return Advanced(reason, run.clock.now() + RETRY_S)
    turn = TurnBack(f"{reason}; nothing could be done for {stuck_s:.0f} s")
    try:
        return _turn_back(run, turn)
    except (StoreError, sqlite3.Error):
        raise
    except Exception as fault:  # it cannot be told whether the original can serve
        return _halt(run, f"{turn.reason}; nor could it be decided to go back: {type(fault).__name__}: {fault}", {})


def _stay_halted(run: Run) -> Advanced:
    """A halted rollout still obeys a hold mark."""
    halted = Advanced("halted", None)
    if run.way != "out":
        return halted
    try:
        run.heed(run.provider.traffic.route(run.service).mark)
    except TurnBack as turn:
        return _turn_back(run, turn)
    except (StoreError, sqlite3.Error):
        raise
    except ProviderError:
        return halted
    except Exception as error:
        return replace(halted, error=error)
    return halted


def _turn_back(run: Run, turn: TurnBack) -> Advanced:
    """The forward story failed: decide. The way back failed, or is closed already: a person is needed."""
    if run.way != "out":
        ending = "the rollback" if run.turning_back else "taking it as it is"
        return _halt(run, f"{ending} is not complete: {turn.reason}", turn.evidence)
    marked = "mark" in turn.evidence
    by_itself = run.journal.phase not in PROMOTED or (run.journal.phase == "warm" and run.plan.rollback_while_warm)
    if not by_itself and not marked:
        return _halt(run, turn.reason, turn.evidence)  # by itself it goes back before it is promoted only
    try:
        ready = decide_roll_back(
            run.means.store,
            run.provider,
            run.id,
            kind="mark" if marked else "gate",
            reason=turn.reason,
            actor=turn.evidence["mark"]["by"] if marked else "rollout",
            at=run.clock.now(),
            deny=turn.deny,
            evidence=turn.evidence,
        )
    except CannotTurnBack as closed:
        return _halt(run, f"{turn.reason}; {closed}", turn.evidence)
    if not ready.go:
        return Advanced(f"{turn.reason}; {ready.why}", None)
    return Advanced(turn.reason, run.clock.now())


def _halt(run: Run, reason: str, evidence: object) -> Advanced:
    run.means.store.append(
        run.id,
        run.epoch,
        "halted",
        "",
        {"reason": reason, "evidence": plain(evidence)},
        run.clock.now(),
        outcome="halted",
    )
    return Advanced(reason, None)
