"""What a campaign's run does next, decided from how it stands: pure, so that each of its limits can be tried out.

Order of thought: what was asked (abort, pause), what forbids going on (failures, a denied image, the deadline), then
wave by wave what may begin. What was begun is never ended by a stop; only an abort turns anything back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rollout.campaign.model import OVER, SKIPPED, Limits, Mark, Member, Place, Run, Wave

AT_ONCE = 32
"""So many services are begun in one go at most, that what is decided is never long old."""
SHOWN = 5
LONGEST_WAIT_S = 3600.0
"""Nothing is put off for longer: a time that is further away was said before the clock was set back."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin a service's rollout, where what it needs still fits (`Room`)."""

    service: str
    wave: str


@dataclass(frozen=True, slots=True)
class Skip:
    """A service never gets its rollout in this run; `kind` is a word of SKIPPED."""

    service: str
    kind: str
    why: str


@dataclass(frozen=True, slots=True)
class _OfRollout:
    """What is done with a rollout that was begun."""

    service: str
    rollout: str


class TurnBack(_OfRollout):
    """Put it back."""

    __slots__ = ()


class Hush(_OfRollout):
    """Pause it."""

    __slots__ = ()


class Wake(_OfRollout):
    """Resume it: this run had paused it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class WaveDone:
    """Nothing of the wave moves any more, and it proved the patch; its soak begins."""

    wave: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A person's word is wanted, so that the waves after this one begin."""

    wave: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing more is begun until a person resumes it."""

    why: str


@dataclass(frozen=True, slots=True)
class End:
    """All is done (or, after an abort, put back)."""

    state: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a wave, or one service of it, does not go on now; `until` where that is known (seconds since 1970)."""

    wave: str
    why: str
    until: float | None = None
    service: str = ""
    kind: str = ""


Deed = Begin | Skip | TurnBack | Hush | Wake | WaveDone | Ask | Stop | End | Wait


@dataclass(frozen=True, slots=True)
class Now:
    """What the world says at this moment. `closed`: why nothing may begin now (a window, a freeze), `opens_at`: until
    when, as far as that is known. `denied`: image → why. `missing`: services that are not in the fleet file now."""

    at: float
    closed: str = ""
    opens_at: float | None = None
    denied: Mapping[str, str] | None = None
    missing: frozenset[str] = frozenset()


class Room:
    """What may still be launched at once. Unproven hosts are counted by wave; extra instances are the whole run's, for
    what is warm of earlier waves counts. Asked again with what a plan really needs, before anything is opened."""

    def __init__(self, members: Iterable[Member]) -> None:
        self.unproven: dict[str, int] = {}
        self.extra = 0
        for each in members:
            self.unproven[each.wave] = self.unproven.get(each.wave, 0) + each.unproven
            self.extra += each.extra

    def lacks(self, wave: Wave, hosts: int) -> str:
        """Why so many more of a wave do not fit now; empty where they do."""
        most, extra = wave.limits.max_unproven_hosts, wave.limits.max_extra_instances
        unproven = self.unproven.get(wave.name, 0)
        if most is not None and unproven + hosts > most:
            return f"{unproven} of {most} unproven hosts are there, and it needs {hosts}"
        if extra is not None and self.extra + hosts > extra:
            return f"{self.extra} of {extra} extra instances are there, and it needs {hosts}"
        return ""

    def take(self, wave: Wave, hosts: int) -> None:
        self.unproven[wave.name] = self.unproven.get(wave.name, 0) + hosts
        self.extra += hosts


def decide(run: Run, members: Sequence[Member], now: Now) -> list[Deed]:
    """The deeds that are due, in the order in which they are to be done, and why the rest waits."""
    if run.state in OVER:
        return []
    if run.state == "aborting":
        return _abort(run, members)
    if run.state in ("paused", "stopped"):
        hushed = _hush(members) if run.rollouts and run.state == "paused" else []
        return [*hushed, *_still(run, members)]
    if why := _why_stop(run, members, now):
        return [Stop(why)]
    return [*_wake(run, members), *_forward(run, members, now)]


def _wake(run: Run, members: Sequence[Member]) -> list[Deed]:
    return [Wake(each.service, each.rollout) for each in members if each.paused == run.id and each.progress == "moving"]


def _abort(run: Run, members: Sequence[Member]) -> list[Deed]:
    """What was not accepted yet is put back; what was stays. Over once nothing turns back any more."""
    if not run.rollouts:  # what it had paused goes on, for nobody else would let it
        return [*_wake(run, members), End("aborted")]
    moving = [each for each in members if each.progress == "moving"]
    back = [each for each in members if each.progress == "failing" and each.outcome != "halted"]
    turned: list[Deed] = [TurnBack(each.service, each.rollout) for each in moving]
    waits: list[Deed] = [Wait(each.wave, "it is being put back", service=each.service) for each in back]
    return [*turned, *waits] or [End("aborted")]


