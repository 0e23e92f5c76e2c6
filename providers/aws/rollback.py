"""The emergency path on AWS: the standard library and botocore, no engine, no settings, no store, no CloudWatch.

`target` is what `Traffic.card_target` wrote into the rollback card. Nothing is tried for long (see `quick.calls`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from providers.aws import marks, weights
from providers.aws.judging import health
from providers.aws.quick import kept
from providers.aws.quick.calls import Action, Calls, Place, Route, calls_of, resource_of
from providers.aws.weights import checked
from providers.contract.errors import NotFound, PartlyDone, ProviderError
from providers.contract.plain import plain
from providers.contract.routing import HoldMark
from providers.contract.slots import SLOTS, Slot, Weights

Target = Mapping[str, Any]
SERVICES_AT_ONCE = 60
"""Looked at side by side: AWS grants ten reads of health a second, and all else of one service takes two or three."""


def read(target: Target) -> dict[str, Any]:
    """Weights, revision and mark; for each slot healthy, unhealthy and unknown targets, in units of capacity, and
    None for what is in flight: AWS tells that minutes late. A slot whose targets cannot be asked for has one unknown; a
    mark that cannot be asked for is taken to be there. `notes`, if there are any: what a person should know of the
    routes. `kept`, if there is one: whose way back is kept with the traffic. Raises NotFound, Transient, Denied.
    """
    call = calls_of_target(target)
    asked = {slot: (judging(call, target, slot), weighing(call, target, slot)) for slot in SLOTS}
    return seen(call, target, lambda: {slot: counts(*asked[slot]) for slot in SLOTS})


def one_of_many(original: Slot, capacity: int) -> Any:
    """The same as this module, for one of many services that are put back at once: it makes do with fewer calls."""
    from providers.aws.quick.many import OneOfMany

    return OneOfMany(original, capacity)


def seen(call: Calls, target: Target, judged: Callable[[], Mapping[Slot, Mapping[str, int]]]) -> dict[str, Any]:
    """See `read`."""
    routes = target["routes"]
    tags = call.tags(resource_of(routes[-1]))
    present = _present(call.actions_of(routes))
    there = [route for route in routes if resource_of(route) in present]
    home = resource_of(there[-1])
    found, wrong = _tags(tags if home == resource_of(routes[-1]) else call.tags(home))
    now = _together(there, present)
    serving = max(SLOTS, key=lambda slot: now[slot])
    mark = marks.unreadable(wrong, serving) if wrong else marks.mark_of(found, serving)
    notes, card, count = _notes(routes, present), kept.head_of(found), judged()
    return {
        "weights": now,
        "revision": weights.revision(present, marks.of_mark(found)),
        "mark": plain(mark) if mark else None,
        **{word: {slot: count[slot][word] for slot in SLOTS} for word in ("healthy", "unhealthy", "unknown")},
        "in_flight": dict.fromkeys(SLOTS),
        **({"notes": notes} if notes else {}),
        **({"kept": card} if card else {}),
    }


def judging(call: Calls, target: Target, slot: Slot) -> list[Future[list[Mapping[str, Any]]]]:
    """Ask for the health of all of a slot's target groups."""
    return [call.at_once(call.health, arn) for arn in dict.fromkeys(route[slot] for route in target["routes"])]


def weighing(call: Calls, target: Target, slot: Slot) -> Future[dict[str, int] | None] | None:
    """Ask how many units each of a slot's hosts is; None where each is one, or the card does not name the groups."""
    group = target.get("groups", {}).get(slot)
    return call.units(group) if group and target.get("instance_weights") else None


def put_back(target: Target, weights: Weights, token: str) -> dict[str, Any]:
    """Write these weights to every route, whatever is there, and say what AWS answered that they are then. A route that
    fails keeps none of the others from being put back; one that does not exist any more has nothing to be put back.
    The same again, or twice at once, is harmless, so `token` is unused.

    `notes`, if there are any: what was there and nobody knew of.

    Raises Invalid, with nothing written, for weights that cannot be; PartlyDone where some moved and some did not;
    otherwise what the first one failed with. PartlyDone has the command that moves each of those that failed.
    """
    return put_back_by(calls_of_target(target), target, weights)


