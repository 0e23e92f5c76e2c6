"""Who else is touched: targets outside the declared routes, and groups that launch whatever a template says last."""

from __future__ import annotations

from providers.aws.groups import Group
from providers.aws.outlook import Ahead, blocks, named, template_specs
from providers.aws.whole import AGAIN_S, REMEMBERED_S
from providers.base import Concern


def undeclared(ahead: Ahead) -> list[Concern]:
    """Traffic that comes another way than the declared routes would stay, or come too early."""
    found = []
    for slot in (ahead.original, ahead.standby):
        group = ahead.groups.get(ahead.options.group(slot))
        if group is None:
            continue
        declared = set(ahead.options.target_groups(slot))
        for way in sorted(_ways_in(group) - declared):
            what = "would stay on it when the routes move" if slot == ahead.original else "would reach it unproven"
            found.append(
                blocks(
                    f"{group['AutoScalingGroupName']} is also behind {way}, which is no declared route of {slot}: "
                    f"what comes that way {what}; declare it below routes, or detach it"
                )
            )
    return found


def _ways_in(group: Group) -> set[str]:
    """Target groups, classic load balancers and other traffic sources."""
    sources = [str(one.get("Identifier", "")) for one in group.get("TrafficSources") or []]
    return {*group.get("TargetGroupARNs", ()), *group.get("LoadBalancerNames", ()), *filter(None, sources)}


def latest(ahead: Ahead) -> list[Concern]:
    """The patch becomes the newest version of the standby's template: who takes `$Latest` of it gets the patch, too."""
    if ahead.target is None:
        return []  # it will have a template of its own
    others = _followers(ahead, ahead.target, REMEMBERED_S) and _followers(ahead, ahead.target, AGAIN_S)
    if not others:
        return []
    name = ahead.target["AutoScalingGroupName"]
    return [
        blocks(
            f"{named(sorted(others))} launch from version $Latest of the launch template of {name}: they would launch "
            "the patch before it is proven; pin a numbered version there, or give the standby a template of its own"
        )
    ]


def _followers(ahead: Ahead, target: Group, within_s: float) -> list[str]:
    """Groups that launch the latest version of the target's template, by name."""
    ours = _templates(target)
    return [
        group["AutoScalingGroupName"]
        for group in ahead.whole.groups(ahead.cloud, within_s)
        if group["AutoScalingGroupName"] != target["AutoScalingGroupName"] and not group.get("Status")
        if _templates(group, "$Latest") & ours
    ]


def _templates(group: Group, version: str = "") -> set[str]:
    """Ids and names of the templates, or of those that are taken in this version."""
    specs = [spec for spec in template_specs(group) if not version or spec.get("Version") == version]
    return {spec[key] for spec in specs for key in ("LaunchTemplateId", "LaunchTemplateName") if spec.get(key)}
