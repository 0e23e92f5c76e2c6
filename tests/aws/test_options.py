"""Options: what is wrong is said before anything is asked of AWS."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from providers.aws.options import Options, RouteOptions
from providers.base import SLOTS, Service, plain

HERE = "arn:aws:elasticloadbalancing:eu-central-1:123456789012"
LISTENER = f"{HERE}:listener/app/front/50dc6c495c0c9188/f2f7dc8efc522ab2"
RULE = f"{HERE}:listener-rule/app/front/50dc6c495c0c9188/f2f7dc8efc522ab2/9683b2d02a6cabee"
BLUE, GREEN = (f"{HERE}:targetgroup/shop-{slot}/73e2d6bc24d8a067" for slot in SLOTS)
ROUTE = {"listener": LISTENER, "blue": BLUE, "green": GREEN}
GOOD: dict[str, Any] = {"region": "eu-central-1", "blue": "shop-blue", "green": "shop-green", "routes": [ROUTE]}


def made(**more: Any) -> Options:
    """Options as a fleet file gives them."""
    return TypeAdapter(Options).validate_python({**GOOD, **more})


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"region": "Frankfurt"}, "eu-central-1"),
        ({"account": "12345"}, "12 digits"),
        ({"role": "rollout"}, "role/rollout"),
        ({"blue": "a:b"}, "Auto Scaling group"),
        ({"green": "shop-blue"}, "of its own"),
        ({"routes": []}, "at least one"),
        ({"routes": [ROUTE, ROUTE]}, "twice"),
        ({"routes": [{**ROUTE, "green": BLUE}]}, "of its own"),
        ({"routes": [{**ROUTE, "listener": BLUE}]}, "not the ARN of a listener"),
        ({"routes": [{**ROUTE, "rule": RULE.replace("f2f7", "0000")}]}, "another listener"),
        ({"routes": [ROUTE, {**ROUTE, "rule": RULE, "blue": GREEN, "green": BLUE}]}, "green's in another"),
        ({"region": "us-east-1"}, "eu-central-1"),
        ({"endpoint_url": "http://example.com"}, "in the clear"),
        ({"endpoint_url": "https://me:secret@example.com"}, "without a user"),
        ({"subnet_reserve": -1}, "0 or more"),
        ({"shared_limits": [{"name": "db", "each": 1, "limit": 0}]}, "1 or more"),
        ({"test_urls": {"blue": "http://a"}}, "one for green"),
        ({"standby": "sometimes"}, "on_demand"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_value_says_what_is_allowed(wrong: dict[str, Any], said: str) -> None:
    """Otherwise AWS says so in the middle of a rollout, in its own words."""
    with pytest.raises(ValidationError) as error:
        made(**wrong)
    assert said in str(error.value)


@pytest.mark.parametrize("region", ["eusc-de-east-1", "us-gov-west-1", "us-isob-east-1", "cn-north-1"])
def test_every_partitions_regions_are_taken(region: str) -> None:
    """Otherwise nobody in the European Sovereign Cloud can declare a service."""
    partition = {"eusc": "aws-eusc", "cn": "aws-cn"}.get(region.split("-")[0], "aws")
    here = [("eu-central-1", region), ("arn:aws:", f"arn:{partition}:")]
    route = dict(ROUTE)
    for old, new in here:
        route = {key: value.replace(old, new) for key, value in route.items()}
    assert made(region=region, routes=[route]).region == region


def test_a_service_keeps_what_was_accepted() -> None:
    """A rollout is resumed with other options than it began with."""
    options = made(shared_limits=[{"name": "db", "each": 2, "limit": 9}], test_urls={"blue": "a", "green": "b"})
    assert Options.of(Service("shop", plain(options))) == options


def test_an_endpoint_on_this_machine_may_be_plain_http() -> None:
    """Nobody can try the provider out against a simulation."""
    assert made(endpoint_url="http://127.0.0.1:5000").endpoint_url


def test_target_groups_are_named_once_in_the_order_of_the_routes() -> None:
    """A side is registered twice, or in another order than it is detached."""
    options = made(routes=[ROUTE, {**ROUTE, "rule": RULE}])
    assert options.target_groups("blue") == (BLUE,) and options.target_groups("green") == (GREEN,)
    assert [route.resource for route in options.routes] == [LISTENER, RULE]
    assert (options.group("green"), options.slot_of("shop-green")) == ("shop-green", "green")


@given(st.text(max_size=200))
def test_no_text_is_taken_for_an_arn(text: str) -> None:
    """What somebody typed is sent to AWS as the place of traffic."""
    good = RouteOptions(**ROUTE)
    if text not in (LISTENER, BLUE, GREEN):
        with pytest.raises(ValueError):
            replace(good, listener=text)
