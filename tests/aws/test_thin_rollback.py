"""The emergency path: one command at night with nothing but botocore."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from providers.aws import marks, rollback
from providers.aws.quick import calls
from providers.base import HoldMark, Invalid, NotFound, PartlyDone, Service, Throttled, Transient, Weights, plain
from tests.aws.traffic_kit import Scene

BACK: Weights = {"blue": 100, "green": 0}
MARK = HoldMark("shop-7", 3, "blue", "ana", 1_767_225_600.0, "errors: 5 %")
THROTTLED = ClientError({"Error": {"Code": "Throttling", "Message": "slow"}}, "x")
DENIED = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "x")


class Line:
    """What the emergency path sends, and what breaks there: by operation and, if given, by a text in the request."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.broken: list[tuple[str, str, Exception, int]] = []

    def breaks(self, operation: str, error: Exception, times: int = 99, text: str = "") -> None:
        """So many times."""
        self.broken.append((operation, text, error, times))

    def record(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        """Called by botocore before each request."""
        self.sent.append(model.name)
        for number, (operation, text, error, times) in enumerate(self.broken):
            if operation == model.name and text in json.dumps(params) and times:
                self.broken[number] = (operation, text, error, times - 1)
                raise error


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """What is sent while the test runs; nobody waits between two tries."""
    made, make = Line(), calls.open_client

    def client(place: calls.Place, api: str = "elbv2") -> Any:
        found = make(place, api)
        found.meta.events.register("before-parameter-build.*.*", made.record)
        return found

    monkeypatch.setattr(calls, "open_client", client)
    monkeypatch.setattr(calls, "PAUSES_S", (0.0, 0.0))
    for limit in ("READS", "WRITES"):
        monkeypatch.setattr(calls, limit, (40.0, 1e9))
    calls.calls_of.cache_clear()
    yield made
    calls.calls_of.cache_clear()


def standing(scene: Scene, routes: int = 1) -> tuple[Service, dict[str, Any]]:
    """Green has all traffic, blue stands beside it; and the card."""
    service = scene.permanent()
    service = scene.with_two_routes(service) if routes == 2 else service
    for slot in ("blue", "green"):
        scene.traffic.attach(service, slot, scene.hosts(service, slot), "t")
    target = json.loads(json.dumps(scene.traffic.card_target(service)))
    scene.shared(service, {"blue": 0, "green": 100})
    return service, target


def test_it_needs_no_library_before_it_calls() -> None:
    """Otherwise a broken cloud library keeps even `rollout status` from starting."""
    program = "import sys, providers.aws.rollback; print([n for n in sys.modules if n in ('boto3', 'botocore')])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


def test_read_agrees_with_the_engine_in_four_calls(scene: Scene, line: Line) -> None:
    """Otherwise the emergency path and the engine see two different worlds, or a look takes long."""
    service, target = standing(scene)
    scene.traffic.mark(service, MARK, "t")
    seen, route = rollback.read(target), scene.traffic.route(service)
    assert (seen["weights"], seen["revision"], seen["mark"]) == (route.weights, route.revision, plain(MARK))
    assert seen["healthy"] == {"blue": 2, "green": 2} and seen["in_flight"] == {"blue": None, "green": None}
    assert sorted(line.sent) == ["DescribeListeners", "DescribeTags", "DescribeTargetHealth", "DescribeTargetHealth"]


def test_read_says_what_it_could_not_learn(scene: Scene, line: Line) -> None:
    """Otherwise a permission that lacks for a detail stands between a person and the rollback."""
    _, target = standing(scene)
    line.breaks("DescribeTags", DENIED)
    line.breaks("DescribeTargetHealth", DENIED, text=target["routes"][0]["blue"])
    seen = rollback.read(target)
    assert seen["weights"] == {"blue": 0, "green": 100}
    assert seen["mark"]["reason"].startswith("the hold mark could not be read")
    assert (seen["healthy"]["blue"], seen["unknown"]["blue"], seen["healthy"]["green"]) == (0, 1, 2)


def test_put_back_keeps_stickiness(scene: Scene, line: Line) -> None:
    """Otherwise the rollback changes more than the weights."""
    service, target = standing(scene)
    one = service.options["routes"][0]
    sticky = {"Enabled": True, "DurationSeconds": 60}
    scene.edit(one["listener"], [(one["blue"], 0), (one["green"], 1)], TargetGroupStickinessConfig=sticky)
    assert rollback.put_back(target, BACK, "t")["weights"] == BACK
    (found,) = scene.elbv2.describe_listeners(ListenerArns=[one["listener"]])["Listeners"]
    config = found["DefaultActions"][0]["ForwardConfig"]
    assert config["TargetGroupStickinessConfig"] == sticky and len(config["TargetGroups"]) == 2


@pytest.mark.parametrize("half", ["empty", "stranger", "page"])
def test_put_back_goes_over_a_half_repair(scene: Scene, half: str) -> None:
    """Otherwise the person who tried before has made the way back impossible."""
    service, target = standing(scene)
    one = service.options["routes"][0]
    if half == "empty":
        scene.edit(one["listener"], [(one["blue"], 0), (one["green"], 0)])
    elif half == "stranger":
        scene.edit(one["listener"], [(scene.account.target_group("other"), 5), (one["green"], 5)])
    else:
        page = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}
        scene.elbv2.modify_listener(ListenerArn=one["listener"], DefaultActions=[page])
    assert rollback.read(target)["weights"] != BACK
    assert rollback.put_back(target, BACK, "t")["weights"] == BACK
    assert scene.traffic.route(service).active == "blue"


