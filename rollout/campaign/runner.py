"""Carries out the runs of campaigns: one look after the other, each of which does what `decide` says is due.

Killed between any two deeds, the next look goes on: a service's rollout is opened and put on record as begun in one
transaction, which holds only under the run's present turn. So two processes begin nothing twice, and one that was
stopped for an hour begins nothing at all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from providers.base import Denied, ProviderError, Transient
from rollout import control, interventions
from rollout.campaign import decide as words
from rollout.campaign import register
from rollout.campaign.decide import Begin, Deed, Room, go_on_command
from rollout.campaign.heard import Heard
from rollout.campaign.look import decided
from rollout.campaign.model import Member, Run, Wave, key_of
from rollout.campaign.scheduled import Occasions
from rollout.campaign.several import in_threads
from rollout.coexist import Forbidden
from rollout.control import NothingToDo, RefMissing, StoreBehind
from rollout.decide import CannotTurnBack
from rollout.follow import is_promoted
from rollout.freeze import Frozen
from rollout.lease import Holder
from rollout.opening import OutsideWindow
from rollout.plan import Plan, UnsafePlan
from rollout.rows import Row
from rollout.store import Claimed, Held, StoreError
from rollout.wiring import Installation, UnknownService

LOOK_S = 2.0
THREADS = 8
"""Plans that are made at the same time: most of it is waiting for clouds."""
TRIES = 5
AGAIN_S = 30.0
"""After a plan that could not be made; doubled each time, until the service is left out. Where a cloud does not answer,
or knows us no more, it is no fault of the service: it waits."""
BUSY_S = 60.0
"""After a service that is held, frozen, or has another rollout."""


class DoesNotFit(Exception):
    """Its plan needs more hosts than there is room for now."""

    def __init__(self, why: str, hosts: int) -> None:
        super().__init__(why)
        self.hosts = hosts


@dataclass
class Order:
    """What a run's wave says to a rollout that is about to be opened."""

    run: Run
    of: Wave
    service: str
    room: Room
    guard: threading.Lock
    hosts: int = 0

    @property
    def wave(self) -> str:
        return f"{self.run.id}/{self.of.name}"

    def judge(self, plan: Plan) -> None:
        """Plans are made by several threads: room is taken before the next one asks."""
        with self.guard:
            if why := self.room.lacks(self.of, plan.capacity):
                raise DoesNotFit(why, plan.capacity)
            self.room.take(self.of, plan.capacity)
            self.hosts = plan.capacity

    def write(self, db: Any, rollout: str) -> None:
        register.note_begun(db, self.run, self.service, rollout, self.hosts)


