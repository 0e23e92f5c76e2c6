"""The simulated cloud's limits: what a call waits for, and when it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Service, Throttled, weights_for
from providers.memory.adapter import provider_for
from providers.memory.clock import VirtualClock
from providers.memory.cloud import SimCloud
from providers.memory.limits import Limits, Rate, Throttle

SHOP = Service("shop")


def one_for_each_service(call: str, services: int, detail: tuple[Any, ...]) -> Mapping[str, int]:
    """What a call costs here."""
    return {"all": services}


def a_cloud(clock: VirtualClock, **rate: float) -> SimCloud:
    """`shop`, in a cloud that may be called twice at once and every other second."""
    limits = Limits({"all": Rate(**{"size": 2, "refill": 0.5, **rate})}, one_for_each_service)
    cloud = SimCloud(clock, limits=limits)
    cloud.add_image("base-1")
    cloud.add_service("shop", image="base-1", capacity=1)
    return cloud


def test_calls_beyond_the_bucket_wait_for_its_refill() -> None:
    """Otherwise a wave is measured against a cloud that answers any number of calls."""
    clock = VirtualClock()
    traffic, began = provider_for(a_cloud(clock)).traffic, clock.now()
    for _ in range(2):
        traffic.route(SHOP)
    assert clock.now() == began
    traffic.route(SHOP)
    assert clock.now() - began == pytest.approx(2.0)


def test_who_would_wait_for_too_long_is_refused_and_nothing_is_applied() -> None:
    """Otherwise a write that was given up on moves traffic all the same."""
    clock = VirtualClock()
    cloud = a_cloud(clock, size=1, refill=0.25)
    provider = provider_for(cloud)
    seen = provider.traffic.route(SHOP)
    with pytest.raises(Throttled, match="due in 4"):
        provider.traffic.set_weights(SHOP, weights_for("blue", 100), seen, "t")
    assert not cloud.mutations
    assert cloud.throttle is not None
    assert cloud.throttle.refused == {"all": 1}


def test_a_refused_call_takes_no_token() -> None:
    """Otherwise calls that are refused keep those out that wait in turn."""
    clock = VirtualClock()
    provider = provider_for(a_cloud(clock, size=1, refill=0.25))
    provider.traffic.route(SHOP)
    for _ in range(5):
        with pytest.raises(Throttled):
            provider.traffic.route(SHOP)
    clock.sleep(4.0)
    provider.traffic.route(SHOP)


def test_a_read_of_many_costs_as_many_as_it_is_said_to() -> None:
    """Otherwise reading by pages looks no cheaper than reading one by one."""
    clock = VirtualClock()
    cloud = a_cloud(clock, size=10)
    provider_for(cloud).traffic.observe([SHOP, Service("other")])
    assert cloud.throttle is not None
    assert cloud.throttle.requests == {"all": 2}


@given(
    size=st.integers(1, 20),
    refill=st.floats(0.5, 50.0),
    pauses=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=60),
)
def test_no_more_is_granted_than_size_and_refill_allow(size: int, refill: float, pauses: list[float]) -> None:
    """Otherwise the bound of a wave is beaten by a bucket that leaks."""
    clock = VirtualClock()
    throttle = Throttle(Limits({"all": Rate(size, refill)}, one_for_each_service), clock)
    began = clock.now()
    for pause in pauses:
        clock.sleep(pause)
        try:
            throttle.spend("traffic.route", 1, (), is_write=False)
        except Throttled:
            continue
        assert throttle.requests["all"] <= size + refill * (clock.now() - began) + 1e-3


def test_without_limits_a_call_waits_for_nothing() -> None:
    """Otherwise every simulation and demonstration is slowed down."""
    clock = VirtualClock()
    cloud = SimCloud(clock)
    cloud.add_image("base-1")
    cloud.add_service("shop", image="base-1", capacity=1)
    began = clock.now()
    for _ in range(1000):
        provider_for(cloud).traffic.route(SHOP)
    assert clock.now() == began
    assert cloud.throttle is None
