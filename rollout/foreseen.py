"""What a plan's platform knows to stand in its way, or to disturb it, until the way back is given up."""

from __future__ import annotations

from providers.base import Concern, Provider, ProviderError
from rollout.plan import Plan, changes_nothing

TEXT = 600  # characters of one concern
MOST = 60  # concerns of one plan; what blocks comes first
ORDER = ("blocks", "unknown", "notice")


def ends_at(plan: Plan) -> float:
    """When a rollout that begins now, and that nothing holds up, gives its way back up."""
    gates = len(plan.steps) * plan.gates["live"].rule.soak_s + plan.gates["bake"].rule.soak_s
    return plan.made_at + plan.settle_s + gates + plan.keep_warm_s


def foreseen(provider: Provider, plan: Plan) -> tuple[Concern, ...]:
    """Reads only. Whatever goes wrong while asking is one unknown concern: it keeps no plan from being made."""
    if provider.insight is None or changes_nothing(plan):
        return ()
    try:
        found = list(
            provider.insight.foresee(plan.service, plan.original, plan.patch, plan.capacity, ends_at(plan)),
        )
        found.sort(key=lambda concern: ORDER.index(concern.kind))
        told = [Concern(concern.kind, _bounded(concern.text)) for concern in found[:MOST]]
    except ProviderError as error:
        return (Concern("unknown", _bounded(f"what lies ahead cannot be read ({type(error).__name__}): {error}")),)
    except Exception as error:  # a provider's bug, or one of an outside provider
        return (Concern("unknown", _bounded(f"looking ahead crashed: {type(error).__name__}: {error}")),)
    if more := len(found) - len(told):
        told.append(Concern("notice", f"{more} more are not shown"))
    return tuple(told)


def _bounded(text: str) -> str:
    """On one line, without what a terminal would obey."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return plain if len(plain) <= TEXT else plain[: TEXT - 1] + "…"
