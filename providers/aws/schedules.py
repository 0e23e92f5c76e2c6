"""What acts by itself meanwhile, what is kept from acting, and how long clients stay where they were."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from providers.aws.groups import Group, owner_of
from providers.aws.outlook import Ahead, blocks, named, notice
from providers.aws.suspensions import suspended_by_others
from providers.base import SLOTS, Concern

LONG_DRAIN_S = 300
RULES_A_CALL = 20
NEEDED = {"Launch", "Terminate", "AddToLoadBalancer"}  # without these a standby cannot come, serve, or go


def scheduled(ahead: Ahead) -> list[Concern]:
    """Scheduled actions of both groups that are due by then."""
    now, found = ahead.cloud.clock.now(), []
    for slot in SLOTS:
        group = ahead.options.group(slot)
        actions = ahead.cloud.pages(
            "autoscaling", "describe_scheduled_actions", "ScheduledUpdateGroupActions", AutoScalingGroupName=group
        )
        for action in actions:
            begins, ends = _instant(action.get("StartTime")), _instant(action.get("EndTime"))
            over = ends is not None and ends < now
            if over or (begins is not None and begins > ahead.until):
                continue
            found.append(
                notice(
                    f"{group}: scheduled action {action['ScheduledActionName']} {_when(action)}, {_sets(action)}"
                    "; suspend it meanwhile if it takes from what a side needs"
                )
            )
    return found


def _instant(value: Any) -> float | None:
    return value.timestamp() if isinstance(value, datetime) else None


def _when(action: dict[str, Any]) -> str:
    at = _instant(action.get("StartTime"))
    told = "" if at is None else f", next at {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
    if action.get("Recurrence"):
        return f"recurs {action['Recurrence']} ({action.get('TimeZone') or 'UTC'}){told}"
    return f"is due{told.removeprefix(', next')}" if told else "is due at a time that is not told"


def _sets(action: dict[str, Any]) -> str:
    sizes = [f"{key} {action[key]}" for key in ("MinSize", "MaxSize", "DesiredCapacity") if action.get(key) is not None]
    return f"and sets {', '.join(sizes)}" if sizes else "and sets nothing"


def protected(ahead: Ahead) -> list[Concern]:
    """Hosts that no scaling removes, processes that are suspended, groups that cannot be deleted."""
    found = []
    for slot in (ahead.original, ahead.standby):
        group = ahead.groups.get(ahead.options.group(slot))
        if group is None:
            continue
        name, hosts = group["AutoScalingGroupName"], group.get("Instances") or []
        suspended = suspended_by_others(group)
        if missing := sorted(suspended & (NEEDED if slot == ahead.standby else {"Launch"})):
            found.append(blocks(f"{name}: suspended: {', '.join(missing)}; a standby needs them; resume them first"))
            suspended -= NEEDED
        if suspended and slot == ahead.standby and owner_of(group) is None:
            found += _one_sided(name, sorted(suspended), ahead.source)
            suspended &= suspended_by_others(ahead.source)
        if suspended:
            found.append(notice(f"{name}: suspended: {', '.join(sorted(suspended))}; resume what should run"))
        if kept := sorted(one["InstanceId"] for one in hosts if one.get("ProtectedFromScaleIn")):
            found.append(notice(f"{name}: {named(kept)} protected from scale-in: they stay when the side is given up"))
        if aside := sorted(one["InstanceId"] for one in hosts if "Standby" in str(one.get("LifecycleState"))):
            found.append(notice(f"{name}: {named(aside)} in Standby: they serve nothing; put them back or end them"))
        if str(group.get("DeletionProtection") or "none") != "none":
            found.append(notice(f"{name}: deletion protection is {group['DeletionProtection']}: it cannot be deleted"))
    return found


def _one_sided(name: str, suspended: list[str], source: Group) -> list[Concern]:
    """What a person suspended in a group of their own stays so, and then the sides are not alike."""
    model = source["AutoScalingGroupName"]
    if not (only := [process for process in suspended if process not in suspended_by_others(source)]):
        return []
    return [
        blocks(
            f"{name}: suspended: {', '.join(only)}, which run in {model}: the sides would not be alike; resume them: "
            f"aws autoscaling resume-processes --auto-scaling-group-name {name} --scaling-processes {' '.join(only)}"
        )
    ]


def connections(ahead: Ahead) -> list[Concern]:
    """Target groups that drain for long, or keep clients where they are."""
    found = []
    for arn in dict.fromkeys((*ahead.options.target_groups("blue"), *ahead.options.target_groups("green"))):
        answer = ahead.cloud.read("elbv2", "describe_target_group_attributes", TargetGroupArn=arn)
        values = {one["Key"]: one["Value"] for one in answer["Attributes"]}
        name = arn.split("/")[1]
        delay = int(values.get("deregistration_delay.timeout_seconds") or 0)
        if delay > LONG_DRAIN_S:
            found.append(notice(f"target group {name}: connections drain for up to {delay} s; the end takes so long"))
        if values.get("stickiness.enabled") == "true":
            found.append(
                notice(f"target group {name}: stickiness is on: clients stay where they are when traffic moves")
            )
    return found


def stickiness(ahead: Ahead) -> list[Concern]:
    """Routes that keep a client with the target group that it first met."""
    rules = [route.rule for route in ahead.options.routes if route.rule]
    listeners = [route.listener for route in ahead.options.routes if not route.rule]
    asked = (
        ("describe_listeners", "Listeners", "ListenerArns", listeners, "ListenerArn", "DefaultActions"),
        ("describe_rules", "Rules", "RuleArns", rules, "RuleArn", "Actions"),
    )
    found = []
    for operation, key, argument, arns, arn, actions in asked:
        for one in ahead.cloud.batches("elbv2", operation, key, argument, arns, RULES_A_CALL):
            configs = [action.get("ForwardConfig") or {} for action in one.get(actions) or []]
            if any((config.get("TargetGroupStickinessConfig") or {}).get("Enabled") for config in configs):
                found.append(notice(f"{one[arn]}: stickiness is on: clients stay on their side when traffic moves"))
    return found
