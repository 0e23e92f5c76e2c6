"""The configuration of a slot without its patch, one entry for each field: equal fingerprints behave alike."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from providers.aws.groups import OURS, Group
from providers.aws.naming import Naming
from providers.aws.settings import Settings
from providers.aws.suspensions import suspended_by_others

OF_THE_GROUP = (
    "DefaultCooldown",
    "HealthCheckType",
    "HealthCheckGracePeriod",
    "PlacementGroup",
    "TerminationPolicies",
    "NewInstancesProtectedFromScaleIn",
    "CapacityRebalance",
    "ServiceLinkedRoleARN",
    "MaxInstanceLifetime",
    "Context",
    "DesiredCapacityType",
    "DefaultInstanceWarmup",
    "AvailabilityZoneDistribution",
    "AvailabilityZoneImpairmentPolicy",
    "CapacityReservationSpecification",
    "InstanceLifecyclePolicy",
)
"""Compared as they are. What else a group has is below under a name of its own, or belongs to the slot."""
ORDERED = {"TerminationPolicies", "Overrides"}
"""Lists whose order means something."""
KEYED_BY = ("DeviceName", "ResourceType", "DeviceIndex", "Key", "Name", "Id", "MetricIntervalLowerBound")
SECRET = {"UserData", "NotificationMetadata"}
OF_A_SLOT = {"AutoScalingGroupName", "PolicyARN", "ScheduledActionARN", "Alarms", "GlobalTimeout", "Time"}
Fields = dict[str, str]


def fingerprint(group: Group, data: Mapping[str, Any], settings: Settings, naming: Naming) -> Fields:
    """`data` is the full launch template data; `naming` puts neutral words for the slot's own names."""
    found: Fields = {}
    _add(found, "group", {key: group[key] for key in OF_THE_GROUP if key in group})
    _add(found, "template", neutral_template(data, naming))
    for key, value in shared_tags(group).items():
        found[f"tags.{key}"] = naming.tag(key, value["Value"]) + (
            "" if value.get("PropagateAtLaunch") else " (group only)"
        )
    found["subnets"] = _words((group.get("VPCZoneIdentifier") or "").split(","))
    if not found["subnets"]:
        found["zones"] = _words(group.get("AvailabilityZones") or ())
    found["suspended"] = _words(suspended_by_others(group))
    found["metrics"] = _words(f"{each['Metric']}/{each['Granularity']}" for each in group.get("EnabledMetrics") or ())
    _add(found, "maintenance", group.get("InstanceMaintenancePolicy") or {})
    _add(found, "warm_pool", warm_pool(group))
    if mixed := group.get("MixedInstancesPolicy"):
        _add(found, "mixed.distribution", mixed.get("InstancesDistribution") or {})
        _add(found, "mixed.Overrides", mixed["LaunchTemplate"].get("Overrides") or ())
    _add_settings(found, settings, naming)
    return {key: value for key, value in found.items() if value}


def neutral_template(data: Mapping[str, Any], naming: Naming) -> dict[str, Any]:
    """Template data without its image, with neutral words for the names in its tags."""
    kept = {key: value for key, value in data.items() if key != "ImageId"}
    if "TagSpecifications" in kept:
        kept["TagSpecifications"] = renamed_tags(kept["TagSpecifications"], naming)
    return kept


def renamed_tags(specifications: Any, naming: Naming) -> list[dict[str, Any]]:
    """A template's TagSpecifications with other names in their values."""
    return [{**each, "Tags": naming.tags(each.get("Tags") or [])} for each in specifications]


def shared_tags(group: Group) -> dict[str, dict[str, Any]]:
    """The user's tags: neither ours nor AWS's own, which nobody can write."""
    return {each["Key"]: each for each in group.get("Tags") or () if not each["Key"].startswith((OURS, "aws:"))}


def warm_pool(group: Group) -> dict[str, Any]:
    """Its configuration; empty where there is none, or where it is being deleted."""
    pool = dict(group.get("WarmPoolConfiguration") or {})
    return {} if pool.pop("Status", None) else pool


def one_time(action: Mapping[str, Any]) -> bool:
    """For a repeated action AWS tells the next start, which moves by itself."""
    return not action.get("Recurrence")


def _add_settings(found: Fields, settings: Settings, naming: Naming) -> None:
    for policy in settings.policies:
        _add(found, f"policy.{naming.word(policy['PolicyName'])}", _own(naming.metrics(policy), "PolicyName"))
    for action in settings.schedules:
        left_out = {"ScheduledActionName"} if one_time(action) else {"ScheduledActionName", "StartTime"}
        _add(found, f"schedule.{naming.word(action['ScheduledActionName'])}", _own(action, *left_out))
    for hook in settings.hooks:
        _add(found, f"hook.{naming.word(hook['LifecycleHookName'])}", _own(hook, "LifecycleHookName"))
    for topic, kinds in settings.topics().items():
        found[f"notification.{topic}"] = _words(kinds)


def _own(item: Mapping[str, Any], *left_out: str) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in OF_A_SLOT and key not in left_out}


def _add(found: Fields, name: str, value: Any) -> None:
    """Each leaf below `name`, under its dotted path. Nothing, an empty list and an empty text are alike: unset."""
    key = name.rpartition(".")[2]
    if key in SECRET and value:
        found[name] = digest(str(value))
    elif isinstance(value, Mapping):
        for part, item in value.items():
            _add(found, f"{name}.{part}", item)
    elif isinstance(value, list | tuple):
        _add_list(found, name, value, key in ORDERED)
    elif value is not None and value != "":
        found[name] = _text(value)


def _add_list(found: Fields, name: str, items: list[Any] | tuple[Any, ...], ordered: bool) -> None:
    if not any(isinstance(item, Mapping | list | tuple) for item in items):
        words = [_text(item) for item in items]
        found[name] = ", ".join(words if ordered else sorted(words))
        return
    if not ordered:
        items = sorted(items, key=_canonical)
    for number, item in enumerate(items):
        label = _label(items)
        _add(found, f"{name}.{item[label] if label else number}", item)


def _label(items: list[Any] | tuple[Any, ...]) -> str:
    """What tells these items apart by itself; nothing if no field does."""
    for key in KEYED_BY:
        if all(isinstance(item, Mapping) and key in item for item in items) and len(
            {str(item[key]) for item in items}
        ) == len(items):
            return key
    return ""


def digest(text: str) -> str:
    """Of the content: base64 may be wrapped in one place and not in the other."""
    try:
        content = base64.b64decode(text)
    except (binascii.Error, ValueError):
        content = text.encode()
    return f"sha256:{hashlib.sha256(content).hexdigest()[:16]}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # 50 and 50.0 are the same threshold
    return str(value)


def _canonical(value: Any) -> list[tuple[str, str]]:
    """The same for the same content, whatever its order."""
    fields: Fields = {}
    _add(fields, "", value)
    return sorted(fields.items())


def _words(words: Any) -> str:
    return ", ".join(sorted(word for word in words if word))
