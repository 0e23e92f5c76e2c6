"""One simulated run: the story unchanged, on a virtual clock, in one thread, with the invariants watching."""

from __future__ import annotations

import hashlib
import socket
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any

from providers.memory.adapter import provider_for
from providers.memory.clock import VirtualClock
from providers.memory.cloud import SimCloud
from rollout.card import Card
from rollout.engine.job import advance
from rollout.journal import Entry, Journal
from rollout.lease import LEASE_S, Holder
from rollout.plan import Plan, UnsafePlan
from rollout.run import RETRY_S
from rollout.store import NEVER, LeaseHeld, Store
from tests.simulation import invariants
from tests.simulation.boundary import WRITES, Boundary, Crash, Process, means_of
from tests.simulation.invariants import Violation
from tests.simulation.people import Rescue
from tests.simulation.scene import SERVICE, Scene

JOBS = 3000
HOURS = 6 * 3600.0


@dataclass
class People:
    """What people (and bad luck with machines and clocks) did, as far as the invariants have to know it.

    `..._at` are numbers of calls, `..._s` instants of the platform's own time.
    """

    edited_at: int = -1
    edit_stands: bool = False
    disturbed_at: int = -1
    halts_expected: bool = False
    losses_until: float = 0.0
    held_at: int | None = None
    froze_at: int | None = None
    hurt_s: float | None = None  # the way back lost hosts, or what serves grew
    turned_s: float | None = None  # what serves turned bad
    grew: bool = False


class Wall:
    """The controllers' clock: somebody may set it, while the platform's own time goes on."""

    def __init__(self, steady: VirtualClock) -> None:
        self.steady, self.offset = steady, 0.0

    def now(self) -> float:
        return self.steady.now() + self.offset

    def sleep(self, seconds: float) -> None:
        self.steady.sleep(seconds)


@dataclass
class Found:
    """What an earlier run, or an earlier release, has left."""

    steady: VirtualClock
    cloud: SimCloud
    store: Store
    cards: dict[str, Card]


@dataclass
class Outcome:
    """How a run ended. `violation` None: every invariant held."""

    trace: list[str]
    calls: list[tuple[Any, str]]
    outcomes: list[str]
    violation: Violation | None
    entries: list[Entry] = field(default_factory=list)
    entered: dict[str, int] = field(default_factory=dict)
    """Phase → how many calls were made before it."""

    @property
    def hash(self) -> str:
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()[:16]


