"""What a service declares of its two sides running at once, and what follows from it. Nothing here changes anything.

switched    the owner's enable and disable commands are the traffic: only where the provider can run them
forbidden   never rolled out: refused, with what to do by hand instead
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from providers.base import Provider, ProviderError, Service
from rollout.plan import UnsafePlan
from rollout.wiring import adapter

if TYPE_CHECKING:
    from rollout.settings import CheckSpec, ServiceSettings


class Forbidden(UnsafePlan):
    """Two sides of the service may never run at once; `procedure` is what to do by hand, step by step."""

    def __init__(self, service: str, procedure: Sequence[str]) -> None:
        steps = "".join(f"\n  {number}. {step}" for number, step in enumerate(procedure, start=1))
        super().__init__(
            f"{service} declares coexist: forbidden, so its two sides may never run at once, and nothing was changed. "
            f"This program cannot keep a way back for it. By hand:{steps}"
        )
        self.procedure = tuple(procedure)


def raise_if_cannot(provider: Provider, service: Service, settings: ServiceSettings) -> None:
    """UnsafePlan where what is declared is not what the provider's service is."""
    # Asked of the adapter, not of the provider: few can, and those say themselves what has to be written.
    ask = getattr(adapter(settings.provider), "switches", None)
    lacking = ask(service) if ask else f"provider {provider.name} has no commands that could switch a side"
    if settings.coexist == "switched" and lacking:
        raise UnsafePlan(f"{service.name} declares coexist: switched, and {lacking}. Nothing was changed")
    if settings.coexist == "safe" and ask and not lacking:
        raise UnsafePlan(
            f"{service.name} declares coexist: safe, and its options have commands that switch its sides, so that "
            f"traffic cannot be shared. Write coexist: switched, or take the commands out. Nothing was changed"
        )


def raise_if_forbidden(provider: Provider, service: Service, settings: ServiceSettings, image: str | None) -> None:
    """Forbidden, with this service's own names, image and checks."""
    if settings.coexist == "forbidden":
        raise Forbidden(service.name, procedure(service.name, settings, image, _runs_now(provider, service)))


def procedure(name: str, settings: ServiceSettings, image: str | None, now: str | None) -> tuple[str, ...]:
    """Stop, backup, patch, start, check, and how to go back. `now`: the image that runs, None where nobody can say."""
    wanted = image or "the patched image"
    earlier = now or "the image that it runs now, which nobody here knows: note it down first"
    checks = ", ".join(dict.fromkeys(_told(check) for check in (*settings.checks.replacement, *settings.checks.live)))
    return (
        f'keep rollouts off it: rollout hold {name} --reason "patched by hand"',
        f"stop: stop {name}, and see that no process of it is left",
        f"backup: back up the data of {name}, and note down what it runs now: {earlier}",
        f"patch: put {wanted} in its place",
        f"start: start {name}, once",
        f"check: {checks}",
        f"to go back: stop {name} again, put {earlier} in its place, restore the backup if the patched one wrote data "
        f"that the earlier one cannot read, start, and check the same",
        f"let go of it: rollout hold {name} --release",
    )


def _runs_now(provider: Provider, service: Service) -> str | None:
    """The image of what stands there; of two sides, nobody knows which works."""
    try:
        found = {each.image for each in provider.compute.describe(service).values() if each.exists and each.capacity}
    except ProviderError:
        return None
    return found.pop() if len(found) == 1 else None


def _told(check: CheckSpec) -> str:
    said = {key: value for key, value in check.options.items() if value not in (None, "", [], {}) and key in _SAYING}
    return f"{check.name} ({', '.join(f'{key} {value}' for key, value in said.items())})" if said else check.name


_SAYING = ("path", "address", "run", "port")
"""The options of a check that tell a person where to look."""