def put_back_by(call: Calls, target: Target, weights: Weights) -> dict[str, Any]:
    """See `put_back`. What is written over is read in this moment: AWS has nothing by which a write could be refused
    because somebody else was faster, so that what he did is built on, as far as it is seen."""
    wanted, routes = checked(weights), target["routes"]
    present = _whatever_is_there(call, routes)
    made = {resource_of(route): _made(route, present.get(resource_of(route)) or (), wanted) for route in routes}
    outcomes = call.each_write(lambda route: _written(call, route, made[resource_of(route)]), routes)
    if len(routes) > 1:
        call.declare(resource_of(routes[-1]), wanted)
    each = list(zip(routes, outcomes, strict=True))
    moved = {resource_of(route): outcome for route, outcome in each if not isinstance(outcome, ProviderError)}
    failed = {resource_of(route): outcome for route, outcome in each if isinstance(outcome, ProviderError)}
    failed = {name: error for name, error in failed.items() if not (moved and _is_gone(error))}
    if failed:
        from providers.aws.quick.commands import write_command

        commands = {resource_of(each): write_command(target, each, made[resource_of(each)]) for each in routes}
        raise _unfinished(list(moved), failed, commands)
    notes = _strangers(routes, {name: actions for name, actions in present.items() if actions}, "it was left out")
    told = {"weights": _together([route for route in routes if resource_of(route) in moved], moved)}
    return {**told, **({"notes": notes} if notes else {})}


def set_mark(target: Target, mark: Mapping[str, Any] | None, token: str) -> None:
    """Leave a hold mark with the traffic, or clear it (None). The same mark twice is one mark: `token` is unused."""
    call, homes = calls_of_target(target), [resource_of(route) for route in reversed(target["routes"])]
    for home in homes:  # the last route's, as long as it exists
        try:
            if mark is None:
                call.remove_tags(home, marks.KEYS)
            else:
                call.add_tags(home, marks.tags_of(HoldMark.from_json(mark)))
            return
        except ProviderError as error:
            if home == homes[-1] or not _is_gone(error):
                raise


def by_hand(target: Target, weights: Weights) -> list[str]:
    """What a person who has nothing but the AWS CLI runs for these weights, one command a line; nothing is asked.

    A card that was kept in tags knows no actions: before what it would have written there is a comment that says so.
    """
    from providers.aws.quick.commands import caution, look_command, role_command, write_command

    wanted = checked(weights)
    lines = [role_command(target)] if target["place"]["role"] else []
    for route in target["routes"]:
        lines += [] if route["actions"] else [caution(route)]
        lines.append(write_command(target, route, _made(route, (), wanted)))
    return [*lines, *(look_command(target, route) for route in target["routes"])]


def resize_by_hand(target: Target, slot: Slot, capacity: int) -> list[str]:
    """What makes a side as large as that, for a terminal; empty where its card does not name its group."""
    from providers.aws.quick.commands import resize_command, role_command

    group = target.get("groups", {}).get(slot)
    lines = [role_command(target)] if target["place"]["role"] else []
    return [*lines, resize_command(target, group, capacity)] if group else []


def matches(target: Target, named: str) -> bool:
    """Is it one of this target's hosts (id, address), target groups (name, ARN), balancers (name, ARN, DNS name),
    listeners, rules or Auto Scaling groups? What the card says is asked first, then the platform."""
    from providers.aws.quick import belonging  # only here: a service's name waits for nothing

    return belonging.matches(target, named)


