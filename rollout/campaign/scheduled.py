"""Campaigns that start by themselves: each occurrence of a schedule once, also after a restart and by two processes.

What was missed for want of a serving process starts late, while its window is open; what is older, or was overtaken by
the next, is told as missed. A campaign that is new in the file begins with the first occurrence after it was seen.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from rollout.calendar.schedule import occurrences
from rollout.campaign import beginning, register
from rollout.campaign.pins import CannotPin
from rollout.control import RefMissing
from rollout.fleet_journal import append_to_fleet
from rollout.plan import UnsafePlan
from rollout.store import StoreError
from rollout.wiring import Installation

if TYPE_CHECKING:
    from rollout.fleetfile.campaigns import CampaignSettings

ACTOR = "schedule"
AGAIN_S = 60.0
"""After an occurrence that could not start, as when a cloud did not answer."""
LATE_S = 86_400.0
"""How late an occurrence may start where there are no windows."""
AHEAD_S = 86_400.0
"""What is on record as seen so far in the future was seen by a clock that was wrong: it is forgotten."""
MOST = 1000
"""Occurrences that are looked at in one go."""


class Occasions:
    """`heed` again and again; `say` is for people."""

    def __init__(self, installation: Installation, say: Callable[[str], None] = lambda text: None) -> None:
        self._installation, self._say = installation, say
        self._not_before: dict[str, float] = {}
        self._why: dict[str, str] = {}

    def heed(self) -> dict[str, Exception]:
        """Start what is due, and tell what was missed. One that cannot be judged keeps no other from it: why, by
        name."""
        troubles = dict[str, Exception]()
        for name, campaign in self._installation.fleet.campaigns.items():
            if campaign.schedule is None or self._is_put_off(name):
                continue
            try:
                self._heed(name, campaign)
            except StoreError:
                raise
            except Exception as error:  # an adapter, a fleet file: it concerns this campaign
                self._not_before[name] = self._installation.clock.now() + AGAIN_S
                troubles[name] = error
        return troubles

    def _is_put_off(self, name: str) -> bool:
        """Not for longer than AGAIN_S: the clock may have been set back meanwhile."""
        now = self._installation.clock.now()
        return now < self._not_before.get(name, 0.0) <= now + AGAIN_S

    def _heed(self, name: str, campaign: CampaignSettings) -> None:
        assert campaign.schedule is not None  # noqa: S101 - asked before
        now = self._installation.clock.now()
        seen = self._seen(name, now)
        zone = campaign.time_zone or self._installation.fleet.policy.time_zone
        coming = occurrences(campaign.schedule.schedule(zone), seen)
        due = list(islice(takewhile(lambda at: at <= now, coming), MOST))
        if not due:
            return
        *overtaken, last = due
        for at in overtaken:
            self._miss(name, at, "a later one was due already")
        if now > self._latest(campaign, last):
            self._miss(name, last, self._why.pop(name, "") or "nobody served at that time")
            return
        self._start(name, last, now)

    def _latest(self, campaign: CampaignSettings, occurrence: float) -> float:
        """Up to when an occurrence may start: while the window is open that it falls in, or that follows."""
        if campaign.late_s is not None:
            return occurrence + campaign.late_s
        span = campaign.hours(self._installation.fleet.policy.time_zone).next_open(occurrence)
        return span.closes if campaign.windows and span else occurrence + LATE_S

    def _start(self, name: str, occurrence: float, now: float) -> None:
        said = _shown(occurrence)
        try:
            run, again = beginning.start(
                self._installation, name, key=f"at {said}", actor=ACTOR, reason=f"scheduled for {said}"
            )
        except register.Running as running:
            self._miss(name, occurrence, str(running))
            return
        except (CannotPin, UnsafePlan, RefMissing) as error:
            self._not_before[name] = now + AGAIN_S
            if self._why.get(name) != str(error):
                self._why[name] = str(error)
                self._say(f"campaign {name} cannot start, and is tried again: {error}")
            return
        self._why.pop(name, None)
        self._note(name, occurrence)
        if not again:
            self._say(f"campaign {name} starts as scheduled for {said}: {run.id}")

    def _seen(self, name: str, now: float) -> float:
        """Up to which moment the occurrences are done with."""
        db = self._installation.store.db
        found = db.all("SELECT value FROM facts WHERE name = ?", _fact(name))
        if found and float(found[0][0]) <= now + AHEAD_S:
            return float(found[0][0])
        self._note(name, now, anew=True)
        return now

    def _note(self, name: str, at: float, missed: str = "", *, anew: bool = False) -> bool:
        """Done with all up to `at`; False where another process was quicker. `anew`: whatever is on record."""
        with self._installation.store.db.transaction() as db:
            found = db.execute("SELECT value FROM facts WHERE name = ?", (_fact(name),)).fetchone()
            if found and float(found[0]) >= at and not anew:
                return False
            db.execute(
                "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (_fact(name), repr(float(at))),
            )
            if missed:
                said = {"campaign": name, "occurrence": at, "reason": missed, "actor": ACTOR}
                append_to_fleet(db, "campaign_missed", "", said, self._installation.clock.now())
        return True

    def _miss(self, name: str, at: float, why: str) -> None:
        if self._note(name, at, missed=why):
            self._say(f"campaign {name} missed {_shown(at)}: {why}. To start it now: rollout wave start {name}")


def _fact(name: str) -> str:
    return f"campaign/{name}/seen"


def _shown(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%MZ")
