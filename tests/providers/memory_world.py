"""A simulated service for the tests of the simulated cloud itself, and one rollout as fast as it goes."""

from __future__ import annotations

from typing import Any

from providers.base import Provider, Service, Slot, TargetHealth, Weights, weights_for
from providers.memory.adapter import provider_for
from providers.memory.clock import VirtualClock
from providers.memory.cloud import SimCloud
from providers.memory.model import ImageBehaviour, Settings

SETTINGS = Settings(launch_s=30, health_lag_s=10, balancer_lag_s=2, drain_s=20, requests_per_s=100, connections=50)


class World:
    """`shop` with three instances on blue; green is up to the test."""

    def __init__(self, seed: int = 0, **options: Any) -> None:
        self.clock = VirtualClock()
        self.cloud = SimCloud(self.clock, seed, settings=options.pop("settings", SETTINGS), **options)
        self.cloud.add_image("base-1", ("pkg:pypi/werkzeug@2.2.2",), app_version="1.0")
        self.cloud.add_image("base-2", ("pkg:pypi/werkzeug@2.2.3",), alias="base-latest")
        self.shop: Service = self.cloud.add_service("shop", image="base-1", capacity=3)
        self.provider: Provider = provider_for(self.cloud)
        self.compute, self.traffic = self.provider.compute, self.provider.traffic
        self._tokens = 0

    def token(self) -> str:
        self._tokens += 1
        return f"t{self._tokens}"

    def passes(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.cloud.catch_up()

    def behaves(self, **behaviour: Any) -> str:
        """An image that behaves like this."""
        return self.cloud.add_image("odd", behaviour=ImageBehaviour(**behaviour)).id

    def mirror(self, image: str = "base-2", capacity: int = 3) -> None:
        """Green stands beside blue: attached, judged, without traffic."""
        self.compute.mirror(self.shop, "blue", "green", image, "rollout-1", self.token())
        self.compute.scale(self.shop, "green", capacity, self.token())
        self.passes(30)
        self.attach()
        self.passes(10)

    def attach(self) -> None:
        instances = self.compute.observe([self.shop])["shop"]
        mine = [instance for instance in instances if instance.slot == "green"]
        self.traffic.attach(self.shop, "green", mine, self.token())

    def move(self, percent: int, token: str = "") -> None:
        weights: Weights = weights_for("green", percent)
        self.traffic.set_weights(self.shop, weights, self.traffic.route(self.shop), token or self.token())

    def targets(self, slot: Slot) -> TargetHealth:
        return self.traffic.observe([self.shop])["shop"].targets[slot]

    @property
    def declared(self) -> Weights:
        """What is really declared, past every switch."""
        weights: Weights = self.cloud.snapshot("shop")["weights"]
        return weights


def rollout() -> World:
    """A whole one: mirror, three steps with a look every 30 s, an hour's bake, retire."""
    world = World()
    shop, token = world.shop, world.token
    world.mirror()
    for percent in (10, 50, 100):
        world.move(percent)
        for _ in range(5):
            world.passes(30)
            world.traffic.observe([shop])
    for _ in range(12):
        world.passes(300)
        world.compute.observe([shop])
        world.traffic.observe([shop])
    world.traffic.detach(shop, "blue", token())
    world.compute.delete_if_owned(shop, "blue", "rollout-1", token())
    world.compute.park(shop, "blue", token())
    return world
