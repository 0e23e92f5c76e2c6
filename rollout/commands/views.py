"""The live views of commands: beside a rollout that is driven from here, and of one or all that others drive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rollout import exits
from rollout.commands.options import live_routes, live_summary
from rollout.render import Screen
from rollout.wiring import Installation

if TYPE_CHECKING:
    from rollout.rows import Row
    from rollout.view.onlooker import Looks
    from rollout.view.stream import Picture

GLANCE_S = 0.1
"""How soon a Ctrl-C is heeded."""


def draw_one(picture: Picture, now: float, width: int, height: int) -> Any:
    from rollout.view.panel import panel

    return panel(picture, now=now, width=width, height=height)


def draw_all(picture: Picture, now: float, width: int, height: int) -> Any:
    from rollout.view.board import board

    return board(picture.listed, now=now, height=height)


@contextmanager
def driving(installation: Installation, row: Row, screen: Screen) -> Iterator[None]:
    """While the body drives this rollout: the live view on a terminal, traffic readings there and in JSON."""
    from rollout.view.onlooker import LOOK_S, TRAFFIC_S, Looks, Standing, Traffic, looking

    installation.provider(row.plan["provider"])  # made once, before several threads ask for it
    with screen.live(draw_one) as shown:
        looks = []
        if shown or screen.as_json:
            looks.append(Looks(Traffic(installation, lambda: row, screen.tell).look, TRAFFIC_S))
        if shown:
            apart, clock = _apart(installation), installation.clock
            looks.append(Looks(Standing(lambda: apart.store, lambda: row.id, clock.now, screen.tell).look, LOOK_S))
        with looking(looks):
            yield


def watch_one(installation: Installation, which: str, screen: Screen) -> int:
    """Until it is closed: the exit code that `start` would have given. 130 after a Ctrl-C."""
    from rollout.control import find
    from rollout.view.onlooker import LOOK_S, TRAFFIC_S, Looks, Traffic, Watched
    from rollout.view.standing import standing

    apart, clock = _apart(installation), installation.clock
    watched = Watched(
        lambda: apart.store, lambda: find(apart, which).id, clock.now, screen.tell, all_of_it=screen.as_json
    )
    standing_looks = Looks(watched.look, LOOK_S)
    traffic = Looks(Traffic(apart, lambda: watched.row, screen.tell).look, TRAFFIC_S)
    with screen.live(draw_one):
        code = _attend([standing_looks, traffic], screen)
        if code is not None or watched.row is None:
            return exits.DONE if code is None else code
        summary = live_summary(installation, watched.row)
        screen.document(summary, standing(summary))
    code = int(summary["exit_code"])
    return code


def watch_all(installation: Installation, screen: Screen) -> int:
    """Until Ctrl-C."""
    from rollout.view.onlooker import LIST_S, Everything, Looks

    apart = _apart(installation)
    everything = Everything(apart, lambda rows: live_routes(apart, rows), screen.tell)
    with screen.live(draw_all):
        code = _attend([Looks(everything.look, LIST_S)], screen)
    return exits.DONE if code is None else code


def _apart(installation: Installation) -> Installation:
    """The same fleet through a store connection of its own: whoever looks never waits for, or holds up, who acts."""
    return Installation(installation.fleet_file, installation.clock)


def _attend(looks: list[Looks], screen: Screen) -> int | None:
    """Until the first of the looks is over (None), or nobody watches any more: an exit code."""
    from rollout.follow import Interrupts
    from rollout.view.onlooker import looking

    with Interrupts().caught() as asked, looking(looks):
        while not looks[0].over.wait(GLANCE_S):
            if asked.count or screen.deserted:
                screen.end(leave=True)
                return exits.INTERRUPTED if asked.count else exits.DONE
    if looks[0].error:
        raise looks[0].error
    return None
