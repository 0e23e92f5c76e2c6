"""Weights of a forward action as percent for each slot, and back. Pure, and only the standard library: the emergency
path is built on it, too.

`actions` are a listener's DefaultActions or a rule's Actions as AWS tells them; `groups` the target group (ARN) of each
slot; `where` names the listener or rule in messages.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from providers.contract.errors import Conflict, Invalid
from providers.contract.slots import SLOTS, Slot, Weights, other

Action = dict[str, Any]
Actions = Sequence[Mapping[str, Any]]
Groups = Mapping[Slot, str]
FORWARD = "forward"
LAST = (FORWARD, "redirect", "fixed-response")
"""What an action list ends with; everything before it (authenticate-*, …) is the user's and stays."""
LARGEST = 999
UNSAID = 1
"""The weight of a target group that has none."""


class Absent(Invalid):
    """What is to have weight is not in the route."""


def checked(weights: Weights) -> dict[Slot, int]:
    """The weights in the order of the slots. Invalid unless both slots have 0 to 100 that add up to 100."""
    shares = [weights.get(slot, -1) for slot in SLOTS]
    if set(weights) != set(SLOTS) or any(type(share) is not int or share < 0 for share in shares) or sum(shares) != 100:
        raise Invalid(f"weights {dict(weights)}: both slots with 0 to 100 that add up to 100 are needed")
    return {slot: weights[slot] for slot in SLOTS}


def raw(actions: Actions) -> dict[str, int] | None:
    """The weight of each target group as it stands there; None where nothing is forwarded."""
    forward = _forward(actions)
    return None if forward is None else {entry["TargetGroupArn"]: _weight(entry) for entry in _entries(forward)}


def shares(actions: Actions, groups: Groups, where: str) -> dict[Slot, int]:
    """Percent for each slot. Invalid where nothing is forwarded; Conflict where somebody else's target group takes
    part, or nobody has any weight."""
    found = raw(actions)
    if found is None:
        kinds = ", ".join(str(action.get("Type")) for action in actions) or "nothing"
        raise Invalid(f"{where} does not forward to target groups, it has: {kinds}; a forward action is needed")
    if strangers := [arn for arn in found if arn not in groups.values()]:
        raise Conflict(f"{where} forwards to {', '.join(strangers)} as well, which is neither blue's nor green's")
    if bad := {arn: weight for arn, weight in found.items() if not 0 <= weight <= LARGEST}:
        raise Conflict(f"{where} has weights that cannot be: {bad}")
    if not sum(found.values()):
        raise Conflict(f"{where} gives no weight to any target group: nobody is served there")
    return seen(actions, groups)


