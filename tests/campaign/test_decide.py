"""What a campaign does next never breaks one of its limits, whatever its rollouts, people and the time do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.campaign.decide import (
    Begin,
    Deed,
    End,
    Hush,
    Now,
    Room,
    Skip,
    Stop,
    TurnBack,
    Wait,
    Wake,
    WaveDone,
    decide,
    failures,
    soak_ends,
)
from rollout.campaign.model import CampaignPlan, Limits, Mark, Member, Pin, Place, Run, State, Wave

NOW = 1_000_000.0
ZONES = ("a", "b", "c")


def a_plan(*waves: Wave, zones: dict[str, str] | None = None, deadline_s: float | None = None) -> CampaignPlan:
    """A campaign over these waves, all in one account."""
    services = [service for wave in waves for service in wave.services]
    places = {name: Place("memory", "1", "r", (zones or {}).get(name, "")) for name in services}
    pins = (Pin("memory", "1", "r", "", "base-2"),)
    return CampaignPlan("monthly", "base", waves, places, pins, deadline_s)


def a_run(*waves: Wave, zones: dict[str, str] | None = None, deadline_s: float | None = None, **more: Any) -> Run:
    """A run of them that has just begun."""
    plan = a_plan(*waves, zones=zones, deadline_s=deadline_s)
    return Run("monthly-1", "monthly", plan, "ops", "", "", NOW, **more)


def a_wave(name: str, *services: str, after: tuple[str, ...] = (), **limits: Any) -> Wave:
    """One wave."""
    return Wave(name, after, services, Limits(**limits))


def fresh(run: Run) -> list[Member]:
    """All its services, none begun."""
    return [Member(service, wave.name) for wave in run.plan.waves for service in wave.services]


def moved(member: Member, phase: str = "proving", outcome: str = "running", **more: Any) -> Member:
    """With a rollout of two hosts that has come so far."""
    return replace(member, rollout=f"{member.service}-1", phase=phase, outcome=outcome, hosts=2, **more)


def accepted(member: Member) -> Member:
    """Promoted, the old side warm."""
    return moved(member, "warm", "promoted")


def kinds(deeds: Sequence[Deed]) -> list[str]:
    """What they are."""
    return [type(deed).__name__ for deed in deeds]


def begins(deeds: Sequence[Deed]) -> list[str]:
    """The services that begin."""
    return [deed.service for deed in deeds if isinstance(deed, Begin)]


def the(deeds: Sequence[Deed], kind: type) -> Any:
    """The only deed of its kind."""
    (found,) = (deed for deed in deeds if isinstance(deed, kind))
    return found


# One by one


def test_no_more_than_may_move_at_once() -> None:
    """Everything of a wave is patched at the same time, and a bad patch is everywhere."""
    run = a_run(a_wave("all", *"abcd", max_parallel=3))
    assert begins(decide(run, fresh(run), Now(NOW))) == ["a", "b", "c"]
    a, b, c, d = fresh(run)
    assert begins(decide(run, [accepted(a), moved(b), moved(c), d], Now(NOW))) == ["d"]


def test_hosts_that_are_not_proven_are_limited() -> None:
    """More hosts than was said run a patch that nothing has proven yet."""
    run = a_run(a_wave("all", *"abc", max_parallel=9, max_unproven_hosts=4))
    a, b, c = fresh(run)
    deeds = decide(run, [moved(a), replace(b, hosts=3), c], Now(NOW))
    assert begins(deeds) == [] and "2 of 4 unproven hosts" in the(deeds, Wait).why
    assert begins(decide(run, [accepted(a), replace(b, hosts=3), c], Now(NOW))) == ["b", "c"]


def test_warm_sides_of_earlier_waves_count_as_extra() -> None:
    """The account's quota is used up by what the waves before keep warm."""
    first, second = a_wave("one", "a", soak_s=0.0), a_wave("two", "b", after=("one",), max_extra_instances=3)
    run = a_run(first, second, marks={"one": Mark(done_at=NOW - 1)})
    a, b = fresh(run)
    deeds = decide(run, [accepted(a), replace(b, hosts=2)], Now(NOW))
    assert begins(deeds) == [] and "2 of 3 extra instances" in the(deeds, Wait).why
    retired = moved(a, "retired", "promoted", closed=True)
    assert begins(decide(run, [retired, replace(b, hosts=2)], Now(NOW))) == ["b"]


