"""Where a service is, and what its images are good for, as far as its configuration says so. Asks nobody."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_ACCOUNT = re.compile(r"arn:[^:]*:elasticloadbalancing:[^:]*:(\d{12}):")


def place_of(options: Mapping[str, Any]) -> dict[str, str]:
    """The account and region: the configured ones, or the account that its listeners are in."""
    found = {"region": str(options.get("region") or "")}
    listeners = [str(route.get("listener", "")) for route in options.get("routes", ()) if isinstance(route, Mapping)]
    inside = next((match[1] for listener in listeners if (match := _ACCOUNT.match(listener))), "")
    found["account"] = str(options.get("account") or inside)
    return {key: value for key, value in found.items() if value}


def shares_images(reference: str) -> bool:
    """An image is the same for all services of an account and region, unless it is made of what a service runs."""
    return not reference.startswith(("bake:", "in-place")) and "+pb-" not in reference
