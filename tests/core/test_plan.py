"""A plan says exactly what will be done, keeps its hash, and refuses what must not even begin."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Environment, HoldMark, Instance, Patch, Route, Service, Slot
from rollout.gate import GateRule
from rollout.journal import GENESIS, Entry, Journal, next_entry
from rollout.plan import (
    DEADLINES,
    GATES,
    STORY,
    CheckSpec,
    Gate,
    Plan,
    StalePlan,
    UnsafePlan,
    capacity_needed,
    changes_nothing,
    choose_original,
    raise_if_mixed,
    raise_if_stale,
    raise_if_unsafe,
)
from tests.core.scene import a_plan

TEXT = st.text(max_size=8)
OPTIONS = st.dictionaries(TEXT, st.integers() | TEXT | st.lists(TEXT, max_size=2) | st.none(), max_size=3)
SECONDS = st.floats(0, 1e6)
RULES = st.builds(GateRule, passes=st.integers(1, 9), failures=st.integers(1, 9), interval_s=SECONDS, soak_s=SECONDS)
CHECKS = st.lists(st.builds(CheckSpec, TEXT, TEXT, OPTIONS), min_size=1, max_size=3).map(tuple)
SLOTS: list[Slot] = ["blue", "green"]
PLANS = st.builds(
    Plan,
    service=st.builds(Service, TEXT, OPTIONS),
    provider=TEXT,
    coexist=st.just("safe"),
    patch=st.builds(Patch, TEXT, st.dictionaries(TEXT, TEXT, min_size=1, max_size=2), st.dictionaries(TEXT, TEXT)),
    original=st.sampled_from(SLOTS),
    original_image=TEXT,
    original_fingerprint=st.dictionaries(TEXT, TEXT, max_size=3),
    app_version=st.none() | TEXT,
    capacity=st.integers(1, 500),
    steps=st.lists(st.integers(1, 99), unique=True, max_size=4).map(lambda steps: (*sorted(steps), 100)),
    gates=st.fixed_dictionaries({name: st.builds(Gate, RULES, CHECKS) for name in GATES}),
    keep_warm_s=SECONDS,
    on_rollback=st.sampled_from(["drain", "cut"]),
    made_at=SECONDS,
)


def from_disk(plan: Plan) -> Plan:
    """The plan after it was saved and read."""
    return Plan.from_json(json.loads(json.dumps(plan.to_json())))


@given(PLANS)
def test_a_plan_survives_being_saved(plan: Plan) -> None:
    """What was approved is not what is carried out."""
    again = from_disk(plan)
    assert again.hash == plan.hash
    assert again.steps == plan.steps and again.replacement == plan.replacement
    assert from_disk(again) == again


@given(PLANS)
def test_a_saved_plan_of_an_unchanged_service_is_not_stale(plan: Plan) -> None:
    """`rollout start --plan` refuses a plan that nothing contradicts."""
    raise_if_stale(from_disk(plan), replace(plan, made_at=plan.made_at + 60))


def test_options_may_hold_tuples() -> None:
    """A plan of a provider with lists in its options is stale as soon as it is saved."""
    plan = a_plan(service=Service("shop", {"ports": (1, 2), "images": {"a": ("x",)}}))
    raise_if_stale(from_disk(plan), plan)


@given(PLANS)
def test_the_hash_does_not_depend_on_the_order_of_keys(plan: Plan) -> None:
    """The same plan has another hash on the next machine, and its approval is void."""
    data = plan.to_json()
    backwards = {key: data[key] for key in reversed(list(data))}
    assert Plan.from_json(json.loads(json.dumps(backwards))).hash == plan.hash


CHANGES: dict[str, Any] = {
    "service": Service("cart"),
    "provider": "local",
    "coexist": "switched",
    "patch": Patch("base-3", {"memory": "base-3"}),
    "original": "green",
    "original_image": "base-0",
    "original_fingerprint": {"flavour": "large"},
    "app_version": "2.0",
    "capacity": 3,
    "steps": (10, 100),
    "gates": {name: Gate(GateRule(passes=9), (CheckSpec("http", "http"),)) for name in GATES},
    "settle_s": 9.0,
    "keep_warm_s": 9.0,
    "on_rollback": "cut",
    "approval": "required",
    "deadlines": {**DEADLINES, "patch": 9.0},
    "notice_s": 9.0,
    "rollback_while_warm": True,
    "story": STORY + 1,
}


@pytest.mark.parametrize("field", sorted(CHANGES))
def test_any_change_is_another_plan_and_makes_a_saved_one_stale(field: str) -> None:
    """Something else is carried out than was looked at, under the same approval."""
    plan, changed = a_plan(), a_plan(**{field: CHANGES[field]})
    assert plan.hash != changed.hash
    with pytest.raises(StalePlan, match=f"{field} was .*, is ") as stale:
        raise_if_stale(plan, changed)
    assert len(stale.value.differences) == 1


def test_every_field_that_matters_is_compared() -> None:
    """A new field of the plan is forgotten when staleness is judged."""
    assert set(CHANGES) | {"made_at", "concerns", "window", "wave", "cold"} == set(Plan.__dataclass_fields__)


def test_a_stale_plan_names_the_service_and_the_next_command() -> None:
    """CI fails with a difference and no word of which service it is, or what to do now."""
    with pytest.raises(StalePlan) as stale:
        raise_if_stale(a_plan(), a_plan(capacity=3, app_version="2.0"))
    assert stale.value.differences == ("app_version was null, is 2.0", "capacity was 2, is 3")
    assert str(stale.value) == (
        "shop changed since the plan was made: app_version was null, is 2.0; capacity was 2, is 3. "
        "Nothing was begun. Make a new plan: rollout plan shop --out FILE"
    )


def test_how_long_connections_may_drain_is_one_of_the_deadlines() -> None:
    """The limit that a user wrote into the fleet file is in the plan, and nothing heeds it."""
    assert "drain_limit" in DEADLINES and "drain_limit_s" not in Plan.__dataclass_fields__


# Capacity


def journal_of(*done: tuple[str, Any]) -> Journal:
    """A journal of these done steps and what they returned."""
    entries = list[Entry]()
    for seq, (step, value) in enumerate(done, start=1):
        data = {"value": value}
        entries.append(next_entry("shop-1", seq, GENESIS, at=1.0, epoch=1, kind="done", step=step, data=data))
    return Journal(entries)


def test_capacity_follows_what_the_original_grew_to() -> None:
    """Checks, floors and the way back are content with less than the service needs now."""
    assert capacity_needed(a_plan(), journal_of()) == 2
    assert capacity_needed(a_plan(), journal_of(("launch", {"capacity": 3}))) == 3
    assert capacity_needed(a_plan(), journal_of(("launch", {"capacity": 3}), ("grow:1", {"capacity": 5}))) == 5


@given(
    st.lists(st.tuples(st.sampled_from(["launch", "grow:1", "grow:2", "grow:10"]), st.integers(0, 50)), max_size=5),
    st.integers(1, 20),
)
def test_capacity_is_never_less_than_planned_nor_less_than_seen(grown: list[tuple[str, int]], planned: int) -> None:
    """A service that shrank for a moment gets a mirror that is too small for the morning."""
    journal = journal_of(*((step, {"capacity": capacity}) for step, capacity in grown))
    needed = capacity_needed(a_plan(capacity=planned), journal)
    assert needed == max([planned, *dict(grown).values()])


def test_only_what_grew_counts_as_needed() -> None:
    """The size of something else is taken for what the service needs."""
    other = journal_of(("mirror", {"capacity": 9}), ("back:capacity", {"capacity": 9}), ("growth", {"capacity": 9}))
    assert capacity_needed(a_plan(), other) == 2


def test_long_differences_are_shortened() -> None:
    """The difference that matters is lost in pages of options."""
    with pytest.raises(StalePlan) as stale:
        raise_if_stale(a_plan(), a_plan(service=Service("shop", {"x": "y" * 5000})))
    assert len(stale.value.differences[0]) < 160 and len(str(stale.value)) < 300


def test_what_is_no_plan_is_not_read_as_one() -> None:
    """A mistyped plan file is carried out with defaults for what it does not say."""
    data = a_plan().to_json()
    for broken in ({**data, "surprise": 1}, {key: value for key, value in data.items() if key != "service"}, {}):
        with pytest.raises((KeyError, TypeError)):
            Plan.from_json(broken)


# Unsafe


def test_a_good_plan_is_not_refused() -> None:
    """Nothing can be rolled out."""
    raise_if_unsafe(a_plan(), {})


def unsafe(denials: dict[str, str] | None = None, **changes: Any) -> str:
    """Why a plan with these changes is refused."""
    with pytest.raises(UnsafePlan) as refused:
        raise_if_unsafe(a_plan(**changes), denials or {})
    return str(refused.value)


def test_a_service_that_cannot_run_twice_is_refused_with_a_procedure() -> None:
    """Two leaders run at once, and a user does not know how to patch instead."""
    message = unsafe(coexist="forbidden")
    assert "shop" in message and "stop the service, take a backup, patch, start, check" in message


@pytest.mark.parametrize("coexist", ["", "unknown"])
def test_an_unknown_word_about_coexistence_is_refused(coexist: str) -> None:
    """Queue workers run twice and do each job twice."""
    assert "allowed: safe, switched" in unsafe(coexist=coexist)


@pytest.mark.parametrize("steps", [(10, 50, 100), (50, 100), (99, 100)])
def test_a_switched_service_has_no_steps_between(steps: tuple[int, ...]) -> None:
    """A tenth of a queue's work is promised, and all of it is moved."""
    assert "Write: traffic: {steps: [100]}" in unsafe(coexist="switched", steps=steps)
    raise_if_unsafe(a_plan(coexist="switched", steps=(100,)), {})


