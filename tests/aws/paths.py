"""Which target group a request would reach: a balancer's rules, read as AWS applies them."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from tests.aws.account import Account


def target_group_of(account: Account, url: str, headers: Mapping[str, str]) -> str | None:
    """The ARN of the one that gets all such requests. None: there is no listener, or not a single target group."""
    elbv2 = account.client("elbv2")
    port = urlsplit(url).port
    listeners = elbv2.get_paginator("describe_listeners").paginate(LoadBalancerArn=account.balancer)
    listener = next((one for page in listeners for one in page["Listeners"] if one["Port"] == port), None)
    if listener is None:
        return None
    pages = elbv2.get_paginator("describe_rules").paginate(ListenerArn=listener["ListenerArn"])
    rules = [rule for page in pages for rule in page["Rules"]]
    rules.sort(
        key=lambda rule: (rule["Priority"] == "default", int(rule["Priority"]) if rule["Priority"].isdigit() else 0)
    )
    rule = next(rule for rule in rules if all(_holds(one, headers) for one in rule.get("Conditions", [])))
    heavy = [one for one in rule["Actions"][-1]["ForwardConfig"]["TargetGroups"] if one["Weight"] > 0]
    return str(heavy[0]["TargetGroupArn"]) if len(heavy) == 1 else None


def _holds(condition: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    """Only conditions on headers are known here; any other is an error of the test."""
    assert condition["Field"] == "http-header", condition
    wanted = condition["HttpHeaderConfig"]
    got = {name.lower(): value for name, value in headers.items()}.get(wanted["HttpHeaderName"].lower())
    return got is not None and any(fnmatch.fnmatchcase(got.lower(), value.lower()) for value in wanted["Values"])
