"""Which permissions a role lacks for a rollout: tried without doing anything, else asked, else said to be unknown.

Each action of the role's policy is read with, run dry, simulated by IAM (if the role may ask for that), or named as
not looked at, with why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from providers.aws.errors import code_of
from providers.aws.looking import Asked, Looked, action_of, dry_runs, reads, reads_of_keys
from providers.aws.permissions import called_by_the_code, needed, policy
from providers.aws.simulating import PATCHES, Places, Simulation, principal_of
from providers.base import Denied, NotFound, ProviderError

Found = tuple[str, str, str]

WORKS = "DryRunOperation"
POLICY = "give the role the policy docs/aws/policies/rollout.json"
PATCHING = "allow it before this service is patched in place (docs/aws/policies/rollout.json), or leave it"
ASK = "AskWhatThisRoleMayDo"
LAUNCH = ("ec2:CreateLaunchTemplateVersion", "ec2:RunInstances", "iam:PassRole")
BEFORE = frozenset(
    {
        "sts:GetCallerIdentity",
        "elasticloadbalancing:DescribeListeners",
        "autoscaling:DescribeAutoScalingGroups",
        "iam:SimulatePrincipalPolicy",
    }
)
"""What doctor asked before it came here, or asks anyway; a refusal is said there."""


def missing(look: Looked) -> list[Found]:
    """What the role may not do, what cannot be told, and what was not looked at."""
    tried, found = set(BEFORE), list[Found]()
    roles = _roles(look)
    for asked in reads(look):
        found += _read(look, asked, tried, roles)
    for asked in reads_of_keys(look):
        found += _read(look, asked, tried, roles)
    for asked in dry_runs(look):
        found += _dry_run(look, asked, tried)
    if "ec2:RunInstances" in tried and not roles:
        tried.add("iam:PassRole")  # EC2 has judged it with the launch
    return [*found, *_simulated(look, tried, roles)]


def _roles(look: Looked) -> list[str]:
    """The roles that a copy gives to Auto Scaling; those of hooks are added when the hooks are read."""
    linked = str((look.serving or {}).get("ServiceLinkedRoleARN", ""))
    return [linked] if "/AWSServiceRoleForAutoScaling_" in linked else []


def _read(look: Looked, asked: Asked, tried: set[str], roles: list[str]) -> Iterator[Found]:
    api, operation, arguments = asked
    action = action_of(api, operation)
    tried.add(action)
    try:
        answer = look.cloud.read(api, operation, **arguments)
    except NotFound:
        return  # what was named is not there; that it may be asked for is told by this
    except Denied as error:
        yield "problem", str(error), POLICY
        return
    except ProviderError as error:
        yield "warning", f"{action} cannot be checked: {error}", "try again"
        return
    for version in answer.get("LaunchTemplateVersions", ()):
        look.template.update(version.get("LaunchTemplateData", {}))
    if key := answer.get("KeyMetadata", {}).get("Arn"):
        look.key_arns.append(key)
    roles += [hook["RoleARN"] for hook in answer.get("LifecycleHooks", ()) if hook.get("RoleARN")]


def _dry_run(look: Looked, asked: Asked, tried: set[str]) -> Iterator[Found]:
    api, operation, arguments = asked
    action = action_of(api, operation)
    tried.add(action)
    if operation == "create_launch_template":
        tried.add("ec2:CreateTags")  # it carries a tag
    try:
        look.cloud.read(api, operation, DryRun=True, **arguments)
    except Denied as error:
        yield "problem", f"{action} is not allowed: {error}", f"{POLICY}; it names what a launch needs besides"
    except ProviderError as error:
        if code_of(error) != WORKS:
            yield "warning", f"{action} cannot be checked: {error}", "see the message; nothing was done"


def _simulated(look: Looked, tried: set[str], roles: Sequence[str]) -> Iterator[Found]:
    """Traffic, targets, groups and what else is left, on the very resources that the service names."""
    cloud, places = look.cloud, Places(look)
    left = sorted({action for action, _ in needed("rollout", called_by_the_code())} - tried)
    unneeded = {action: why for action in left if (why := places.unneeded(action))}
    launching = [each for each in LAUNCH if each in left and not (each == "iam:PassRole" and roles)]
    if launching:
        text = f"{', '.join(launching)} cannot be checked: no group that serves has a launch template"
        yield "warning", text, "see what is said of its groups; then ask again"
    wanted = {each: places.of(each) for each in left if each not in unneeded and each not in launching}
    if "iam:PassRole" in wanted:
        wanted["iam:PassRole"] = sorted(set(roles))
    of_bake = _of_bake(places)
    principal = principal_of(cloud.caller()["Arn"], cloud.place.role)
    if principal:
        simulation = Simulation(cloud, principal, look.options.group(look.active or "blue"))
        for action, resource, decision in simulation.refused(wanted):
            text = f"{action} on {resource} is not allowed ({decision})"
            yield ("warning", text, PATCHING) if action in PATCHES else ("problem", text, POLICY)
        if simulation.trouble is None:
            lacking = sorted({action for action, _, _ in simulation.refused(of_bake)})
            if lacking:
                text = f"`rollout bake` could not be used as {principal}: {', '.join(lacking)} not allowed"
                yield "ok", f"{text}; only bake: references need it (docs/aws/policies/bake.json)", ""
        yield from _unknown(simulation, principal, {*wanted, *of_bake})
    elif not cloud.caller()["Arn"].endswith(":root"):
        text = f"whose policies {cloud.caller()['Arn']} has cannot be told; not looked at: {', '.join(sorted(wanted))}"
        yield "warning", text, "try a rollout of a service that matters little"
    if unneeded:
        told = "; ".join(f"{', '.join(_with(unneeded, why))} ({why})" for why in dict.fromkeys(unneeded.values()))
        yield "ok", f"permissions not looked at: {told}", ""


def _of_bake(places: Places) -> dict[str, list[str]]:
    """What `rollout bake` needs of its own."""
    own = {action for each in policy("bake", called_by_the_code())["Statement"] for action in each["Action"]}
    return {each: places.of_a_builder if each == "ec2:RunInstances" else places.of(each) for each in sorted(own)}


def _unknown(simulation: Simulation, principal: str, wanted: set[str]) -> Iterator[Found]:
    if simulation.trouble is not None:
        not_asked = ", ".join(sorted(wanted - simulation.asked))
        text = f"what {principal} may change cannot be checked: {simulation.trouble}; not looked at: {not_asked}"
        yield "warning", text, f"allow it iam:SimulatePrincipalPolicy on itself (statement {ASK}), or try a rollout"


def _with(unneeded: dict[str, str], why: str) -> list[str]:
    return [action for action, each in unneeded.items() if each == why]
