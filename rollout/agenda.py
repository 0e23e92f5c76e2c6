"""What runs when: windows, campaigns, freezes, holds, blackouts, and ways back that close, in order of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice, takewhile
from typing import Any

from rollout.calendar.schedule import occurrences
from rollout.campaign.pins import as_text
from rollout.freeze import Freezes
from rollout.holds import Holds
from rollout.journal import Journal
from rollout.opening import opening_of, shown_in
from rollout.plan import Plan
from rollout.summary import is_way_back_open
from rollout.wiring import Installation

DAY_S = 86_400.0
MOST = 200
"""So many starts and windows of one campaign or service are listed at most."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something that begins at `at` and ends at `until` (None: nobody knows yet), in seconds since 1970.

    `kind` is freeze, hold, blackout, window, campaign, window_closes or way_back_closes; `of` whom it concerns, a
    service, a campaign, or a part of the fleet.
    """

    at: float
    until: float | None
    kind: str
    of: str
    text: str
    shown: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def agenda(installation: Installation, days: float) -> list[Item]:
    """All of it for so many days from now, by when it begins; reads settings and the store only."""
    now = installation.clock.now()
    until = now + days * DAY_S
    found = [
        *_standstills(installation, now),
        *_blackouts(installation, now, until),
        *_windows(installation, now, until),
        *_campaigns(installation, now, until),
        *_open_rollouts(installation, until),
    ]
    return sorted(found, key=lambda item: (item.at, item.kind, item.of))


def _item(at: float, until: float | None, kind: str, of: str, text: str, time_zone: str) -> Item:
    ends = f" – {shown_in(until, time_zone)}" if until is not None else ""
    return Item(at, until, kind, of, text, f"{shown_in(at, time_zone)}{ends}")


def _standstills(installation: Installation, now: float) -> Iterator[Item]:
    """Freezes and holds that are in force."""
    zone = installation.fleet.policy.time_zone
    for freeze in Freezes(installation.store.db).all(now):
        yield _item(freeze.at, freeze.until, "freeze", freeze.scope, f"{freeze.actor}: {freeze.reason}", zone)
    for hold in Holds(installation.store.db).all(now):
        yield _item(hold.at, hold.until, "hold", hold.service, f"{hold.actor}: {hold.reason}", zone)


def _blackouts(installation: Installation, now: float, until: float) -> Iterator[Item]:
    policy = installation.fleet.policy
    demanded = [("all", policy.time_zone, policy.blackouts)]
    for of, timing in (*installation.fleet.services.items(), *installation.fleet.campaigns.items()):
        demanded.append((of, timing.time_zone or policy.time_zone, timing.blackouts))
    for of, zone, blackouts in demanded:
        for each in blackouts:
            blackout = each.blackout(zone)
            for span in takewhile(lambda span: span.opens < until, blackout.spans(now)):
                yield _item(*span, "blackout", of, blackout.why or str(blackout), blackout.time_zone)


def _windows(installation: Installation, now: float, until: float) -> Iterator[Item]:
    """When a service may be begun, blackouts left out; services that always may be are not listed."""
    for name in installation.fleet.services:
        opening = opening_of(installation, name)
        if not any(opening.hours.windows):
            continue
        for span in islice(opening.hours.spans(now, until), MOST):
            text = f"{name} may be begun" + ("; it is open now" if span.opens <= now else "")
            yield _item(*span, "window", name, text, opening.time_zone)


def _campaigns(installation: Installation, now: float, until: float) -> Iterator[Item]:
    """When campaigns start by themselves."""
    policy = installation.fleet.policy
    for name, campaign in installation.fleet.campaigns.items():
        if campaign.schedule is None:
            continue
        zone = campaign.schedule.time_zone or campaign.time_zone or policy.time_zone
        coming = takewhile(lambda at: at < until, occurrences(campaign.schedule.schedule(zone), now))
        hours = policy.hours() & campaign.hours(policy.time_zone)
        for at in islice(coming, MOST):
            text = f"campaign {name} starts with {as_text(campaign.image or '')}"
            if not hours.is_open(at):
                span = hours.next_open(at)
                text += f"; its first window opens {shown_in(span.opens, zone)}" if span else "; no window ever opens"
            yield _item(at, None, "campaign", name, text, zone)


def _open_rollouts(installation: Installation, until: float) -> Iterator[Item]:
    """Ways back that close, and rollouts whose window does."""
    store, zone, now = installation.store, installation.fleet.policy.time_zone, installation.clock.now()
    for row in store.rollouts(open_only=True):
        journal, window = Journal(store.entries(row.id)), Plan.from_json(row.plan).window
        closes = (journal.value("promote") or {}).get("valid_until")
        if closes is not None and closes < until and is_way_back_open(row, journal, now):
            back = f"until then: rollout rollback {row.service}"
            text = f"the way back of {row.id} to {row.plan['original']} closes ({back})"
            yield _item(float(closes), None, "way_back_closes", row.service, text, zone)
        elif closes is None and window and window.closes_at is not None and window.closes_at < until:
            after = "is put back by then" if window.at_end == "turn_back" else "finishes all the same"
            text = f"the window of {row.id} closes: what is not promoted {after}"
            yield _item(window.closes_at, None, "window_closes", row.service, text, zone)
