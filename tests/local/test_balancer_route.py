"""Which target a request goes to: pure, with made-up time and chance."""

from __future__ import annotations

import random

from providers.local.balancer.route import RouteTable
from providers.local.balancer.state import State

B1, B2, G1 = "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"


def table(blue: int = 100, green: int = 0) -> RouteTable:
    """Two targets in blue, one in green, none asked yet."""
    state = State(1, {"blue": blue, "green": green}, {"blue": (B1, B2), "green": (G1,)})
    return RouteTable(state, fall=2, rise=2, now=lambda: 1.0, changed=lambda line: None, chance=random.Random(7))


def test_weights_share_the_requests() -> None:
    """Else a canary of 10 % is not one."""
    routes = table(90, 10)
    green = sum(routes.choose_slot() == "green" for _ in range(10_000))
    assert 800 < green < 1200


def test_weight_0_is_never_chosen() -> None:
    """Else traffic reaches a side that it was taken from."""
    assert {table(100, 0).choose_slot() for _ in range(1000)} == {"blue"}
    assert {table(0, 1).choose_slot() for _ in range(1000)} == {"green"}


def test_an_unknown_target_gets_nothing_until_its_first_pass() -> None:
    """Else clients wait for an instance that is still starting."""
    routes = table()
    assert routes.candidates("blue") == []
    routes.passed(B1)
    assert routes.candidates("blue") == [B1]


def test_healthy_targets_take_turns() -> None:
    """Else one instance carries the whole slot."""
    routes = table()
    routes.passed(B1)
    routes.passed(B2)
    firsts = [routes.candidates("blue")[0] for _ in range(4)]
    assert sorted(firsts[:2]) == sorted(firsts[2:]) == [B1, B2]


def test_one_failed_check_is_not_enough_and_coming_back_takes_two() -> None:
    """Else one lost packet takes an instance out, or a flapping one back in."""
    routes = table()
    routes.passed(G1)
    routes.failed(G1, "slow")
    assert routes.candidates("green") == [G1]
    routes.failed(G1, "slow")
    assert routes.candidates("green") == []
    routes.passed(G1)
    assert routes.candidates("green") == []
    routes.passed(G1)
    assert routes.candidates("green") == [G1]


def test_a_refused_connection_ejects_until_the_next_pass() -> None:
    """Else every request tries a dead instance first, until the checks notice."""
    routes = table()
    routes.passed(G1)
    routes.refused(G1, "refused")
    assert routes.candidates("green") == []
    routes.passed(G1)
    assert routes.candidates("green") == [G1]


def test_what_is_known_of_a_target_survives_a_change_of_weights() -> None:
    """Else each swap starts with nobody healthy."""
    routes = table()
    routes.passed(B1)
    routes.passed(G1)
    routes.adopt(routes.state.with_weights({"blue": 0, "green": 100}, "swap"))
    assert routes.candidates("green") == [G1]
    routes.adopt(routes.state.with_targets("blue", [], "park"))
    routes.failed(B1, "a late answer about a target that is gone")
    assert [t["address"] for t in routes.describe()["blue"]] == []
