"""Where a slot's own names stand inside of its configuration, and what they become in the other slot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from providers.aws.options import Options
from providers.base import Slot, other

GROUP_DIMENSION = "AutoScalingGroupName"
BALANCER_DIMENSION = "TargetGroup"


@dataclass(frozen=True, slots=True)
class Naming:
    """Turns the names of one slot into those of another, or into `{group}` and `{target_group:…}` for comparing.

    `targets` maps `targetgroup/name/id` to what takes its place. `clear` is False where one group's name is part of the
    other's: then only values that can mean nothing else are names.
    """

    group: str
    becomes: str
    clear: bool
    targets: Mapping[str, str]

    @classmethod
    def between(cls, options: Options, source: Slot, into: Slot) -> Naming:
        targets = {
            short(route.target_group(source)): short(route.target_group(into)) for route in reversed(options.routes)
        }
        return cls(options.group(source), options.group(into), _clear(options), targets)

    @classmethod
    def neutral(cls, options: Options, slot: Slot) -> Naming:
        targets = {
            short(route.target_group(slot)): f"{{target_group:{number}}}"
            for number, route in reversed(list(enumerate(options.routes)))
        }
        return cls(options.group(slot), "{group}", _clear(options), targets)

    def word(self, text: str) -> str:
        """A name or a tag's value that may have the group's name in it."""
        if not self.clear:
            return text
        return re.sub(rf"(?<![A-Za-z0-9]){re.escape(self.group)}(?![A-Za-z0-9])", lambda _: self.becomes, text)

    def tag(self, key: str, value: str) -> str:
        return self.becomes if key == "Name" and value == self.group else self.word(value)

    def tags(self, tags: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**each, "Value": self.tag(each["Key"], each.get("Value", ""))} for each in tags]

    def metrics(self, value: Any) -> Any:
        """A policy's or alarm's configuration: dimensions and resource labels."""
        if isinstance(value, list):
            return [self.metrics(item) for item in value]
        if not isinstance(value, Mapping):
            return value
        if set(value) == {"Name", "Value"}:
            return {"Name": value["Name"], "Value": self._dimension(value["Name"], value["Value"])}
        return {key: self.label(item) if key == "ResourceLabel" else self.metrics(item) for key, item in value.items()}

    def label(self, text: str) -> str:
        """`app/front/id/targetgroup/name/id` with the target group of the other slot."""
        before, mark, _ = text.partition("targetgroup/")
        return before + self.targets.get(mark + text[len(before) + len(mark) :], text[len(before) :])

    def _dimension(self, name: str, value: str) -> str:
        if name == GROUP_DIMENSION and value == self.group:
            return self.becomes
        return self.targets.get(value, value) if name == BALANCER_DIMENSION else value


def short(arn: str) -> str:
    """A target group's ARN as metrics name it."""
    return arn.rpartition(":")[2]


def tracked(policy: Mapping[str, Any]) -> list[str]:
    """The target groups whose requests a policy follows, as `targetgroup/name/id`."""
    return sorted({label[label.index("targetgroup/") :] for label in _labels(policy) if "targetgroup/" in label})


def _labels(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        own = [value["ResourceLabel"]] if isinstance(value.get("ResourceLabel"), str) else []
        return own + [label for item in value.values() for label in _labels(item)]
    return [label for item in value for label in _labels(item)] if isinstance(value, list) else []


def _clear(options: Options) -> bool:
    one, two = options.group("blue"), options.group(other("blue"))
    return one not in two and two not in one