def test_a_service_that_never_fits_is_left_out() -> None:
    """One large service holds its wave up for ever."""
    run = a_run(a_wave("all", "a", "b", max_unproven_hosts=4))
    a, b = fresh(run)
    deeds = decide(run, [replace(a, hosts=9), b], Now(NOW))
    assert the(deeds, Skip).service == "a" and begins(deeds) == ["b"]


def test_one_zone_at_a_time() -> None:
    """Two zones are patched at once, and with both goes the service that was spread over them."""
    run = a_run(
        a_wave("all", *"abcd", max_parallel=9, one_at_a_time="zone"), zones={"a": "x", "b": "y", "c": "x", "d": "y"}
    )
    a, b, c, d = fresh(run)
    deeds = decide(run, [a, b, c, d], Now(NOW))
    assert begins(deeds) == ["a", "c"] and "x is under way" in the(deeds, Wait).why
    assert begins(decide(run, [accepted(a), b, moved(c), d], Now(NOW))) == []
    assert begins(decide(run, [accepted(a), b, accepted(c), d], Now(NOW))) == ["b", "d"]


def test_a_wave_beside_a_strict_one_keeps_out_of_other_zones() -> None:
    """The wave that cares for zones is met by another one that does not."""
    strict = a_wave("strict", "a", one_at_a_time="zone")
    run = a_run(strict, a_wave("loose", "b", max_parallel=9), zones={"a": "x", "b": "y"})
    assert begins(decide(run, fresh(run), Now(NOW))) == ["a"]


@pytest.mark.parametrize(
    "failed",
    [
        {"outcome": "halted"},
        {"phase": "rolled_back", "outcome": "rolled_back", "closed": True},
        {"phase": "rolled_back", "outcome": "aborted", "closed": True},
        {"phase": "baking", "decided": True},
        {"phase": "warm", "outcome": "promoted", "decided": True},
    ],
)
def test_what_turns_back_or_halts_stops_the_campaign(failed: dict[str, Any]) -> None:
    """A patch that breaks services goes on to the next."""
    run = a_run(a_wave("all", *"abc", max_parallel=1))
    a, b, c = fresh(run)
    deeds = decide(run, [moved(a, **failed), b, c], Now(NOW))
    assert kinds(deeds) == ["Stop"] and "wave all: 1 failed" in deeds[0].why  # type: ignore[union-attr]


def test_a_failure_after_its_wave_was_done_stops_too() -> None:
    """During the soak, which is there to see just that, a rollback is not noticed."""
    run = a_run(a_wave("one", "a"), a_wave("two", "b", after=("one",)), marks={"one": Mark(done_at=NOW)})
    a, b = fresh(run)
    assert kinds(decide(run, [moved(a, "rolling_back", "running", decided=True), b], Now(NOW + 9))) == ["Stop"]


def test_failures_that_were_forgiven_stop_nothing() -> None:
    """A person says go on, and it stops again at once for what the person has seen."""
    run = a_run(a_wave("all", *"abc"), forgiven={"all": 1})
    a, b, c = fresh(run)
    gone = moved(a, "rolled_back", "rolled_back", closed=True)
    assert begins(decide(run, [gone, b, c], Now(NOW))) == ["b"]
    assert kinds(decide(run, [gone, moved(b, outcome="halted"), c], Now(NOW))) == ["Stop"]


def test_a_denied_image_stops_what_would_use_it() -> None:
    """An image that failed elsewhere is rolled out to the rest."""
    run = a_run(a_wave("all", "a", "b"))
    a, b = fresh(run)
    denied = Now(NOW, denied={"base-2": "it failed on 2 services"})
    assert "denied: it failed on 2 services" in the(decide(run, [moved(a), b], denied), Stop).why
    assert "Stop" not in kinds(decide(run, [moved(a), moved(b)], denied)), "nothing would use it any more"


def test_a_stop_leaves_alone_what_runs() -> None:
    """A stop tears down healthy rollouts in the middle."""
    run = a_run(a_wave("all", *"abc", max_parallel=2), state="stopped", said="wave all: 1 failed")
    a, b, c = fresh(run)
    assert kinds(decide(run, [moved(a), moved(b), c], Now(NOW))) == ["Wait"]


