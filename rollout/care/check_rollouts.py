"""Doctor: what is open, held, denied or not told to anybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from providers.base import ProviderError, Service
from rollout.care.findings import Finding, ok, problem, warning
from rollout.holds import Holds
from rollout.journal import Journal
from rollout.phases import PROMOTED
from rollout.presence import present_server
from rollout.telling import clock_time as when

if TYPE_CHECKING:
    from rollout.rows import Row
    from rollout.wiring import Installation

DAY_S = 86_400.0


def driving(installation: Installation) -> Iterator[Finding]:
    """Open rollouts: who drives them, and which wait for a person."""
    store, now = installation.store, installation.clock.now()
    server = present_server(store.db, now)
    found = list[Finding]()
    for row in store.rollouts(open_only=True):
        journal = Journal(store.entries(row.id))
        found += _waits_for_a_person(row, journal)
        if not journal.halt and not journal.paused and store.driver(row.id, now) is None:
            found.append(_nobody(row))
        found += _window(installation, row, journal, now)
    yield from found
    if not found:
        who = f"rollout serve ({server.holder})" if server else "a command each"
        opened = len(store.rollouts(open_only=True))
        yield ok("rollouts", f"{opened} are open, driven by {who}" if opened else "none is open")


def _waits_for_a_person(row: Row, journal: Journal) -> Iterator[Finding]:
    if journal.halt:
        text = f"{row.id} is halted since {when(journal.halt.at)}: {journal.halt.data.get('reason', '')}"
        fix = f"rollout status {row.id}, then rollout resume {row.id} or rollout rollback {row.service}"
        yield problem("rollouts", text, fix)
    elif journal.paused:
        said = journal.paused
        text = f"{row.id} is paused since {when(said.at)} by {said.data.get('by', '')}"
        yield warning("rollouts", text, f"rollout resume {row.id}")
    elif row.outcome == "waiting_approval":
        yield warning("rollouts", f"{row.id} waits for approval", f"rollout approve {row.id}")


def _nobody(row: Row) -> Finding:
    fix = f"rollout resume {row.id}, or run rollout serve"
    if row.phase in PROMOTED:
        return warning("rollouts", f"{row.id} is {row.phase}, and nobody watches or retires its old side", fix)
    return problem("rollouts", f"{row.id} is {row.phase}, and nobody drives it: rollout serve is not running", fix)


def _window(installation: Installation, row: Row, journal: Journal, now: float) -> Iterator[Finding]:
    promoted = journal.value("promote")
    if row.phase != "warm" or promoted is None or journal.decision:
        return
    left_s = promoted["valid_until"] - now
    if left_s <= 0:
        text = (
            f"the way back of {row.id} ended at {when(promoted['valid_until'])}; {row.plan['original']} is still there"
        )
        yield warning("rollouts", text, f"rollout resume {row.id} gives it up")
    elif left_s <= installation.fleet.notify.way_back_ending_s:
        text = f"the way back of {row.id} closes in {left_s / 60:.0f} min"
        yield warning("rollouts", text, f"rollout rollback {row.service}, if it is wanted; else nothing")


def held(installation: Installation) -> Iterator[Finding]:
    """Holds that somebody may have forgotten."""
    now = installation.clock.now()
    holds = Holds(installation.store.db).all(now)
    for hold in holds:
        if now - hold.at > DAY_S:
            text = f"{hold.service} is held since {when(hold.at)} by {hold.actor}: {hold.reason or 'no reason given'}"
            yield warning("holds", text, f"rollout hold {hold.service} --release, if nobody needs it any more")
    if all(now - hold.at <= DAY_S for hold in holds):
        yield ok("holds", f"{len(holds)} services are held, none for more than a day")


def denied(installation: Installation) -> Iterator[Finding]:
    """Images that are kept from services. Being denied is no fault, but forgetting it is one."""
    found = installation.store.db.all("SELECT service, image, reason, at FROM denials ORDER BY service, image")
    wanted = list[Finding]()
    for service, image, reason, at in found:
        if image in _configured(installation, service):
            text = f"{service} is to get {image}, which is denied since {when(at)}: {reason}"
            fix = f"change services.{service}.patch, or: rollout deny {service} {image} --lift"
            wanted.append(warning("denials", text, fix))
    yield from wanted
    if not wanted:
        yield ok("denials", f"{len(found)} images are denied (rollout deny SERVICE lists them)")


def _configured(installation: Installation, service: str) -> list[str]:
    """The images of the patch that the fleet file has for a service."""
    settings = installation.fleet.services.get(service)
    if settings is None or settings.patch is None:
        return []
    try:
        patcher = installation.provider(settings.provider).patcher
        patch = patcher.resolve(Service(service, dict(settings.options)), settings.patch.image)
    except ProviderError:
        return []  # the look at the service says so
    return list(patch.images.values())


def told(installation: Installation) -> Iterator[Finding]:
    """News that did not arrive."""
    db = installation.store.db
    fix = "rollout doctor --send-test says what is wrong with each receiver"
    given_up = db.all("SELECT target, count(*), max(error) FROM deliveries WHERE state = 'given_up' GROUP BY target")
    waiting = db.all("SELECT target, count(*), max(error) FROM deliveries WHERE state = 'due' GROUP BY target")
    for target, count, error in given_up:
        yield warning("news", f"{target} was not told {count} times, and that was given up: {error}", fix)
    for target, count, error in waiting:
        text = f"{target} is still to be told {count} times{f': {error}' if error else ''}"
        yield warning("news", text, fix if error else "run rollout serve, which delivers")
    if not given_up and not waiting:
        yield ok("news", "nothing waits to be told")
