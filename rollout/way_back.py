"""Is all still there that the way back stands on? Asked of the platform every few minutes while it is open.

Hosts that run go on without their image or template; what has to replace one of them does not. And a new application
version on the side that serves makes the earlier side's an old one: going back would take that away, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from providers.base import Denied, Provider, ProviderError, Service, Slot, other
from rollout.rows import Wait

if TYPE_CHECKING:
    from rollout.plan import Plan
    from rollout.run import Run

EVERY_S = 600.0
"""Between two questions: a handful of calls for each warm service."""


def looked(run: Run, wait: Wait) -> tuple[Wait, str]:
    """The wait with what was found kept in it, and that in words (empty: nothing is lacking, as far as is known)."""
    kept: Mapping[str, Any] = wait.state.get("way_back") or {}
    now = run.clock.now()
    if kept and abs(now - kept["at"]) < EVERY_S:
        return wait, str(kept["lacking"])
    try:
        lacking = "; ".join(lacks(run.provider, run.plan))
    except Denied as error:  # asking again does not help, and nobody else would say it
        lacking = f"what it needs may not be looked at ({error})"
    except ProviderError:
        lacking = str(kept.get("lacking", ""))  # what cannot be read now is asked again later
    return replace(wait, state={**wait.state, "way_back": {"at": now, "lacking": lacking}}), lacking


def lacks(provider: Provider, plan: Plan) -> list[str]:
    """What the way back of this plan lacks now, in words. Raises ProviderErrors."""
    with provider.at_one_look():
        found = _gone(provider, plan.service, plan.original, plan.original_image)
        return [*found, *_outdated(provider, plan)]


def _gone(provider: Provider, service: Service, slot: Slot, image: str) -> list[str]:
    return list(provider.way_back_lacks(service, slot, image)) if provider.way_back_lacks else []


def _outdated(provider: Provider, plan: Plan) -> list[str]:
    """Somebody deployed to the side that serves since the card was written."""
    if plan.app_version is None:
        return []
    serving = other(plan.original)
    found = provider.compute.describe(plan.service)[serving].app_version
    if found is None or found == plan.app_version:
        return []
    return [f"{serving} serves application version {found} now; going back would put {plan.app_version} in its place"]