def test_a_pause_stops_rollouts_only_when_asked() -> None:
    """`wave pause` freezes rollouts half-way, or with --rollouts does not."""
    run = a_run(a_wave("all", *"abc", max_parallel=2), state="paused")
    a, b, c = fresh(run)
    members = [moved(a), moved(b, decided=True), c]
    assert "Hush" not in kinds(decide(run, members, Now(NOW)))
    hushed = decide(replace(run, rollouts=True), members, Now(NOW))
    assert the(hushed, Hush).service == "a", "what turns back is not paused"
    again = [moved(a, paused="monthly-1"), moved(b, paused="-"), c]
    assert "Hush" not in kinds(decide(replace(run, rollouts=True), again, Now(NOW)))
    woken = decide(replace(run, state="running"), again, Now(NOW))
    assert the(woken, Wake).service == "a", "what a person paused stays so"


def test_an_abort_puts_back_what_was_not_accepted() -> None:
    """An aborted campaign leaves services between two sides, or undoes what had been accepted."""
    run = a_run(a_wave("all", *"abc", max_parallel=2), state="aborting", rollouts=True)
    a, b, c = fresh(run)
    assert decide(run, [accepted(a), moved(b), c], Now(NOW)) == [TurnBack("b", "b-1")]
    assert kinds(decide(run, [accepted(a), moved(b, decided=True), c], Now(NOW))) == ["Wait"]
    back = moved(b, "rolled_back", "aborted", closed=True)
    assert decide(run, [accepted(a), back, c], Now(NOW)) == [End("aborted")]
    assert decide(replace(run, rollouts=False), [accepted(a), moved(b), c], Now(NOW)) == [End("aborted")]


def test_soaks_and_a_persons_word_are_waited_for() -> None:
    """The second wave begins before the first has shown what it does to people."""
    waves = (a_wave("one", "a", soak_s=600.0, go_on="asked"), a_wave("two", "b", after=("one",)))
    run = a_run(*waves, marks={"one": Mark(done_at=NOW, lost_s=100.0)})
    members = [accepted(fresh(run)[0]), fresh(run)[1]]
    soaks = the(decide(run, members, Now(NOW + 650)), Wait)
    assert (soaks.kind, soaks.until) == ("soak", NOW + 700)
    assert the(decide(run, members, Now(NOW + 700)), Wait).kind == "asked"
    went_on = replace(run, marks={"one": Mark(NOW, 100.0, NOW + 701)})
    assert begins(decide(went_on, members, Now(NOW + 702))) == ["b"]


def test_a_wave_that_proved_nothing_is_not_built_on() -> None:
    """All of the first wave is left out for some reason, and the untried patch goes to the rest."""
    run = a_run(a_wave("one", "a", "b"), a_wave("two", "c", after=("one",)))
    a, b, c = fresh(run)
    out = [replace(a, skipped="no_way", why="mixed hosts"), replace(b, skipped="held"), c]
    assert "proved nothing" in the(decide(run, out, Now(NOW)), Stop).why
    same = [replace(a, skipped="nothing_to_do"), replace(b, skipped="no_way"), c]
    assert the(decide(run, same, Now(NOW)), WaveDone).wave == "one"


def test_a_closed_window_lets_nothing_begin() -> None:
    """Work begins outside its window."""
    run = a_run(a_wave("all", "a"))
    waits = the(decide(run, fresh(run), Now(NOW, "it is outside its windows", NOW + 60)), Wait)
    assert (waits.kind, waits.until) == ("window", NOW + 60)


def test_a_service_that_left_the_file_is_left_out() -> None:
    """A service that is no more is waited for until the deadline."""
    run = a_run(a_wave("all", "a", "b"))
    a, b = fresh(run)
    gone = Now(NOW, missing=frozenset({"a", "b"}))
    deeds = decide(run, [moved(a), b], gone)
    assert the(deeds, Skip).service == "b", "what was begun goes on"


def test_the_deadline_ends_the_beginning() -> None:
    """A campaign of March patches in May."""
    run = a_run(a_wave("all", "a", "b"), deadline_s=100.0)
    a, b = fresh(run)
    assert "deadline" in the(decide(run, [moved(a), b], Now(NOW + 100)), Stop).why
    assert "Stop" not in kinds(decide(run, [moved(a), moved(b)], Now(NOW + 100)))


def test_an_ended_campaign_does_nothing() -> None:
    """A run that is over begins services again."""
    run = a_run(a_wave("all", "a"), state="ended")
    assert decide(run, fresh(run), Now(NOW)) == []


# Whatever happens


