"""up · down · deny · demo: what surrounds rollouts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rollout.actor import this_actor
from rollout.commands.options import Config, Json, Name, Reason, Usage, find_installation
from rollout.render import Screen

commands = typer.Typer()


@commands.command()
def up(
    service: Name,
    image: Annotated[
        str | None, typer.Option("--image", metavar="REF", help="What to stand up; else the fleet file's.")
    ] = None,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Stand a service up for the first time on its blue slot. Not begun while it is frozen; down is no step forward."""
    from rollout import bootstrap
    from rollout.opening import raise_if_frozen

    installation, screen = find_installation(config), Screen(as_json=json_out)
    raise_if_frozen(installation, service)
    data = bootstrap.stand_up(installation, service, image, this_actor(), screen.say)
    screen.document(data, f"{service} runs {data['image']} on blue, {data['healthy']} healthy")


@commands.command()
def down(
    service: Name,
    yes: Annotated[str, typer.Option("--yes", metavar="SERVICE", help="Say the service's name: it will be gone.")] = "",
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Stop everything of a service on this machine and remove its files; the journal stays."""
    from rollout import bootstrap

    if yes != service:
        raise Usage(f"this stops {service} for good; to confirm: rollout down {service} --yes {service}")
    bootstrap.tear_down(find_installation(config), service, this_actor())
    Screen(as_json=json_out).document({"service": service, "down": True}, f"{service} is gone from this machine")


@commands.command()
def deny(
    service: Name,
    image: Annotated[str | None, typer.Argument(metavar="[REF]")] = None,
    lift: Annotated[bool, typer.Option("--lift", help="Allow it again.")] = False,
    reason: Reason = "",
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Keep an image from a service (list them without REF), or allow it again."""
    from rollout import bootstrap

    installation, screen = find_installation(config), Screen(as_json=json_out)
    if image is not None:
        bootstrap.deny(installation, service, image, reason=reason or f"denied by {this_actor()}", lift=lift)
    denied = dict(installation.store.denials(service))
    text = "\n".join(f"{name}  {why}" for name, why in denied.items()) or f"no image is denied for {service}"
    screen.document({"service": service, "denied": denied}, text)


@commands.command()
def demo(
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Leave fleet, state and logs there.")
    ] = None,
    json_out: Json = False,
) -> None:
    """The main job on this machine: real processes, packages, balancer and load. Under three minutes."""
    from rollout.demo.play import play

    raise typer.Exit(play(Screen(as_json=json_out), keep))
