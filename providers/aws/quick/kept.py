"""The rollback card in short, as tags of the service's last route: for a night with credentials and nothing else.

One tag says whose way back it is, one of which service, and one for each route where it goes. All of them are written
in one call. Pure, and only the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from providers.aws.marks import LONGEST, decoded, encoded
from providers.contract.slots import SLOTS, Slot, other

HEAD, SERVICE, ROUTE = "rollout-manager:way-back", "rollout-manager:way-back-of", "rollout-manager:way-back-route-"
WEIGHED = "rollout-manager:way-back-weighed"
"""The Auto Scaling groups, where hosts have weights: without them each would count for one."""
MOST_ROUTES = 20
"""AWS allows fifty tags, and some are the user's. A service with more routes keeps no card with its traffic."""
ARN = re.compile(r"(arn:[a-z-]+:elasticloadbalancing:[a-z0-9-]+:\d{12}):(listener|listener-rule|targetgroup)/(\S+)")
Tags = dict[str, str]


def tags_of(card: Mapping[str, Any]) -> Tags:
    """What a card's tags are; none where it does not fit. `card` is a rollback card as plain data."""
    routes = card["target"]["routes"]
    until = "-" if card["valid_until"] is None else str(int(card["valid_until"]))
    healthy = "+" if card["was_healthy"] else "-"
    timeout, closed = f"{float(card['write_timeout_s']):g}", card["closed"] or "-"
    head = f"1 {card['original']} {int(card['capacity'])} {timeout} {until} {healthy} {len(routes)} {closed} "
    lines = [_line(route) for route in routes]
    if len(routes) > MOST_ROUTES or any(line is None or len(line) > LONGEST for line in lines):
        return {}
    return {
        HEAD: head + encoded(card["rollout"], LONGEST - len(head)),
        SERVICE: encoded(card["service"]),
        **{f"{ROUTE}{number}": line for number, line in enumerate(lines, 1) if line},
        **_weighed(card["target"]),
    }


def head_of(tags: Mapping[str, str]) -> dict[str, Any] | None:
    """Whose way back the tags say that it is: rollout, service, original, valid_until, closed. None where they do not,
    or nobody can read it."""
    match = re.fullmatch(r"1 (blue|green) (\d+) (\S+) (-|\d+) ([+-]) (\d+) (\S+) (\S+)", tags.get(HEAD, ""))
    if match is None or not tags.get(SERVICE):
        return None
    try:
        return {
            "service": decoded(tags[SERVICE]),
            "rollout": decoded(match[8]),
            "original": match[1],
            "capacity": int(match[2]),
            "write_timeout_s": float(match[3]),
            "valid_until": None if match[4] == "-" else float(match[4]),
            "was_healthy": match[5] == "+",
            "routes": int(match[6]),
            "closed": "" if match[7] == "-" else match[7],
        }
    except ValueError:
        return None


def card_of(tags: Mapping[str, str], resource: str, place: Mapping[str, str]) -> dict[str, Any] | None:
    """A rollback card as plain data, from the tags of this listener or rule; None where they are none, or not whole."""
    head, here = head_of(tags), ARN.fullmatch(resource)
    if head is None or here is None:
        return None
    lines = [tags.get(f"{ROUTE}{number}", "") for number in range(1, head.pop("routes") + 1)]
    routes = [_route(line, here[1]) for line in lines]
    if not routes or None in routes:
        return None
    groups = _groups(tags.get(WEIGHED, ""))
    original: Slot = "green" if head["original"] == "green" else "blue"
    target = {
        "provider": "aws",
        "what": f"{head['service']} in {place['region']}",
        "place": dict(place),
        "groups": groups,
        **({"instance_weights": True} if groups else {}),
        "routes": routes,
    }
    return {**head, "original": original, "replacement": other(original), "target": target}


def _weighed(target: Mapping[str, Any]) -> Tags:
    """`blue green`; nothing where they are too long for a tag."""
    line = " ".join(encoded(target["groups"][slot]) for slot in SLOTS) if target.get("instance_weights") else ""
    return {WEIGHED: line} if 0 < len(line) <= LONGEST else {}


def _groups(line: str) -> dict[Slot, str]:
    try:
        names = [decoded(name) for name in line.split(" ")]
    except ValueError:
        return {}
    return dict(zip(SLOTS, names, strict=True)) if len(names) == len(SLOTS) and all(names) else {}


def _line(route: Mapping[str, Any]) -> str | None:
    """`listener-or-rule blue green`, each without what all of them have in common; `+` where the rule is one."""
    found = [ARN.fullmatch(each) for each in (route["rule"] or route["listener"], *(route[slot] for slot in SLOTS))]
    if not all(found):
        return None
    return " ".join([*("+" for _ in [0] if route["rule"]), *(match[3] for match in found if match)])


def _route(line: str, common: str) -> dict[str, Any] | None:
    """Without `actions`: there is no room for them."""
    words: Sequence[str] = line.split(" ")
    is_rule = words[0] == "+"
    words = words[1:] if is_rule else words
    if len(words) != 3 or not all(words):
        return None
    resource, blue, green = words
    listener = resource.rpartition("/")[0] if is_rule else resource
    groups = [f"{common}:targetgroup/{name}" for name in (blue, green)]
    return {
        "listener": f"{common}:listener/{listener}",
        "rule": f"{common}:listener-rule/{resource}" if is_rule else "",
        "blue": groups[0],
        "green": groups[1],
        "actions": [],
    }
