"""A target group that a route was given a moment ago, and that AWS does not show in it yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from providers.aws import routes
from providers.aws.cloud import Place
from providers.aws.entered import KEPT, SHOWN_WITHIN_S, Entered
from providers.base import Invalid, Transient, weights_for
from providers.memory.clock import VirtualClock
from tests.aws.traffic_kit import Scene, open_scene

HERE, THERE = Place("eu-central-1"), Place("eu-west-1")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A service whose standby has hosts."""
    with open_scene(tmp_path) as made:
        yield made


def show_as_before(scene: Scene, monkeypatch: pytest.MonkeyPatch, service: Any) -> None:
    """Routes are shown as they are now, whatever is written from here."""
    seen = routes.look(*scene.of(service))
    monkeypatch.setattr(routes, "look", lambda *_, **__: seen)


def test_what_is_not_shown_yet_is_tried_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS shows a listener as it was for some seconds, and a sound patch is put back for it."""
    service = scene.permanent()
    expected = scene.traffic.route(service)
    show_as_before(scene, monkeypatch, service)
    scene.traffic.attach(service, "green", scene.hosts(service, "green"), "t")
    with pytest.raises(Transient, match="a moment ago"):
        scene.traffic.set_weights(service, weights_for("green", 10), expected, "t2")
    scene.clock.sleep(SHOWN_WITHIN_S)
    with pytest.raises(Invalid, match="attach its instances first"):
        scene.traffic.set_weights(service, weights_for("green", 10), expected, "t3")


def test_what_was_detached_meanwhile_is_not_waited_for(scene: Scene) -> None:
    """A rollout whose standby was taken out waits for a deadline before it puts anything back."""
    service = scene.permanent()
    route = service.options["routes"][0]
    scene.traffic.attach(service, "green", scene.hosts(service, "green"), "t")
    hosts = scene.hosts(service, "green")
    scene.traffic.detach(service, "green", "t2")
    scene.elbv2.register_targets(TargetGroupArn=route["green"], Targets=[{"Id": each.id} for each in hosts])
    with pytest.raises(Invalid, match="attach its instances first"):
        scene.traffic.set_weights(service, weights_for("green", 10), scene.traffic.route(service), "t3")


def test_only_what_entered_here_and_lately_counts() -> None:
    """What was given to a route yesterday, or in another region, excuses what is missing today."""
    clock = VirtualClock()
    entered = Entered(clock)
    entered.enter(HERE, "a")
    assert entered.lately(HERE, ["b", "a"])
    assert not entered.lately(THERE, ["a"]) and not entered.lately(HERE, ["b"]) and not entered.lately(HERE, [])
    entered.leave(HERE, ["a", "never"])
    assert not entered.lately(HERE, ["a"])
    entered.enter(HERE, "a")
    clock.sleep(SHOWN_WITHIN_S)
    assert not entered.lately(HERE, ["a"])


def test_it_forgets_the_oldest() -> None:
    """A server that runs for a year remembers every target group that it ever saw."""
    entered = Entered(VirtualClock())
    for number in range(KEPT + 1):
        entered.enter(HERE, str(number))
    assert not entered.lately(HERE, ["0"]) and entered.lately(HERE, ["1"]) and entered.lately(HERE, [str(KEPT)])