class Runner:
    """`look` again and again. `say` is for people, told once for each thing that happens."""

    def __init__(
        self,
        installation: Installation,
        holder: Holder,
        say: Callable[[str], None] = lambda text: None,
        threads: int = THREADS,
    ) -> None:
        self._installation, self._holder, self._say, self._threads = installation, holder, say, threads
        self._heard = Heard(installation.store.db)
        self._occasions = Occasions(installation, say)
        self._troubles: dict[str, str] = {}

    def look(self) -> None:
        """Start what is scheduled, and take each run that is open a little further. One that cannot be taken further
        keeps no other from it; why is raised at the end, and again only when it is another reason."""
        troubles = dict[str, Exception](self._occasions.heed())
        for run in register.runs(self._installation.store.db):
            try:
                self._carry(run)
            except register.Superseded:
                continue  # whoever carries it out now, or a person, knows better
            except StoreError:
                raise
            except Exception as error:  # a fleet file, an adapter: it concerns this campaign
                troubles[run.id] = error
        fresh = [error for run, error in troubles.items() if self._troubles.get(run) != str(error)]
        self._troubles = {run: str(error) for run, error in troubles.items()}
        if fresh:
            raise fresh[0]

    def _carry(self, run: Run) -> None:
        installation = self._installation
        mine = register.take_turn(installation.store.db, run, self._holder, installation.clock.now())
        if mine is None:
            return
        members, deeds = decided(installation, mine, self._heard)
        begins = [deed for deed in deeds if isinstance(deed, Begin)]
        for deed in deeds:
            if not isinstance(deed, Begin):
                self._do(mine, deed)
        self._begin_all(mine, members, begins)

    def _do(self, run: Run, deed: Deed) -> None:
        db, now = self._installation.store.db, self._installation.clock.now()
        match deed:
            case words.Skip(service, kind, why):
                register.note_skipped(db, run, service, kind, why)
                self._say(f"campaign {run.campaign}: {service} is left out: {why}")
            case words.WaveDone(wave):
                register.note_done(db, run, wave, now)
                self._say(f"campaign {run.campaign}: wave {wave} is done")
            case words.Ask(wave):
                register.note_asked(db, run, wave, now)
                self._say(f"campaign {run.campaign} waits for a word after wave {wave}: {go_on_command(run.campaign)}")
            case words.Stop(why):
                register.note_stopped(db, run, why, now)
                self._say(f"campaign {run.campaign} is stopped: {why}. Look: rollout wave status {run.campaign}")
            case words.End(state):
                register.note_over(db, run, state, now)
                self._say(f"campaign {run.campaign}: {state}")
            case words.TurnBack(_, rollout):
                self._turn_back(run, self._installation.store.rollout(rollout))
            case words.Hush(_, rollout):
                self._hush(run, self._installation.store.rollout(rollout))
            case words.Wake(_, rollout):
                self._wake(run, self._installation.store.rollout(rollout))

    def _turn_back(self, run: Run, row: Row) -> None:
        if is_promoted(row) or row.closed_at is not None:
            return  # accepted meanwhile: an abort leaves it
        try:
            control.turn_back(
                self._installation, row, "abort", reason=run.said, actor=run.said_by or run.actor, ref=run.ref
            )
        except CannotTurnBack as error:
            self._say(f"{row.id}: {error}")
        except ProviderError as error:
            self._say(f"{row.id} is not turned back yet, tried again: {error}")

    def _hush(self, run: Run, row: Row) -> None:
        try:
            interventions.pause(self._installation, row, run.said_by, run.said, run.id)
        except interventions.NotPossible:
            return  # closed, paused or turning back meanwhile

    def _wake(self, run: Run, row: Row) -> None:
        try:
            interventions.resume(self._installation, row, run.said_by or run.actor)
        except interventions.NotPossible:
            return  # closed or turning back meanwhile

    # Beginning

    def _begin_all(self, run: Run, members: Sequence[Member], begins: Sequence[Begin]) -> None:
        room, guard = Room(members), threading.Lock()
        by_name = {each.service: each for each in members}
        for provider in {run.plan.places[each.service].provider for each in begins}:
            try:
                self._installation.provider(provider)  # made once, before several threads ask for it
            except Exception as error:  # each service of it is told so when its plan is made
                self._say(f"provider {provider}: {error}")

        def begin(each: Begin) -> None:
            order = Order(run, run.plan.wave(each.wave), each.service, room, guard)
            self._begin(run, by_name[each.service], order)

        in_threads(self._threads, begin, begins)

    def _begin(self, run: Run, member: Member, order: Order) -> None:
        """Open the rollout of one service, or put on record why not."""
        name = member.service
        try:
            started = control.start(
                self._installation,
                name,
                image=run.plan.pin(name).image,
                saved=None,
                key=key_of(run.id, name),
                actor=run.actor,
                reason=run.reason or f"wave {member.wave} of campaign {run.campaign}",
                ref=run.ref,
                also=self._installation.fleet.campaigns.get(run.campaign),
                order=order,
            )
        except (register.Superseded, StoreError):
            raise
        except Exception as error:  # a cloud, a provider or a check may answer anything: it concerns this service only
            self._note_refusal(run, member, error)
            return
        if started.again:
            with self._installation.store.db.transaction() as db:
                register.note_begun(db, run, name, started.row.id, int(started.row.plan["capacity"]))
        self._say(f"campaign {run.campaign}: {name} begins ({started.row.id})")

    def _note_refusal(self, run: Run, member: Member, error: Exception) -> None:
        db, now, why = self._installation.store.db, self._installation.clock.now(), str(error)
        kind = self._never(run, member, error)
        if kind:
            self._do(run, words.Skip(member.service, kind, why))
        elif isinstance(error, DoesNotFit):
            register.note_put_off(db, run, member.service, why, now, tried=False, hosts=error.hosts)
        elif isinstance(error, Claimed | Held | Frozen | OutsideWindow | StoreBehind | RefMissing):
            register.note_put_off(db, run, member.service, why, now + BUSY_S, tried=False)
        elif member.tries + 1 >= TRIES and not isinstance(error, Transient | Denied):
            self._do(run, words.Skip(member.service, "no_way", why))
        else:
            again_at = now + AGAIN_S * 2 ** min(member.tries, TRIES)
            register.note_put_off(db, run, member.service, f"{type(error).__name__}: {why}", again_at, tried=True)

    def _never(self, run: Run, member: Member, error: Exception) -> str:
        """The word for why it will never be begun in this run; empty where it may be."""
        if isinstance(error, NothingToDo):
            return "nothing_to_do"
        if isinstance(error, UnknownService):
            return "removed"
        if isinstance(error, Forbidden):
            return "no_way"
        if isinstance(error, UnsafePlan):
            denied = control.denials(self._installation, member.service)
            return "denied" if run.plan.pin(member.service).image in denied else ""
        return ""