def find(named: str, place: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rollback cards that the platform itself keeps, of the service that this is of: its name, or what `matches`
    takes. `place` has region, and may have profile, role, external_id, endpoint_url. Empty where there are none.

    Raises Denied, Transient, Invalid, NotFound.
    """
    from providers.aws.quick import finding

    return finding.find(named, place)


def calls_of_target(target: Target) -> Calls:
    return calls_of(Place(**target["place"]))


def _groups(route: Route) -> dict[Slot, str]:
    return {slot: route[slot] for slot in SLOTS}


def _present(found: Mapping[str, Sequence[Action] | None]) -> dict[str, Sequence[Action]]:
    """The actions of each route that exists."""
    present = {resource: actions for resource, actions in found.items() if actions is not None}
    if not present:
        raise NotFound(f"{', '.join(found)}: does not exist")
    return present


def _notes(routes: Sequence[Route], present: Mapping[str, Sequence[Action]]) -> list[str]:
    """What is live and the card does not know. What is live decides."""
    gone = [resource_of(route) for route in routes if resource_of(route) not in present]
    return [
        *(f"{resource} does not exist any more: nothing is put back there" for resource in gone),
        *_strangers(routes, present, "it would be left out"),
    ]


def _strangers(routes: Sequence[Route], present: Mapping[str, Sequence[Action]], what: str) -> list[str]:
    found = []
    for route in routes:
        others = set(weights.raw(present.get(resource_of(route), ())) or {}) - set(_groups(route).values())
        found += [
            f"{resource_of(route)} also sends to {other}, which the card does not know: {what}"
            for other in sorted(others)
        ]
    return found


def _together(routes: Sequence[Route], seen: Mapping[str, Sequence[Action]]) -> dict[Slot, int]:
    """A move that was begun is no excuse here: every route counts."""
    return dict(weights.route_of([weights.seen(seen[resource_of(each)], _groups(each)) for each in routes], None))


def _tags(asked: Future[dict[str, str] | None]) -> tuple[dict[str, str], str]:
    """The tags, or why nobody can tell."""
    try:
        return asked.result() or {}, ""
    except ProviderError as error:
        return {}, f"the hold mark could not be read: {error}"


def counts(
    asked: Sequence[Future[list[Mapping[str, Any]]]], weighed: Future[dict[str, int] | None] | None = None
) -> dict[str, int]:
    """One slot's healthy, unhealthy and unknown targets, in units; a host that nobody could weigh is one."""
    try:
        units = (weighed.result() if weighed else None) or {}
    except ProviderError:
        units = {}
    try:
        found = health([answer.result() for answer in asked], units)
    except ProviderError:
        return {"healthy": 0, "unhealthy": 0, "unknown": 1}
    return {"healthy": found.healthy, "unhealthy": found.unhealthy, "unknown": found.unknown}


def _whatever_is_there(call: Calls, routes: Sequence[Route]) -> Mapping[str, Sequence[Action] | None]:
    try:
        return call.actions_of(routes)
    except ProviderError:
        return {}  # they may still be written to


def _made(route: Route, present: Sequence[Action], wanted: Weights) -> list[dict[str, Any]]:
    """A card that was kept in tags knows no actions: then what stands before, such as a login, stays."""
    known = route["actions"] or [each for each in present if each.get("Type") not in weights.LAST]
    return weights.put_back(present, known, _groups(route), wanted)


def _written(call: Calls, route: Route, actions: list[dict[str, Any]]) -> Sequence[Action] | ProviderError:
    try:
        return call.write(route, actions)
    except ProviderError as error:
        return error


def _is_gone(error: ProviderError) -> bool:
    """The route, not one of its target groups."""
    from providers.aws.errors import code_of

    return code_of(error) in ("ListenerNotFound", "RuleNotFound")


def _unfinished(moved: list[str], failed: Mapping[str, ProviderError], commands: Mapping[str, str]) -> ProviderError:
    """Where nothing moved, whoever tells it adds what `by_hand` says."""
    told = [f"{name}: {error}" + (f"\n  {commands[name]}" if moved else "") for name, error in failed.items()]
    text = "\n".join([f"{len(moved)} of {len(moved) + len(failed)} routes were put back; not", *told])
    if moved:
        return PartlyDone(text, moved, {name: commands[name] for name in failed})
    return type(next(iter(failed.values())))(text)