@dataclass
class World:
    """Rollouts as they may go, moved on by lot; deeds are done as the runner does them."""

    run: Run
    sizes: dict[str, int]
    members: dict[str, Member] = field(default_factory=dict)
    at: float = NOW
    closed: str = ""
    denied: dict[str, str] = field(default_factory=dict)

    def look(self) -> list[Deed]:
        """One look, and its deeds done."""
        found = list(self.members.values())
        deeds = decide(self.run, found, Now(self.at, self.closed, None, self.denied))
        room = Room(found)
        for deed in deeds:
            self.do(deed, room)
        return deeds

    def do(self, deed: Deed, room: Room) -> None:
        """One deed."""
        match deed:
            case Begin(service, wave):
                self.begin(service, self.run.plan.wave(wave), room)
            case Skip(service, kind, why):
                self.members[service] = replace(self.members[service], skipped=kind, why=why)
            case TurnBack(service):
                self.members[service] = replace(self.members[service], decided=True)
            case Hush(service):
                self.members[service] = replace(self.members[service], paused=self.run.id)
            case Wake(service):
                self.members[service] = replace(self.members[service], paused="")
            case WaveDone(wave):
                self.run = replace(self.run, marks={**self.run.marks, wave: Mark(self.at)})
            case Stop(why):
                self.run = replace(self.run, state="stopped", said=why)
            case End(state):
                self.run = replace(self.run, state=cast(State, state), ended_at=self.at)

    def begin(self, service: str, wave: Wave, room: Room) -> None:
        """As the runner does: the plan says how many hosts there are really, and may no more fit."""
        self.judge_begin(service, wave)
        hosts, member = self.sizes[service], self.members[service]
        if room.lacks(wave, hosts):
            self.members[service] = replace(member, hosts=hosts)
            return
        room.take(wave, hosts)
        self.members[service] = replace(member, rollout=f"{service}-1", phase="opened", outcome="running", hosts=hosts)
        self.judge_limits(wave)

    def judge_begin(self, service: str, wave: Wave) -> None:
        """Nothing forbids that it begins."""
        run, member = self.run, self.members[service]
        assert run.state == "running" and not self.closed and not self.denied
        assert member.progress == "waiting" and member.wave == wave.name
        for each in run.plan.waves:
            failed = len(failures(each.name, self.members.values()))
            assert failed - run.forgiven.get(each.name, 0) < each.limits.stop_after_failures
        for name in wave.after:
            mark, before = run.mark(name), run.plan.wave(name)
            assert mark.done_at is not None and self.at >= soak_ends(mark, before.limits)
            assert before.limits.go_on == "automatic" or mark.went_on_at is not None

    def judge_limits(self, wave: Wave) -> None:
        """With what was just begun, no limit is broken."""
        limits, everyone = wave.limits, list(self.members.values())
        mine = [each for each in everyone if each.wave == wave.name]
        moving = [each for each in mine if each.progress in ("moving", "failing")]
        assert len(moving) <= limits.max_parallel
        if limits.max_unproven_hosts is not None:
            assert sum(each.unproven for each in mine) <= limits.max_unproven_hosts
        if limits.max_extra_instances is not None:
            assert sum(each.extra for each in everyone) <= limits.max_extra_instances
        if limits.one_at_a_time == "zone":
            under_way = [each for each in everyone if each.progress in ("moving", "failing")]
            assert len({self.run.plan.places[each.service].zone for each in under_way}) == 1

    def happens(self, event: str, lot: int) -> None:
        """Something that is not ours to decide."""
        open_ones = [each for each in self.members.values() if each.is_open]
        each = open_ones[lot % len(open_ones)] if open_ones else None
        if event == "time":
            self.at += lot
        elif event == "window":
            self.closed = "" if self.closed else "it is outside its windows"
        elif event == "pause" and self.run.state == "running":
            self.run = replace(self.run, state="paused", rollouts=bool(lot % 2))
        elif event == "resume" and self.run.state in ("paused", "stopped"):
            forgiven = {w.name: len(failures(w.name, self.members.values())) for w in self.run.plan.waves}
            self.run = replace(self.run, state="running", rollouts=False, forgiven=forgiven)
        elif event == "go-on":
            marks = {name: replace(mark, went_on_at=self.at) for name, mark in self.run.marks.items()}
            self.run = replace(self.run, marks=marks)
        elif each is not None:
            self.members[each.service] = self.rolled_on(each, event)

    @staticmethod
    def rolled_on(each: Member, event: str) -> Member:
        """Where a rollout is after an event of its own."""
        if event == "accept" and each.progress == "moving":
            return replace(each, phase="warm", outcome="promoted")
        if event == "retire" and each.progress == "accepted":
            return replace(each, phase="retired", closed=True)
        if event == "fail" and each.progress in ("moving", "accepted"):
            return replace(each, phase="rolling_back", outcome="running", decided=True)
        if event == "halt" and each.progress == "moving":
            return replace(each, outcome="halted")
        if event == "back" and each.progress == "failing":
            return replace(each, phase="rolled_back", outcome="rolled_back", closed=True)
        return each


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Up to three waves in any order, with limits of any kind."""
    waves, zones, sizes, before = [], {}, {}, list[str]()
    for number in range(draw(st.integers(1, 3))):
        name = f"w{number}"
        services = tuple(f"{name}-{each}" for each in range(draw(st.integers(1, 6))))
        for service in services:
            zones[service], sizes[service] = draw(st.sampled_from(ZONES)), draw(st.integers(1, 4))
        some = st.none() | st.integers(1, 8)
        limits = Limits(
            draw(st.integers(1, 4)),
            draw(some),
            draw(some),
            draw(st.integers(1, 3)),
            draw(st.sampled_from([0.0, 60.0])),
            draw(st.sampled_from(["none", "zone"])),
            draw(st.sampled_from(["automatic", "asked"])),
        )
        after = tuple(draw(st.sets(st.sampled_from(before)))) if before else ()
        waves.append(Wave(name, after, services, limits))
        before.append(name)
    run = a_run(*waves, zones=zones)
    return World(run, sizes, {each.service: each for each in fresh(run)})


EVENTS = ("time", "window", "pause", "resume", "go-on", "accept", "accept", "retire", "fail", "halt", "back")


@settings(max_examples=300)
@given(worlds(), st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 100)), max_size=60))
def test_no_limit_is_ever_broken(world: World, events: list[tuple[str, int]]) -> None:
    """Under some order of events more is patched at once than was said."""
    for event, lot in events:
        deeds = world.look()
        assert not [deed for deed in deeds if isinstance(deed, TurnBack)], "nobody aborted"
        world.happens(event, lot)


@settings(max_examples=150)
@given(worlds(), st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 100)), max_size=30))
def test_once_all_goes_well_it_ends(world: World, events: list[tuple[str, int]]) -> None:
    """A campaign hangs for ever after some order of events, though nothing is in its way."""
    for event, lot in events:
        world.look()
        world.happens(event, lot)
    world.closed = ""
    for _ in range(400):
        world.look()
        if world.run.state == "ended" or "proved nothing" in world.run.said:
            return
        for event in ("resume", "go-on"):
            world.happens(event, 0)
        for service, each in world.members.items():
            for event in ("accept", "back", "retire"):
                each = world.rolled_on(each, event)
            if each.outcome == "halted":  # a person has it put back
                each = replace(each, phase="rolled_back", outcome="rolled_back", closed=True)
            world.members[service] = each
        world.at += 60
    raise AssertionError(f"{world.run.state}: {world.run.said}")


@settings(max_examples=100)
@given(worlds(), st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 100)), max_size=30))
def test_an_abort_ends_with_nothing_in_between(world: World, events: list[tuple[str, int]]) -> None:
    """After an abort something still moves, or what was accepted is undone."""
    for event, lot in events:
        world.look()
        world.happens(event, lot)
    was_accepted = {name for name, each in world.members.items() if each.progress == "accepted"}
    if world.run.ended_at is not None:
        return
    world.run = replace(world.run, state="aborting", rollouts=True)
    for _ in range(5):
        world.look()
        for service, each in world.members.items():
            world.members[service] = world.rolled_on(each, "back")
    assert world.run.state == "aborted"
    assert not [each for each in world.members.values() if each.progress == "moving"]
    assert {name for name, each in world.members.items() if each.progress == "accepted"} == was_accepted


@given(st.integers(2, 400))
def test_thousands_are_begun_in_portions(count: int) -> None:
    """One look begins ten thousand services, and is hours old before its last one."""
    names = [f"s{number}" for number in range(count)]
    run = a_run(a_wave("all", *names, max_parallel=10_000))
    assert len(begins(decide(run, fresh(run), Now(NOW)))) == min(count, 32)