def _hush(members: Sequence[Member]) -> list[Deed]:
    return [Hush(each.service, each.rollout) for each in members if each.progress == "moving" and not each.paused]


def _still(run: Run, members: Sequence[Member]) -> list[Deed]:
    told = f"the campaign is {run.state}" + (f": {run.said}" if run.said else "")
    waves = dict.fromkeys(each.wave for each in members if each.progress == "waiting")
    return [Wait(wave, told, kind=run.state) for wave in waves]


# What forbids going on


def failures(wave: str, members: Iterable[Member]) -> list[Member]:
    """What turned back, or stands and needs a person; also after it had been accepted."""
    return [each for each in members if each.wave == wave and each.progress in ("failing", "failed")]


def _why_stop(run: Run, members: Sequence[Member], now: Now) -> str:
    by_wave = _by_wave(run, members)
    for wave in run.plan.waves:
        found = failures(wave.name, by_wave[wave.name])
        fresh = len(found) - run.forgiven.get(wave.name, 0)
        if fresh >= wave.limits.stop_after_failures:
            told = ", ".join(f"{each.service} {_ended(each)}" for each in found[-SHOWN:])
            return (
                f"wave {wave.name}: {len(found)} failed ({told}), and it stops after {wave.limits.stop_after_failures}"
            )
    if not any(each.progress == "waiting" for each in members):
        return ""
    # Denying one member of a patch denies all of it: the same fixes, built for another place.
    for pin in run.plan.pins:
        if why := (now.denied or {}).get(pin.image):
            return f"{run.plan.reference} ({pin.image}) is denied: {why}"
    if run.plan.deadline_s is not None and now.at >= run.started_at + run.plan.deadline_s:
        return "its deadline has passed, and not all of it was begun"
    return ""


def _ended(member: Member) -> str:
    return "turns back" if member.outcome in ("running", "promoted") else member.outcome.replace("_", " ")


# Wave by wave


def _by_wave(run: Run, members: Sequence[Member]) -> dict[str, list[Member]]:
    found: dict[str, list[Member]] = {wave.name: [] for wave in run.plan.waves}
    for each in members:
        found[each.wave].append(each)
    return found


def _forward(run: Run, members: Sequence[Member], now: Now) -> list[Deed]:
    by_wave, gone = _by_wave(run, members), [each for each in members if _is_gone(each, now)]
    deeds: list[Deed] = [Skip(each.service, "removed", SKIPPED["removed"]) for each in gone]
    desk = _Desk(Room(members), Apart.of(run, members), AT_ONCE)
    for wave in run.plan.waves:
        mine = [each for each in by_wave[wave.name] if not _is_gone(each, now)]
        if run.mark(wave.name).done_at is not None:
            continue
        if waits := _why_not_yet(run, wave, now.at):
            asking = [Ask(name) for name in _asking(run, wave, now.at) if waits.kind == "asked"]
            deeds += [each for each in asking if each not in deeds]
            deeds.append(waits)
        elif all(each.progress in ("accepted", "failed", "skipped") for each in by_wave[wave.name]):
            done = _done(wave, by_wave[wave.name])
            if isinstance(done, Stop):
                return [done]  # nothing of the other waves either
            deeds.append(done)
        else:
            deeds += _begin(wave, mine, desk, now)
    if all(run.mark(wave.name).done_at is not None for wave in run.plan.waves):
        deeds.append(End("ended"))
    return deeds


def _is_gone(member: Member, now: Now) -> bool:
    return member.progress == "waiting" and member.service in now.missing


def _why_not_yet(run: Run, wave: Wave, now: float) -> Wait | None:
    """What a wave that has not begun waits for: another wave, its soak, a person's word."""
    for name in wave.after:
        before, mark = run.plan.wave(name), run.mark(name)
        if mark.done_at is None:
            return Wait(wave.name, f"wave {name} is not done", kind="after")
        ends = soak_ends(mark, before.limits)
        if now < ends:
            return Wait(wave.name, f"the soak of wave {name}", until=ends, kind="soak")
        if before.limits.go_on == "asked" and mark.went_on_at is None:
            ask = f"a person's word after wave {name}: {go_on_command(run.campaign)}"
            return Wait(wave.name, ask, kind="asked")
    return None


def _asking(run: Run, wave: Wave, now: float) -> list[str]:
    """The waves before it that are through and that nobody was asked about yet."""
    return [
        name
        for name in wave.after
        if run.plan.wave(name).limits.go_on == "asked"
        and (mark := run.mark(name)).done_at is not None
        and mark.went_on_at is mark.asked_at is None
        and now >= soak_ends(mark, run.plan.wave(name).limits)
    ]


def go_on_command(campaign: str) -> str:
    return f"rollout wave go-on {campaign}"


