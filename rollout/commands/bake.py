"""bake: make an image with today's patches from what a service runs."""

from __future__ import annotations

from typing import Annotated

import typer

from rollout.commands.options import Config, Json, Name, Usage, find_installation
from rollout.render import Screen

commands = typer.Typer()
ACTIVE = "active"


class NotBaked(Exception):
    """The image was not made; the message says what is left and what to type."""


@commands.command()
def bake(
    service: Name,
    source: Annotated[
        str, typer.Option("--from", metavar="REF", help="An image's reference, or `active`: what serves now.")
    ] = ACTIVE,
    fresh: Annotated[
        str, typer.Option("--fresh", metavar="LABEL", help="Make it once for this label, not once a day (UTC).")
    ] = "",
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Make an image with the newest patches on a host that never serves. Killed, it goes on when it is run again.

    Not begun while the service is frozen: it launches a host.
    """
    from providers.base import ProviderError, Service
    from rollout.opening import raise_if_frozen
    from rollout.wiring import adapter

    installation, screen = find_installation(config), Screen(as_json=json_out)
    settings = installation.service(service)
    hook = getattr(adapter(settings.provider), "bake", None)
    if hook is None:
        raise Usage(
            f"{service} is of provider {settings.provider}, which makes no images; make one with your own tools"
        )
    raise_if_frozen(installation, service)
    named = Service(service, dict(settings.options))
    if source != ACTIVE:
        installation.provider(settings.provider).patcher.resolve(named, source)
    again = f"rollout bake {service} --from {source}" + (f" --fresh {fresh}" if fresh else "")
    screen.say(f"{service}: baking from {source}; if this ends early, go on with: {again}")
    try:
        data = hook(installation.context, named, source, fresh=fresh, say=lambda text: screen.say(f"{service}: {text}"))
    except ProviderError as error:
        raise NotBaked(
            f"{service}: no image was made: {error}. Nothing that serves was touched; again: {again}"
        ) from error
    made = "was made" if data["made"] else "was there already"
    text = f"{data['image']} {made}; roll it out: rollout plan {service} --image {data['reference']}"
    screen.document(data, text)
