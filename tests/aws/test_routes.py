"""Reading and writing routes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from botocore.exceptions import ReadTimeoutError

from providers.aws import marks, routes
from providers.aws.cloud import BEGIN_WITHIN_S
from providers.base import Conflict, HoldMark, Invalid, NotFound, Route, Service, Transient
from tests.aws.traffic_kit import Scene, open_scene

MARK = HoldMark("shop-7", 3, "blue", "ana", 1_767_225_600.0, "errors")


def attached(scene: Scene, service: Service) -> Service:
    """With green in every route."""
    scene.shared(service, {"blue": 100, "green": 0})
    return service


def read(scene: Scene, service: Service) -> Route:
    """The route as the engine reads it."""
    return routes.read_route(*scene.of(service))


def test_one_look_is_two_calls(scene: Scene) -> None:
    """Otherwise a route that is read every few seconds uses up what AWS allows."""
    service = scene.permanent()
    scene.sent.clear()
    assert read(scene, service).weights == {"blue": 100, "green": 0}
    assert [name for name, _ in scene.sent] == ["DescribeListeners", "DescribeTags"]


def test_many_services_are_read_in_batches_and_a_missing_one_blinds_nobody(scene: Scene) -> None:
    """Otherwise one listener that somebody deleted hides a whole fleet."""
    services = {f"s{number}": scene.account.service(f"s{number}", 1) for number in range(5)}
    gone = services["s3"].options["routes"][0]["listener"]
    scene.elbv2.delete_listener(ListenerArn=gone)
    cloud, _ = scene.of(services["s0"])
    found = routes.look_at(cloud, {name: scene.of(service)[1] for name, service in services.items()})
    assert isinstance(found["s3"], NotFound) and gone in str(found["s3"])
    seen = [look for name, look in found.items() if name != "s3"]
    assert all(isinstance(look, routes.Seen) and look.route.active == "blue" for look in seen)
    assert len(scene.sent) < 10


def test_a_rule_is_written_to_and_read(scene: Scene) -> None:
    """Otherwise a service that shares its listener cannot be rolled out."""
    service = scene.permanent()
    one = service.options["routes"][0]
    entries = [{"TargetGroupArn": one["blue"], "Weight": 1}, {"TargetGroupArn": one["green"], "Weight": 0}]
    made = scene.elbv2.create_rule(
        ListenerArn=one["listener"],
        Priority=7,
        Conditions=[{"Field": "path-pattern", "Values": ["/shop/*"]}],
        Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": entries}}],
    )["Rules"][0]
    ruled = Service("shop", {**service.options, "routes": [{**one, "rule": made["RuleArn"]}]})
    cloud, options = scene.of(ruled)
    moved = routes.set_weights(cloud.writing(), options, {"blue": 70, "green": 30}, read(scene, ruled))
    assert moved.weights == read(scene, ruled).weights == {"blue": 70, "green": 30}
    assert scene.asked("ModifyRule")[0]["RuleArn"] == made["RuleArn"]
    assert "Conditions" not in scene.asked("ModifyRule")[0]
    assert read(scene, service).weights == {"blue": 100, "green": 0}, "the listener's own action stays"


def test_a_default_rule_is_refused_from_the_beginning(scene: Scene) -> None:
    """Otherwise the plan passes, and AWS refuses the first move."""
    service = scene.permanent()
    one = service.options["routes"][0]
    (default,) = scene.elbv2.describe_rules(ListenerArn=one["listener"])["Rules"]
    ruled = Service("shop", {**service.options, "routes": [{**one, "rule": default["RuleArn"]}]})
    with pytest.raises(Invalid, match="leave `rule` out"):
        read(scene, ruled)


def test_a_persons_edit_is_a_conflict(scene: Scene) -> None:
    """Otherwise a person's edit is overwritten without a word; AWS itself compares nothing."""
    service = attached(scene, scene.permanent())
    cloud, options = scene.of(service)
    before = read(scene, service)
    scene.shared(service, {"blue": 80, "green": 20})
    with pytest.raises(Conflict, match="'blue': 80"):
        routes.set_weights(cloud.writing(), options, {"blue": 50, "green": 50}, before)
    assert read(scene, service).weights == {"blue": 80, "green": 20}


