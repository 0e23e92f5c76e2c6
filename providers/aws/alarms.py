"""The user's CloudWatch alarms: their state by name, and those that watch or scale one slot only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from providers.aws.cloud import Cloud
from providers.aws.outlook import Ahead, named, notice
from providers.base import SLOTS, Alarm, Concern, Slot

NAMES_A_CALL = 100
STATES: Mapping[str, Literal["ok", "alarm", "unknown"]] = {"OK": "ok", "ALARM": "alarm"}
REASON = 300  # characters


def read_alarms(cloud: Cloud, names: Sequence[str]) -> dict[str, Alarm]:
    """Metric and composite alarms; those that do not exist are absent."""
    asked, found = list(dict.fromkeys(names)), dict[str, Alarm]()
    for at in range(0, len(asked), NAMES_A_CALL):
        more: dict[str, Any] = {}
        while True:
            answer = cloud.read(
                "cloudwatch",
                "describe_alarms",
                AlarmNames=asked[at : at + NAMES_A_CALL],
                AlarmTypes=["MetricAlarm", "CompositeAlarm"],
                MaxRecords=NAMES_A_CALL,
                **more,
            )
            for one in (*answer.get("MetricAlarms", ()), *answer.get("CompositeAlarms", ())):
                found[one["AlarmName"]] = _alarm(one)
            if not answer.get("NextToken"):
                break
            more = {"NextToken": answer["NextToken"]}
    return found


def _alarm(one: Mapping[str, Any]) -> Alarm:
    since = one.get("StateTransitionedTimestamp") or one.get("StateUpdatedTimestamp")
    reason = " ".join(str(one.get("StateReason") or "").split())[:REASON]
    state = STATES.get(str(one.get("StateValue")), "unknown")
    return Alarm(one["AlarmName"], state, reason, since.timestamp() if since else None)


def one_sided(ahead: Ahead) -> list[Concern]:
    """Metric alarms that name one slot and have no twin for the other: after the switch they watch a standby."""
    known = ahead.cloud.pages("cloudwatch", "describe_alarms", "MetricAlarms", AlarmTypes=["MetricAlarm"])
    watching, twins = list[tuple[str, Slot, Any]](), set[tuple[Slot, Any]]()
    for alarm in known:
        if str(alarm["AlarmName"]).startswith(tuple(f"TargetTracking-{ahead.options.group(slot)}" for slot in SLOTS)):
            continue  # made by a scaling policy, and made again with its copy
        named_slots = {slot for slot in SLOTS if _names(alarm, _marks(ahead, slot))}
        if len(named_slots) == 1:
            (slot,) = named_slots
            figure = _figure(alarm, _marks(ahead, slot))
            watching.append((alarm["AlarmName"], slot, figure))
            twins.add((slot, figure))
    found = []
    for slot in (ahead.original, ahead.standby):
        beside: Slot = "green" if slot == "blue" else "blue"
        alone = sorted(name for name, on, figure in watching if on == slot and (beside, figure) not in twins)
        if alone:
            found.append(
                notice(
                    f"alarms that watch or scale {ahead.options.group(slot)} ({slot}) only: {named(alone)}; make "
                    f"one for {beside} as well, or one for both: they see nothing of what serves while {beside} does"
                )
            )
    return found


def short_name(arn: str) -> str:
    """A target group or balancer as CloudWatch's dimensions have it."""
    resource = arn.split(":", 5)[5]
    return resource.removeprefix("loadbalancer/")


def _marks(ahead: Ahead, slot: Slot) -> frozenset[str]:
    """What stands for the slot in dimensions and in the ARNs of scaling policies."""
    return frozenset({ahead.options.group(slot), *(short_name(arn) for arn in ahead.options.target_groups(slot))})


def _names(alarm: Mapping[str, Any], marks: frozenset[str]) -> bool:
    if any(value in marks for _, _, dimensions in _figures(alarm) for _, value in dimensions):
        return True
    actions = [*alarm.get("AlarmActions", ()), *alarm.get("OKActions", ()), *alarm.get("InsufficientDataActions", ())]
    return any(f"autoScalingGroupName/{mark}:" in action for action in actions for mark in marks)


def _figure(alarm: Mapping[str, Any], marks: frozenset[str]) -> Any:
    """What is watched, without the slot's names: equal for twins."""
    return tuple(
        (space, name, tuple((key, "" if value in marks else value) for key, value in dimensions))
        for space, name, dimensions in _figures(alarm)
    )


def _figures(alarm: Mapping[str, Any]) -> list[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """Namespace, name and dimensions of each metric that the alarm is about."""
    stats = [(query.get("MetricStat") or {}).get("Metric") for query in alarm.get("Metrics") or ()]
    return [
        (
            str(metric.get("Namespace", "")),
            str(metric.get("MetricName", "")),
            tuple(sorted((one["Name"], one["Value"]) for one in metric.get("Dimensions") or ())),
        )
        for metric in (alarm, *stats)
        if metric and metric.get("MetricName")
    ]
