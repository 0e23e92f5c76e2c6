"""What some platforms keep of the way back with the traffic itself: it may be newer than the card that is here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rollout.card import Card
from rollout.rescue.deciding import raise_if_closed
from rollout.rescue.told import Refusal, Told


def heed_what_is_kept(card: Card, seen: Mapping[str, Any], told: Told, now: float, *, force: bool) -> None:
    """Tell what the card does not know, and refuse where it leads elsewhere than what is kept with the traffic.

    `seen["notes"]` are for people; `seen["kept"]` says whose way back it is there: rollout, original, valid_until,
    closed. Raises Refusal, WayBackClosed.
    """
    for note in seen.get("notes", ()):
        told.say(f"  {note}")
    kept = seen.get("kept")
    if not kept or force:
        return
    if kept["rollout"] == card.rollout:
        raise_if_closed(replace(card, closed=kept["closed"], valid_until=kept["valid_until"]), now)
    elif not kept["closed"]:
        told.say(f"  the card here is of {card.rollout}, but the traffic is by now of {kept['rollout']}", kept=kept)
        if kept["original"] != card.original:
            raise Refusal(
                f"the card here leads to {card.original}, and what is kept with the traffic to {kept['original']}: the "
                f"card is older than what is live, or that could not be kept. Traffic stays as it is. By what is kept: "
                f"rollout rollback {card.service} --provider {card.provider} --region REGION; by the card all the "
                f"same: rollout rollback {card.service} --force",
                choices={"force": f"rollout rollback {card.service} --force"},
            )
