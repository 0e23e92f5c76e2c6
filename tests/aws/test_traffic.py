"""The Traffic contract on AWS, where it goes beyond the contract suite."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ReadTimeoutError

from providers.base import Conflict, HoldMark, Instance, Invalid, NotFound, Service, Slot, Transient
from tests.aws.traffic_kit import Scene

MARK = HoldMark("shop-7", 3, "blue", "ana", 1_767_225_600.0, "errors: 5 %")


def green(service: Service) -> str:
    """Its target group."""
    return str(service.options["routes"][0]["green"])


def attach(scene: Scene, service: Service, slot: Slot = "green") -> None:
    """All hosts of a slot."""
    scene.traffic.attach(service, slot, scene.hosts(service, slot), "t")


def test_attach_brings_group_route_and_targets_together(scene: Scene) -> None:
    """Otherwise the standby is in no rule and never turns healthy, or what the group launches later is no target."""
    service = scene.with_two_routes(scene.permanent())
    attach(scene, service)
    hosts = {host.id for host in scene.hosts(service, "green")}
    for route in service.options["routes"]:
        assert scene.weights(route["listener"]) == {route["blue"]: 100, route["green"]: 0}
        assert scene.targets(route["green"]) == hosts
    (group,) = scene.account.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["shop-green"])[
        "AutoScalingGroups"
    ]
    assert set(group["TargetGroupARNs"]) == {route["green"] for route in service.options["routes"]}
    assert scene.traffic.observe([service])["shop"].targets["green"].healthy == 2


def test_attach_again_writes_nothing(scene: Scene) -> None:
    """Otherwise a repeat disturbs a side that stands, or takes its weight."""
    service = scene.permanent()
    attach(scene, service)
    scene.shared(service, {"blue": 60, "green": 40})
    scene.sent.clear()
    attach(scene, service)
    assert all(name.startswith("Describe") for name, _ in scene.sent)
    assert scene.traffic.route(service).weights == {"blue": 60, "green": 40}


def test_attach_goes_on_after_it_was_cut_short(scene: Scene) -> None:
    """Otherwise an interrupted attach never ends, or ends with half of the targets."""
    service = scene.permanent()
    attach(scene, service)
    one = scene.hosts(service, "green")[0].id
    scene.elbv2.deregister_targets(TargetGroupArn=green(service), Targets=[{"Id": one}])
    assert one not in scene.targets(green(service))
    scene.broken["RegisterTargets"] = ReadTimeoutError(endpoint_url="x")
    with pytest.raises(Transient):
        attach(scene, service)
    scene.broken.clear()
    attach(scene, service)
    assert len(scene.targets(green(service))) == 2


def test_a_slot_without_a_group_or_host_is_not_attached(scene: Scene) -> None:
    """Otherwise the error comes later, from somewhere else."""
    service = scene.account.service("shop")
    with pytest.raises(NotFound, match="shop-green"):
        scene.traffic.attach(service, "green", [], "t")
    with pytest.raises(NotFound, match="i-0"):
        scene.traffic.attach(service, "blue", [Instance("i-0", "blue", "running", None, "x:1")], "t")
    assert scene.traffic.route(service).active == "blue"


def test_a_stranger_among_the_targets_stops_attach_before_it_began(scene: Scene) -> None:
    """Otherwise a host that somebody put there serves beside the side that was proven."""
    service = scene.permanent()
    stranger = scene.hosts(service, "blue")[0].id
    scene.elbv2.register_targets(TargetGroupArn=green(service), Targets=[{"Id": stranger}])
    with pytest.raises(Conflict, match=stranger):
        attach(scene, service)
    assert not [name for name, _ in scene.sent if not name.startswith("Describe")]


def test_no_weight_without_targets(scene: Scene) -> None:
    """Otherwise clients are sent to a target group with nobody in it."""
    service = scene.permanent()
    scene.shared(service, {"blue": 100, "green": 0})
    with pytest.raises(Invalid, match="attach"):
        scene.traffic.set_weights(service, {"blue": 90, "green": 10}, scene.traffic.route(service), "t")
    assert not scene.asked("ModifyListener")


def test_detach_leaves_a_whole_route_and_no_targets(scene: Scene) -> None:
    """Otherwise a side that was given up can be given traffic, or the route is left in pieces."""
    service = scene.with_two_routes(scene.permanent())
    attach(scene, service)
    scene.traffic.detach(service, "green", "t")
    scene.traffic.detach(service, "green", "t")
    for route in service.options["routes"]:
        assert scene.weights(route["listener"]) == {route["blue"]: 100}
        assert scene.targets(route["green"]) == set()
    assert scene.traffic.observe([service])["shop"].targets["green"].total == 0


def test_detach_of_a_group_that_is_gone(scene: Scene) -> None:
    """Otherwise a clean-up that was interrupted can never be finished."""
    service = scene.account.service("shop")
    scene.shared(service, {"blue": 100, "green": 0})
    scene.traffic.detach(service, "green", "t")
    assert list(scene.weights(service.options["routes"][0]["listener"]).values()) == [100]


@pytest.mark.parametrize("deed", ["detach", "cut"])
def test_what_serves_is_neither_cut_nor_detached(scene: Scene, deed: str) -> None:
    """Otherwise giving up the wrong side is an outage."""
    service = scene.with_two_routes(scene.permanent())
    attach(scene, service)
    one = service.options["routes"][0]
    scene.edit(one["listener"], [(one["blue"], 9), (one["green"], 1)])
    for slot in ("blue", "green"):
        with pytest.raises(Invalid, match=" % of the traffic"):
            getattr(scene.traffic, deed)(service, slot, "t")
    assert len(scene.targets(one["green"])) == 2


def test_cut_takes_the_side_out_and_it_can_be_attached_again(scene: Scene) -> None:
    """Otherwise sticky clients stay on a side that was called bad, or it is lost for good."""
    service = scene.permanent()
    attach(scene, service)
    assert scene.traffic.cut(service, "green", "t") == 0
    assert scene.traffic.cut(service, "green", "t") == 0
    assert scene.targets(green(service)) == set()
    assert scene.weights(service.options["routes"][0]["listener"]) == {service.options["routes"][0]["blue"]: 100}
    attach(scene, service)
    assert scene.traffic.observe([service])["shop"].targets["green"].healthy == 2


def test_a_fleet_is_read_in_few_calls(scene: Scene) -> None:
    """Otherwise watching a fleet is throttled by AWS, and everybody waits."""
    services = [scene.account.service(f"s{number}", 1) for number in range(6)]
    scene.sent.clear()
    found = scene.traffic.observe(services)
    assert {reading.targets["blue"].healthy for reading in found.values()} == {1} and len(found) == 6
    asked = [name for name, _ in scene.sent]
    assert {name: asked.count(name) for name in set(asked)} == {
        "DescribeListeners": 1,
        "DescribeTags": 1,
        "DescribeAutoScalingGroups": 1,
        "DescribeTargetHealth": 6,  # one target group a call; green has neither hosts nor weight
        "GetMetricData": 2,
    }


def test_one_bad_service_blinds_nobody(scene: Scene) -> None:
    """Otherwise one edited listener stops every rollout in the account."""
    good, bad, gone = (scene.account.service(name, 1) for name in ("good", "bad", "gone"))
    other = good.options["routes"][0]["green"]
    route = bad.options["routes"][0]
    scene.edit(route["listener"], [(route["blue"], 1), (other, 1)])
    scene.elbv2.delete_listener(ListenerArn=gone.options["routes"][0]["listener"])
    assert set(scene.traffic.observe([good, bad, gone])) == {"good"}
    assert scene.traffic.observe([gone]) == {}
    with pytest.raises(Conflict, match=other):
        scene.traffic.observe([bad])


def test_the_mark_is_beside_the_users_tags(scene: Scene) -> None:
    """Otherwise a rollback removes tags that somebody's bill or policy depends on."""
    service = scene.permanent()
    listener = service.options["routes"][0]["listener"]
    scene.elbv2.add_tags(ResourceArns=[listener], Tags=[{"Key": "team", "Value": "shop"}])
    scene.traffic.mark(service, MARK, "t")
    assert scene.traffic.route(service).mark == MARK
    scene.traffic.mark(service, None, "t")
    scene.traffic.mark(service, None, "t")
    (found,) = scene.elbv2.describe_tags(ResourceArns=[listener])["TagDescriptions"]
    assert found["Tags"] == [{"Key": "team", "Value": "shop"}]


