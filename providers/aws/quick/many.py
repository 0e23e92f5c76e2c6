"""The emergency path for one of many services that are put back at once: each read of health is one of ten a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.aws import rollback
from providers.aws.quick.calls import Calls
from providers.contract.errors import ProviderError
from providers.contract.slots import Slot, Weights, other

Target = Mapping[str, Any]


class OneOfMany:
    """What `providers.aws.rollback` has. `capacity`: so many units the original needs healthy."""

    def __init__(self, original: Slot, capacity: int) -> None:
        self._original, self._capacity = original, capacity

    def __getattr__(self, name: str) -> Any:
        return getattr(rollback, name)

    def read(self, target: Target) -> dict[str, Any]:
        """The original's health first, for that takes long; what stands in the routes is told as it is then."""
        call = rollback.calls_of_target(target).patient()
        weighing = rollback.weighing(call, target, self._original)
        original = rollback.counts(rollback.judging(call, target, self._original), weighing)
        size = call.units(group) if (group := target.get("groups", {}).get(other(self._original))) else None

        def judged() -> dict[Slot, Mapping[str, int]]:
            return {self._original: original, other(self._original): self._other_side(call, target, original, size)}

        return rollback.seen(call, target, judged)

    def put_back(self, target: Target, weights: Weights, token: str) -> dict[str, Any]:
        return rollback.put_back_by(rollback.calls_of_target(target).patient(), target, weights)

    def _other_side(self, call: Calls, target: Target, original: Mapping[str, int], size: Any) -> Mapping[str, int]:
        """It decides only where the original lacks something, or has less than it. How large it is its Auto Scaling
        group says, a hundred of them in a call; then its targets are as good as healthy, for that is the worst case."""
        try:
            units = size.result() if size is not None else None
        except ProviderError:
            units = None
        there = None if units is None else sum(units.values())
        if there is None or original["healthy"] < self._capacity or there > max(self._capacity, original["healthy"]):
            slot = other(self._original)
            return rollback.counts(rollback.judging(call, target, slot), rollback.weighing(call, target, slot))
        return {"healthy": there, "unhealthy": 0, "unknown": 0}
