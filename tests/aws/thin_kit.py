"""What the tests of the emergency path have in common: a scene in the night, and faults on the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from providers.aws.quick import calls
from providers.base import Service, Weights
from rollout.card import Card
from tests.aws.traffic_kit import Scene
from tests.aws.wire import Line, wire

BACK: Weights = {"blue": 100, "green": 0}
CARD = Card(
    rollout="shop-7",
    service="shop",
    provider="aws",
    original="blue",
    replacement="green",
    target={},
    capacity=2,
    write_timeout_s=15.0,
    app_version=None,
    written_at=1_767_225_600.0,
    was_healthy=True,
    valid_until=1_767_229_200.0,
)


def standing(scene: Scene, routes: int = 1, name: str = "shop") -> tuple[Service, dict[str, Any]]:
    """Green has all traffic, blue stands beside it; and the card's target."""
    service = scene.permanent(name)
    service = scene.with_two_routes(service) if routes == 2 else service
    for slot in ("blue", "green"):
        scene.traffic.attach(service, slot, scene.hosts(service, slot), "t")
    target = json.loads(json.dumps(scene.traffic.card_target(service)))
    scene.shared(service, {"blue": 0, "green": 100})
    return service, target


def keep(scene: Scene, service: Service, target: dict[str, Any], **changes: Any) -> Card:
    """The card of the service, kept with its traffic."""
    card = replace(CARD, service=service.name, target=target, **changes)
    scene.traffic.keep_card(service, card.to_json(), "t")
    return card


@contextmanager
def night(scene: Scene) -> Iterator[Line]:
    """What goes wrong on the wire while somebody puts traffic back; every session is a new one."""
    calls.calls_of.cache_clear()
    with wire(scene.account) as line:
        yield line
    calls.calls_of.cache_clear()