def soak_ends(mark: Mark, limits: Limits) -> float:
    """Only time in which somebody looked is soaked."""
    return (mark.done_at or 0.0) + limits.soak_s + mark.lost_s


def _done(wave: Wave, members: Sequence[Member]) -> Deed:
    """The first wave proves the patch for the rest: one in which nothing runs it proves nothing."""
    proven = [each for each in members if each.progress == "accepted" or each.skipped == "nothing_to_do"]
    if proven:
        return WaveDone(wave.name)
    why = next((each.why or each.skipped for each in members if each.skipped), "all of it was put back")
    return Stop(
        f"wave {wave.name} proved nothing: none of its {len(members)} services runs the patch ({why}); it cannot be "
        f"resumed, only aborted and started anew"
    )


@dataclass
class _Desk:
    """What several waves that move at the same time share in one look."""

    room: Room
    apart: Apart
    budget: int


def _begin(wave: Wave, mine: Sequence[Member], desk: _Desk, now: Now) -> list[Deed]:
    """What of a wave whose turn it is may begin now, in order."""
    deeds: list[Deed] = _waits_of_moving(wave, mine)
    waiting = [each for each in mine if each.progress == "waiting"]
    if waiting and now.closed:
        return [*deeds, Wait(wave.name, now.closed, until=now.opens_at, kind="window")]
    slots = wave.limits.max_parallel - sum(each.progress in ("moving", "failing") for each in mine)
    for each in desk.apart.in_order(wave, waiting):
        if too := _too_large(wave.limits, each):
            deeds.append(too)
        elif now.at < each.not_before <= now.at + LONGEST_WAIT_S:
            deeds.append(Wait(wave.name, each.why, until=each.not_before, service=each.service, kind="retry"))
        elif slots <= 0 or desk.budget <= 0:
            deeds.append(Wait(wave.name, f"{wave.limits.max_parallel} of it may move at once", kind="parallel"))
            break
        elif why := desk.apart.keeps_out(wave, each.service) or desk.room.lacks(wave, each.hosts or 1):
            deeds.append(Wait(wave.name, why, service=each.service, kind="room"))
            break  # in order, for else a large service would never find room
        else:
            deeds.append(Begin(each.service, wave.name))
            desk.room.take(wave, each.hosts or 1)
            desk.apart.enter(wave, each.service)
            slots, desk.budget = slots - 1, desk.budget - 1
    return deeds


def _waits_of_moving(wave: Wave, members: Iterable[Member]) -> list[Deed]:
    stuck = [each for each in members if each.progress == "failing" and each.outcome == "halted"]
    return [
        Wait(wave.name, f"a person is needed: rollout status {each.rollout}", service=each.service, kind="halted")
        for each in stuck
    ]


def _too_large(limits: Limits, member: Member) -> Skip | None:
    """It would wait for ever: even alone it is more than may be at once."""
    most = [limit for limit in (limits.max_unproven_hosts, limits.max_extra_instances) if limit is not None]
    if member.hosts is None or not most or member.hosts <= min(most):
        return None
    return Skip(member.service, "too_large", f"has {member.hosts} hosts, and the wave may have {min(most)} at once")


@dataclass
class Apart:
    """One zone or region at a time: who moves now, and what may move beside it."""

    places: Mapping[str, Place]
    moving: list[tuple[Place, Wave]]

    @classmethod
    def of(cls, run: Run, members: Iterable[Member]) -> Apart:
        waves = {each.name: each for each in run.plan.waves}
        moving = [each for each in members if each.is_open and each.progress in ("moving", "failing")]
        return cls(run.plan.places, [(run.plan.places[each.service], waves[each.wave]) for each in moving])

    def keeps_out(self, wave: Wave, service: str) -> str:
        """Why it must not move beside what moves; a wave beside its own may be the stricter of the two."""
        place = self.places[service]
        for other, moves in self.moving:
            for spread in (wave.limits.one_at_a_time, moves.limits.one_at_a_time):
                if place.apart(spread) != other.apart(spread):
                    return f"one {spread} at a time, and {other.apart(spread)[-1] or 'another'} is under way"
        return ""

    def enter(self, wave: Wave, service: str) -> None:
        self.moving.append((self.places[service], wave))

    def in_order(self, wave: Wave, members: Sequence[Member]) -> list[Member]:
        """As in the plan, but what is in the zone that is under way first, so that one is through before the next."""
        spread = wave.limits.one_at_a_time
        if spread == "none":
            return list(members)
        under_way = {place.apart(spread) for place, _ in self.moving}
        order = list(dict.fromkeys(self.places[each.service].apart(spread) for each in members))
        rank = {apart: (apart not in under_way, index) for index, apart in enumerate(order)}
        return sorted(members, key=lambda each: rank[self.places[each.service].apart(spread)])
