"""One look for all that wait: what is awaited is read in batches, and only those are woken whose answer came.

It changes nothing but when a rollout is due; the jobs that it wakes take the lease and journal as ever. What it read
serves them, too, as long as it is fresh; what a job decides to change something by it reads itself.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from healthchecks.base import SHARED
from providers.base import Provider, Reading, Service
from rollout.observer import (
    AHEAD_S,
    HELD_S,
    KINDS,
    LEFT,
    LONGEST_S,
    Answer,
    Fact,
    ahead_s,
    answers,
    next_look,
    read_apart,
)
from rollout.rows import Wait
from rollout.store import NEVER, Store

EVERY_S = AHEAD_S
FRESH_S = 10.0
"""What was begun to be read longer ago serves nobody."""
AWAKE_S = 60.0
"""An observer that has read nothing for so long is no help."""
LONG_S = 5.0
"""After this a tick begins no further read: where calls are short, the rest comes first at the next one."""
FACTS_A_READ, GATES_A_READ = 100, 250
READ_S = FRESH_S / 2
"""So long a reading of many gates may take at most, so that it is fresh when their jobs come: it is made of fewer where
calls have to wait, but no fewer than a page."""
PAGE = 20
SHORT_S = 0.5
"""A read for many that takes longer says that calls have to wait."""
PAUSES = 2.0
"""So many times as long as a reading took there is no other: where calls have to wait, more are asked for together."""
GATES_A_TICK = 1000
"""More looks than jobs make in a few seconds: what is read for others is old before its turn comes."""
MOMENT_S = 2.0
TOLD_S = 30.0
"""What is seen of a fact that has not come is told again no sooner."""
FACTS = (
    "SELECT waits.rollout, step, started_at, deadline_at, waits.due_at, state FROM waits"
    " JOIN rollouts ON id = waits.rollout WHERE closed_at IS NULL AND rollouts.due_at < ? AND state LIKE ?"
)
GATES = (
    "SELECT waits.rollout, rollouts.due_at FROM waits JOIN rollouts ON id = waits.rollout"
    " WHERE closed_at IS NULL AND rollouts.due_at < ? AND state LIKE ? ORDER BY rollouts.due_at LIMIT ?"
)
WAKE = "UPDATE rollouts SET due_at = ? WHERE id = ? AND closed_at IS NULL AND due_at > ?"

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a rollout is about, and how often its gates are looked at; it never changes."""

    provider: str
    service: Service
    interval_s: float = 2 * HELD_S

    @classmethod
    def of(cls, plan: Mapping[str, Any]) -> Subject:
        """Raises KeyError, TypeError, ValueError for what no release of ours made."""
        service = Service(plan["service"]["name"], dict(plan["service"]["options"]))
        intervals = [float(gate["rule"]["interval_s"]) for gate in plan["gates"].values()]
        return cls(plan["provider"], service, min(intervals, default=2 * HELD_S))

    @property
    def held_s(self) -> float:
        """A gap above two intervals begins a soak anew: so long a look may wait, and no soak notices."""
        return min(HELD_S, self.interval_s / 2)

    @property
    def ahead_s(self) -> float:
        return ahead_s(self.interval_s)


@dataclass(slots=True)
class Awaited:
    """A fact that a rollout waits for. `text` is the state as it is stored; `turn_at` orders who is next."""

    text: str
    wait: Wait
    fact: Fact
    look_at: float = 0.0
    turn_at: float = 0.0
    told_at: float = 0.0


