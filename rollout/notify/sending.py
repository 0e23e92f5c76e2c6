"""Sends to several targets side by side, each within a time; what hangs is left behind and stops nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from healthchecks.fetch import Deadline
from providers.base import Clock
from rollout.notify.message import Message
from rollout.notify.schedule import OWN_TROUBLE_S, Outcome
from rollout.notify.target import SecretMissing, Target, read_secret

TOTAL_S = 10.0
_GRACE_S = 0.5
"""For a try to say itself that its time is over."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message for a target; `id` is the same at every try."""

    target: Target
    message: Message
    id: str


class Sender:
    """Remembers which tries still hang, so that no target ever has more than one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._hanging: dict[str, threading.Thread] = {}

    def send(self, parcels: Sequence[Parcel], within_s: float = TOTAL_S) -> list[Outcome]:
        """What came of each, in the same order, after at most `within_s` seconds and a moment."""
        outcomes: dict[int, Outcome] = {}
        begun = [self._begin(number, parcel, within_s, outcomes) for number, parcel in enumerate(parcels)]
        whole = Deadline(within_s + _GRACE_S)  # never entered: it hangs up on nothing, it only counts
        for thread in begun:
            if thread is not None:
                thread.join(whole.left)
        late = Outcome(f"no answer within {within_s:g} s")
        return [outcomes.get(number, late) for number in range(len(parcels))]

    def _begin(
        self, number: int, parcel: Parcel, within_s: float, outcomes: dict[int, Outcome]
    ) -> threading.Thread | None:
        name = parcel.target.name
        before = self._hanging.get(name)
        if before is not None and before.is_alive():
            outcomes[number] = Outcome("the try before this one still hangs")
            return None

        def act() -> None:
            outcomes[number] = try_once(parcel, self._clock.now(), within_s)

        # A daemon, so that a command can end while a name is still looked up.
        thread = threading.Thread(target=act, name=f"notify {name}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # this host has no thread left
            outcomes[number] = Outcome("no thread could be started for it", wait_s=OWN_TROUBLE_S)
            return None
        self._hanging[name] = thread
        return thread


def try_once(parcel: Parcel, now: float, within_s: float) -> Outcome:
    """Never raises; may take longer than `within_s` where the system or a plugin does."""
    target = parcel.target
    try:
        with Deadline(within_s) as deadline:
            if target.webhook is not None:
                from rollout.notify.by_webhook import send_webhook

                return send_webhook(target, parcel.message, parcel.id, now, deadline)
            from rollout.notify.by_apprise import send_apprise

            return send_apprise(read_secret(target.apprise or {}), parcel.message, within_s)
    except SecretMissing as missing:
        return Outcome(str(missing), wait_s=OWN_TROUBLE_S)
    except Exception as error:  # a plugin's fault is not ours, and its words could hold the address
        return Outcome(f"trying it ended in {type(error).__name__}")
