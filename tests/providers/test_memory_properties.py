"""Whatever is called in whatever order, the simulated cloud keeps its own rules."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from providers.base import HoldMark, ProviderError, Slot
from providers.memory import rollback
from tests.providers.memory_world import World

SLOT = st.sampled_from(["blue", "green"])
TOKEN = st.sampled_from([f"t{number}" for number in range(8)])
CALL = st.one_of(
    st.tuples(st.just("mirror"), SLOT, TOKEN, st.sampled_from(["base-1", "base-2"])),
    st.tuples(st.just("scale"), SLOT, TOKEN, st.integers(0, 4)),
    st.tuples(st.just("set_floor"), SLOT, TOKEN, st.integers(0, 3)),
    st.tuples(st.just("attach"), SLOT, TOKEN, st.none()),
    st.tuples(st.just("set_weights"), SLOT, TOKEN, st.integers(-10, 110)),
    st.tuples(st.just("put_back"), SLOT, TOKEN, st.integers(0, 100)),
    st.tuples(st.just("detach"), SLOT, TOKEN, st.none()),
    st.tuples(st.just("park"), SLOT, TOKEN, st.none()),
    st.tuples(st.just("delete"), SLOT, TOKEN, st.none()),
    st.tuples(st.just("mark"), SLOT, TOKEN, st.integers(1, 3)),
    st.tuples(st.just("kill"), SLOT, TOKEN, st.integers(1, 3)),
    st.tuples(st.just("pass"), SLOT, TOKEN, st.floats(0, 100)),
    st.tuples(st.just("late"), SLOT, TOKEN, st.floats(0, 5)),
    st.tuples(st.just("lose"), SLOT, TOKEN, st.booleans()),
)
Call = tuple[str, Slot, str, Any]


def play(calls: list[Call], seed: int = 0) -> tuple[World, list[object]]:
    """Make these calls; what each one answered or refused."""
    world = World(seed, key="properties")
    world.cloud.watchers.append(lambda _: _rules(world))
    answers: list[object] = []
    for call in calls:
        try:
            answers.append(_make(world, *call))
        except ProviderError as error:
            answers.append((type(error).__name__, str(error)))
        _rules(world)
    return world, answers


def _make(world: World, name: str, slot: Slot, token: str, value: Any) -> object:
    shop, switches = world.shop, world.cloud.switches
    compute: Any = world.compute
    traffic: Any = world.traffic
    beside: Slot = "green" if slot == "blue" else "blue"
    if name == "mirror":
        return compute.mirror(shop, beside, slot, value, "rollout-1", token)
    if name in ("scale", "set_floor"):
        return getattr(compute, name)(shop, slot, value, token)
    if name == "park":
        return compute.park(shop, slot, token)
    if name == "delete":
        return compute.delete_if_owned(shop, slot, "rollout-1", token)
    if name == "attach":
        mine = [i for i in compute.observe([shop])["shop"] if i.slot == slot]
        return traffic.attach(shop, slot, mine, token)
    if name == "set_weights":
        return traffic.set_weights(shop, {slot: value, beside: 100 - value}, traffic.route(shop), token)
    if name == "put_back":
        return rollback.put_back(traffic.card_target(shop), {slot: value, beside: 100 - value}, token)
    if name == "detach":
        return traffic.detach(shop, slot, token)
    if name == "mark":
        return traffic.mark(shop, HoldMark("r", value, slot, "ana", 1.0), token)
    if name == "kill":
        world.cloud.kill("shop", slot, value)
    if name == "pass":
        world.passes(value)
    if name == "late":
        switches.late = {"writes": value} if value > 1 else {}
    if name == "lose":
        switches.lost_reply = {"writes": True} if value else {}
    return traffic.observe([shop])["shop"]


def _rules(world: World) -> None:
    seen = world.cloud.snapshot("shop")
    svc = world.cloud.services["shop"]
    assert sum(seen["weights"].values()) == sum(svc.observed.values()) == 100
    assert all(0 <= share <= 100 for share in seen["weights"].values())
    for slot, share in seen["weights"].items():
        environment = seen["slots"][slot]
        if share:
            assert environment is not None and environment["attached"]
        if environment is not None:
            assert environment["capacity"] >= environment["floor"]
            assert len(svc.slots[slot].instances) <= environment["capacity"]


@given(st.lists(CALL, max_size=40))
@settings(max_examples=150, deadline=None)
def test_the_route_is_always_whole(calls: list[Call]) -> None:
    """Otherwise simulations find outages, or miss them, that no real platform would allow."""
    play(calls)


@given(st.lists(CALL, max_size=40))
@settings(max_examples=100, deadline=None)
def test_no_token_takes_effect_twice(calls: list[Call]) -> None:
    """Otherwise a simulation cannot tell whether the program repeats itself."""
    world, _ = play(calls)
    effects = [(mutation.call, mutation.token) for mutation in world.cloud.mutations if mutation.token]
    assert len(effects) == len(set(effects))


@given(st.lists(CALL, max_size=40), st.integers(0, 5))
@settings(max_examples=75, deadline=None)
def test_the_same_calls_and_seed_give_the_same_cloud(calls: list[Call], seed: int) -> None:
    """Otherwise a failed simulation cannot be repeated."""
    (one, first), (two, second) = play(calls, seed), play(calls, seed)
    assert first == second
    assert one.cloud.mutations == two.cloud.mutations
    assert one.cloud.snapshot("shop") == two.cloud.snapshot("shop")


@given(st.lists(CALL, max_size=40))
@settings(max_examples=75, deadline=None)
def test_counters_never_shrink(calls: list[Call]) -> None:
    """Otherwise a gate in a simulation sees negative requests."""
    world, _ = play(calls)
    before = world.traffic.observe([world.shop])["shop"].counters
    world.passes(33)
    after = world.traffic.observe([world.shop])["shop"].counters
    for slot, counted in before.items():
        assert after[slot].requests >= counted.requests
        assert after[slot].failed >= counted.failed
        assert sum(after[slot].responses.values()) + after[slot].failed == after[slot].requests
