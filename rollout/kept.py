"""The way back, kept with the traffic itself where the platform can: for a night without this machine."""

from __future__ import annotations

from dataclasses import replace

from providers.base import KeepsCards, ProviderError
from rollout.card import Card
from rollout.run import Run

ABOUT = "kept"
"""What a warning is about."""


def keep_with_traffic(run: Run, card: Card, before: Card | None, token: str) -> None:
    """One call, where anything but the epoch is new. Where it cannot be done that is told, once, and stops nothing."""
    traffic = run.provider.traffic
    if not isinstance(traffic, KeepsCards) or (before and replace(before, epoch=card.epoch) == card):
        return
    told = ABOUT in run.journal.warnings
    try:
        traffic.keep_card(run.service, card.to_json(), f"{token}-kept")
    except ProviderError as error:
        if not told:
            reason = f"the way back is not kept with the traffic itself, only on this machine: {error}"
            run.note("warned", ABOUT, {"about": ABOUT, "reason": reason})
        return
    if told:
        run.note("cleared", ABOUT, {"about": ABOUT})
