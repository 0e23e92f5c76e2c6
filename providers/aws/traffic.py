"""Traffic, through listeners and rules of Application and Network Load Balancers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from providers.aws import marks, routes, weights
from providers.aws.cloud import Cloud, Clouds, Place, Writing
from providers.aws.counters import Counting
from providers.aws.entered import Entered
from providers.aws.groups import owner_of, read_groups
from providers.aws.hosting import Hosting
from providers.aws.members import plan_exactly, plan_none
from providers.aws.mirroring import follow_target_groups
from providers.aws.options import Options
from providers.aws.quick import kept
from providers.aws.routes import Seen, groups_of
from providers.aws.targets import Listed, health, health_of, read_health, registered
from providers.aws.units import units_by_host
from providers.aws.weights import Absent, checked
from providers.base import (
    EVERYTHING,
    SLOTS,
    UNREAD,
    Counters,
    HoldMark,
    Instance,
    Invalid,
    NotFound,
    Parts,
    ProviderError,
    Reading,
    Route,
    Service,
    Slot,
    TestRoute,
    Transient,
    Weights,
    plain,
)

UNCOUNTED = "uncounted"


class AwsTraffic:
    """AWS has no tokens here: each write goes on from what is there, and the same one again changes nothing more."""

    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds
        self._counting = Counting(clouds.context.clock)
        self._hosting = Hosting(clouds.context.clock)
        self._entered = Entered(clouds.context.clock)

    def route(self, service: Service) -> Route:
        """All routes, read directly."""
        return routes.read_route(*self._clouds.of(service))

    def observe(self, services: Sequence[Service], parts: Parts = EVERYTHING) -> Mapping[str, Reading]:
        """Services that cannot be read are absent, so that they blind nobody else; when nothing at all could be read,
        the reason is raised, unless it is that nothing is there."""
        found: dict[str, Reading] = {}
        failed: list[ProviderError] = []
        for cloud, named in self._clouds.grouped(services):
            try:
                found |= self._readings(cloud, named, parts, failed)
            except ProviderError as error:
                failed.append(error)
        worse = [error for error in failed if not isinstance(error, NotFound)]
        if worse and not found:
            raise worse[0]
        return found

    def attach(self, service: Service, slot: Slot, instances: Sequence[Instance], token: str) -> None:
        """The group gets its target groups, each route the target group (at weight 0), then exactly these targets."""
        with self._clouds.writing(service) as (writing, options):
            cloud, name = writing.cloud, options.group(slot)
            seen = routes.look(cloud, options, tags=False)
            group = read_groups(cloud, [name]).get(name)
            if group is None:
                raise NotFound(f"service {service.name}: {slot} has no Auto Scaling group {name} to attach")
            ours, wanted = options.target_groups(slot), [instance.id for instance in instances]
            plan = plan_exactly(cloud, slot, group, wanted, health_of(cloud, ours))
            entering = {
                one: entry
                for one in options.routes
                if (entry := weights.with_group(seen.actions[one.resource], groups_of(one), slot, one.resource))
            }
            for one, actions in entering.items():
                routes.write(writing, one, actions)
                self._entered.enter(cloud.place, one.target_group(slot))
            if missing := [arn for arn in ours if arn not in group.get("TargetGroupARNs", ())]:
                _change_group(writing, "attach_load_balancer_target_groups", name, missing)
                # The group brings its own hosts with it: the named ones, and perhaps others.
                plan = plan_exactly(cloud, slot, group, wanted, health_of(cloud, ours))
            plan.carry_out(writing)
            if (
                owner_of(group) is not None
            ):  # a copy of ours: AWS takes some policies only from a group that is attached
                follow_target_groups(writing, options, slot)

    def set_weights(self, service: Service, weights: Weights, expected: Route, token: str) -> Route:
        with self._clouds.writing(service) as (writing, options):
            gaining = [slot for slot in SLOTS if weights.get(slot, 0) > expected.share(slot)]
            asked = [arn for slot in gaining for arn in options.target_groups(slot)]
            checked(weights)
            for arn, listed in health_of(writing.cloud, asked).items():
                if not registered(listed):
                    raise Invalid(f"service {service.name}: {arn} has no targets; attach the slot's instances first")
            try:
                return routes.set_weights(writing, options, weights, expected)
            except Absent as error:
                if self._entered.lately(writing.cloud.place, asked):
                    raise Transient(f"{error}; it was attached a moment ago and may not be shown yet") from error
                raise

    def cut(self, service: Service, slot: Slot, token: str) -> int:
        """AWS closes no connection on demand. What it offers begins here: the slot leaves every route, so that no
        sticky client returns to it, and its targets leave their target groups. An Application Load Balancer then lets
        requests end for as long as the target group's deregistration delay says, and closes what is left; a Network
        Load Balancer closes flows at the end of that delay where connection termination is on, and otherwise leaves
        them. The slot has to be attached again before it can serve. Invalid while it has weight.

        How many that will be nobody is told: the answer is 0.
        """
        self._take_out(service, slot, "cut")
        return 0

    def detach(self, service: Service, slot: Slot, token: str) -> None:
        """Out of every route, and the group away from its target groups; the targets then drain for as long as the
        target groups say, which `observe` tells. Whoever ends them before breaks off what they still answer."""
        self._take_out(service, slot, "detached", with_group=True)

    def mark(self, service: Service, mark: HoldMark | None, token: str) -> None:
        with self._clouds.writing(service) as (writing, options):
            if mark is None:
                routes.clear_tags(writing, options, marks.KEYS)
            else:
                routes.set_tags(writing, options, marks.tags_of(mark))

    def keep_card(self, service: Service, card: Mapping[str, Any], token: str) -> None:
        """In tags of the last route. Invalid where they have no room for it."""
        with self._clouds.writing(service) as (writing, options):
            tags = kept.tags_of(card)
            if not tags:
                raise Invalid(f"service {service.name}: {len(options.routes)} routes are too many to be kept in tags")
            routes.set_tags(writing, options, tags)

    def test_route(self, service: Service, slot: Slot) -> TestRoute:
        _, options = self._clouds.of(service)
        if options.test_urls:
            return TestRoute(options.test_urls[slot])
        if not options.test_url:
            raise Invalid(
                f"service {service.name} has no way in for checks: declare test_url, with a rule in front of it that "
                f"sends requests with the header {options.test_header}: {slot} to {slot}'s target group; or test_urls "
                "with a URL for blue and one for green"
            )
        return TestRoute(options.test_url, {options.test_header: slot})

    def card_target(self, service: Service) -> Mapping[str, Any]:
        """`what` names the service for people. `actions` are each route's as they are now: what a way back keeps, and
        builds on where somebody has put something else there."""
        cloud, options = self._clouds.of(service)
        seen = routes.look(cloud, options, tags=False)
        place = Place.of(options)
        return {
            "provider": "aws",
            "what": f"{service.name} in {options.region}",
            "place": {name: getattr(place, name) for name in Place.__slots__},
            "groups": {slot: options.group(slot) for slot in SLOTS},
            **({"instance_weights": True} if options.instance_weights else {}),
            "routes": [
                {
                    "listener": one.listener,
                    "rule": one.rule,
                    "blue": one.blue,
                    "green": one.green,
                    "actions": plain(seen.actions[one.resource]),
                }
                for one in options.routes
            ],
        }

    def _readings(
        self, cloud: Cloud, named: Mapping[str, Options], parts: Parts, failed: list[ProviderError]
    ) -> Mapping[str, Reading]:
        told: dict[str, Route] = dict.fromkeys(named, UNREAD)
        seen: dict[str, Seen] = {}
        if parts.route or parts.counters:
            told, seen = _routes(cloud, named, parts, failed)
        asked = self._worth_asking(cloud, {name: named[name] for name in told}, seen, parts)
        listed = read_health(cloud, [arn for slots in asked.values() for arns in slots.values() for arn in arns])
        looked_at = {name: named[name] for name, slots in asked.items() if any(slots.values())}
        units, unread = _units(cloud, looked_at)
        for name, slots in asked.items():
            wrong = [each for arns in slots.values() for arn in arns if isinstance(each := listed[arn], ProviderError)]
            if name in unread:
                wrong.append(unread[name])
            if wrong:
                failed.append(wrong[0])
                del told[name]
        counters_id, counters = self._counted(cloud, {name: seen[name] for name in told if name in seen}, parts)
        now = cloud.clock.now()
        return {
            name: Reading(
                route,
                {slot: health([_listed(listed[arn]) for arn in arns], units) for slot, arns in asked[name].items()},
                counters.get(name, {}),
                counters_id,
                now,
            )
            for name, route in told.items()
        }

    def _worth_asking(
        self, cloud: Cloud, named: Mapping[str, Options], seen: Mapping[str, Seen], parts: Parts
    ) -> dict[str, dict[Slot, tuple[str, ...]]]:
        """The target groups of each slot; none where it has neither hosts nor weight, for then there is nothing to be
        judged. Who asks for the targets alone means a slot that has hosts, or had some a moment ago."""
        if not parts.route or not parts.targets:
            return {name: {slot: each.target_groups(slot) for slot in parts.targets} for name, each in named.items()}
        sides = {(name, slot) for name in named for slot in parts.targets}
        served = {side for side in sides if seen[side[0]].share(side[1])}
        groups = {side: named[side[0]].group(side[1]) for side in sides - served}
        hosting = self._hosting.among(cloud, groups.values())
        return {
            name: {
                slot: each.target_groups(slot) if (name, slot) in served or groups[name, slot] in hosting else ()
                for slot in parts.targets
            }
            for name, each in named.items()
        }

    def _counted(
        self, cloud: Cloud, seen: Mapping[str, Seen], parts: Parts
    ) -> tuple[str, Mapping[str, Mapping[Slot, Counters]]]:
        """None at all where CloudWatch does not answer: route and health are known all the same, and a way back needs
        no more than them."""
        if not parts.counters:
            return UNCOUNTED, {}
        try:
            return self._counting.read(cloud, seen, parts.counters)
        except ProviderError:
            return UNCOUNTED, {}

    def _take_out(self, service: Service, slot: Slot, deed: str, *, with_group: bool = False) -> None:
        with self._clouds.writing(service) as (writing, options):
            cloud, name = writing.cloud, options.group(slot)
            seen = routes.look(cloud, options, tags=False)
            if share := seen.share(slot):
                raise Invalid(f"service {service.name}: {slot} has {share} % of the traffic and cannot be {deed}")
            group, ours = read_groups(cloud, [name]).get(name), options.target_groups(slot)
            self._entered.leave(cloud.place, ours)
            for one in options.routes:
                left = weights.without_group(seen.actions[one.resource], groups_of(one), slot, one.resource)
                if left:
                    routes.write(writing, one, left)
            attached = [arn for arn in ours if group and arn in group.get("TargetGroupARNs", ())]
            if with_group and attached:
                _change_group(writing, "detach_load_balancer_target_groups", name, attached)
            plan_none(cloud, group, health_of(cloud, ours)).carry_out(writing)


def _routes(
    cloud: Cloud, named: Mapping[str, Options], parts: Parts, failed: list[ProviderError]
) -> tuple[dict[str, Route], dict[str, Seen]]:
    """What can be read of the services' routes; the mark only where it is asked for."""
    told: dict[str, Route] = {}
    seen: dict[str, Seen] = {}
    several = any(len(each.routes) > 1 for each in named.values())  # where they go is said by a tag, too
    tags = parts.route and (parts.mark or several)
    for name, look in routes.look_at(cloud, named, tags=tags).items():
        try:
            if isinstance(look, ProviderError):
                raise look
            told[name], seen[name] = look.route if parts.route else UNREAD, look
        except ProviderError as error:
            failed.append(error)
    return told, seen


def _units(cloud: Cloud, looked_at: Mapping[str, Options]) -> tuple[Mapping[str, int], Mapping[str, ProviderError]]:
    """By host, of the services whose hosts have weights; by service, why they could not be read."""
    weighed = {name: each for name, each in looked_at.items() if each.instance_weights}
    names = [each.group(slot) for each in weighed.values() for slot in SLOTS]
    try:
        return units_by_host(read_groups(cloud, names, leaving=True).values()) if names else {}, {}
    except ProviderError as error:
        return {}, dict.fromkeys(weighed, error)


def _listed(found: Listed | ProviderError) -> Listed:
    if isinstance(found, ProviderError):
        raise found
    return found


def _change_group(writing: Writing, operation: str, name: str, target_groups: Sequence[str]) -> None:
    writing.call("autoscaling", operation, AutoScalingGroupName=name, TargetGroupARNs=list(target_groups))
