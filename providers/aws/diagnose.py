"""What is wrong with a service at AWS, looked at without changing anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from providers.aws import rights
from providers.aws.cloud import Cloud, Clouds
from providers.aws.groups import Group, read_groups
from providers.aws.looking import Looked
from providers.aws.obstacles import launches_nobody
from providers.aws.options import Options
from providers.aws.routes import read_route
from providers.base import SLOTS, Context, Denied, NotFound, ProviderError, Route, Service, Slot, other

Found = tuple[str, str, str]
"""ok, warning or problem; what was found; what can be done about it."""

SOON_S = 900.0
PORTS = {"http": 80, "https": 443}
LATEST, DEFAULT = "$Latest", "$Default"


def diagnose(context: Context, service: Service) -> list[Found]:
    """Credentials, groups, target groups, routes, the way in for checks, and permissions of one service."""
    try:
        options = Options.of(service)
    except (TypeError, ValueError, KeyError) as error:
        return [("problem", str(error), "correct the service's options in the fleet file")]
    cloud = Clouds(context).of(service)[0]
    found = list(_credentials(cloud, context.clock.now()))
    if any(level == "problem" for level, _, _ in found):
        return found  # nothing else can be asked
    route = _asked(found, lambda: read_route(cloud, options), "see services.….options.routes")
    groups = _asked(found, lambda: read_groups(cloud, [options.blue, options.green]), "") or {}
    active = route.active if route else None
    found += _groups(options, groups, route)
    for look in (_target_groups, _way_in):
        _asked(found, lambda look=look: found.extend(look(cloud, options)), "")  # type: ignore[misc]
    found += rights.missing(Looked(cloud, options, groups, active))
    return found


def _asked(found: list[Found], ask: Callable[[], Any], fix: str) -> Any:
    """The answer; None where there is none, and a finding that says why."""
    try:
        return ask()
    except Denied as error:
        found.append(("problem", str(error), "give the role the policy docs/aws/policies/observe.json or rollout.json"))
    except NotFound as error:
        found.append(("problem", str(error), fix or "correct its name in the service's options"))
    except ProviderError as error:
        found.append(("problem", str(error), fix or "see the message; nothing was changed"))
    return None


def _credentials(cloud: Cloud, now: float) -> Iterator[Found]:
    """Who calls, in which account, and until when."""
    place = cloud.place
    try:
        caller = cloud.caller()
        source, ends = cloud.credentials()
        regions = cloud.regions()
    except ProviderError as error:
        yield "problem", str(error), _log_in(place.profile)
        return
    until = f", until {datetime.fromtimestamp(ends, UTC):%Y-%m-%d %H:%M} UTC" if ends else ""
    yield "ok", f"calls as {caller['Arn']} in {place.region} (credentials from {source}{until})", ""
    if ends and ends - now < SOON_S and source != "assume-role":
        yield "warning", "the credentials end soon, and a rollout would wait", _log_in(place.profile)
    if not place.account:
        text = f"no account is declared, so whoever logs in elsewhere changes another one than {caller['Account']}"
        yield "warning", text, f'add account: "{caller["Account"]}" to its options'
    if place.region not in regions:
        text = f"this boto3 does not know a region {place.region}"
        yield "warning", text, f"correct region, or install a newer boto3 (it knows {len(regions)})"


def _log_in(profile: str) -> str:
    return f"aws sso login --profile {profile}" if profile else "set a profile or a role in its options, and log in"


def _groups(options: Options, groups: Mapping[str, Group], route: Route | None) -> Iterator[Found]:
    """Both sides where both have to be, each with a pinned template, the serving one with its target groups."""
    absent = [slot for slot in SLOTS if options.group(slot) not in groups]
    for slot in absent if options.standby == "permanent" or len(absent) == len(SLOTS) else ():
        yield (
            "problem",
            f"there is no Auto Scaling group {options.group(slot)} ({slot})",
            "create it, or correct its name" + ("" if len(absent) > 1 else "; or set standby: on_demand"),
        )
    active = route.active if route else None
    if active in absent and len(absent) == 1:
        text = f"{active} has all traffic and no Auto Scaling group {options.group(active)}"
        yield "problem", text, "correct blue and green, or the target groups in routes"
    for slot in (slot for slot in SLOTS if slot not in absent):
        yield from _template(slot, groups[options.group(slot)], active)
        if slot == active:
            yield from _attached(slot, groups[options.group(slot)], options)
    if active and not absent:
        yield from _sizes(groups[options.group(active)], groups[options.group(other(active))], other(active))


def _template(slot: Slot, group: Group, active: Slot | None) -> Iterator[Found]:
    name = group["AutoScalingGroupName"]
    mixed = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("LaunchTemplateSpecification")
    template = group.get("LaunchTemplate") or mixed
    if not template:
        yield "problem", f"{name} uses a launch configuration", "give it a launch template: AWS has ended the others"
        return
    version = template.get("Version", DEFAULT)
    if version in (LATEST, DEFAULT):
        text = f"{name} ({slot}) follows {version} of its launch template, so any new version changes its next hosts"
        yield "problem" if version == LATEST else "warning", text, "give it a numbered version"
    if slot == active and launches_nobody(group):
        text = f"{name} ({slot}) serves, patched in place, and launches nobody: a host that it loses is not replaced"
        yield "warning", text, "watch how many hosts are in service; the next rollout makes a side with all of them"
    if slot == active and not group.get("DesiredCapacity"):
        yield "problem", f"{name} serves with a desired capacity of 0", "raise it, or correct blue and green"


def _attached(slot: Slot, group: Group, options: Options) -> Iterator[Found]:
    """Otherwise its new hosts never become targets."""
    sources = {each.get("Identifier") for each in group.get("TrafficSources", ())}
    for arn in options.target_groups(slot):
        if arn not in group.get("TargetGroupARNs", ()) and arn not in sources:
            text = f"{slot} serves, and its group {group['AutoScalingGroupName']} is not attached to {_short(arn)}"
            yield "problem", text, "attach it: hosts that it launches do not become targets"


def _sizes(serving: Group, standby: Group, slot: Slot) -> Iterator[Found]:
    if standby.get("MaxSize", 0) < serving.get("DesiredCapacity", 0):
        name, largest, wanted = standby["AutoScalingGroupName"], standby.get("MaxSize", 0), serving["DesiredCapacity"]
        text = f"{name} ({slot}) may have {largest} hosts at most, the serving side has {wanted}"
        yield "warning", text, f"raise its maximum to {serving.get('MaxSize', wanted)}; a rollout would do it"


def _target_groups(cloud: Cloud, options: Options) -> Iterator[Found]:
    """They exist, are health-checked, and are of the network of the balancer that names them."""
    listeners = cloud.pages("elbv2", "describe_listeners", "Listeners", ListenerArns=_listeners(options))
    balancers = sorted({each["LoadBalancerArn"] for each in listeners})
    made = cloud.pages("elbv2", "describe_load_balancers", "LoadBalancers", LoadBalancerArns=balancers)
    networks = {each["LoadBalancerArn"]: each.get("VpcId", "") for each in made}
    behind = {each["ListenerArn"]: each["LoadBalancerArn"] for each in listeners}
    wanted = [arn for slot in SLOTS for arn in options.target_groups(slot)]
    known = {arn: found for arn in wanted if (found := _known(cloud, arn))}
    for route in options.routes:
        for slot in SLOTS:
            arn = route.target_group(slot)
            if arn not in known:
                yield "problem", f"there is no target group {_short(arn)} ({slot})", "correct it in routes"
            else:
                yield from _target_group(known[arn], networks.get(behind.get(route.listener, ""), ""))


def _known(cloud: Cloud, arn: str) -> Mapping[str, Any] | None:
    """One by one: AWS refuses to describe any, where one of them does not exist."""
    try:
        found = cloud.pages("elbv2", "describe_target_groups", "TargetGroups", TargetGroupArns=[arn])
    except NotFound:
        return None
    return next(iter(found), None)


def _target_group(group: Mapping[str, Any], network: str) -> Iterator[Found]:
    name = group["TargetGroupName"]
    if network and group.get("VpcId") != network:
        text = f"target group {name} is of network {group.get('VpcId')}, its balancer of {network}"
        yield "problem", text, "name a target group of the balancer's network in routes"
    if not group.get("HealthCheckEnabled", True):
        yield "problem", f"target group {name} has no health check", "turn it on: nothing can be proven without it"
    if group.get("TargetType", "instance") != "instance":
        text = f"target group {name} has targets of type {group['TargetType']}, Auto Scaling registers instances"
        yield "problem", text, "make a target group of type instance"


def _way_in(cloud: Cloud, options: Options) -> Iterator[Found]:
    """Checks reach each slot before it has traffic."""
    if options.test_urls:
        return
    if not options.test_url:
        text = "there is no way in for checks: a side cannot be tried before it has traffic"
        yield "warning", text, "make a test listener whose rules choose the slot by a header, and set test_url"
        return
    parts = urlsplit(options.test_url)
    port = parts.port or PORTS.get(parts.scheme, 0)
    listeners = cloud.pages("elbv2", "describe_listeners", "Listeners", ListenerArns=_listeners(options))
    balancers = sorted({each["LoadBalancerArn"] for each in listeners})
    every = [
        listener
        for arn in balancers
        for listener in cloud.pages("elbv2", "describe_listeners", "Listeners", LoadBalancerArn=arn)
    ]
    tested = [each for each in every if each.get("Port") == port]
    if not tested:
        text = f"test_url is at port {port}, where the service's balancer has no listener: it cannot be checked here"
        yield "warning", text, "see that it chooses the slot by " + options.test_header
        return
    for listener in tested:
        rules = cloud.pages("elbv2", "describe_rules", "Rules", ListenerArn=listener["ListenerArn"])
        for slot in SLOTS:
            if not any(_leads(rule, options, slot) for rule in rules):
                text = f"the test listener at port {port} has no rule that leads {options.test_header}: {slot} to it"
                fix = f"add one: http-header {options.test_header} = {slot}, forward to {slot}'s target group"
                yield "problem", text, fix


def _leads(rule: Mapping[str, Any], options: Options, slot: Slot) -> bool:
    """Does the rule send what asks for the slot there, and nowhere else?"""
    asked = any(
        condition.get("HttpHeaderConfig", {}).get("HttpHeaderName", "").lower() == options.test_header.lower()
        and slot in condition["HttpHeaderConfig"].get("Values", ())
        for condition in rule.get("Conditions", ())
    )
    return asked and bool(_forwarded(rule)) and _forwarded(rule) <= set(options.target_groups(slot))


def _forwarded(rule: Mapping[str, Any]) -> set[str]:
    found = set()
    for action in rule.get("Actions", ()):
        named = [each["TargetGroupArn"] for each in action.get("ForwardConfig", {}).get("TargetGroups", ())]
        found |= set(named or filter(None, [action.get("TargetGroupArn")]))
    return found


def _listeners(options: Options) -> list[str]:
    return list(dict.fromkeys(route.listener for route in options.routes))


def _short(arn: str) -> str:
    return arn.split(":", 5)[-1]
