"""approve · pause · hold · adopt: a person's hand on what is open."""

from __future__ import annotations

from typing import Annotated

import typer

from rollout.actor import this_actor
from rollout.commands.options import Config, Json, Name, Quiet, Reason, Ref, Usage, Which, find_installation, server_of
from rollout.render import Screen

commands = typer.Typer()


@commands.command()
def approve(which: Which, ref: Ref = "", config: Config = None, json_out: Json = False) -> None:
    """Let a rollout that waits for approval go on."""
    from rollout import control, interventions

    installation = find_installation(config)
    row = control.find(installation, which)
    interventions.approve(installation, row, this_actor(), ref)
    driver = installation.store.driver(row.id, installation.clock.now())
    told = f"{driver} goes on" if driver else f"nobody drives it. Go on with: rollout resume {row.id}"
    Screen(as_json=json_out).document({"id": row.id, "approved": True}, f"approved {row.id}; {told}")


@commands.command()
def pause(which: Which, reason: Reason = "", config: Config = None, json_out: Json = False) -> None:
    """Let a rollout take no further step; what has traffic is watched on, and can turn back by itself."""
    from rollout import control, interventions

    installation = find_installation(config)
    row = control.find(installation, which)
    interventions.pause(installation, row, this_actor(), reason or "no reason given")
    wait_s = installation.provider(row.plan["provider"]).write_timeout_s
    watched = "it is watched" if server_of(installation) else "nobody watches it unless a command drives it"
    Screen(as_json=json_out).document(
        {"id": row.id, "paused": True, "write_timeout_s": wait_s},
        f"paused {row.id}; a step that had begun may still take effect within {wait_s:.0f} s; {watched}. "
        f"Go on with: rollout resume {row.id}",
    )


@commands.command()
def hold(
    service: Name,
    reason: Reason = "",
    until: Annotated[
        str, typer.Option("--until", metavar="T", help="A span such as 2h, or a time such as 2026-11-30T06:00.")
    ] = "4h",
    release: Annotated[bool, typer.Option("--release", help="End the hold, whoever has it.")] = False,
    ref: Ref = "",
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Keep rollouts off a service, as a deployment does while it works; refused while a rollout moves traffic."""
    from rollout.holds import Holds
    from rollout.rows import Hold
    from rollout.telling import minute
    from rollout.times import moment

    installation, screen = find_installation(config), Screen(as_json=json_out)
    installation.service(service)
    holds, now = Holds(installation.store.db), installation.clock.now()
    if release:
        ended = holds.release(service, this_actor(), reason, now, ref)
        told = f"{service} is free: the hold of {ended.actor} ended" if ended else f"{service} was not held"
        screen.document({"service": service, "released": bool(ended)}, told)
        return
    if not reason:
        raise Usage(f"say why: rollout hold {service} --reason TEXT")
    ends = moment(until, now)
    if ends <= now:
        raise Usage(f"--until {until} is over already")
    holds.put(Hold(service, this_actor(), reason, ref, now, ends))
    screen.document(
        {"service": service, "held": True, "until": ends},
        f"no rollout begins on {service} until {minute(ends)}. Release it with: rollout hold {service} --release",
    )


@commands.command()
def adopt(
    service: Which,
    reason: Reason = "",
    ref: Ref = "",
    force: Annotated[bool, typer.Option("--force", help="Even if what serves is not healthy.")] = False,
    config: Config = None,
    json_out: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take what serves now as it is: end the open rollout without moving traffic, and tidy up after it."""
    from rollout import adoption, control, interventions
    from rollout.commands.run import follow_to_end
    from rollout.telling import shares

    if not reason:
        raise Usage(f"say why: rollout adopt {service} --reason TEXT")
    installation, screen = find_installation(config), Screen(as_json=json_out, quiet=quiet)
    row = next((row for row in installation.store.rollouts(open_only=True) if service in (row.id, row.service)), None)
    if row is None:
        if service not in installation.fleet.services:
            row = control.find(installation, service)
            raise Usage(f"{row.id} is closed; to tidy up what else is left: rollout adopt {row.service}")
        done = adoption.adopt_service(installation, service, this_actor(), reason, ref=ref, force=force)
        screen.document(done, f"{service} is taken as it is: {done['active']} serves")
        return
    route = interventions.adopt(installation, row, this_actor(), reason, ref=ref, force=force)
    screen.say(f"{row.id}: taken as it is, {shares(route)}; giving the other side up")
    follow_to_end(installation, row, screen)
