"""May a rollout of a service begin now? Its windows, the blackouts and the freezes say so, and what to do if not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from rollout.calendar.hours import Hours
from rollout.calendar.windows import Span
from rollout.calendar.zones import zone_of
from rollout.durations import format_duration
from rollout.freeze import Freeze, Freezes, Frozen
from rollout.journal import Journal
from rollout.plan import LAUNCH_S, Plan, PlanWindow, seconds_needed, seconds_to_undo

if TYPE_CHECKING:
    from rollout.fleetfile.timing import Timing
    from rollout.store import Store
    from rollout.wiring import Installation

MEASURED = 5
"""So many of a service's earlier rollouts are asked how long its mirror took."""


class OutsideWindow(Exception):
    """It may not begin now, or would not be done in time; the message says when, and how to begin nevertheless."""


@dataclass(frozen=True, slots=True)
class Opening:
    """When work may be done on something: by all that is demanded of it. Times are shown as `time_zone` has them."""

    hours: Hours
    at_end: str = "turn_back"
    time_zone: str = "UTC"

    def shown(self, at: float) -> str:
        return shown_in(at, self.time_zone)

    def why_closed(self, now: float) -> str:
        """Why nothing may begin now, and until when; empty where something may."""
        if self.hours.is_open(now):
            return ""
        blacked = self.hours.blackout_at(now)
        if blacked:
            blackout, span = blacked
            why = f"blackout {blackout}{f' ({blackout.why})' if blackout.why else ''} until {self.shown(span.closes)}"
        else:
            why = "it is outside its windows"
        return f"{why}; {self.when_next(now)}"

    def when_next(self, now: float, needed_s: float = 0.0) -> str:
        """When something may begin that takes so long, in words."""
        span = self.hours.next_open(now, needed_s)
        if span is None:
            long = f" for {_rounded(needed_s)}" if needed_s else ""
            return f"no window opens{long} within five years: correct windows and blackouts in the fleet file"
        return f"the next window opens {self.shown(span.opens)} and closes {self.shown(span.closes)}"


def shown_in(at: float, time_zone: str) -> str:
    """A time as the clocks of a zone show it, with the zone's short name."""
    from datetime import datetime

    return datetime.fromtimestamp(at, zone_of(time_zone)).strftime("%Y-%m-%d %H:%M %Z")


def opening_of(installation: Installation, name: str, also: Timing | None = None) -> Opening:
    """What the policy, the service and, where given, its campaign demand together."""
    policy, service = installation.fleet.policy, installation.service(name)
    demands = [service, also] if also is not None else [service]
    hours = policy.hours()
    for each in demands:
        hours = hours & each.hours(policy.time_zone)
    ends = {each.at_end for each in demands if each.windows}
    at_end = "finish" if ends == {"finish"} else "turn_back"
    return Opening(hours, at_end, service.time_zone or policy.time_zone)


def window_to_begin(
    installation: Installation, plan: Plan, *, outside: bool = False, also: Timing | None = None
) -> PlanWindow | None:
    """The window in which a rollout that begins now has to be done; None: nothing limits it.

    OutsideWindow where none is open, or what is open closes before it could be done and, if it must, undone.
    `outside`: a person has it begin all the same.
    """
    name, now = plan.service.name, installation.clock.now()
    opening = opening_of(installation, name, also)
    if opening.hours.is_always:
        return None
    if outside:
        return PlanWindow(None, None, "finish", outside=True)
    anyway = f"To begin nevertheless: rollout start {name} --outside-window --reason TEXT"
    if closed := opening.why_closed(now):
        raise OutsideWindow(f"{name} may not be begun now: {closed}. {anyway}")
    span = opening.hours.open_span(now) or Span(now, now)
    closes_at = opening.hours.closes_at(now)
    if closes_at is None:
        return None
    needed_s = seconds_for(installation, plan, opening.at_end)
    if now + needed_s > closes_at:
        undone = "" if opening.at_end == "finish" else ", the time to undo it included"
        raise OutsideWindow(
            f"{name} is not begun now: it takes at least {_rounded(needed_s)}{undone}, and its window closes "
            f"{opening.shown(closes_at)}; {opening.when_next(closes_at, needed_s)}. {anyway}"
        )
    return PlanWindow(span.opens or None, closes_at, opening.at_end)


def seconds_for(installation: Installation, plan: Plan, at_end: str = "turn_back") -> float:
    """What has to be left of a window when a rollout begins in it."""
    needed_s = seconds_needed(plan, launch_s(installation.store, plan.service.name))
    write_timeout_s = installation.provider(plan.provider).write_timeout_s
    return needed_s + (seconds_to_undo(plan, write_timeout_s) if at_end == "turn_back" else 0.0)


def launch_s(store: Store, service: str) -> float:
    """How long a mirror of the service took lately until it was healthy; LAUNCH_S where nobody knows."""
    took: list[float] = []
    for row in store.rollouts(service, limit=MEASURED):
        journal = Journal(store.entries(row.id))
        began = next((entry for entry in journal.entries if (entry.kind, entry.step) == ("entered", "mirroring")), None)
        healthy = journal.record("healthy")
        if began and healthy and healthy.data.get("outcome") == "met" and healthy.at >= began.at:
            took.append(healthy.at - began.at)
    return median(took) if took else LAUNCH_S


def freeze_on(installation: Installation, name: str) -> Freeze | None:
    """The freeze that keeps a service of the fleet file from being begun."""
    service = installation.service(name)
    options: Mapping[str, Any] = service.options
    return Freezes(installation.store.db).on(name, options, installation.clock.now(), service.tags)


def raise_if_frozen(installation: Installation, name: str) -> None:
    """Before something that makes hosts beside any rollout: standing a service up, baking an image. Frozen."""
    if installation.has_store and (freeze := freeze_on(installation, name)):
        raise Frozen(name, freeze)


def _rounded(seconds: float) -> str:
    return format_duration(round(seconds / 60) * 60 if seconds >= 600 else round(seconds))
