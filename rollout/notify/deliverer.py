"""Delivers what the outbox holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from healthchecks.fetch import Deadline
from providers.base import Clock
from rollout.database import Database
from rollout.journal import canonical
from rollout.notify.message import Message, News, describe
from rollout.notify.outbox import Delivery, Outbox
from rollout.notify.schedule import DELAYS_S
from rollout.notify.sending import TOTAL_S, Parcel, Sender
from rollout.notify.target import Target


class Deliverer:
    """For one process; several may deliver from the same store."""

    def __init__(
        self,
        database: Database,
        targets: Sequence[Target],
        clock: Clock,
        describe: Callable[[News], Message] = describe,
    ) -> None:
        self._outbox, self._clock, self._describe = Outbox(database), clock, describe
        self._targets = {target.name: target for target in targets}
        self._sender = Sender(clock)
        self._failed_at: dict[str, float] = {}

    def tick(self) -> int:
        """Send what is due, and say how much was sent.

        Targets are tried side by side, each try within TOTAL_S; one that fails is left alone for a moment, with all
        that is due to it. So this takes twice TOTAL_S at most. Raises StoreError where the store cannot be used.
        """
        return self._deliver(TOTAL_S)

    def flush(self, limit_s: float) -> int:
        """The same for a command that is about to end, for at most so long."""
        return self._deliver(limit_s, within_s=limit_s)

    def _deliver(self, limit_s: float, within_s: float | None = None) -> int:
        whole = Deadline(limit_s)  # never entered: it only counts
        self._outbox.tidy(list(self._targets.values()), self._clock.now())
        sent = 0
        while whole.left and (claimed := self._outbox.claim(self._well(), self._clock.now())):
            try_s = TOTAL_S if within_s is None else min(TOTAL_S, whole.left)
            outcomes = self._sender.send([self._parcel(delivery) for delivery in claimed], try_s)
            for delivery, outcome in zip(claimed, outcomes, strict=True):
                self._outbox.note(delivery, outcome, self._clock.now())
                if outcome.problem:
                    self._failed_at[delivery.target] = self._clock.now()
                else:
                    sent += 1
        return sent

    def _well(self) -> set[str]:
        """The targets that did not fail a moment ago, on whichever side of now a moved clock puts that."""
        now, long_ago = self._clock.now(), float("-inf")
        return {name for name in self._targets if abs(now - self._failed_at.get(name, long_ago)) >= DELAYS_S[0]}

    def _parcel(self, delivery: Delivery) -> Parcel:
        message = self._describe(delivery.news)
        return Parcel(self._targets[delivery.target], message, idempotency_id(delivery))


def idempotency_id(delivery: Delivery) -> str:
    """The same at every try, and no other store's: made from the entry that the news tells of."""
    news = delivery.news
    made_of = canonical([news.rollout, news.seq, news.kind, news.service, news.at, delivery.target])
    return "msg_" + hashlib.sha256(made_of.encode()).hexdigest()[:32]
