"""Traffic, through the control socket of the service's balancer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from providers.base import (
    EVERYTHING,
    SLOTS,
    Conflict,
    Counters,
    HoldMark,
    Instance,
    Invalid,
    NotFound,
    Parts,
    Reading,
    Route,
    Service,
    Slot,
    TargetHealth,
    TestRoute,
    Weights,
    plain,
)
from providers.local import revision
from providers.local.balancer.answers import StateAnswer
from providers.local.balancer.mark import MARK
from providers.local.balancers import Client
from providers.local.files import write_json
from providers.local.front import ACT_S, Front
from providers.local.home import Home, Homes
from providers.local.switch.model import Switch

TEST_HEADER = "X-Rollout-Slot"


class LocalTraffic:
    """A balancer that is not running is started again by whatever asks it. Time-outs are Transient."""

    def __init__(self, homes: Homes) -> None:
        self._homes = homes

    def route(self, service: Service) -> Route:
        front = self._front(service)
        return front.route(front.state())

    def observe(self, services: Sequence[Service], parts: Parts = EVERYTHING) -> Mapping[str, Reading]:
        """Always all of it: it costs one question to the balancer."""
        return {service.name: _reading(self._front(service)) for service in services}

    def attach(self, service: Service, slot: Slot, instances: Sequence[Instance], token: str) -> None:
        home = self._homes.of(service)
        known = {record.id for record in home.records.all(slot)}
        if strange := sorted({instance.id for instance in instances} - known):
            raise NotFound(f"service {home.name}: {slot} has no instance {', '.join(strange)}")
        self._targets(home, "attach", slot, sorted({instance.address for instance in instances}), token)

    def detach(self, service: Service, slot: Slot, token: str) -> None:
        home = self._homes.of(service)
        home.front.raise_if_serving(slot, "detached")
        self._targets(home, "detach", slot, [], token)

    def set_weights(self, service: Service, weights: Weights, expected: Route, token: str) -> Route:
        home, front = self._homes.of(service), self._homes.of(service).front
        self._front(service)
        wanted, deadline = _checked(home, weights), home.clock.now() + ACT_S

        def act(balancer: Client) -> StateAnswer:
            state = balancer.state()
            if state["token"] == token and state["weights"] == wanted:
                return state  # our own write, whose answer was lost
            route = front.route(state)
            if route.revision != expected.revision:
                now = f"it is {route.revision}, {dict(route.weights)}"
                raise Conflict(f"service {home.name}: the route changed since {expected.revision}: {now}")
            for slot in SLOTS:
                if wanted[slot] and not state["targets"][slot]:
                    raise Invalid(f"service {home.name}: {slot} is in no route; attach its instances first")
            # Also when these are its weights already: a new revision fences whatever is still on its way.
            return balancer.set_weights(dict(plain(wanted)), expected_revision=state["revision"], token=token)

        _need(home)
        with home.locked():
            write = home.tokens.begin(token, "set_weights", "route", wanted, expected.revision)
            if write["done"] and write["result"]:
                return Route.from_json(write["result"])
            route = front.route(front.write(act, deadline))
            home.tokens.finish(token, plain(route))
            return route

    def cut(self, service: Service, slot: Slot, token: str) -> int:
        home, deadline = self._homes.of(service), self._homes.context.clock.now() + ACT_S
        _need(home)
        with home.locked():
            write = home.tokens.begin(token, "cut", f"connections of {slot}")
            if not write["done"]:
                write["result"] = home.front.write(lambda balancer: balancer.cut(slot), deadline)
                home.tokens.finish(token, write["result"])
            return int(write["result"] or 0)

    def mark(self, service: Service, mark: HoldMark | None, token: str) -> None:
        home = self._homes.of(service)
        _need(home)
        with home.locked():
            if home.tokens.begin(token, "mark", "mark", plain(mark))["done"]:
                return
            if mark is None:
                (home.front.directory / MARK).unlink(missing_ok=True)
            else:
                write_json(home.front.directory / MARK, plain(mark))
            home.tokens.finish(token)

    def test_route(self, service: Service, slot: Slot) -> TestRoute:
        home = self._homes.of(service)
        home.need(slot)
        return TestRoute(f"http://{home.front.test_address()}", {TEST_HEADER: slot})

    def card_target(self, service: Service) -> Mapping[str, Any]:
        home = self._homes.of(service)
        self._front(service)
        _need(home)
        return {"provider": "local", "service": home.name, "dir": str(home.front.directory)}

    def _front(self, service: Service) -> Front:
        """What the service stands behind, with the commands that its options have now."""
        front = self._homes.of(service).front
        try:
            switch = Switch.of(service.options.get("switch"))
        except (TypeError, ValueError) as error:
            raise Invalid(f"service {service.name}: options: switch: {error}") from None
        front.follow(switch, self._homes.context.fleet_dir)
        return front

    def _targets(self, home: Home, operation: str, slot: Slot, addresses: list[str], token: str) -> None:
        deadline = home.clock.now() + ACT_S

        def act(balancer: Client) -> None:
            before = balancer.state()
            if sorted(target["address"] for target in before["targets"][slot]) != addresses:
                count = before["revision"]
                after = balancer.set_targets(slot, addresses, expected_revision=count, token=token)
                revision.keep(home.front.directory, before, after)

        _need(home)
        with home.locked():
            if not home.tokens.begin(token, operation, f"targets of {slot}", addresses)["done"]:
                home.front.write(act, deadline)
                home.tokens.finish(token)


def _need(home: Home) -> None:
    if not home.front.exists:
        raise NotFound(f"service {home.name} has no balancer yet; stand it up first")


def _checked(home: Home, weights: Weights) -> dict[Slot, int]:
    shares = list(weights.values())
    if set(weights) != set(SLOTS) or any(share < 0 for share in shares) or sum(shares) != 100:
        wanted = "both slots with 0 to 100 that add up to 100 are needed"
        raise Invalid(f"service {home.name}: weights {dict(weights)}: {wanted}")
    return {slot: weights[slot] for slot in SLOTS}


def _reading(front: Front) -> Reading:
    state = front.state()
    targets = {slot: _health(state, slot) for slot in SLOTS}
    counters = {slot: _counters(state, slot) for slot in SLOTS if slot in state["counters"]}
    route = front.route(state)
    if "unsure" in state:  # what was declared is not what was seen
        route = replace(route, weights={}, note=state["unsure"])
    return Reading(route, targets, counters, state["counters_id"], state["at"])


def _health(state: StateAnswer, slot: Slot) -> TargetHealth:
    said = [target["healthy"] for target in state["targets"][slot]]
    reasons = sorted({item["reason"] for item in state["targets"][slot] if item["healthy"] is False})
    return TargetHealth(said.count(True), said.count(False), said.count(None), tuple(reasons))


def _counters(state: StateAnswer, slot: Slot) -> Counters:
    seen = state["counters"][slot]
    return Counters(seen["requests"], dict(seen["responses"]), seen["failed"], seen["in_flight"])
