"""The routes of a service (listeners' default actions, rules) as they are now, and writing weights to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from providers.aws import marks, weights
from providers.aws.budget import urgent
from providers.aws.cloud import Cloud, Writing
from providers.aws.options import Options, RouteOptions
from providers.aws.weights import Action, Groups
from providers.base import SLOTS, Conflict, HoldMark, Invalid, NotFound, ProviderError, Route, Slot, Transient, Weights

ARNS_A_CALL = 20
DESCRIBED = {
    "describe_listeners": ("Listeners", "ListenerArns", "ListenerArn", "DefaultActions"),
    "describe_rules": ("Rules", "RuleArns", "RuleArn", "Actions"),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """All routes of a service at one look: actions by listener or rule, and the tags of the last one."""

    options: Options
    actions: Mapping[str, Sequence[Mapping[str, Any]]]
    tags: Mapping[str, str]

    @property
    def route(self) -> Route:
        """Raises Conflict, Invalid where a route is not one between blue and green."""
        each = [self.shares(one) for one in self.options.routes]
        now = weights.route_of(each, self.declaring)
        return Route(now, weights.revision(self.actions, marks.of_mark(self.tags)), self._mark(now))

    @property
    def declaring(self) -> Weights | None:
        return marks.declaring_of(self.tags)

    def shares(self, one: RouteOptions) -> Weights:
        return weights.shares(self.actions[one.resource], groups_of(one), one.resource)

    def share(self, slot: Slot) -> int:
        """The largest share that the slot has in any route."""
        return max(self.shares(one)[slot] for one in self.options.routes)

    def names(self, target_group: str) -> bool:
        """Is the target group in any route, at whatever weight?"""
        return any(weights.has(actions, target_group) for actions in self.actions.values())

    def _mark(self, now: Weights) -> HoldMark | None:
        return marks.mark_of(self.tags, max(SLOTS, key=lambda slot: now[slot]))


def groups_of(one: RouteOptions) -> Groups:
    return {slot: one.target_group(slot) for slot in SLOTS}


def read_route(cloud: Cloud, options: Options) -> Route:
    """All routes, read directly. Raises NotFound, Conflict, Invalid, Transient."""
    return look(cloud, options).route


def raise_if_serving(cloud: Cloud, options: Options, slot: Slot, deed: str) -> None:
    """Invalid while the slot has any weight in any route. `deed` is what cannot be done to it: "deleted" …"""
    if share := look(cloud, options, tags=False).share(slot):
        raise Invalid(f"{slot} has {share} % of the traffic and cannot be {deed}")


def look(cloud: Cloud, options: Options, *, tags: bool = True) -> Seen:
    """One service; raises NotFound where one of its routes does not exist. Without `tags`, which take a call of their
    own, it tells actions and shares, and nothing of a mark or of what is being declared."""
    with urgent():  # the direct look of whoever is about to write
        found = look_at(cloud, {"": options}, tags=tags)[""]
    if isinstance(found, ProviderError):
        raise found
    return found


def look_at(cloud: Cloud, named: Mapping[str, Options], *, tags: bool = True) -> dict[str, Seen | ProviderError]:
    """All services in as few calls as possible; a service with a route that is not there blinds nobody else."""
    every = [one for options in named.values() for one in options.routes]
    found: dict[str, Sequence[Mapping[str, Any]] | ProviderError] = {
        **_actions(cloud, "describe_listeners", [one.listener for one in every if not one.rule]),
        **_actions(cloud, "describe_rules", [one.rule for one in every if one.rule]),
    }
    last = [each.routes[-1].resource for each in named.values() if each.routes[-1].resource in found]
    told = _tags(cloud, last) if tags else {resource: {} for resource in last}
    return {name: _seen(options, found, told) for name, options in named.items()}


def set_weights(writing: Writing, options: Options, wanted: Weights, expected: Route) -> Route:
    """Each route in order, the last one last. Conflict where one is neither as expected nor as wanted.

    There is no compare-and-set in AWS: this narrows the gap to the time between one read and the next write. The same
    write again goes on from what is there. What was declared stays on record after it: by that a later edit of any of
    several routes is told from a move.
    """
    checked, seen = weights.checked(wanted), look(writing.cloud, options)
    _raise_if_changed(seen, checked, expected)
    written = {
        one.resource: weights.with_shares(seen.actions[one.resource], groups_of(one), checked, one.resource)
        for one in options.routes
    }
    if len(options.routes) > 1:
        text = {marks.DECLARING: marks.declaring_text(checked)}
        set_tags(writing, options, text)
        seen = replace(seen, tags={**seen.tags, **text})
    answered = {}
    for one in options.routes:
        answered[one.resource] = write(writing, one, written[one.resource])
        if (now := weights.seen(answered[one.resource], groups_of(one))) != checked:
            raise Transient(f"{one.resource} answered with {now} when {checked} was written to it")
    return replace(seen, actions=answered).route


def write(writing: Writing, one: RouteOptions, actions: list[Action]) -> list[Action]:
    """The actions of one route; what AWS answers that they are now."""
    if one.rule:
        answer = writing.call("elbv2", "modify_rule", RuleArn=one.rule, Actions=actions)
        return list(answer["Rules"][0]["Actions"])
    answer = writing.call("elbv2", "modify_listener", ListenerArn=one.listener, DefaultActions=actions)
    return list(answer["Listeners"][0]["DefaultActions"])


def set_tags(writing: Writing, options: Options, tags: Mapping[str, str]) -> None:
    """On the last route, beside what is there."""
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    writing.call("elbv2", "add_tags", ResourceArns=[options.routes[-1].resource], Tags=listed)


def clear_tags(writing: Writing, options: Options, keys: Sequence[str]) -> None:
    writing.call("elbv2", "remove_tags", ResourceArns=[options.routes[-1].resource], TagKeys=list(keys))


def _raise_if_changed(seen: Seen, wanted: Weights, expected: Route) -> None:
    now = seen.route
    if now.revision == expected.revision:
        return
    if now.mark and now.mark != expected.mark and wanted[now.mark.active] != 100:
        raise Conflict(f"{now.mark.by} left a hold mark since the route was read: {now.mark.reason or 'no reason'}")
    allowed = [dict(expected.weights), dict(wanted), *([dict(seen.declaring)] if seen.declaring else [])]
    for one in seen.options.routes:
        if (found := dict(seen.shares(one))) not in allowed:
            raise Conflict(f"{one.resource} changed since it was read: it is {found}, not {dict(expected.weights)}")


def _seen(
    options: Options,
    found: Mapping[str, Sequence[Mapping[str, Any]] | ProviderError],
    tags: Mapping[str, Mapping[str, str]],
) -> Seen | ProviderError:
    actions = {}
    for one in options.routes:
        each = found.get(one.resource)
        if each is None:
            return NotFound(f"{one.resource} does not exist")
        if isinstance(each, ProviderError):
            return each
        actions[one.resource] = each
    last = options.routes[-1].resource
    return Seen(options, actions, tags[last]) if last in tags else NotFound(f"{last} does not exist")


def _actions(
    cloud: Cloud, operation: str, arns: Iterable[str]
) -> dict[str, Sequence[Mapping[str, Any]] | ProviderError]:
    """By ARN; those that do not exist are absent. A default rule cannot be written to, and AWS says so too late."""
    key, argument, name, told = DESCRIBED[operation]
    found: dict[str, Sequence[Mapping[str, Any]] | ProviderError] = {}
    for part in _parts(arns):
        for item in _described(cloud, operation, key, argument, part):
            arn, is_default = item[name], item.get("IsDefault", False)
            wrong = Invalid(f"{arn} is the default rule of its listener: leave `rule` out to use the listener itself")
            found[arn] = wrong if is_default else item.get(told, [])
    return found


def _tags(cloud: Cloud, arns: Iterable[str]) -> dict[str, dict[str, str]]:
    return {
        item["ResourceArn"]: {tag["Key"]: tag.get("Value", "") for tag in item.get("Tags", ())}
        for part in _parts(arns)
        for item in _described(cloud, "describe_tags", "TagDescriptions", "ResourceArns", part)
    }


def _parts(arns: Iterable[str]) -> list[list[str]]:
    asked = list(dict.fromkeys(arns))
    return [asked[at : at + ARNS_A_CALL] for at in range(0, len(asked), ARNS_A_CALL)]


def _described(cloud: Cloud, operation: str, key: str, argument: str, arns: list[str]) -> list[Mapping[str, Any]]:
    """One that does not exist has AWS refuse all of them: then by halves, until it stands alone."""
    try:
        if operation == "describe_tags":
            return list(cloud.read("elbv2", operation, **{argument: arns})[key])
        return cloud.pages("elbv2", operation, key, **{argument: arns})
    except NotFound:
        if len(arns) == 1:
            return []
    half = len(arns) // 2
    return [item for part in (arns[:half], arns[half:]) for item in _described(cloud, operation, key, argument, part)]
