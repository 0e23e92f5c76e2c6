"""Telling people without the outbox: of the store's own trouble, and to try the targets out."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence

from providers.base import Clock
from rollout.journal import canonical
from rollout.news import NewsKind
from rollout.notify.message import TEXT_LENGTH, Message, iso, one_line
from rollout.notify.sending import Parcel, Sender
from rollout.notify.target import Target

AGAIN_S = 600.0


def tell_directly(targets: Sequence[Target], kind: NewsKind, text: str, clock: Clock) -> list[str]:
    """One try for each target that wants this kind; the problems, as sentences. Takes as long as one try."""
    title = f"rollout: {kind.replace('_', ' ')}"
    message = Message(kind, clock.now(), title, one_line(text, TEXT_LENGTH), "rollout doctor")
    parcels = [_parcel(target, message) for target in targets if kind in target.on]
    return [
        f"{parcel.target.name} could not be told: {outcome.problem}"
        for parcel, outcome in zip(parcels, Sender(clock).send(parcels), strict=True)
        if outcome.problem
    ]


def send_test(targets: Sequence[Target], clock: Clock) -> list[tuple[str, str]]:
    """Each target's name with the problem that it has, or nothing."""
    now = clock.now()
    parcels = []
    for target in targets:
        text = f"A test of this receiver, which is told of: {', '.join(target.on)}.\nsent {iso(now)}"
        parcels.append(_parcel(target, Message("test", now, "rollout: a test", text, "")))
    outcomes = Sender(clock).send(parcels)
    return [(target.name, outcome.problem) for target, outcome in zip(targets, outcomes, strict=True)]


class StoreTrouble:
    """Tells of a store that cannot be used: when it begins, at most every AGAIN_S, and when it is over."""

    def __init__(self, targets: Sequence[Target], clock: Clock) -> None:
        self._targets, self._clock = targets, clock
        self._guard = threading.Lock()  # whoever drives and whoever delivers meet the trouble at the same time
        self._told_at: float | None = None
        self._going_on = False

    def seen(self, error: object) -> list[str]:
        """The problems of telling it now; nothing where it was told a moment ago."""
        with self._guard:
            now = self._clock.now()
            if self._told_at is not None and abs(now - self._told_at) < AGAIN_S:
                return []
            self._told_at, self._going_on = now, True
        text = f"Rollouts cannot go on, and nothing can be recorded: {error}. Traffic stays where it is"
        return tell_directly(self._targets, "store_trouble", text, self._clock)

    def over(self) -> list[str]:
        """The store works again; told only to those who were told of its trouble."""
        with self._guard:
            if not self._going_on:
                return []
            self._going_on = False
        return tell_directly(self._targets, "store_trouble", "The store can be used again; rollouts go on", self._clock)


def _parcel(target: Target, message: Message) -> Parcel:
    made_of = canonical([message.kind, message.at, message.text, target.name])
    return Parcel(target, message, "msg_" + hashlib.sha256(made_of.encode()).hexdigest()[:32])