def test_a_denied_image_is_refused_with_the_reason_and_the_way_to_lift_it() -> None:
    """A patch that broke the service last night is rolled out again."""
    message = unsafe({"base-2": "http failed"})
    assert "base-2 is denied (http failed)" in message and "rollout deny shop base-2 --lift" in message


def test_denying_one_member_denies_the_patch() -> None:
    """An image that broke in one region is rolled out because the other region's is fine."""
    patch = Patch("base-2", {"eu": "ami-1", "us": "ami-2"})
    assert "denied" in unsafe({"ami-2": "broke"}, patch=patch)


@pytest.mark.parametrize("steps", [(), (50,), (100, 50), (50, 50, 100), (100, 100)])
def test_steps_that_do_not_rise_to_100_are_refused(steps: tuple[int, ...]) -> None:
    """A rollout ends with half of the traffic on each side."""
    assert "must rise and end in 100" in unsafe(steps=steps)


@pytest.mark.parametrize("gate", ["preflight", "replacement", "live"])
def test_a_gate_without_checks_is_refused(gate: str) -> None:
    """A patch is promoted though nothing was proven."""
    plan = a_plan()
    gates = {**plan.gates, gate: Gate(plan.gates[gate].rule, ())}
    assert f"no checks in the {gate} gate" in unsafe(gates=gates)