def seen(actions: Actions, groups: Groups) -> dict[Slot, int]:
    """Percent for each slot whatever is there: nothing for a slot that is absent, and less than 100 together where
    somebody else's target group takes part. A slot has 0 only if it truly has no weight."""
    found = raw(actions) or {}
    total = sum(found.values())
    mine = {slot: found.get(groups[slot], 0) for slot in SLOTS}
    if total <= 0 or sum(mine.values()) <= 0:
        return dict.fromkeys(SLOTS, 0)
    if sum(mine.values()) != total:
        return {slot: max(1, mine[slot] * 100 // total) if mine[slot] else 0 for slot in SLOTS}
    green = (200 * mine["green"] + total) // (2 * total)
    if mine["blue"] and mine["green"]:
        green = min(99, max(1, green))
    return {"blue": 100 - green, "green": green}


def has(actions: Actions, group: str) -> bool:
    """Is the target group in the action, at whatever weight?"""
    return group in (raw(actions) or {})


def with_shares(actions: Actions, groups: Groups, weights: Weights, where: str) -> list[Action]:
    """The same actions with these weights, as they are to be written. Absent for weight on a slot that is not there.

    A slot without weight that is not in the action stays out of it.
    """
    wanted, found = checked(weights), raw(actions) or {}
    for slot in SLOTS:
        if wanted[slot] and groups[slot] not in found:
            raise Absent(f"{slot} is not in the route {where}; attach its instances first")
    return _rewritten(actions, {groups[slot]: wanted[slot] for slot in SLOTS if groups[slot] in found})


def with_group(actions: Actions, groups: Groups, slot: Slot, where: str) -> list[Action] | None:
    """The same actions with the slot's target group in them at weight 0; None where it is in them already."""
    if has(actions, groups[slot]):
        return None
    now = shares(actions, groups, where)
    return _rewritten(actions, {groups[other(slot)]: now[other(slot)], groups[slot]: 0})


def without_group(actions: Actions, groups: Groups, slot: Slot, where: str) -> list[Action] | None:
    """The same actions without the slot's target group; None where it is not in them. Invalid while it has weight."""
    if not has(actions, groups[slot]):
        return None
    now = shares(actions, groups, where)
    if now[slot]:
        raise Invalid(f"{slot} has {now[slot]} % of the traffic of {where} and cannot be detached; move that first")
    return _rewritten(actions, {groups[other(slot)]: 100})


def put_back(present: Actions, known: Actions, groups: Groups, weights: Weights) -> list[Action]:
    """Actions with these weights, whatever is there: somebody else's target group, a maintenance page, no weight.

    `known` are the actions as they were when they were right; they count where nothing is forwarded at present.
    """
    wanted = checked(weights)
    base = present if _forward(present) else known
    there = raw(base) or {}
    return _rewritten(base, {groups[slot]: wanted[slot] for slot in SLOTS if wanted[slot] or groups[slot] in there})


def route_of(each: Sequence[Weights], declaring: Weights | None) -> Weights:
    """What all routes together say, the last one last.

    The last one's weights, as long as every other one has moved with it, or ahead of it to what was declared before
    the move; else those of the odd one. So a move is over only when all have moved, and an edit of any is noticed.
    Where nobody declared anything none is the odd one: then what they say together, which is never all on one side.
    """
    last = each[-1]
    odd = [one for one in each if one != last]
    if not odd:
        return last
    if declaring is None:
        blue = min(max(round(sum(one["blue"] for one in each) / len(each)), 1), 99)
        return {"blue": blue, "green": 100 - blue}
    return next((one for one in odd if one != declaring or last == declaring), last)


def revision(routes: Mapping[str, Actions], mark: Mapping[str, str]) -> str:
    """Another one whenever any weight or the mark's tags are others. `routes`: the actions by listener or rule."""
    told = [[[name, sorted((raw(actions) or {}).items())] for name, actions in routes.items()], sorted(mark.items())]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def _forward(actions: Actions) -> Mapping[str, Any] | None:
    return next((action for action in actions if action.get("Type") == FORWARD and _entries(action)), None)


def _entries(forward: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = list(forward.get("ForwardConfig", {}).get("TargetGroups", ()))
    short = forward.get("TargetGroupArn")
    return listed or ([{"TargetGroupArn": short}] if short else [])


def _weight(entry: Mapping[str, Any]) -> int:
    weight = entry.get("Weight")
    return UNSAID if weight is None else int(weight)


def _rewritten(actions: Actions, weights: Mapping[str, int]) -> list[Action]:
    """Stickiness, order and everything before the forward action stay. What may not be written as it was read: the
    short form of one target group beside a list of them, and a client secret, which is never told."""
    if not any(weights.values()):
        raise Invalid("a route without any weight would serve nobody")
    forward = _forward(actions)
    before = [copy.deepcopy(dict(action)) for action in actions if action.get("Type") not in LAST]
    for action in before:
        if "AuthenticateOidcConfig" in action:
            action["AuthenticateOidcConfig"].pop("ClientSecret", None)
            action["AuthenticateOidcConfig"]["UseExistingClientSecret"] = True
    last: Action = copy.deepcopy(dict(forward)) if forward else {"Type": FORWARD}
    last.pop("TargetGroupArn", None)
    there = [entry["TargetGroupArn"] for entry in _entries(forward)] if forward else []
    ordered = [*(arn for arn in there if arn in weights), *(arn for arn in weights if arn not in there)]
    entries = [{"TargetGroupArn": arn, "Weight": weights[arn]} for arn in ordered]
    last["ForwardConfig"] = {**last.get("ForwardConfig", {}), "TargetGroups": entries}
    return [*before, last]
