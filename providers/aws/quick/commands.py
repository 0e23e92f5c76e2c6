"""What a person who has nothing but the AWS command line runs: pure text, for a terminal."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

Target = Mapping[str, Any]
Route = Mapping[str, Any]
ROLE_FOR = "rollout-manager-by-hand"


def write_command(target: Target, route: Route, actions: Sequence[Mapping[str, Any]]) -> str:
    """Writes these actions to the route."""
    verb = "modify-rule" if route["rule"] else "modify-listener"
    told = json.dumps(list(actions), separators=(",", ":"))
    return _aws(target, "elbv2", verb, *_named(route), "--actions" if route["rule"] else "--default-actions", told)


def caution(route: Route) -> str:
    """A comment, where nobody knows what stands before the forward action: writing without it takes it away."""
    name = route["rule"] or route["listener"]
    return (
        f"# Look first (the last commands): a login or stickiness that {name} has is not known here, and is lost "
        "unless you add it to the next command"
    )


def look_command(target: Target, route: Route) -> str:
    if route["rule"]:
        return _aws(target, "elbv2", "describe-rules", "--rule-arns", route["rule"], "--query", "Rules[].Actions")
    query = ("--query", "Listeners[].DefaultActions")
    return _aws(target, "elbv2", "describe-listeners", "--listener-arns", route["listener"], *query)


def role_command(target: Target) -> str:
    """Has the terminal act as the role from then on."""
    place = target["place"]
    profile = ("--profile", place["profile"]) if place["profile"] else ()
    external = ("--external-id", place["external_id"]) if place["external_id"] else ()
    endpoint = ("--endpoint-url", place["endpoint_url"]) if place["endpoint_url"] else ()
    asked = ("--role-arn", place["role"], "--role-session-name", ROLE_FOR, *external)
    kept = ("--query", "Credentials.[AccessKeyId,SecretAccessKey,SessionToken]", "--output", "text")
    where = ("--region", place["region"], *profile, *endpoint)
    command = shlex.join(["aws", "sts", "assume-role", *where, *asked, *kept])
    names = "AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s AWS_SESSION_TOKEN=%s"
    return f'export $(printf "{names}" $({command}))'


def resize_command(target: Target, group: str, capacity: int) -> str:
    sizes = ("--min-size", str(capacity), "--desired-capacity", str(capacity))
    return _aws(target, "autoscaling", "update-auto-scaling-group", "--auto-scaling-group-name", group, *sizes)


def _named(route: Route) -> tuple[str, str]:
    return ("--rule-arn", route["rule"]) if route["rule"] else ("--listener-arn", route["listener"])


def _aws(target: Target, api: str, verb: str, *arguments: str) -> str:
    """A role's credentials are in the environment by then; a profile would go before them."""
    place = target["place"]
    profile = ("--profile", place["profile"]) if place["profile"] and not place["role"] else ()
    endpoint = ("--endpoint-url", place["endpoint_url"]) if place["endpoint_url"] else ()
    return shlex.join(["aws", api, verb, "--region", place["region"], *profile, *endpoint, *arguments])
