"""A night with credentials and nothing else: the card that is kept in tags, and whose a host or balancer is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.aws import rollback
from providers.aws.quick import kept
from providers.base import Denied, Invalid, NotFound, plain
from rollout.card import Card
from tests.aws.test_marks import ALLOWED
from tests.aws.thin_kit import BACK, CARD, keep, night, standing
from tests.aws.traffic_kit import Scene
from tests.aws.wire import Line

ARN = "arn:aws:elasticloadbalancing:eu-central-1:123456789012"
LISTENER = f"{ARN}:listener/app/front/50dc6c495c0c9188/f2f7dc8efc522ab2"
PLACE = {"region": "eu-central-1", "account": "", "profile": "", "role": "", "external_id": "", "endpoint_url": ""}


@pytest.fixture
def line(scene: Scene) -> Iterator[Line]:
    """What is asked at night."""
    with night(scene) as opened:
        yield opened


def route(number: int = 1, *, rule: bool = False) -> dict[str, Any]:
    """A route as a card has it, without what it was before."""
    return {
        "listener": LISTENER,
        "rule": f"{LISTENER.replace(':listener/', ':listener-rule/')}/9683b2d02a6cabee" if rule else "",
        "blue": f"{ARN}:targetgroup/shop-blue-{number}/73e2d6bc24d8a067",
        "green": f"{ARN}:targetgroup/shop-green-{number}/6d0ecf831eec9f09",
        "actions": [],
    }


def card_with(*routes: dict[str, Any], **changes: Any) -> Card:
    """A card of these routes."""
    target = {"provider": "aws", "what": "shop in eu-central-1", "place": PLACE, "groups": {}, "routes": list(routes)}
    return replace(CARD, target=target, **changes)


ROUTES = st.lists(st.builds(route, st.integers(1, 9), rule=st.booleans()), min_size=1, max_size=kept.MOST_ROUTES)


@given(
    ROUTES,
    st.builds(
        dict,
        rollout=st.from_regex(r"[a-z0-9-]{1,60}", fullmatch=True),
        service=st.from_regex(r"[a-z][a-z0-9-]{0,40}", fullmatch=True),
        original=st.sampled_from(["blue", "green"]),
        capacity=st.integers(0, 10_000),
        valid_until=st.none() | st.integers(0, 2**40).map(float),
        was_healthy=st.booleans(),
        closed=st.sampled_from(["", "rolled_back", "adopted", "retired"]),
    ),
)
def test_a_card_comes_back_from_its_tags(routes: list[dict[str, Any]], changes: dict[str, Any]) -> None:
    """The laptop finds another side, another listener, or nothing."""
    other = "green" if changes["original"] == "blue" else "blue"
    card = card_with(*routes, **changes, replacement=other)
    tags = kept.tags_of(plain(card.to_json()))
    assert all(len(value) <= 256 and ALLOWED.fullmatch(value) for value in tags.values()), "AWS would refuse the tag"
    assert all(len(key) <= 128 for key in tags) and len(tags) <= 45, "AWS allows fifty, and some are the user's"
    found = kept.card_of(tags, LISTENER, PLACE)
    assert found is not None
    back = Card.from_json({**found, "provider": "aws", "app_version": None, "written_at": card.written_at})
    target = {**card.target, "what": f"{card.service} in eu-central-1"}
    assert back == replace(card, target=target)


@given(st.dictionaries(st.sampled_from([kept.HEAD, kept.SERVICE, f"{kept.ROUTE}1"]), st.text(max_size=60)))
def test_tags_of_somebody_else_are_no_card(tags: dict[str, str]) -> None:
    """Somebody writes a tag by hand, and the command at night ends with a traceback, or moves what it says."""
    assert kept.card_of(tags, LISTENER, PLACE) is None


def test_half_a_card_is_none() -> None:
    """One of two listeners is moved, and success is said."""
    tags = kept.tags_of(card_with(route(1), route(2, rule=True)).to_json())
    assert kept.card_of(tags, LISTENER, PLACE) is not None
    for key in tags:
        assert kept.card_of({**tags, key: ""}, LISTENER, PLACE) is None
    assert kept.card_of(tags, "arn:aws:s3:::x", PLACE) is None


def test_fewer_routes_than_before_leave_nothing_behind() -> None:
    """A listener that the service does not have any more is moved."""
    before = kept.tags_of(card_with(route(1), route(2), route(3)).to_json())
    found = kept.card_of({**before, **kept.tags_of(card_with(route(1)).to_json())}, LISTENER, PLACE)
    assert found is not None and len(found["target"]["routes"]) == 1


def test_too_many_routes_are_not_kept(scene: Scene) -> None:
    """AWS refuses the fifty-first tag, and half a card is kept."""
    routes = [route(number) for number in range(kept.MOST_ROUTES + 1)]
    assert kept.tags_of(card_with(*routes).to_json()) == {}
    with pytest.raises(Invalid, match="too many"):
        scene.traffic.keep_card(scene.permanent(), card_with(*routes).to_json(), "t")


def test_it_takes_one_call_and_leaves_the_mark(scene: Scene, line: Line) -> None:
    """Every card takes several calls of the budget, or the hold mark of a rollback goes with it."""
    service, target = standing(scene, 2)
    rollback.set_mark(
        target, {**{"rollout": "r", "epoch": 1, "active": "blue", "by": "me", "at": 1.0}, "reason": ""}, "t"
    )
    line.clear()
    keep(scene, service, target)
    assert [call.operation for call in line.writes] == ["AddTags"]
    seen = rollback.read(target)
    assert seen["mark"]["rollout"] == "r" and seen["kept"]["service"] == "shop"


def host(scene: Scene, service: Any, slot: Any = "green") -> dict[str, Any]:
    """An instance as EC2 tells it."""
    (one, *_) = scene.hosts(service, slot)
    found = scene.account.client("ec2").describe_instances(InstanceIds=[one.id])
    instance: dict[str, Any] = found["Reservations"][0]["Instances"][0]
    return instance


def names_of(scene: Scene, service: Any) -> dict[str, str]:
    """All that people may call what a service has."""
    instance, route = host(scene, service), service.options["routes"][0]
    (balancer,) = scene.elbv2.describe_load_balancers()["LoadBalancers"]
    return {
        "instance": instance["InstanceId"],
        "private address": instance["PrivateIpAddress"],
        "private name": instance["PrivateDnsName"],
        "original's instance": host(scene, service, "blue")["InstanceId"],
        "target group": route["green"].split("/")[1],
        "its ARN": route["blue"],
        "balancer": balancer["LoadBalancerName"],
        "balancer's ARN": balancer["LoadBalancerArn"],
        "balancer's name": balancer["DNSName"],
        "as a browser has it": f"dualstack.{balancer['DNSName'].upper()}",
        "listener": service.options["routes"][-1]["listener"],
    }


def test_a_card_is_found_by_whatever_is_at_hand(scene: Scene, line: Line) -> None:
    """Somebody with a phone and an alarm that names one host has to learn ARNs first."""
    service, target = standing(scene)
    card = keep(scene, service, target)
    for said, named in {**names_of(scene, service), "service": "shop"}.items():
        (found,) = rollback.find(named, {"region": "eu-central-1"})
        back = Card.from_json({"provider": "aws", "app_version": None, "written_at": 0.0, **found})
        assert (back.rollout, back.service, back.original, back.capacity) == ("shop-7", "shop", "blue", 2), said
        assert (back.valid_until, back.write_timeout_s, back.was_healthy) == (card.valid_until, 15.0, True)
        assert rollback.read(back.target)["weights"] == {"blue": 0, "green": 100}
    assert rollback.put_back(back.target, BACK, "t")["weights"] == BACK
    assert scene.traffic.route(service).active == "blue"


def test_with_two_services_behind_one_balancer(scene: Scene, line: Line) -> None:
    """The neighbour's traffic is moved."""
    services = [standing(scene, routes, name) for name, routes in (("shop", 2), ("till", 1))]
    for service, target in services:
        keep(scene, service, target, rollout=f"{service.name}-1")
    shop, till = (names_of(scene, service) for service, _ in services)
    for said in ("instance", "private address", "target group", "its ARN", "listener"):
        assert [card["service"] for card in rollback.find(shop[said], {"region": "eu-central-1"})] == ["shop"], said
        assert [card["service"] for card in rollback.find(till[said], {"region": "eu-central-1"})] == ["till"], said
    every = rollback.find("front", {"region": "eu-central-1"})
    assert {card["service"] for card in every} == {"shop", "till"}, (
        "the balancer is of both: the person has to say which"
    )
    (found,) = rollback.find("shop", {"region": "eu-central-1"})
    assert [each["listener"] for each in found["target"]["routes"]] == [
        each["listener"] for each in services[0][0].options["routes"]
    ]
    assert rollback.find("shopping", {"region": "eu-central-1"}) == []