def test_every_gate_without_checks_is_named() -> None:
    """A person repairs one gate after the other, and is refused anew each time."""
    rule = a_plan().gates["live"].rule
    message = unsafe(gates=dict.fromkeys(GATES, Gate(rule, ())))
    assert "no checks in the preflight and replacement and live gate" in message


def test_a_service_that_runs_the_image_has_nothing_to_do() -> None:
    """A nightly wave replaces every healthy service by itself."""
    assert changes_nothing(a_plan(original_image="base-2"))
    assert not changes_nothing(a_plan())


# The original


def environments(**changes: Any) -> dict[Slot, Environment]:
    """Blue stands, green does not."""
    return {"blue": replace(Environment("blue", "base-1", 2), **changes), "green": Environment("green")}


def test_the_slot_with_all_traffic_is_the_original() -> None:
    """The side that serves is patched."""
    found = choose_original("shop", environments(), Route({"blue": 100, "green": 0}, "r1"))
    assert found.slot == "blue"


def test_a_label_is_not_a_role() -> None:
    """The second rollout in a row patches the side that serves."""
    both = {**environments(), "green": Environment("green", "base-2", 2)}
    assert choose_original("shop", both, Route({"blue": 0, "green": 100}, "r1")).slot == "green"


@pytest.mark.parametrize(
    ("route", "changes", "message"),
    [
        (Route({"blue": 100, "green": 0}, "r", HoldMark("shop-0", 1, "blue", "me", 1.0)), {}, "rollout resume shop-0"),
        (Route({"blue": 60, "green": 40}, "r"), {}, r"served by both slots \(blue 60 %, green 40 %\)"),
        (Route({"blue": 100, "green": 0}, "r"), {"image": None}, "no capacity"),
        (Route({"blue": 100, "green": 0}, "r"), {"capacity": 0}, "no capacity"),
    ],
    ids=["marked", "split", "absent", "empty"],
)
def test_a_service_without_a_clear_original_is_refused(route: Route, changes: dict[str, Any], message: str) -> None:
    """A rollout begins without a side that it could go back to."""
    with pytest.raises(UnsafePlan, match=message):
        choose_original("shop", environments(**changes), route)


def test_an_original_whose_hosts_run_something_else_is_refused() -> None:
    """A rollback launches what was never seen to work, or "it runs that already" is said of hosts that do not."""
    blue = Environment("blue", "base-2", capacity=2)
    old = Instance("i-1", "blue", "running", "base-1", "10.0.0.1:80")
    with pytest.raises(UnsafePlan, match=r"hosts of blue run base-1, but it would launch base-2"):
        raise_if_mixed("shop", blue, [replace(old, image="base-2"), old])
    others = [replace(old, slot="green"), replace(old, state="failed"), replace(old, image=None)]
    raise_if_mixed("shop", blue, [*others, replace(old, image="base-2")])