@dataclass
class Board(Generic[V]):
    """What was read last, by key, and when that was begun. Thread-safe."""

    _kept: dict[Any, tuple[float, V]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def clear(self) -> None:
        with self._lock:
            self._kept = {}

    def put(self, found: Mapping[Any, V], began: float) -> None:
        """What is no longer fresh goes."""
        with self._lock:
            self._kept = {key: kept for key, kept in self._kept.items() if 0 <= began - kept[0] <= FRESH_S}
            self._kept.update((key, (began, value)) for key, value in found.items())

    def get(self, key: Any, after: float, now: float) -> V | None:
        """None where it was begun before, or at, `after`, or is not fresh."""
        with self._lock:
            began, value = self._kept.get(key, (after, None))
        return value if began > after and 0 <= now - began <= FRESH_S else None


class Observer:
    """`look` again and again, from one thread; all else from any. Jobs get it as their `Shared`."""

    reads_here = True

    def __init__(self, store: Store, provider_of: Callable[[str], Provider], now: Callable[[], float]) -> None:
        self._store, self._provider_of, self._now = store, provider_of, now
        self._subjects: dict[str, Subject | None] = {}
        self._awaited: dict[str, Awaited] = {}
        self._gates: Mapping[str, float] = {}
        self._in_vain: dict[str, float] = {}  # gates that were not in what was read, by when they were due
        self._gates_a_read, self._pause_until = GATES_A_READ, 0.0
        self._short_at: float | None = None  # a read ended that took long
        self._answers, self._readings = Board[Answer](), Board[Reading]()
        self._looked_at: float | None = None

    # For jobs, and for who begins them

    def answer(self, service: str, fact: Fact, after: float) -> Answer | None:
        return self._answers.get(_key(service, fact), after, self._now())

    def reading(self, service: str, after: float) -> Reading | None:
        return self._readings.get(service, after, self._now())

    @property
    def is_short(self) -> bool:
        """Did a read for many take long a moment ago? Then calls have to wait for their turn."""
        return self._short_at is not None and abs(self._now() - self._short_at) <= TOLD_S

    @property
    def is_awake(self) -> bool:
        """Did a look end a moment ago?"""
        return self._looked_at is not None and abs(self._now() - self._looked_at) <= AWAKE_S

    def holds(self, rollout: str, due_at: float) -> bool:
        """Is its gate's look to wait for a reading that is about to be made for many?"""
        subject = self._subjects.get(rollout)
        if subject is None or self._gates.get(rollout) != due_at or self._in_vain.get(rollout) == due_at:
            return False
        return self.is_awake and abs(self._now() - due_at) <= subject.held_s and self._lacks(subject, due_at)

    def forget(self) -> None:
        """The clock was set: by it, what was read long ago may look new."""
        self._answers.clear()
        self._readings.clear()

    # Looking

    def look(self) -> None:
        """One tick. Raises StoreError; what a platform cannot tell is looked at again."""
        now = self._now()
        facts, gates = self._facts(), self._due_gates(now)
        self._know({*facts, *gates})
        self._gates = gates
        self._in_vain = {rollout: due_at for rollout, due_at in self._in_vain.items() if gates.get(rollout) == due_at}
        to_read = {each: due_at for each, due_at in gates.items() if self._is_to_be_read(each, due_at)}
        if min(to_read.values(), default=NEVER) < now + AHEAD_S:  # then for those as well that are due a little later
            self._read_gates(list(to_read))
        # What is to be looked at in an hour was reckoned by a clock that was set back since.
        to_ask = {name: each for name, each in facts.items() if not now < each.look_at <= now + LONGEST_S}
        self._read_facts({name: each for name, each in to_ask.items() if not _is_being_asked(each.wait, now)})
        self._looked_at = self._now()

    def _facts(self) -> dict[str, Awaited]:
        """All that wait for a fact; what is stored is parsed when it changes, and left alone where it means nothing."""
        found = {}
        for rollout, step, started_at, deadline_at, due_at, text in self._store.db.all(FACTS, NEVER, '%"fact":{%'):
            known = self._awaited.get(rollout)
            if known is None or known.text != text or known.wait.started_at != started_at:
                try:
                    known = _awaited(text, Wait(step, started_at, deadline_at, due_at, json.loads(text)), known)
                except (KeyError, TypeError, ValueError):
                    continue  # another release's
            found[rollout] = known
        self._awaited = found
        return found

    def _due_gates(self, now: float) -> dict[str, float]:
        """And those that are due before there is another look, however long this one takes."""
        return dict(self._store.db.all(GATES, now + HELD_S, '%"gate":"%', GATES_A_TICK))

    def _know(self, rollouts: set[str]) -> None:
        for rollout in rollouts - set(self._subjects):
            try:
                self._subjects[rollout] = Subject.of(self._store.rollout(rollout).plan)
            except (KeyError, TypeError, ValueError):
                self._subjects[rollout] = None  # its jobs tell what is wrong with it
        if len(self._subjects) > 2 * len(rollouts) + 1000:
            self._subjects = {rollout: self._subjects[rollout] for rollout in rollouts}

    def _read_gates(self, gates: Sequence[str]) -> None:
        """What is read by pages; targets are a call for each side of each, and its look reads them. What cannot be read
        for a gate leaves it to look for itself."""
        if 0 < self._pause_until - self._now() <= HELD_S:  # or the clock was set
            return
        for name, known in self._in_parts(gates, lambda: self._gates_a_read):
            began = self._now()
            try:
                found, _ = read_apart(
                    partial(_shared, self._provider_of(name)), [subject.service for subject in known.values()]
                )
            except Exception:  # whatever is wrong with it, a job meets it and journals it
                found = {}
            self._readings.put(found, began)
            took_s = self._took(began)
            self._gates_a_read = _fewer_or_more(len(known), took_s)
            self._pause_until = self._now() + min(PAUSES * took_s, HELD_S / 3)
            lacking = [rollout for rollout, subject in known.items() if subject.service.name not in found]
            self._in_vain |= {rollout: self._gates[rollout] for rollout in lacking if rollout in self._gates}

    def _took(self, began: float) -> float:
        now = self._now()
        if now - began > SHORT_S:
            self._short_at = now
        return now - began

    def _is_to_be_read(self, rollout: str, due_at: float) -> bool:
        subject = self._subjects[rollout]
        if subject is None or self._in_vain.get(rollout) == due_at or due_at - subject.ahead_s > self._now():
            return False
        return self._lacks(subject, due_at)

    def _lacks(self, subject: Subject, due_at: float) -> bool:
        return self.reading(subject.service.name, due_at - subject.ahead_s) is None

    def _read_facts(self, facts: Mapping[str, Awaited]) -> None:
        """Who had no turn for longest comes first: where there are more questions than calls, all have theirs."""
        for name, known in self._in_parts(sorted(facts, key=lambda each: facts[each].turn_at), lambda: FACTS_A_READ):
            asked = {rollout: (subject.service, facts[rollout].fact) for rollout, subject in known.items()}
            began = self._now()
            try:
                told = answers(self._provider_of(name), asked)
            except Exception as error:  # a fault of an adapter: its rollouts meet and journal it
                told = dict.fromkeys(asked, Answer("unknown", f"{type(error).__name__}: {error}"))
            self._took(began)
            met = {
                _key(asked[rollout][0].name, asked[rollout][1]): answer
                for rollout, answer in told.items()
                if answer.state == "met"
            }
            self._answers.put(met, began)
            self._wake([rollout for rollout, answer in told.items() if self._is_news(facts[rollout], answer)])

    def _is_news(self, awaited: Awaited, answer: Answer) -> bool:
        now = self._now()
        # Who is told that it has come looks for itself.
        awaited.look_at = next_look(awaited.wait, now, observed=False) if answer.state != "met" else now + LONGEST_S
        # Who was not answered comes before who was; but not for ever, where no answer of theirs ever comes.
        awaited.turn_at = now if answer.state != "unknown" else max(awaited.turn_at, now - LONGEST_S)
        if answer.state in ("met", "failed"):
            return True
        state = awaited.wait.state
        if (answer.state == "unknown") == state.get("unreadable", False) and answer.seen == state.get("seen"):
            return False
        told_at = awaited.wait.started_at if state.get("seen") == LEFT else awaited.told_at
        if abs(now - told_at) < TOLD_S:
            return False
        awaited.told_at = now
        return True

    def _wake(self, rollouts: Sequence[str]) -> None:
        if rollouts:
            now = self._now()
            with self._store.db.transaction() as db:
                for rollout in rollouts:
                    db.execute(WAKE, (now, rollout, now))

    def _in_parts(self, rollouts: Iterable[str], size: Callable[[], int]) -> Iterator[tuple[str, dict[str, Subject]]]:
        """By provider, so many at a time, for as long as there is time in this tick."""
        found: dict[str, list[tuple[str, Subject]]] = {}
        for rollout in rollouts:
            if subject := self._subjects.get(rollout):
                found.setdefault(subject.provider, []).append((rollout, subject))
        began = self._now()
        for name, each in found.items():
            while each:
                if abs(self._now() - began) > LONG_S:
                    return
                most = size()
                part, each = dict(each[:most]), each[most:]
                yield name, part
                self._looked_at = self._now()

    @property
    def next_at(self) -> float | None:
        """When the next of the facts that are waited for is to be looked at."""
        return min((each.look_at for each in self._awaited.values()), default=None)


def _shared(provider: Provider, services: Sequence[Service]) -> Mapping[str, Reading]:
    return provider.traffic.observe(services, SHARED)


def _is_being_asked(wait: Wait, now: float) -> bool:
    """By the job that has just begun to wait: it keeps what it saw. What it left to us has a moment to come true."""
    quiet_s = {None: LONGEST_S, LEFT: MOMENT_S}.get(wait.state.get("seen"), 0.0)
    return abs(now - wait.started_at) < quiet_s


def _fewer_or_more(gates: int, took_s: float) -> int:
    """How many gates the next reading is made of, when one of so many took so long. The clock may have been set."""
    in_time = gates * READ_S / took_s if took_s > 0 else GATES_A_READ
    return int(max(PAGE, min(GATES_A_READ, in_time)))


def _key(service: str, fact: Fact) -> tuple[str, str]:
    """The same for a fact that came back from the store, which sorts what it keeps."""
    return service, json.dumps(fact.to_json(), sort_keys=True)


def _awaited(text: str, wait: Wait, before: Awaited | None) -> Awaited:
    """The same wait keeps its turn. Raises ValueError for a fact that nobody here can tell."""
    fact = Fact.from_json(wait.state["fact"])
    if fact.kind not in KINDS:
        raise ValueError(fact.kind)
    if before is None or (before.wait.step, before.wait.started_at) != (wait.step, wait.started_at):
        return Awaited(text, wait, fact)
    return Awaited(text, wait, fact, before.look_at, before.turn_at, before.told_at)