def test_the_way_in_for_checks_has_to_be_declared(scene: Scene) -> None:
    """Otherwise checks ask the side that serves, and prove nothing."""
    service = scene.permanent()
    way = scene.traffic.test_route(service, "green")
    assert way.url.startswith("http://front.internal") and way.headers == {"X-Rollout-Slot": "green"}
    none = Service("shop", {**service.options, "test_url": ""})
    with pytest.raises(Invalid, match=r"test_url, .*test_urls"):
        scene.traffic.test_route(none, "green")
    urls = {"blue": "https://b.example", "green": "https://g.example"}
    two = scene.traffic.test_route(Service("shop", {**service.options, "test_urls": urls}), "green")
    assert (two.url, two.headers) == ("https://g.example", {})


def test_the_card_says_all_that_a_way_back_needs(scene: Scene) -> None:
    """Otherwise the emergency path has to ask the engine, which may be what is broken."""
    service = scene.with_two_routes(scene.permanent())
    card = scene.traffic.card_target(service)
    assert json.loads(json.dumps(card)) == card
    assert card["place"]["region"] == "eu-central-1" and card["groups"] == {"blue": "shop-blue", "green": "shop-green"}
    assert [route["listener"] for route in card["routes"]] == [one["listener"] for one in service.options["routes"]]
    assert card["routes"][0]["actions"][0]["Type"] == "forward"
    scene.elbv2.delete_listener(ListenerArn=card["routes"][1]["listener"])
    with pytest.raises(NotFound):
        scene.traffic.card_target(service)