class World:
    """Everything that outlives a process: the platform, the store, the cards, the people."""

    def __init__(self, scene: Scene, *, on_halt: str = "abort", found: Found | None = None) -> None:
        self.scene, self.on_halt = scene, on_halt
        self.steady = found.steady if found else VirtualClock()
        self.clock = Wall(self.steady)
        self.began_at = self.steady.now()
        self.cloud = found.cloud if found else scene.cloud(self.steady)
        self.provider = provider_for(self.cloud)
        self.store = found.store if found else Store(":memory:")
        self.cards: dict[str, Card] = found.cards if found else {}
        self.boundary = Boundary(self)
        self.people, self.rescue = People(), Rescue(self)
        self.owners: dict[int, str] = {}
        self.intents: dict[str, Entry] = {}
        self.journal = Journal(())
        self.plan: Plan | None = None
        self.rollout, self.raised_at = "", -1
        self.settled_on: str | None = None
        self.trace: list[str] = []
        self.entered: dict[str, int] = {}
        self.noted: dict[tuple[str, str], float] = {}
        self.looks: list[float] = []
        self.frozen_s = 0.0
        self.jobs = self._processes = 0
        self.mutations_seen = len(self.cloud.mutations)
        self._numbers = count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._moving = self._rivalry = self.woken_late = False
        self.svc = self.cloud.service(SERVICE)
        self.users = {slot for slot, side in self.svc.slots.items() if side.image is not None}
        self.before = self.cloud.snapshot(SERVICE)
        self.process = self.new_process()
        self.cloud.watchers.append(self._cloud_changed)

    # ---- what happened --------------------------------------------------------------------------------------------

    def tell(self, kind: str, text: str) -> None:
        self.trace.append(f"{self.steady.now() - self.began_at:9.2f}  {kind:<9} {text}")

    def begins(self, process: Process, label: str) -> None:
        if label in WRITES:
            invariants.check(invariants.WHEN_A_WRITE_BEGINS, self, process, label)

    def did(self, process: Process, label: str, result: Any) -> None:
        """A call of a process was answered."""
        if label == "traffic.observe":
            self.looks.append(self.steady.now())
        if label == "traffic.route" or label.endswith(".observe"):
            process.read_at = len(self.boundary.made)
        elif label == "store.take_lease":
            process.epoch = result
            self._raised(result, process.name)
            process.intent_at = len(self.boundary.made)
        elif label in ("store.append", "store.decide"):
            process.intent_at = len(self.boundary.made)
            if label == "store.decide":
                self._raised(result.epoch, process.name)
            self._recorded(result, process)

    def _recorded(self, entry: Entry, process: Process | None) -> None:
        step = f" {entry.step}" if entry.step else ""
        note = entry.data.get("reason") or entry.data.get("outcome") or ""
        self.tell("journal", f"{entry.seq} {entry.kind}{step}{f': {note}' if note else ''}")
        if entry.kind == "intended":
            self.intents[entry.data["token"]] = entry
        elif entry.kind == "entered":
            self.entered[entry.step] = len(self.boundary.made)
        self.noted[entry.kind, entry.step] = self.steady.now()
        invariants.check(invariants.AT_AN_ENTRY, self, entry, process)
        self.journal.add(entry)
        if (entry.kind, entry.step) == ("done", "back:hold") and self.plan and not self.people.edit_stands:
            self.settled_on = self.plan.original
        invariants.check(invariants.AT_ANY_TIME, self)

    def person_recorded(self) -> None:
        """Bring the view of the journal up to what a person wrote directly."""
        for entry in self.store.entries(self.rollout, self.journal.head):
            self._raised(entry.epoch, "person")
            self._recorded(entry, None)

    def _raised(self, epoch: int, by: str) -> None:
        self.owners[epoch], self.raised_at = by, len(self.boundary.made)

    def _cloud_changed(self, at: float) -> None:
        for mutation in self.cloud.mutations[self.mutations_seen :]:
            self.mutations_seen += 1
            self.tell("platform", f"{mutation.call}: {mutation.effect}")
            if mutation.call.startswith(("emergency.", "by_hand")):
                self.people.disturbed_at = len(self.boundary.made)
            invariants.check(invariants.AT_A_MUTATION, self, mutation)
            if mutation.call == "traffic.set_weights" and self.people.edit_stands:
                self.people.edit_stands = False  # the limit of a platform without compare-and-set
                self.tell("person", "the edit was lost: it came between our read and our write")
        invariants.check(invariants.AT_ANY_TIME, self)

    # ---- processes ------------------------------------------------------------------------------------------------

    def new_process(self) -> Process:
        """A fresh controller. A dead one's lease is taken at once on its own host, and runs out elsewhere."""
        self._processes += 1
        host = socket.gethostname() if self.scene.provably_dead else "elsewhere"
        return Process(f"p{self._processes}", Holder(host, "an earlier boot", self._processes, "1"))

    def freeze(self, process: Process, *, until_lease_ends: bool) -> None:
        """The process stops inside of a call, for less than the write time-out or until another one took over."""
        self.frozen_s = self.steady.now()
        if not until_lease_ends:
            self.clock.sleep(self.cloud.write_timeout_s * 0.6)
            self.cloud.catch_up()
            return
        self.clock.sleep(LEASE_S + 1)
        self.cloud.catch_up()
        self.process = self.new_process()
        self.tell("process", f"{process.name} is frozen; {self.process.name} takes over")
        self._job()

    def rival(self) -> None:
        """Another process tries to drive, once; it finds the lease held, or takes it over."""
        if not self._rivalry:
            self._rivalry = True
            process = self.new_process()
            self.tell("process", f"{process.name} drives, too")
            self._job(process)
            self._rivalry = False

    def _job(self, rival: Process | None = None) -> None:
        process, self.jobs = rival or self.process, self.jobs + 1
        process.job_began = len(self.boundary.made)
        if self.jobs > JOBS or self.steady.now() - self.began_at > HOURS:
            raise Violation("ends_within_a_bound", "Every run ends.", f"{self.jobs} jobs, still {self.journal.phase}")
        try:
            error = advance(self.rollout, means_of(self, process), process.holder).error
            if error is not None and not isinstance(error, OSError):
                raise error
        except Crash as crash:
            self.tell("process", f"{process.name} crashed {crash}")
            if process is self.process:
                self.process = self.new_process()
        except LeaseHeld as held:
            self.tell("process", f"{process.name}: {held}")
            self.clock.sleep(0.0 if rival else held.expires_in_s + 0.01)
        except (sqlite3.Error, OSError) as error:
            self.tell("process", f"{process.name}: job failed: {error}")
            self.clock.sleep(RETRY_S)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise Violation("no_job_breaks", "A job ends in an answer, never in an exception.", what) from error
        self.cloud.catch_up()
        invariants.check(invariants.AT_ANY_TIME, self)
        if self.woken_late:
            self.woken_late = False
            self.store.wake_all(self.clock.now())

    def take_up(self, rollout: str, before: dict[str, Any]) -> None:
        """Go on with a rollout that was found; `before` is what the service was when it began."""
        row, entries = self.store.rollout(rollout), self.store.entries(rollout)
        self.rollout, self.before, self.plan = rollout, before, Plan.from_json(row.plan)
        self.users = {slot for slot, side in self.svc.slots.items() if side.image is not None and side.owner is None}
        self.owners[max(entry.epoch for entry in entries)] = "whoever drove before"
        self.journal = Journal(entries)
        self.intents = {entry.data["token"]: entry for entry in entries if entry.kind == "intended"}

    # ---- people and time ------------------------------------------------------------------------------------------

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        heappush(self._agenda, (self.steady.now() + seconds, next(self._numbers), act))

    def people_move(self) -> None:
        """Whoever planned to do something by now does it."""
        if self._moving:
            return
        self._moving = True
        while self._agenda and self._agenda[0][0] <= self.steady.now():
            heappop(self._agenda)[2]()
        self._moving = False

    def start(self, image: str) -> bool:
        """Open the next rollout; False when its plan is refused."""
        try:
            plan = self.scene.plan(self.provider, image, self.clock.now(), self.store.denials(SERVICE.name))
        except UnsafePlan as refused:
            self.tell("person", f"start {image}: refused: {refused}")
            return False
        while self.store.hold(SERVICE.name, self.clock.now()):
            self.clock.sleep(5.0)
            self.people_move()
        self.plan, self.settled_on = plan, None
        self.people.hurt_s, self.people.turned_s, self.people.grew = None, None, False
        self.rollout = f"{SERVICE.name}-{len(self.store.rollouts()) + 1}-{image}"
        self.before = self.cloud.snapshot(SERVICE)
        self.journal = Journal(())
        self.tell("person", f"start {self.rollout}")
        self.store.open_rollout(
            self.rollout, SERVICE.name, plan.to_json(), plan.hash, at=self.clock.now(), actor="person"
        )
        self.person_recorded()
        return True

    def drive(self) -> None:
        """Let time pass until no rollout is open; a person comes when nothing moves any more."""
        while self.store.rollouts(SERVICE.name, open_only=True):
            self.people_move()
            row = self.store.rollout(self.rollout)
            planned = self._agenda[0][0] + self.clock.offset if self._agenda else NEVER
            due = min(row.due_at, planned)
            if due >= NEVER:
                self.rescue.person_comes()
            elif due > self.clock.now():
                self.clock.sleep(due - self.clock.now())
                self.cloud.catch_up()
            elif row.due_at <= self.clock.now():
                self._job()
        self._let_land()
        invariants.check(invariants.AT_THE_END, self)

    def _let_land(self) -> None:
        """Late writes land, watches end."""
        for _ in range(8):
            self.clock.sleep(2.0)
            self.people_move()
            self.cloud.catch_up()


def simulate(world: World) -> Outcome:
    """Roll out all images of the scene, one after the other."""
    outcomes, violation = [], None
    try:
        for image in world.scene.images:
            if world.start(image):
                world.drive()
                outcomes.append(world.store.rollout(world.rollout).outcome)
    except Violation as found:
        world.tell("VIOLATED", str(found))
        violation = found
    finally:
        entries = world.journal.entries
        world.store.close()
    return Outcome(world.trace, world.boundary.made, outcomes, violation, entries, world.entered)
