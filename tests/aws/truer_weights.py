"""Listeners, rules and their tags: what AWS refuses."""

from __future__ import annotations

import re
from typing import Any

from moto.elbv2.exceptions import ELBClientError, ListenerNotFoundError
from moto.elbv2.models import ELBv2Backend, FakeAction

from tests.aws.truer import Correcting

TARGET_GROUPS, HEAVIEST = 5, 999
TAG = re.compile(r"[\w\s_.:/=+\-@]*")
TAGGED_A_CALL, TAGS, TAG_VALUE = 20, 50, 256


def actions_are_validated(correcting: Correcting) -> None:
    """AWS: an action forwards to at most five known target groups, each with a weight from 0 to 999."""

    def check(backend: ELBv2Backend, actions: Any) -> None:
        for action in actions or []:
            if action.get("Type") != "forward":
                continue
            forward = action.get("ForwardConfig") or {}
            groups = list(forward.get("TargetGroups") or [])
            if not groups and action.get("TargetGroupArn"):
                groups = [{"TargetGroupArn": action["TargetGroupArn"]}]
            if not 1 <= len(groups) <= TARGET_GROUPS:
                raise ELBClientError(
                    "ValidationError", f"A forward action needs between 1 and {TARGET_GROUPS} target groups"
                )
            for group in groups:
                if group["TargetGroupArn"] not in backend.target_groups:
                    raise ELBClientError("TargetGroupNotFound", f"Target group '{group['TargetGroupArn']}' not found")
                if not 0 <= int(group.get("Weight", 1)) <= HEAVIEST:
                    raise ELBClientError(
                        "ValidationError", f"Weight must be between 0 and {HEAVIEST}, inclusive: {group['Weight']}"
                    )

    def modify_listener(original: Any, self: ELBv2Backend, arn: str, *args: Any, **given: Any) -> Any:
        check(self, args[-1] if args else given.get("actions"))
        return original(self, arn, *args, **given)

    def modify_rule(original: Any, self: ELBv2Backend, rule_arn: str, conditions: Any, actions: Any) -> Any:
        check(self, actions)
        return original(self, rule_arn, conditions, actions)

    def create(original: Any, self: ELBv2Backend, *args: Any, **given: Any) -> Any:
        check(self, given.get("actions"))
        return original(self, *args, **given)

    correcting.around(ELBv2Backend, "modify_listener", modify_listener)
    correcting.around(ELBv2Backend, "modify_rule", modify_rule)
    correcting.around(ELBv2Backend, "create_listener", create)
    correcting.around(ELBv2Backend, "create_rule", create)


def default_rules_are_the_listeners(correcting: Correcting) -> None:
    """AWS: the default rule is not modified or deleted by itself: OperationNotPermitted."""

    def refused(original: Any, self: ELBv2Backend, *args: Any, **given: Any) -> Any:
        arn = args[0] if args else given.get("rule_arn", given.get("arn"))
        for balancer in self.load_balancers.values():
            for listener in balancer.listeners.values():
                if any(rule.is_default and rule.arn == arn for rule in listener.rules.values()):
                    raise ELBClientError("OperationNotPermitted", f"Default rule '{arn}' cannot be modified")
        return original(self, *args, **given)

    correcting.around(ELBv2Backend, "modify_rule", refused)
    correcting.around(ELBv2Backend, "delete_rule", refused)


def one_target_group_is_shown_both_ways(correcting: Correcting) -> None:
    """AWS: an action with one target group is shown with TargetGroupArn and with ForwardConfig."""

    def made(original: Any, self: FakeAction, data: dict[str, Any]) -> None:
        if data.get("Type") == "forward":
            groups = (data.get("ForwardConfig") or {}).get("TargetGroups") or []
            if not groups and data.get("TargetGroupArn"):
                data = {**data, "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": data["TargetGroupArn"]}]}}
            elif len(groups) == 1:
                data = {**data, "TargetGroupArn": groups[0]["TargetGroupArn"]}
        original(self, data)

    correcting.around(FakeAction, "__init__", made)


def unknown_listeners_are_named(correcting: Correcting) -> None:
    """AWS: one unknown listener among those asked for is ListenerNotFound."""

    def describe(original: Any, self: ELBv2Backend, load_balancer_arn: Any = None, listener_arns: Any = ()) -> Any:
        found = original(self, load_balancer_arn, listener_arns)
        if listener_arns and len(found) != len(set(listener_arns)):
            raise ListenerNotFoundError()
        return found

    correcting.around(ELBv2Backend, "describe_listeners", describe)


def tags_are_validated(correcting: Correcting) -> None:
    """AWS: tags have letters, digits, spaces and + - = . _ : / @ in at most 256 characters, 50 on a resource; they are
    read for at most 20 resources at once, which all exist."""

    def add(self: ELBv2Backend, resource_arns: list[str], tags: list[dict[str, str]]) -> None:
        for tag in tags:
            value = tag.get("Value") or ""
            if len(value) > TAG_VALUE or not TAG.fullmatch(value) or not TAG.fullmatch(tag["Key"]):
                raise ELBClientError(
                    "ValidationError", f"Tag {tag['Key']}: the value does not satisfy the constraint: {value!r}"
                )
        for arn in resource_arns:
            self._get_resource_by_arn(arn)
            there = set(self.tagging_service.get_tag_dict_for_resource(arn))
            if len(there | {tag["Key"] for tag in tags}) > TAGS:
                raise ELBClientError("TooManyTags", f"{arn} would have more than {TAGS} tags")
            self.tagging_service.tag_resource(arn, tags)

    def describe(original: Any, self: ELBv2Backend, resource_arns: list[str]) -> Any:
        if len(resource_arns) > TAGGED_A_CALL:
            raise ELBClientError("ValidationError", f"Cannot have more than {TAGGED_A_CALL} resource ARNs")
        for arn in resource_arns:
            self._get_resource_by_arn(arn)
        return original(self, resource_arns)

    correcting.replace(ELBv2Backend, "add_tags", add)
    correcting.around(ELBv2Backend, "describe_tags", describe)


CORRECTIONS = (
    one_target_group_is_shown_both_ways,
    actions_are_validated,
    default_rules_are_the_listeners,
    unknown_listeners_are_named,
    tags_are_validated,
)