def test_a_closed_way_back_stands_behind_an_open_one(scene: Scene, line: Line) -> None:
    """Of two services behind one balancer, that of last week makes the one of tonight ambiguous."""
    for name, closed in (("shop", "retired"), ("till", "")):
        service, target = standing(scene, 1, name)
        keep(scene, service, target, closed=closed)
    assert [card["service"] for card in rollback.find("front", {"region": "eu-central-1"})] == ["till"]
    (found,) = rollback.find("shop", {"region": "eu-central-1"})
    assert found["closed"] == "retired", "it is found by its name, and the reason is told"


def test_a_host_that_leads_nowhere_is_said_so(scene: Scene, line: Line) -> None:
    """Nothing is found, and nobody is told what to name instead."""
    service = scene.permanent()
    with pytest.raises(NotFound, match=r"no host in eu-central-1 is called i-0123456789abcdef0"):
        rollback.find("i-0123456789abcdef0", {"region": "eu-central-1"})
    with pytest.raises(NotFound, match=r"shop-green, which has no target groups now: name the balancer"):
        rollback.find(host(scene, service)["InstanceId"], {"region": "eu-central-1"})
    line.deny("ec2.DescribeInstances")
    with pytest.raises(Denied, match="ec2 describe_instances in eu-central-1, as the default credentials"):
        rollback.find("i-0123456789abcdef0", {"region": "eu-central-1"})