def test_what_is_there_already_is_written_again(scene: Scene) -> None:
    """Otherwise a write whose answer was lost is a conflict with itself, and a rollback trusts a read that is old."""
    service = attached(scene, scene.permanent())
    cloud, options = scene.of(service)
    before = read(scene, service)
    first = routes.set_weights(cloud.writing(), options, {"blue": 50, "green": 50}, before)
    assert routes.set_weights(cloud.writing(), options, {"blue": 50, "green": 50}, before) == first
    assert len(scene.asked("ModifyListener")) == 2


def test_what_aws_is_sent_is_a_whole(scene: Scene) -> None:
    """Otherwise a route that is sent wrong is only found out by clients."""
    service = attached(scene, scene.permanent())
    one = service.options["routes"][0]
    scene.edit(
        one["listener"],
        [(one["blue"], 1), (one["green"], 0)],
        TargetGroupStickinessConfig={"Enabled": True, "DurationSeconds": 60},
    )
    cloud, options = scene.of(service)
    routes.set_weights(cloud.writing(), options, {"blue": 90, "green": 10}, read(scene, service))
    entries = [{"TargetGroupArn": one["blue"], "Weight": 90}, {"TargetGroupArn": one["green"], "Weight": 10}]
    sticky = {"Enabled": True, "DurationSeconds": 60}
    config = {"TargetGroups": entries, "TargetGroupStickinessConfig": sticky}
    assert scene.asked("ModifyListener") == [
        {"ListenerArn": one["listener"], "DefaultActions": [{"Type": "forward", "ForwardConfig": config}]}
    ]
    assert not scene.asked("AddTags"), "one route needs no declaration"


def test_a_mark_since_the_read_stops_the_way_forward_only(scene: Scene) -> None:
    """Otherwise a write that was on its way undoes a rollback, or the rollback stops at its own mark."""
    service = attached(scene, scene.permanent())
    cloud, options = scene.of(service)
    before = read(scene, service)
    scene.traffic.mark(service, MARK, "t")
    with pytest.raises(Conflict, match="hold mark"):
        routes.set_weights(cloud.writing(), options, {"blue": 50, "green": 50}, before)
    assert routes.set_weights(cloud.writing(), options, {"blue": 100, "green": 0}, before).mark == MARK


def test_several_routes_move_in_order_and_are_declared_first(scene: Scene) -> None:
    """Otherwise a move that is interrupted half-way is taken for a person's edit, or for done."""
    service = attached(scene, scene.with_two_routes(scene.permanent()))
    first, last = (one["listener"] for one in service.options["routes"])
    cloud, options = scene.of(service)
    moved = routes.set_weights(cloud.writing(), options, {"blue": 90, "green": 10}, read(scene, service))
    assert moved == read(scene, service)
    made = [name for name, _ in scene.sent if "Describe" not in name]
    assert made == ["AddTags", "ModifyListener", "ModifyListener"]
    assert [asked["ListenerArn"] for asked in scene.asked("ModifyListener")] == [first, last]
    assert scene.asked("AddTags")[0]["ResourceArns"] == [last]


def test_a_move_of_several_routes_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    """Otherwise a lost connection between two listeners leaves them apart for ever."""
    with open_scene(tmp_path) as scene:
        service = attached(scene, scene.with_two_routes(scene.permanent()))
        one, two = service.options["routes"]
        cloud, options = scene.of(service)
        before = read(scene, service)
        scene.broken["ModifyListener"] = ReadTimeoutError(endpoint_url="x")
        with pytest.raises(Transient):
            routes.set_weights(cloud.writing(), options, {"blue": 50, "green": 50}, before)
        scene.broken.clear()
        scene.edit(one["listener"], [(one["blue"], 50), (one["green"], 50)])  # the write had landed after all
        assert read(scene, service).weights == before.weights, "not done while the last one has not moved"
        moved = routes.set_weights(cloud.writing(), options, {"blue": 50, "green": 50}, before)
        assert moved.weights == read(scene, service).weights == {"blue": 50, "green": 50}
        assert list(scene.weights(two["listener"]).values()) == [50, 50]