def test_a_damaged_card_never_empties_the_route(scene: Scene, line: Line) -> None:
    """Otherwise the rollback is the outage."""
    _, target = standing(scene)
    with pytest.raises(Invalid):
        rollback.put_back(target, {"blue": 0, "green": 0}, "t")
    assert line.sent == []


@pytest.mark.parametrize("error", [THROTTLED, ReadTimeoutError(endpoint_url="x")])
def test_one_hitch_is_tried_again_at_once(scene: Scene, line: Line, error: Exception) -> None:
    """Otherwise one lost packet at night needs a second command."""
    _, target = standing(scene)
    line.breaks("ModifyListener", error, times=1)
    assert rollback.put_back(target, BACK, "t")["weights"] == BACK
    assert line.sent.count("ModifyListener") == 2


def test_but_not_for_ever(scene: Scene, line: Line) -> None:
    """Otherwise a person waits in front of a command that says nothing."""
    _, target = standing(scene)
    line.breaks("ModifyListener", THROTTLED)
    with pytest.raises(Throttled):
        rollback.put_back(target, BACK, "t")
    assert line.sent.count("ModifyListener") == 1 + len(calls.PAUSES_S)


def test_every_route_is_put_back_even_when_one_fails(scene: Scene, line: Line) -> None:
    """Otherwise one listener without permission keeps all clients on the broken side."""
    service, target = standing(scene, 2)
    one, two = service.options["routes"]
    line.breaks("ModifyListener", DENIED, text=one["listener"])
    with pytest.raises(PartlyDone, match=r"1 of 2 routes were put back(.|\n)*AccessDenied") as failed:
        rollback.put_back(target, BACK, "t")
    assert failed.value.done == [two["listener"]] and list(failed.value.failed) == [one["listener"]]
    assert scene.weights(two["listener"]) == {two["blue"]: 100, two["green"]: 0}
    command = str(failed.value).splitlines()[-1].strip()
    assert failed.value.failed[one["listener"]] == command
    told = shlex.split(command)
    assert told[:3] == ["aws", "elbv2", "modify-listener"] and one["listener"] in told
    assert rollback.read(target)["weights"] == {"blue": 50, "green": 50}, "it is not said to be done"
    assert scene.traffic.route(service).weights == {"blue": 0, "green": 100}
    scene.elbv2.modify_listener(ListenerArn=one["listener"], DefaultActions=json.loads(told[-1]))
    assert rollback.read(target)["weights"] == BACK


def test_a_half_put_back_is_not_taken_for_an_old_move(scene: Scene, line: Line) -> None:
    """Otherwise what the engine declared before hides that one listener was left behind."""
    service, target = standing(scene, 2)
    _, two = service.options["routes"]
    scene.elbv2.add_tags(ResourceArns=[two["listener"]], Tags=[{"Key": marks.DECLARING, "Value": "blue=0 green=100"}])
    line.breaks("ModifyListener", DENIED, text=service.options["routes"][0]["listener"])
    with pytest.raises(PartlyDone):
        rollback.put_back(target, BACK, "t")
    assert rollback.read(target)["weights"] != BACK


