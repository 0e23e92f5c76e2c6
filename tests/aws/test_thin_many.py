"""One of five hundred services that are put back at once: as good a look as alone, in a third of the calls."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from moto.elbv2.models import FakeTargetGroup

from providers.aws import rollback
from providers.aws.quick import calls
from providers.aws.quick.hosts import MOST_GROUPS
from providers.memory.clock import VirtualClock
from rollout.card import Card
from rollout.rescue import judging, thin
from tests.aws.thin_kit import BACK, CARD, keep, night, standing
from tests.aws.traffic_kit import Scene
from tests.aws.wire import Line


@pytest.fixture
def line(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """Nobody waits for the limits, nor for others."""
    monkeypatch.setattr(calls, "PAUSES_S", (0.0,) * 4)
    monkeypatch.setattr(calls, "ALONE_S", 0.0)
    for limit in ("READS", "WRITES"):
        monkeypatch.setattr(calls, limit, (40.0, 1e9))
    with night(scene) as opened:
        yield opened


def many(capacity: int = 2) -> Any:
    """The thin module of one of them."""
    return rollback.one_of_many("blue", capacity)


def test_it_sees_what_a_look_at_one_sees(scene: Scene, line: Line) -> None:
    """All at once is judged by something else than one service is, or takes as many calls."""
    service, target = standing(scene)
    keep(scene, service, target)
    line.clear()
    seen = many().read(target)
    asked = {each.name for each in line.calls}
    assert line.count("DescribeTargetHealth") == 1 and "autoscaling.DescribeAutoScalingGroups" in asked
    assert seen == rollback.read(target)
    line.clear()
    assert many().put_back(target, BACK, "t")["weights"] == BACK
    assert many().read(target)["weights"] == BACK and line.count("DescribeTargetHealth") == 0, "of a moment ago"
    assert many().by_hand(target, BACK) == rollback.by_hand(target, BACK) and not hasattr(many(), "cut")


@pytest.mark.parametrize("why", ["too few", "it has grown", "groups are not told", "no group on the card", "gone"])
def test_the_other_side_is_looked_at_where_it_decides(scene: Scene, line: Line, why: str) -> None:
    """Traffic of twelve hosts is put on three, because nobody counted the twelve."""
    service, target = standing(scene)
    capacity = 3 if why == "too few" else 2
    if why == "it has grown":
        scene.account.client("autoscaling").update_auto_scaling_group(
            AutoScalingGroupName=service.options["green"], MinSize=5, MaxSize=6, DesiredCapacity=5
        )
        scene.account.until_healthy(service.options["routes"][0]["green"], 5)
    elif why == "groups are not told":
        line.deny("DescribeAutoScalingGroups")
    elif why == "no group on the card":
        target["groups"] = {}
    elif why == "gone":
        target["groups"]["green"] = "shop-gone"
    seen = many(capacity).read(target)
    assert seen == rollback.read(target)
    assert seen["healthy"]["green"] == (5 if why == "it has grown" else 2)
    card = Card.from_json({**CARD.to_json(), "target": target, "capacity": capacity})
    assert judging.readiness(card, seen)[0] is (why != "it has grown")


def test_a_sick_original_is_no_healthier_among_many(scene: Scene, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wave's way back leads half of the fleet onto dead hosts."""
    service, target = standing(scene)
    (sick, _), original = (each.id for each in scene.hosts(service, "blue")), FakeTargetGroup.health_for

    def health(self: FakeTargetGroup, asked: Any, backend: Any) -> Any:
        found = original(self, asked, backend)
        if asked["Id"] == sick:
            found.status, found.reason = "unhealthy", "Target.Timeout"
        return found

    monkeypatch.setattr(FakeTargetGroup, "health_for", health)
    seen = many().read(target)
    assert seen == rollback.read(target) and seen["unhealthy"]["blue"] == 1


def test_more_groups_than_aws_tells_at_once(scene: Scene, line: Line) -> None:
    """AWS tells fifty groups unless it is asked for more: the other fifty count as gone."""
    _, target = standing(scene)
    call = calls.calls_of(calls.Place(**target["place"]))
    names = [f"g-{number}" for number in range(MOST_GROUPS - 1)]
    with ThreadPoolExecutor(8) as people:
        found = list(people.map(lambda name: call.units(name).result(10), [*names, target["groups"]["green"]]))
    assert found[:-1] == [None] * len(names) and list((found[-1] or {}).values()) == [1, 1]
    assert all(each.parameters["MaxRecords"] == 100 for each in line.asked("DescribeAutoScalingGroups"))


def test_the_card_chooses_the_module(scene: Scene, line: Line) -> None:
    """All at once is slow where it need not be, or breaks where a provider knows no such thing."""
    _, target = standing(scene)
    card = Card.from_json({**CARD.to_json(), "target": target})
    assert thin.one_of_many(card).read(target)["healthy"] == {"blue": 2, "green": 2}
    memory = Card.from_json({**card.to_json(), "provider": "memory"})
    assert thin.one_of_many(memory) is thin.load("memory")


def test_writes_wait_for_nobody_until_aws_refuses_one() -> None:
    """Traffic waits for a limit that is a guess; or, once it is true, five hundred retry against it."""
    clock = VirtualClock()
    began = clock.now()
    writing = calls.Writing(clock.now, clock.sleep)
    for _ in range(500):
        writing.wait()
    assert clock.now() == began
    writing.refused()
    for _ in range(30):
        writing.wait()
    assert clock.now() - began == pytest.approx(30 / calls.WRITES[1], abs=0.5)
