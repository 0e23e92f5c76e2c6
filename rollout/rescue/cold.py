"""The way back after its window: the earlier image is stood up again first, by the ordinary command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.card import Card
from rollout.rescue.deciding import STORE_S, open_store, within

if TYPE_CHECKING:
    from rollout.store import Store

LOOKED_AT = 20
"""So many rollouts of the service at most are asked how long the last stand-up took."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What served before, and how long (seconds) it last took to stand a side up; None: nobody knows."""

    image: str
    took_s: float | None


def find_earlier(card: Card, fleet_file: Path | None) -> Earlier | None:
    """None where the store cannot say it."""
    if fleet_file is None:
        return None
    try:
        return within(STORE_S, lambda: _look_up(card, fleet_file))
    except Exception:  # a store that cannot be used; then a person says which image it is
        return None


def _look_up(card: Card, fleet_file: Path) -> Earlier:
    store = open_store(fleet_file)
    try:
        image = str(store.rollout(card.rollout).plan["original_image"])
        return Earlier(image, last_stand_up_s(store, card.service))
    finally:
        store.close()


def last_stand_up_s(store: Store, service: str) -> float | None:
    """From the mirror's beginning until the balancer called all of it healthy, the last time that it came to that."""
    from rollout.journal import Journal

    for row in store.rollouts(service, limit=LOOKED_AT):
        journal = Journal(store.entries(row.id))
        begun, healthy = journal.intents("mirror"), journal.record("healthy")
        if begun and healthy and healthy.data.get("outcome") == "met":
            return max(0.0, healthy.at - begun[0].at)
    return None


def command(card: Card, earlier: Earlier) -> list[str]:
    """The ordinary command that goes there."""
    return ["start", card.service, "--image", earlier.image, "--cold"]


def checked(said: Any) -> list[str]:
    """The command as it was told, by whomever; empty where that is none of this kind."""
    words = said if isinstance(said, list) and all(isinstance(word, str) for word in said) else []
    match words:
        case ["start", service, "--image", image, "--cold"] if not (service + image).startswith("-"):
            return words
    return []


def told_of(card: Card, earlier: Earlier) -> str:
    took = f"; last time that took {earlier.took_s:.0f} s" if earlier.took_s is not None else ""
    return (
        f"the way back of {card.rollout} closed: {card.original} was kept warm until its window ended; going back "
        f"cold: {card.original} is stood up again from {earlier.image} first{took}. Until then traffic stays on "
        f"{card.replacement}"
    )
