"""Traffic first, then the mark; then read back, and put right what a late write undid, until none can land any more."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rollout.actor import this_actor
from rollout.card import Card, CardFolder
from rollout.rescue.asked import Asked
from rollout.rescue.clock import NightClock
from rollout.rescue.deciding import Decided
from rollout.rescue.judging import LOOK_S, is_back, shares
from rollout.rescue.thin import commands_by_hand
from rollout.rescue.told import Told, Unfinished

TRIES = 3
FAILED_S = 1.0
"""Between two tries of what was refused; the platform may be throttling."""


@dataclass
class Move:
    """One rollback under way: what was asked for, and what is not as it should be yet."""

    thin: Any
    card: Card
    decided: Decided
    asked: Asked
    told: Told
    clock: NightClock
    began: float  # on the clock's monotonic time
    failed: Mapping[str, str] = field(default_factory=dict)  # what was not put back → its next command
    mark_trouble: str = ""
    closed: int | None = None  # requests and connections that were cut

    def put_back(self) -> None:
        """Raises Unfinished where it was not confirmed in several tries, nor is seen."""
        for number in range(1, TRIES + 1):
            try:
                self._put_back()
                return
            except Exception as error:
                if self._is_seen_back():
                    return
                if number == TRIES:
                    self.mark()  # whoever drives may get through where we do not
                    raise self._not_confirmed(error) from error
            self.clock.sleep(LOOK_S)

    def _put_back(self) -> None:
        try:
            done = self.thin.put_back(self.card.target, self.card.way_back, _token())
            self.failed = {}
            for note in (done or {}).get("notes", ()):
                self.told.say(f"  {note}")
        except Exception as error:
            failed = getattr(
                error, "failed", None
            )  # as PartlyDone has; the contract is not loaded before the first line
            if not isinstance(failed, Mapping) or not failed:
                raise
            self.failed = {str(what): str(command) for what, command in failed.items()}

    def _is_seen_back(self) -> bool:
        try:
            return is_back(self.card, self.thin.read(self.card.target))
        except Exception:
            return False

    def _not_confirmed(self, error: Exception) -> Unfinished:
        return Unfinished(
            f"the change was not confirmed: {error}. Where traffic is now: rollout status {self.card.service}; "
            f"then run this command again, which is harmless" + commands_by_hand(self.thin, self.card)
        )

    def mark(self) -> None:
        """Leave the hold mark with the traffic; what is wrong with it is kept, for traffic counts more."""
        mark = {
            "rollout": self.card.rollout,
            "epoch": self.decided.epoch,
            "active": self.card.original,
            "by": self.asked.actor or this_actor(),
            "at": self.clock.time(),
            "reason": self.asked.reason,
        }
        try:
            self.thin.set_mark(self.card.target, mark, f"{_token()}-mark")
            self.mark_trouble = ""
        except Exception as error:
            self.mark_trouble = str(error) or type(error).__name__

    def hold(self) -> Mapping[str, Any]:
        """What is read back: at once, or once T has passed where a write of ours may still land.

        What a late write undid is put right, but nobody is fought for ever.
        """
        timeout_s = self.card.write_timeout_s
        doubt = self.decided.doubt or (self.mark_trouble and f"the hold mark was not confirmed ({self.mark_trouble})")
        seen = self._put_right()
        if self._is_right(seen) and not doubt:
            return seen
        if self._is_right(seen):
            self._say_accepted(seen, doubt)
        until = self.clock.monotonic() + timeout_s
        while True:
            if self._is_right(seen):
                if self.clock.monotonic() >= until:
                    return seen
            elif self.clock.monotonic() >= until + (0.0 if self.failed else timeout_s):
                raise self._not_staying(seen)
            self.clock.sleep(self._pause_s())
            seen = self._put_right()

    def _is_right(self, seen: Mapping[str, Any]) -> bool:
        return is_back(self.card, seen) and not self.failed

    def _pause_s(self) -> float:
        """Between two looks; the more services are watched at the same time, the longer."""
        look_s = float(getattr(self.thin, "LOOK_S", LOOK_S)) * max(1, self.asked.beside)
        return max(FAILED_S if self.failed else LOOK_S, min(look_s, self.card.write_timeout_s / 3))

    def _say_accepted(self, seen: Mapping[str, Any], doubt: str) -> None:
        card = self.card
        self.told.say(
            f"{card.service}: traffic is on {card.original} (accepted, read back); "
            f"watching {card.write_timeout_s:.0f} s for late writes: {doubt}",
            accepted=True,
            traffic=dict(seen["weights"]),
        )

    def _put_right(self) -> Mapping[str, Any]:
        """What is seen now; put back once more if that is not the way back."""
        try:
            seen: Mapping[str, Any] = self.thin.read(self.card.target)
            if not self._is_right(seen):
                self._put_back()
                if not is_back(self.card, seen):
                    self.mark()  # whoever drives sees by its time how long clients may still follow what slipped
            return seen
        except Exception as error:
            raise Unfinished(
                f"traffic was put back on {self.card.original}, but reading it back failed: {error}. "
                f"Look with: rollout status {self.card.service}"
            ) from error

    def _not_staying(self, seen: Mapping[str, Any]) -> Unfinished:
        now = shares(seen["weights"])
        if self.failed:
            return partly_back(self.card, self.failed, f"traffic is {now}")
        return Unfinished(
            f"traffic does not stay on {self.card.original}: it is {now}, though it was put back "
            f"again and again. Find who moves it, then run this command again, which is harmless"
        )

    def see_marked(self, seen: Mapping[str, Any], cards: CardFolder | None) -> Mapping[str, Any]:
        """The mark as it was read back; set once more where it is missing and the rollout is not over."""
        if (seen.get("mark") is not None and not self.mark_trouble) or is_over(self.card, cards):
            return seen
        self.mark()
        seen = self._put_right()
        if seen.get("mark") is None and not self.mark_trouble and not is_over(self.card, cards):
            self.mark_trouble = "it is not there when it is read back"
        return seen

    def clear_if_over(self, cards: CardFolder | None) -> None:
        """A rollout that ended while its mark was being written needs none, and the next one must not find it."""
        try:
            if is_over(self.card, cards):
                self.thin.set_mark(self.card.target, None, f"{_token()}-clear")
        except Exception:
            return  # traffic is back, which is what counts; `rollout resume` clears a mark that was left over

    def cut(self) -> None:
        """End what is open on the side that traffic left; `closed` stays None where this cannot be done here."""
        act = getattr(self.thin, "cut", None)
        if act is None:
            return
        try:
            self.closed = int(act(self.card.target, self.card.replacement, f"{_token()}-cut"))
        except Exception as error:
            self.told.say(f"  what is still on {self.card.replacement} could not be cut: {error}")


def partly_back(card: Card, failed: Mapping[str, str], now: str) -> Unfinished:
    """What was not put back, each with its next command."""
    lines = "".join(f"\n  {what}: {command}" for what, command in failed.items())
    return Unfinished(
        f"{card.service}: {len(failed)} of its targets were not put back, the rest was ({now}). "
        f"Run this command again, which is harmless, or each by hand:{lines}",
        failed=dict(failed),
    )


def now_of(card: Card, cards: CardFolder | None) -> Card:
    """The card as its file has it by now; a later rollout's means that this one's is closed. As it was, where nobody
    can say."""
    try:
        now = cards.read(card.service) if cards else None
    except (OSError, ValueError):
        now = None
    if now is None:
        return card
    return now if now.rollout == card.rollout else replace(card, closed="retired")


def is_over(card: Card, cards: CardFolder | None) -> bool:
    """Is the rollout of this card over by now, as far as a file tells?"""
    return bool(now_of(card, cards).closed)


def _token() -> str:
    return f"emergency-{uuid.uuid4().hex[:16]}"
