"""The two slots of a service, and the shares of its traffic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Slot = Literal["blue", "green"]
SLOTS: tuple[Slot, Slot] = ("blue", "green")
Weights = Mapping[Slot, int]
"""Percent of new traffic for each slot; both slots are always named and the sum is 100."""


def other(slot: Slot) -> Slot:
    """The slot beside this one."""
    return "green" if slot == "blue" else "blue"


def weights_for(slot: Slot, percent: int) -> dict[Slot, int]:
    """`percent` of the traffic on `slot`, the rest beside it."""
    return {slot: percent, other(slot): 100 - percent}