def test_a_route_that_cannot_be_read_is_written_nevertheless(scene: Scene, line: Line) -> None:
    """Otherwise a read that fails stops the one write that counts."""
    service, target = standing(scene)
    line.breaks("DescribeListeners", THROTTLED, times=1 + len(calls.PAUSES_S))
    assert rollback.put_back(target, BACK, "t")["weights"] == BACK
    assert scene.traffic.route(service).active == "blue"


def test_a_listener_that_is_gone_is_not_found(scene: Scene) -> None:
    """Otherwise an old card seems to work, and nothing has happened."""
    service, target = standing(scene)
    scene.elbv2.delete_listener(ListenerArn=service.options["routes"][0]["listener"])
    for attempt in (rollback.read, lambda card: rollback.put_back(card, BACK, "t")):
        with pytest.raises(NotFound):
            attempt(target)


def test_the_mark_is_the_engines(scene: Scene, line: Line) -> None:
    """Otherwise an engine moves traffic forward again after the rollback."""
    service, target = standing(scene, 2)
    rollback.set_mark(target, plain(MARK), "t")
    assert scene.traffic.route(service).mark == MARK
    rollback.set_mark(target, None, "t")
    assert scene.traffic.route(service).mark is None
    line.breaks("AddTags", THROTTLED)
    with pytest.raises(Transient):
        rollback.set_mark(target, plain(MARK), "t")


def test_by_hand_is_what_a_person_can_run(scene: Scene) -> None:
    """Otherwise whoever has nothing but the AWS CLI has to write JSON at night."""
    service, target = standing(scene, 2)
    target["place"] |= {"profile": "prod one"}
    lines = [shlex.split(line) for line in rollback.by_hand(target, BACK)]
    assert [line[2] for line in lines] == ["modify-listener"] * 2 + ["describe-listeners"] * 2
    for line in lines:
        assert line[3:7] == ["--region", "eu-central-1", "--profile", "prod one"]
    for line in lines[:2]:
        named = dict(zip(line[3::2], line[4::2], strict=True))
        scene.elbv2.modify_listener(
            ListenerArn=named["--listener-arn"], DefaultActions=json.loads(named["--default-actions"])
        )
    assert scene.traffic.route(service).weights == BACK


def test_by_hand_as_a_role_and_for_a_rule(scene: Scene) -> None:
    """Otherwise the commands run as somebody who may not do it."""
    _, target = standing(scene)
    target["place"] |= {"role": "arn:aws:iam::123456789012:role/rollout", "external_id": "x y", "profile": "base"}
    target["routes"][0]["rule"] = "arn:rule"
    role, modify, look = rollback.by_hand(target, BACK)
    assert role.startswith("export $(printf ") and "--external-id 'x y'" in role and "--profile base" in role
    assert "modify-rule" in modify and "--rule-arn arn:rule" in modify and "--actions" in modify
    assert "--profile" not in modify + look and "describe-rules" in look


def test_a_move_that_was_begun_hides_no_listener(scene: Scene) -> None:
    """Otherwise the emergency path says "done" while one of two listeners sends everybody to the bad side."""
    service = scene.with_two_routes(scene.permanent())
    scene.shared(service, {"blue": 100, "green": 0})
    card = json.loads(json.dumps(scene.traffic.card_target(service)))
    first, last = service.options["routes"]
    rollback.put_back(card, {"blue": 100, "green": 0}, "t")
    declared = [{"Key": marks.DECLARING, "Value": "blue=0 green=100"}]
    scene.elbv2.add_tags(ResourceArns=[last["listener"]], Tags=declared)
    scene.edit(first["listener"], [(first["blue"], 0), (first["green"], 100)])
    assert rollback.read(card)["weights"] == {"blue": 50, "green": 50}
    assert rollback.put_back(card, {"blue": 100, "green": 0}, "t")["weights"] == {"blue": 100, "green": 0}
    assert scene.traffic.route(service).active == "blue"
    told = scene.elbv2.describe_tags(ResourceArns=[last["listener"]])["TagDescriptions"][0]["Tags"]
    assert {"Key": marks.DECLARING, "Value": marks.declaring_text({"blue": 100, "green": 0})} in told
