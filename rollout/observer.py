"""Awaited facts, and the batched reads that answer them for all rollouts of a provider at once.

A fact is plain data, so it can be stored, shown and evaluated by whoever looks; nothing polls on its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol, TypeVar

from providers.base import Instance, Parts, Provider, ProviderError, Reading, Service, Slot, Transient, Weights, plain
from rollout.rows import Wait

SHORTEST_S, LONGEST_S = 0.25, 10.0
"""Between two looks at a fact."""
OBSERVED_S = 600.0
"""The same, where an observer looks meanwhile."""
AHEAD_S = 1.0
"""There is a reading for many as often as this."""
LEAD = 0.1
"""Of the interval between two looks at a gate: so long before one its reading may be made, with that for others."""
HELD_S = 15.0
"""A look at a gate waits so long at most for the reading that many share: where calls are short, that costs half."""

LEFT = "about to be asked"
"""What is seen of a fact that nobody has asked about yet: calls are short, and it is left to who reads for many."""

State = Literal["met", "not_yet", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Fact:
    """What has to become true of a service.

    running   at least `count` units of `slot` run `image`
    healthy   the balancer calls at least `count` units of `slot` healthy, and none unhealthy or unjudged
    serving   the balancer calls at least `count` units of `slot` healthy, whatever the others are
    routed    observed weights equal `weights`
    drained   nothing is in flight on `slot`
    left      the balancer lets no target of `slot` end what it began any more
    gone      `slot` has no instances
    """

    kind: str
    slot: Slot = "blue"
    count: int = 0
    image: str = ""
    weights: Weights = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fact:
        return cls(**data)

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = plain(self)
        return data

    def __str__(self) -> str:
        return {
            "running": f"{self.count} instances of {self.slot} running",
            "healthy": f"{self.count} targets of {self.slot} healthy in the balancer",
            "serving": f"{self.count} targets of {self.slot} serving",
            "routed": f"observed weights {dict(self.weights)}",
            "drained": f"no requests left on {self.slot}",
            "left": f"no target of {self.slot} still ending what it began",
            "gone": f"no instances left on {self.slot}",
        }[self.kind]


@dataclass(frozen=True, slots=True)
class Answer:
    """`own_fault`: what failed failed by its own code, so that its image is to blame."""

    state: State
    seen: str
    own_fault: bool = False


TOLD = ("running", "routed")
"""Facts for which the word of another is enough: what follows reads for itself who runs, and where clients go. What
follows on the others moves traffic, closes the way back, or ends hosts."""
REFUSED = 16
"""So many reads that are refused are made smaller, of one for many."""

Asked = tuple[Service, Fact]
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Shared(Protocol):
    """What somebody else has read of many services at a time, and when: only what was begun to be read after `after`
    (seconds since 1970) counts, and nothing that is old. None: look for yourself. `reads_here`: in this process, so
    that waiting for a reading is worth it; else it only wakes those whose fact has come. `is_short`: calls have to
    wait, so that who begins to wait had better not ask for himself."""

    reads_here: bool

    @property
    def is_short(self) -> bool: ...

    def answer(self, service: str, fact: Fact, after: float) -> Answer | None: ...

    def reading(self, service: str, after: float) -> Reading | None: ...


def answer_to(
    provider: Provider, service: Service, fact: Fact, shared: Shared | None = None, after: float = 0.0
) -> Answer:
    """Whether the fact holds now. What was read for many at a time counts only where it lets the story go on, and is
    one of TOLD; all else is read directly."""
    known = shared.answer(service.name, fact, after) if shared and fact.kind in TOLD else None
    return known if known and known.state == "met" else answers(provider, {0: (service, fact)})[0]


def ahead_s(interval_s: float) -> float:
    """How long before a look at a gate its reading may be made."""
    return min(interval_s, max(AHEAD_S, LEAD * interval_s), LONGEST_S)


def next_look(wait: Wait, now: float, *, observed: bool) -> float:
    """When a fact is to be looked at again: ever more rarely, but never more so than every 10 s. One that is observed
    for all rollouts at once wakes its own, which is due at its deadline."""
    if observed:
        return min(now + OBSERVED_S, wait.deadline_at if wait.deadline_at is not None else now + OBSERVED_S)
    waited_s = abs(now - wait.started_at)  # the clock may have been set back
    return now + min(LONGEST_S, max(SHORTEST_S, waited_s / 3))


def answers(provider: Provider, asked: Mapping[K, Asked]) -> dict[K, Answer]:
    """Whether the facts hold: each kind of read is made once, for all services that need it, and with no part that
    nobody needs. What cannot be read is unknown, never met. A fault of an adapter is raised where one alone asks."""
    found: dict[K, Answer] = {}
    for needed, keys in _by_need(asked).items():
        services = list({asked[key][0].name: asked[key][0] for key in keys}.values())
        seen, unread = read_apart(partial(_read, provider, needed), services)
        for key in keys:
            service, fact = asked[key]
            try:
                if service.name in unread:
                    raise unread[service.name]
                found[key] = _ANSWERS[fact.kind].judge(seen[service.name], fact)
            except Exception as error:
                if len(asked) == 1 and not isinstance(error, ProviderError | KeyError):
                    raise
                found[key] = _unread(error)
    return found


def read_apart(
    read: Callable[[Sequence[Service]], Mapping[str, V]], services: Sequence[Service]
) -> tuple[dict[str, V], dict[str, Exception]]:
    """What one read for all tells, by service, and why it tells nothing of the others. One of which a platform, or its
    adapter, makes nothing is found by halves, so that it blinds nobody else; what may work in a moment is not."""
    found, unread = dict[str, V](), dict[str, Exception]()
    parts, refused = deque([services]), 0
    while parts:
        part = parts.popleft()
        try:
            found |= read(part)
        except Exception as error:
            refused, middle = refused + 1, len(part) // 2
            if middle and refused <= REFUSED and not isinstance(error, Transient):
                parts.extend((part[:middle], part[middle:]))
            else:
                unread |= {service.name: error for service in part}
    return found, unread


def _by_need(asked: Mapping[K, Asked]) -> dict[Parts | None, list[K]]:
    """What is to be read, and for whom; None stands for the hosts."""
    needed: dict[Parts | None, list[K]] = {}
    for key, (_, fact) in asked.items():
        needed.setdefault(_ANSWERS[fact.kind].parts(fact.slot), []).append(key)
    return needed


def _read(provider: Provider, parts: Parts | None, services: Sequence[Service]) -> Mapping[str, Any]:
    return provider.compute.observe(services) if parts is None else provider.traffic.observe(services, parts)


def _unread(error: Exception) -> Answer:
    return Answer("unknown", f"{type(error).__name__}: {error}")


def _running(hosts: Sequence[Instance], fact: Fact) -> Answer:
    instances = [each for each in hosts if each.slot == fact.slot]
    running = [each for each in instances if each.state == "running"]
    strangers = [each.id for each in running if each.image != fact.image]
    failed = [each for each in instances if each.state == "failed"]
    units = sum(each.units for each in running)
    seen = f"{units} of {fact.count} running"
    if strangers:
        return Answer("failed", f"{seen}; not the planned image: {', '.join(strangers)}")
    if failed and not any(each.state == "starting" for each in instances) and units < fact.count:
        to_blame = next((each for each in failed if each.own_fault), failed[0])
        return Answer("failed", f"{seen}; {to_blame.id} failed: {to_blame.reason}", to_blame.own_fault)
    return Answer("met" if units >= fact.count else "not_yet", seen)


def _gone(hosts: Sequence[Instance], fact: Fact) -> Answer:
    left = [each for each in hosts if each.slot == fact.slot and each.state != "failed"]
    return Answer("not_yet" if left else "met", f"{len(left)} left")


def _healthy(reading: Reading, fact: Fact) -> Answer:
    targets = reading.targets[fact.slot]
    seen = f"{targets.healthy} of {fact.count} healthy"
    if targets.unhealthy:
        seen += f", {targets.unhealthy} unhealthy ({'; '.join(targets.reasons[:3])})"
    whole = targets.healthy >= fact.count and not targets.unhealthy and not targets.unknown
    return Answer("met" if whole else "not_yet", seen)


def _serving(reading: Reading, fact: Fact) -> Answer:
    healthy = reading.targets[fact.slot].healthy
    return Answer("met" if healthy >= fact.count else "not_yet", f"{healthy} of {fact.count} healthy")


def _routed(reading: Reading, fact: Fact) -> Answer:
    weights = dict(reading.route.weights)
    return Answer("met" if weights == dict(fact.weights) else "not_yet", f"observed {weights}")


def _drained(reading: Reading, fact: Fact) -> Answer:
    counted = reading.counters.get(fact.slot)
    if counted is None:
        return Answer("unknown", f"nobody tells what is in flight on {fact.slot}")
    left = counted.in_flight
    return Answer("not_yet" if left else "met", f"{left} in flight")


def _left(reading: Reading, fact: Fact) -> Answer:
    draining = reading.targets[fact.slot].draining
    return Answer("not_yet" if draining else "met", f"{draining} targets end what they began")


def _hosts_only(slot: Slot) -> None:
    return None


def _route_only(slot: Slot) -> Parts:
    return Parts(mark=False, targets=(), counters=())


def _targets_only(slot: Slot) -> Parts:
    return Parts(route=False, targets=(slot,), counters=())


def _counters_only(slot: Slot) -> Parts:
    return Parts(route=False, targets=(), counters=(slot,))


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is to be read for a fact about a slot (None: the hosts), and what that says of the fact."""

    parts: Callable[[Slot], Parts | None]
    judge: Callable[[Any, Fact], Answer]


_ANSWERS: Mapping[str, _Kind] = {
    "running": _Kind(_hosts_only, _running),
    "gone": _Kind(_hosts_only, _gone),
    "healthy": _Kind(_targets_only, _healthy),
    "serving": _Kind(_targets_only, _serving),
    "left": _Kind(_targets_only, _left),
    "routed": _Kind(_route_only, _routed),
    "drained": _Kind(_counters_only, _drained),
}
KINDS = frozenset(_ANSWERS)
"""Of facts."""