def test_turning_back_in_the_middle_of_a_move_is_no_conflict(scene: Scene) -> None:
    """Otherwise a rollback waits for a person because our own first listener had moved already."""
    service = attached(scene, scene.with_two_routes(scene.permanent()))
    one, _ = service.options["routes"]
    cloud, options = scene.of(service)
    writing = cloud.writing()
    routes.set_tags(writing, options, {marks.DECLARING: "blue=50 green=50"})
    scene.edit(one["listener"], [(one["blue"], 50), (one["green"], 50)])
    old = dataclasses.replace(read(scene, service), revision="older")
    back = routes.set_weights(cloud.writing(), options, {"blue": 100, "green": 0}, old)
    assert back.active == "blue"
    assert scene.weights(one["listener"]) == {one["blue"]: 100, one["green"]: 0}


def test_any_odd_route_is_noticed_and_put_right(scene: Scene) -> None:
    """Otherwise one of two listeners is edited, and the engine sees what the other one says."""
    service = attached(scene, scene.with_two_routes(scene.permanent()))
    one, _ = service.options["routes"]
    scene.edit(one["listener"], [(one["blue"], 30), (one["green"], 70)])
    odd = read(scene, service)
    assert odd.weights == {"blue": 65, "green": 35}, "nobody declared anything yet"
    cloud, options = scene.of(service)
    assert routes.set_weights(cloud.writing(), options, {"blue": 100, "green": 0}, odd).active == "blue"


def test_a_slot_that_serves_anywhere_serves(scene: Scene) -> None:
    """Otherwise a side is deleted that one of two listeners still sends clients to."""
    service = attached(scene, scene.with_two_routes(scene.permanent()))
    one, _ = service.options["routes"]
    scene.edit(one["listener"], [(one["blue"], 30), (one["green"], 70)])
    with pytest.raises(Invalid, match="green has 70 % of the traffic and cannot be deleted"):
        routes.raise_if_serving(*scene.of(service), "green", "deleted")
    scene.shared(service, {"blue": 100, "green": 0})
    routes.raise_if_serving(*scene.of(service), "green", "deleted")


def test_a_write_that_comes_too_late_is_not_begun(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a process that slept in the middle of a move writes after it has lost the right to."""
    service = attached(scene, scene.with_two_routes(scene.permanent()))
    cloud, options = scene.of(service)
    before, tag = read(scene, service), routes.set_tags

    def slow(*arguments: object) -> None:
        tag(*arguments)  # type: ignore[arg-type]
        scene.clock.sleep(BEGIN_WITHIN_S + 1)

    monkeypatch.setattr(routes, "set_tags", slow)
    with pytest.raises(Transient, match="not begun"):
        routes.set_weights(cloud.writing(), options, {"blue": 50, "green": 50}, before)
    assert not scene.asked("ModifyListener")


def test_after_a_move_an_edit_of_any_route_is_seen(scene: Scene) -> None:
    """Otherwise half the users are where nobody looks, or a late write is taken for the beginning of a move."""
    service = attached(scene, scene.with_two_routes(scene.permanent()))
    first, last = service.options["routes"]
    cloud, options = scene.of(service)
    routes.set_weights(cloud.writing(), options, {"blue": 0, "green": 100}, read(scene, service))
    for one in (first, last):
        scene.edit(one["listener"], [(one["blue"], 30), (one["green"], 70)])
        assert read(scene, service).weights == {"blue": 30, "green": 70}, "the odd one is seen"
        scene.edit(one["listener"], [(one["blue"], 0), (one["green"], 100)])


def test_a_move_is_made_where_its_declaration_cannot_be_taken_back(scene: Scene) -> None:
    """Otherwise a role without the right to remove tags can never put several routes back."""
    service = attached(scene, scene.with_two_routes(scene.permanent()))
    cloud, options = scene.of(service)
    scene.broken["RemoveTags"] = ReadTimeoutError(endpoint_url="x")
    moved = routes.set_weights(cloud.writing(), options, {"blue": 0, "green": 100}, read(scene, service))
    assert moved.active == "green" == read(scene, service).active