def test_who_is_not_named_and_in_service_stays_a_target(scene: Scene) -> None:
    """Otherwise a host that came into service between look and write never serves: AWS registers it only once."""
    service = scene.permanent()
    attach(scene, service)
    scene.traffic.attach(service, "green", scene.hosts(service, "green")[:1], "t")
    assert len(scene.targets(green(service))) == 2


def test_cloudwatch_that_does_not_answer_hides_no_route(scene: Scene) -> None:
    """Otherwise an outage of figures leaves a rollback that worked halted, for nobody sees that it did."""
    service = scene.permanent()
    attach(scene, service)
    told = scene.traffic.observe([service])["shop"]
    assert set(told.counters) == {"blue", "green"}
    scene.clock.sleep(60)
    scene.broken["GetMetricData"] = ReadTimeoutError(endpoint_url="x")
    found = scene.traffic.observe([service])["shop"]
    assert (found.route, found.targets) == (told.route, told.targets)
    assert found.counters == {} and found.counters_id != told.counters_id


def test_who_was_detached_drains_before_it_may_end(scene: Scene) -> None:
    """Otherwise hosts are ended in the middle of what they answer, though the target group says how long to wait."""
    service = scene.permanent()
    attach(scene, service)
    scene.account.manner.now = scene.clock.now
    scene.traffic.detach(service, "green", "t")
    left = scene.traffic.observe([service])["shop"].targets["green"]
    assert (left.draining, left.total) == (2, 0)
    scene.clock.sleep(299)
    assert scene.traffic.observe([service])["shop"].targets["green"].draining == 2
    scene.clock.sleep(2)
    assert scene.traffic.observe([service])["shop"].targets["green"].draining == 0