def test_a_login_before_the_forward_action_stays(scene: Scene, line: Line) -> None:
    """The way back of a card without actions opens a service to everybody."""
    service, target = standing(scene)
    keep(scene, service, target)
    one = service.options["routes"][0]
    login = {
        "Type": "authenticate-cognito",
        "Order": 1,
        "AuthenticateCognitoConfig": {"UserPoolArn": "arn:x", "UserPoolClientId": "c", "UserPoolDomain": "d"},
    }
    page = {"Type": "fixed-response", "Order": 2, "FixedResponseConfig": {"StatusCode": "503"}}
    scene.elbv2.modify_listener(ListenerArn=one["listener"], DefaultActions=[login, page])
    (found,) = rollback.find("shop", {"region": "eu-central-1"})
    assert rollback.put_back(found["target"], BACK, "t")["weights"] == BACK
    (listener,) = scene.elbv2.describe_listeners(ListenerArns=[one["listener"]])["Listeners"]
    assert [action["Type"] for action in listener["DefaultActions"]] == ["authenticate-cognito", "forward"]


def test_matches_tells_whose_it_is(scene: Scene, line: Line) -> None:
    """An alarm names a host, and the command asks for the service that nobody remembers."""
    shop, till = (standing(scene, 1, name) for name in ("shop", "till"))
    ours, theirs = names_of(scene, shop[0]), names_of(scene, till[0])
    for said, named in ours.items():
        assert rollback.matches(shop[1], named), said
    for said in ("instance", "private address", "private name", "target group", "its ARN", "listener"):
        assert not rollback.matches(shop[1], theirs[said]), said
    assert rollback.matches(shop[1], "shop-green") and not rollback.matches(shop[1], "till-green")
    for named in ("shop", "nobody", "i-0123456789abcdef0", "10.99.99.99", "other-1.eu-central-1.elb.amazonaws.com"):
        assert not rollback.matches(shop[1], named), named


def test_names_on_the_card_are_known_without_a_call(scene: Scene, line: Line) -> None:
    """Each of fifty cards is asked of AWS before the one is found that says it itself."""
    service, target = standing(scene)
    line.clear()
    for named in (service.options["routes"][0]["blue"], "shop-blue", "shop-green", "front", "nobody"):
        assert rollback.matches(target, named) is (named != "nobody")
    assert not line.calls


def test_matches_without_the_permission_to_ask_for_hosts(scene: Scene, line: Line) -> None:
    """A role that may only put traffic back cannot be used with a host's id."""
    service, target = standing(scene)
    line.deny("ec2.DescribeInstances")
    assert rollback.matches(target, host(scene, service)["InstanceId"])
    assert not rollback.matches(target, "i-0123456789abcdef0")


def test_a_side_is_made_larger_by_one_command(scene: Scene, line: Line) -> None:
    """The original is too small, and somebody has to remember what its group is called."""
    _, target = standing(scene)
    (told,) = rollback.resize_by_hand(target, "blue", 5)
    assert told == (
        "aws autoscaling update-auto-scaling-group --region eu-central-1 --auto-scaling-group-name shop-blue "
        "--min-size 5 --desired-capacity 5"
    )
    assert rollback.resize_by_hand({**target, "groups": {}}, "blue", 5) == []
    place = {**target["place"], "role": "arn:aws:iam::123456789012:role/r"}
    assert len(rollback.resize_by_hand({**target, "place": place}, "blue", 5)) == 2
