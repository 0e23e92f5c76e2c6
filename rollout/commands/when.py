"""freeze · schedule · why-not-now: what stands still, what runs when, and what is in the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollout.actor import this_actor
from rollout.commands.options import Config, Image, Json, Name, Reason, Ref, Usage, find_installation, server_of
from rollout.render import Screen

if TYPE_CHECKING:
    from rollout.freeze import Freeze
    from rollout.why_not import Reason as Obstacle
    from rollout.wiring import Installation

commands = typer.Typer()
freeze = typer.Typer(
    help="Stop everything, or a part of the fleet; ways back stay open.", no_args_is_help=True, rich_markup_mode=None
)
commands.add_typer(freeze, name="freeze")

SCOPE_HELP = "all (default), a service, tag:KEY=VALUE, region:NAME, account:ID or account:ID/REGION."
Scope = Annotated[str, typer.Argument(metavar="[SCOPE]", help=SCOPE_HELP)]


@freeze.command("on")
def freeze_on(
    scope: Scope = "all",
    reason: Reason = "",
    until: Annotated[
        str | None, typer.Option("--until", metavar="T", help="A span such as 2h, or a time; else until it is lifted.")
    ] = None,
    ref: Ref = "",
    config: Config = None,
    json_out: Json = False,
) -> None:
    """No step forward from now on: nothing begins, what is under way stands still and watched, ways back go on."""
    from rollout.freeze import Freeze, Freezes, checked_scope
    from rollout.times import moment

    if not reason.strip():
        raise Usage("say why, for whoever is stopped by it: rollout freeze on --reason TEXT")
    installation, scope = find_installation(config), checked_scope(scope)
    now = installation.clock.now()
    ends = moment(until, now) if until else None
    if ends is not None and ends <= now:
        raise Usage(f"--until {until} is over already")
    said = Freeze(scope, this_actor(), reason, ref, now, ends, _services_of(installation, scope))
    said = Freezes(installation.store.db).put(said)
    moving = [row for row in installation.store.rollouts(open_only=True) if row.outcome != "promoted"]
    stopped = [row.id for row in moving if said.covers(row.service, row.plan["service"]["options"])]
    text = f"frozen: {_freeze_told(said)}. {_standing(installation, stopped)}Lift it with: rollout freeze off {scope}"
    Screen(as_json=json_out).document({"frozen": True, "freeze": said.to_json(), "standing_still": stopped}, text)


def _services_of(installation: Installation, scope: str) -> tuple[str, ...]:
    """The services that a scope means; none where the fleet file cannot be read, which must not keep anybody from
    freezing all of it."""
    from rollout.freeze import ALL, Freeze

    if scope == ALL:
        return ()
    kind, _, name = scope.partition(":")
    if kind == "service":
        installation.service(name)
        return (name,)
    asked = Freeze(scope, "", "", "", 0.0)
    found = [name for name, each in installation.fleet.services.items() if asked.covers(name, each.options, each.tags)]
    if not found:
        raise Usage(f"{scope} is no service of {installation.fleet_file}; nothing was frozen")
    return tuple(found)


def _standing(installation: Installation, stopped: list[str]) -> str:
    if not stopped:
        return "Nothing that was under way had to be stopped. "
    watched = "watched" if server_of(installation) else "watched by whatever command drives it"
    return f"Standing still from their next step on, {watched}: {', '.join(stopped)}. "


@freeze.command("off")
def freeze_off(
    scope: Scope = "all", reason: Reason = "", ref: Ref = "", config: Config = None, json_out: Json = False
) -> None:
    """Lift a freeze, whoever said it: what stood still goes on."""
    from rollout.freeze import Freezes, checked_scope

    installation, scope = find_installation(config), checked_scope(scope)
    freezes, now = Freezes(installation.store.db), installation.clock.now()
    lifted = freezes.lift(scope, this_actor(), reason, now, ref)
    left = freezes.all(now)
    text = f"the freeze of {lifted.actor} over {scope} ended" if lifted else f"{scope} was not frozen"
    text += "".join(f"\nstill frozen: {_freeze_told(each)}" for each in left)
    document = {"scope": scope, "lifted": bool(lifted), "freezes": [each.to_json() for each in left]}
    Screen(as_json=json_out).document(document, text)


@freeze.command("list")
def freeze_list(config: Config = None, json_out: Json = False) -> None:
    """The freezes in force: what, who, why, until when."""
    from rollout.freeze import Freezes

    installation = find_installation(config)
    found = Freezes(installation.store.db).all(installation.clock.now())
    text = "\n".join(_freeze_told(each) for each in found) or "nothing is frozen"
    Screen(as_json=json_out).document({"freezes": [each.to_json() for each in found]}, text)


def _freeze_told(each: Freeze) -> str:
    from rollout.telling import clock_time, visible

    until = f"until {clock_time(each.until)}" if each.until is not None else "until it is lifted"
    ref = f" [{each.ref}]" if each.ref else ""
    return visible(f"{each.scope}  {until}, by {each.actor} since {clock_time(each.at)}: {each.reason}{ref}")


@commands.command()
def schedule(
    days: Annotated[int, typer.Option("--days", min=1, max=400, help="So many days from now.")] = 14,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """What runs when: campaigns, windows, blackouts, freezes, and ways back that close."""
    from rollout.agenda import agenda
    from rollout.telling import visible

    installation = find_installation(config)
    found = agenda(installation, days)
    width = max((len(item.shown) for item in found), default=0)
    lines = [visible(f"{item.shown:{width}}  {item.kind:15}  {item.of:12}  {item.text}") for item in found]
    document = {"days": days, "now": installation.clock.now(), "items": [item.to_json() for item in found]}
    nothing = f"nothing is scheduled, closed or frozen in the next {days} days; everything may begin at any time"
    Screen(as_json=json_out).document(document, "\n".join(lines) or nothing)


@commands.command("why-not-now")
def why_not_now(service: Name, image: Image = None, config: Config = None, json_out: Json = False) -> None:
    """Every reason why a rollout of a service would not begin, or go on, now; and the command that helps."""
    from dataclasses import asdict

    from rollout.telling import brief
    from rollout.why_not import why_not_now as why

    installation = find_installation(config)
    found = why(installation, service, image)
    reasons = [asdict(each) for each in found.reasons]
    document: dict[str, Any] = {
        "service": service,
        "rollout": found.rollout,
        "would_begin": not reasons and found.rollout is None,
        "reasons": reasons,
        "command": found.begin if not reasons else None,
        "campaigns": list(found.campaigns),
    }
    lines = [f"{number}. {_obstacle_told(each)}" for number, each in enumerate(found.reasons, start=1)]
    first = f"{service} would not begin or go on now:" if lines else f"nothing: it would begin now: {found.begin}"
    Screen(as_json=json_out).document(document, "\n".join([first, *lines, *map(brief, found.campaigns)]))


def _obstacle_told(each: Obstacle) -> str:
    from rollout.telling import brief, clock_time

    who = f" (by {brief(each.who)})" if each.who else ""
    said = each.kind in ("window", "blackout")  # the text says it, by the service's own clock
    until = f", until {clock_time(each.until)}" if each.until is not None and not said else ""
    after = f"\n   next: {each.next}" if each.next else ""
    return f"{each.kind}: {brief(each.text)}{who}{until}{after}"
