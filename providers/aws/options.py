"""The `aws` part of a service's configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from providers.base import SLOTS, Service, Slot

ARN = re.compile(r"arn:aws[a-z-]*:elasticloadbalancing:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):(?P<kind>[a-z-]+)/.+")
GROUP = re.compile(r"[^:/\s\x00-\x1f]{1,255}")
REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d+")
ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
EXTRA: Mapping[str, Any] = {"extra": "forbid"}


@dataclass(frozen=True)
class RouteOptions:
    """One place where traffic is split: a listener's default action, or one rule; with the target group of each slot.

    All values are ARNs; an empty `rule` is the listener's default action.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = EXTRA

    listener: str
    blue: str
    green: str
    rule: str = ""

    def __post_init__(self) -> None:
        _check_arn("listener", self.listener, "listener")
        _check_arn("blue", self.blue, "targetgroup")
        _check_arn("green", self.green, "targetgroup")
        if self.rule:
            _check_arn("rule", self.rule, "listener-rule")
            if not self.rule.startswith(self.listener.replace(":listener/", ":listener-rule/") + "/"):
                raise ValueError("rule: it belongs to another listener than the one that is named beside it")
        if self.blue == self.green:
            raise ValueError("green: each slot needs a target group of its own, this is blue's")

    def target_group(self, slot: Slot) -> str:
        return self.blue if slot == "blue" else self.green

    @property
    def resource(self) -> str:
        """What weights are written to: the rule, else the listener."""
        return self.rule or self.listener


@dataclass(frozen=True)
class SharedLimit:
    """What both sides use at once, such as connections to a database: `each` host takes so much of `limit`."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = EXTRA

    name: str
    each: int
    limit: int

    def __post_init__(self) -> None:
        if self.each < 0 or self.limit < 1:
            raise ValueError(f"shared_limits {self.name}: each is 0 or more, limit 1 or more")


@dataclass(frozen=True)
class Options:
    """A service on Amazon Web Services. Raises ValueError saying what is allowed.

    region, account (12 digits, compared with the credentials'), profile (of the AWS configuration files), role (ARN
    that is assumed), external_id (for that role): where the service is and as whom it is worked on. endpoint_url:
    another endpoint for all calls, https or on this machine.
    blue, green: the Auto Scaling groups. standby: `permanent` when both are there for good, `on_demand` when the one
    that does not serve is created for a rollout and deleted after it.
    routes: all places where traffic is split; they move together, the last one last.
    test_url, test_header: the way in for checks, a base URL and the header whose value chooses the slot; test_urls has
    one URL for each slot instead, where no header can choose.
    subnet_reserve: addresses that are to stay free in each subnet. shared_limits: what both sides share.
    instance_weights: capacity is in units, of which each host is as many as the group's overrides say of its type
    (WeightedCapacity); hosts count for one otherwise, and a group with weights is refused.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = EXTRA

    region: str
    blue: str
    green: str
    routes: tuple[RouteOptions, ...]
    standby: Literal["permanent", "on_demand"] = "permanent"
    account: str = ""
    profile: str = ""
    role: str = ""
    external_id: str = ""
    endpoint_url: str = ""
    test_url: str = ""
    test_header: str = "X-Rollout-Slot"
    test_urls: Mapping[str, str] = field(default_factory=dict)
    subnet_reserve: int = 5
    shared_limits: tuple[SharedLimit, ...] = ()
    instance_weights: bool = False

    def __post_init__(self) -> None:
        if not REGION.fullmatch(self.region):
            raise ValueError(f"region: {self.region!r} is not a region's name, like eu-central-1")
        for slot, name in (("blue", self.blue), ("green", self.green)):
            if not GROUP.fullmatch(name):
                raise ValueError(f"{slot}: {name!r} is not the name of an Auto Scaling group")
        if self.blue == self.green:
            raise ValueError("green: each slot needs an Auto Scaling group of its own, this is blue's")
        if self.account and not re.fullmatch(r"\d{12}", self.account):
            raise ValueError(f"account: {self.account!r} is not an account's number of 12 digits; write it in quotes")
        if self.role and not ROLE.fullmatch(self.role):
            raise ValueError(f"role: {self.role!r} is not a role's ARN, like arn:aws:iam::123456789012:role/rollout")
        _check_routes(self.routes, self.region)
        _check_endpoint(self.endpoint_url)
        if self.subnet_reserve < 0:
            raise ValueError("subnet_reserve: 0 or more addresses")
        if self.test_urls and set(self.test_urls) != set(SLOTS):
            raise ValueError("test_urls: a URL for blue and one for green are needed")

    @classmethod
    def of(cls, service: Service) -> Options:
        """From what this class once accepted and was then kept as plain data."""
        plain = dict(service.options)
        plain["routes"] = tuple(RouteOptions(**route) for route in plain["routes"])
        plain["shared_limits"] = tuple(SharedLimit(**limit) for limit in plain.get("shared_limits", ()))
        return cls(**plain)

    def group(self, slot: Slot) -> str:
        return self.blue if slot == "blue" else self.green

    def slot_of(self, group: str) -> Slot:
        return "blue" if group == self.blue else "green"

    def target_groups(self, slot: Slot) -> tuple[str, ...]:
        """Each once, in the order of the routes."""
        return tuple(dict.fromkeys(route.target_group(slot) for route in self.routes))


def _check_arn(key: str, arn: str, kind: str) -> None:
    match = ARN.fullmatch(arn)
    if not match or match["kind"] != kind:
        raise ValueError(f"{key}: {arn!r} is not the ARN of a {kind} (arn:aws:elasticloadbalancing:…:{kind}/…)")


def _check_routes(routes: tuple[RouteOptions, ...], region: str) -> None:
    if not routes:
        raise ValueError("routes: at least one listener or rule, with the target group of each slot")
    resources = [route.resource for route in routes]
    if len(set(resources)) != len(resources):
        raise ValueError("routes: a listener or rule is named twice")
    blue, green = ({route.target_group(slot) for route in routes} for slot in SLOTS)
    if blue & green:
        raise ValueError(f"routes: {sorted(blue & green)[0]} is blue's in one route and green's in another")
    for route in routes:
        for arn in (route.listener, route.blue, route.green):
            match = ARN.fullmatch(arn)
            if match and match["region"] != region:
                raise ValueError(f"routes: {arn} is in {match['region']}, the service in {region}")


def _check_endpoint(url: str) -> None:
    if not url:
        return
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError(f"endpoint_url: {url!r} is not an http or https URL without a user's name")
    if parts.scheme == "http" and not local:
        raise ValueError(f"endpoint_url: {url!r} would carry signed requests in the clear; https, or this machine")
