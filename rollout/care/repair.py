"""`rollout repair`: put right what can be put right without moving traffic, and say what is left for a person.

Each thing done is on record in the fleet's own chain. Nothing is deleted that this program did not create, and no
side that a rollback could still need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from providers.base import ProviderError, Service
from rollout.card import Card, CardSuperseded, CardUnreadable
from rollout.care.orphans import orphan_of, reap, unpin
from rollout.care.restored import is_rollback_only, looks_restored
from rollout.control import clear_left_over_mark, merge_spool
from rollout.fleet_journal import FleetJournal
from rollout.journal import Entry, Journal, canonical
from rollout.lease import Holder, is_provably_dead, this_process
from rollout.leased import leased
from rollout.store import Fenced, LeaseHeld
from rollout.wiring import adapter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rollout.rows import Row
    from rollout.wiring import Installation


@dataclass
class Repaired:
    """What was done (in a rehearsal: would be), and what needs a person, each in words with its next command."""

    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bench:
    """One repair: of which installation, for whom, in earnest or not, and what came of it."""

    installation: Installation
    by: str
    dry_run: bool
    told: Repaired

    def do(self, service: str, text: str, act: Callable[[], Any]) -> None:
        """Do one thing and journal it; False from `act` says that it was not needed any more."""
        if self.dry_run:
            self.told.done.append(text)
            return
        try:
            if act() is False:
                return
        except (ProviderError, CardSuperseded, LeaseHeld, Fenced, OSError) as error:
            self.told.left.append(f"{text}: {error}. Try again: rollout repair {service}".rstrip())
            return
        said = {"what": text, "by": self.by}
        journal = FleetJournal(self.installation.store.db)
        journal.append("repaired", service, said, self.installation.clock.now())
        self.told.done.append(text)


def repair(installation: Installation, service: str | None = None, *, by: str, dry_run: bool = False) -> Repaired:
    """One service, or all of the fleet; UnknownService."""
    names = [service] if service else sorted(installation.fleet.services)
    bench = Bench(installation, by, dry_run, Repaired())
    _merge(bench)
    if why := is_rollback_only(installation.store.db):
        bench.told.left.append(why)
        return bench.told
    for name in names:
        settings = installation.service(name)
        try:
            _of_one(bench, name, settings)
        except ProviderError as error:
            bench.told.left.append(f"{name}: its provider cannot be asked: {error}. Try again: rollout repair {name}")
    return bench.told


def _merge(bench: Bench) -> None:
    waiting = sorted((bench.installation.state_dir / "spool").glob("*.json"))
    if bench.dry_run:
        bench.told.done += [f"journal the decision in {path}" for path in waiting]
        return
    for text in merge_spool(bench.installation):
        if "cannot be merged" in text:
            bench.told.left.append(f"{text}. Look where traffic is (rollout status), then remove it")
        else:
            bench.do("", text, lambda: True)


def _of_one(bench: Bench, name: str, settings: Any) -> None:
    installation = bench.installation
    if why := looks_restored(installation, name):
        bench.told.left.append(why)
        return
    _release_lease(bench, name)
    service = Service(name, dict(settings.options))
    # First, for what is asked next may start a dead balancer by itself, and nobody would be told.
    _ask_adapter(bench, settings.provider, service)
    rows = installation.store.rollouts(name, limit=1)
    latest = rows[0] if rows else None
    if latest and latest.closed_at is None:
        _restore_card(bench, latest)
        _needs_a_person(bench, latest)
        return
    _relaunch(bench, settings.provider, service)
    if latest:
        _tidy_after(bench, latest, service)


def _tidy_after(bench: Bench, latest: Row, service: Service) -> None:
    """What the last rollout left behind, which is closed."""
    installation, name = bench.installation, service.name
    if _left_over_mark(installation, latest):
        text = f"{name}: clear the hold mark that {latest.id} left with the traffic"
        bench.do(name, text, lambda: clear_left_over_mark(installation, latest))
    orphan = orphan_of(installation, latest, service)
    bench.told.left += orphan.why_not
    if orphan.slot:
        text = f"{name}: remove {orphan.slot}, which {latest.id} left without traffic ({orphan.image})"
        bench.do(name, text, lambda: reap(installation, latest, service, orphan))
    for left in unpin(installation, latest, service):
        bench.do(name, left.text, left.act)


def _release_lease(bench: Bench, name: str) -> None:
    lease = bench.installation.store.lease(name)
    if lease is None or not is_provably_dead(lease[0]):
        return
    holder: Holder = lease[0]

    def release() -> bool:
        with bench.installation.store.db.transaction() as db:
            change = "UPDATE services SET holder = NULL, lease_expires_at = NULL WHERE name = ? AND holder = ?"
            return db.execute(change, (name, canonical(holder.to_json()))).rowcount > 0

    bench.do(name, f"{name}: release the lease of {holder}, which is dead", release)


def _ask_adapter(bench: Bench, provider: str, service: Service) -> None:
    """What the provider itself can put right. It has no rehearsal, so that then it is only asked what it finds."""
    hook = getattr(adapter(provider), "repair", None)
    if hook is None:
        return
    if bench.dry_run:
        diagnose = getattr(adapter(provider), "diagnose", None)
        found = diagnose(bench.installation.context, service) if diagnose else []
        bench.told.done += [
            f"{service.name}: {text}: {fix}" for level, text, fix in found if level == "problem" and "repair" in fix
        ]
        return
    for text in hook(bench.installation.context, service):
        bench.do(service.name, f"{service.name}: {text}", lambda: True)


def _relaunch(bench: Bench, provider: str, service: Service) -> None:
    """Hosts that died where the provider itself launches none; under the lease, so that no rollout begins meanwhile."""
    hook = getattr(adapter(provider), "relaunch", None)
    if hook is None or bench.dry_run:
        return
    store, clock = bench.installation.store, bench.installation.clock
    try:
        with leased(store, service.name, this_process(), clock):
            told = [] if store.rollouts(service.name, open_only=True) else hook(bench.installation.context, service)
    except LeaseHeld:
        return  # somebody is at it
    for text in told:
        bench.do(service.name, f"{service.name}: {text}", lambda: True)


def _restore_card(bench: Bench, row: Row) -> None:
    """A card that is gone, damaged or of an earlier rollout is written as the journal has it."""
    recorded = recorded_card(bench.installation.store.entries(row.id))
    if recorded is None:
        return
    cards = bench.installation.cards
    try:
        present = cards.read(row.service)
        why = "was missing" if present is None else f"was of {present.rollout}" if present.rollout != row.id else ""
    except CardUnreadable:
        why = "could not be read"
    if why:
        text = f"{row.service}: write the rollback card of {row.id} again, which {why}"
        bench.do(row.service, text, lambda: cards.write(recorded))


def recorded_card(entries: Sequence[Entry]) -> Card | None:
    """The card as the journal last recorded it."""
    for entry in reversed(entries):
        value: Mapping[str, Any] | None = entry.data.get("value") if entry.kind == "done" else None
        if isinstance(value, dict) and "written_at" in value:
            return Card.from_json(value)
    return None


def _needs_a_person(bench: Bench, row: Row) -> None:
    store = bench.installation.store
    journal = Journal(store.entries(row.id))
    if journal.halt:
        bench.told.left.append(
            f"{row.id} is halted: {journal.halt.data.get('reason', '')}. Next: rollout status {row.id}, then "
            f"rollout resume {row.id} or rollout rollback {row.service}"
        )
    elif not journal.paused and store.driver(row.id, bench.installation.clock.now()) is None:
        bench.told.left.append(f"{row.id} is {row.phase}, and nobody drives it. Next: rollout resume {row.id}")


def _left_over_mark(installation: Installation, row: Row) -> bool:
    provider = installation.provider(row.plan["provider"])
    mark = provider.traffic.route(Service(row.service, dict(row.plan["service"]["options"]))).mark
    return mark is not None and mark.rollout == row.id
