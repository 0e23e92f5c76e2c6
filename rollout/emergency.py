"""`rollout rollback`: put traffic back on the warm side, whatever else is broken.

Standard library, the card file and one thin provider module; the store is used if it can be, and so is a running
`rollout serve`. This file parses, chooses, tells, and ends with a code; what is done is in rollout/rescue/.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout import exits
from rollout.card import Card, CardFolder, CardUnreadable
from rollout.rescue import choosing, cold, daemon
from rollout.rescue.asked import Asked
from rollout.rescue.clock import REAL, NightClock
from rollout.rescue.putting_back import put_back
from rollout.rescue.told import Refusal, Told, Unfinished, WayBackClosed
from rollout.state_dir import StateUnreadable, find_fleet_file, state_dir_of

__all__ = ["Printed", "Refusal", "Told", "Unfinished", "WayBackClosed", "main", "run"]

PLACE = ("region", "profile", "role", "external_id", "endpoint_url")
"""Where a provider looks when there is no card."""


class Printed(Told):
    """Lines for people at once on stderr, or one JSON document at the end on stdout."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self.as_json = as_json

    def write(self, line: str, facts: dict[str, Any]) -> None:
        if not self.as_json:
            print(line, file=sys.stderr, flush=True)

    def end(self, code: int) -> int:
        if self.as_json:
            print(json.dumps({**self.facts, "exit_code": code}, sort_keys=True), flush=True)
        return code


def main(arguments: list[str], clock: NightClock = REAL) -> tuple[int, list[str]]:
    """The exit code, and the command line that finishes the story (empty: nothing is left to do here)."""
    asked, unknown = _parser().parse_known_intermixed_args(arguments)
    told = Printed(asked.json)
    if unknown:
        told.say(f"  ignored: {' '.join(unknown)}")
    fleet_file = find_fleet_file(asked.config, os.environ, Path.cwd())
    code = _through_server(asked, fleet_file, told)
    if code is None:
        code = _carry_out(asked, fleet_file, told, clock, "")
    return told.end(code), _rest(asked, fleet_file, told, code)


def run(arguments: list[str], told: Told, clock: NightClock = REAL, actor: str = "") -> int:
    """The exit code of one rollback that is done here, whatever is said going to `told`; nothing is printed.

    `arguments` begin with `rollback`, and name the fleet file with --config. No state is shared: it may be called
    from many threads. `actor`: who asks, where that is not whoever runs this process.
    """
    asked, unknown = _parser().parse_known_intermixed_args(arguments)
    if unknown:
        told.say(f"  ignored: {' '.join(unknown)}")
    return _carry_out(asked, find_fleet_file(asked.config, os.environ, Path.cwd()), told, clock, actor)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rollout rollback", add_help=False)
    parser.add_argument("command")
    parser.add_argument("service", nargs="?")
    for text in ("--config", "--server", "--wave", "--provider", *(f"--{name.replace('_', '-')}" for name in PLACE)):
        parser.add_argument(text)
    parser.add_argument("--reason", default="")
    parser.add_argument("--ref", default="")
    for flag in ("--json", "--drill", "--force", "--cut", "--all", "--direct"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--quiet", "-q", "--no-input", action="store_true")
    parser.add_argument("--cold", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--wait", action=argparse.BooleanOptionalAction, default=True)
    return parser


def _through_server(asked: argparse.Namespace, fleet_file: Path | None, told: Told) -> int | None:
    """What a running server answered; None where there is none, or it is to be done here."""
    where = "" if asked.direct or asked.provider else daemon.place(asked.server, os.environ, fleet_file)
    if not where:
        return None
    whose = asked.service or asked.wave or ("all services" if asked.all else "the service with a way back")
    told.say(f"{whose}: asking {where} to put traffic back")
    code = daemon.ask(where, _words(asked), told)
    if code is None and fleet_file is None:
        told.say("there is no fleet file here to go on without the server: name it with --config FILE", error=where)
        return exits.PERSON_NEEDED
    return code


def _words(asked: argparse.Namespace) -> list[str]:
    """The command line for a server, which has a fleet file of its own."""
    words = ["rollback", *([asked.service] if asked.service else [])]
    for name in ("reason", "ref", "wave"):
        words += [f"--{name}={getattr(asked, name)}"] if getattr(asked, name) else []
    for flag in ("drill", "force", "cut", "all", "json"):
        words += [f"--{flag}"] if getattr(asked, flag) else []
    return [*words, *([] if asked.cold else ["--no-cold"]), "--direct"]


def _carry_out(asked: argparse.Namespace, fleet_file: Path | None, told: Told, clock: NightClock, actor: str) -> int:
    """Do it here; every failure is said, with its code."""
    wanted = Asked(asked.reason, asked.ref, actor, asked.drill, asked.force, asked.cut)
    try:
        if asked.provider:
            return _without_card(asked, told, wanted, clock)
        if fleet_file is None:
            raise Refusal("no fleet file was found: name it with --config FILE", exits.USAGE)
        if not fleet_file.is_file():
            raise Refusal(f"there is no fleet file {fleet_file}", exits.USAGE)
        fleet = _Fleet(fleet_file, CardFolder(state_dir_of(fleet_file) / "cards"), told, wanted, clock)
        if asked.all or asked.wave:
            return fleet.put_many_back(asked.wave)
        return fleet.put_one_back(asked)
    except Refusal as refusal:
        told.say(f"{refusal.how}: {refusal}", error=str(refusal), **refusal.facts)
        return refusal.code
    except (OSError, StateUnreadable, CardUnreadable) as error:
        told.say(f"rollback failed: {error}", error=str(error))
        return exits.PERSON_NEEDED


def _without_card(asked: argparse.Namespace, told: Told, wanted: Asked, clock: NightClock) -> int:
    place = {name: getattr(asked, name) for name in PLACE if getattr(asked, name)}
    told.say(f"{asked.service}: asking {asked.provider} for what it stands behind")
    put_back(choosing.find_without_card(asked.provider, asked.service, place), None, None, told, wanted, clock)
    return exits.DONE


@dataclass
class _Fleet:
    """A fleet file and its cards, and what is asked of them."""

    file: Path
    cards: CardFolder
    told: Told
    wanted: Asked
    clock: NightClock

    def put_one_back(self, asked: argparse.Namespace) -> int:
        card = choosing.choose(self.cards, asked.service, self.told, self.clock.time())
        try:
            put_back(card, self.cards, self.file, self.told, self.wanted, self.clock)
        except WayBackClosed as closed:
            earlier = cold.find_earlier(card, self.file) if asked.cold and not asked.drill else None
            if earlier is None:
                raise
            return self._go_cold(card, earlier, closed, asked)
        return exits.DONE

    def _go_cold(self, card: Card, earlier: cold.Earlier, closed: Refusal, asked: argparse.Namespace) -> int:
        """Say so; whoever has a command line to go on with does (see `_rest`)."""
        command = cold.command(card, earlier)
        facts: dict[str, Any] = {"next": f"rollout {' '.join(command)}", "cold": command, "took_s": earlier.took_s}
        if asked.json:
            raise Refusal(f"{closed}", image=earlier.image, **facts) from closed
        self.told.say(cold.told_of(card, earlier), **facts)
        return exits.PERSON_NEEDED

    def put_many_back(self, wave: str | None) -> int:
        from rollout.rescue import many  # one service does not wait for it

        begun: list[str] = []
        if not self.wanted.drill:
            begun = many.stop_waves(self.file, wave, self.wanted, self.told, self.clock)
        found, unreadable = choosing.open_cards(self.cards, self.told, self.clock.time())
        found = many.of_wave(found, wave, begun) if wave else found
        if not found:
            of = f"of {wave} " if wave else ""
            raise Refusal(f"no service {of}has a way back open now (cards: {self.cards.folder})", exits.USAGE)
        code = many.put_all_back(found, self.cards, self.file, self.told, self.wanted, self.clock)
        if unreadable and code == exits.DONE:
            raise Unfinished(f"{len(unreadable)} cards cannot be read, and whose they are is not known (above)")
        return code


def _rest(asked: argparse.Namespace, fleet_file: Path | None, told: Told, code: int) -> list[str]:
    """The ordinary command that goes on from here; none where there is nothing to do, or it is not wanted here."""
    if asked.json or fleet_file is None or asked.all or asked.wave or asked.drill:
        return []
    config = ["--config", str(fleet_file)]
    if going_cold := told.facts.get("cold"):
        reason = ["--reason", asked.reason or "on-call rollback, after the window"]
        ref = ["--ref", asked.ref] if asked.ref else []
        return [*going_cold, *reason, *ref, *([] if asked.wait else ["--no-wait"]), *config]
    done = code == exits.DONE and "traffic" in told.facts
    return ["resume", told.facts["id"], *config, "--after-rollback"] if done and asked.wait else []


def left_over(code: int, unfinished: list[str], error: ImportError) -> int:
    """The engine cannot be loaded: what was done here stands, and the rest is said as a command."""
    print(
        f"the engine cannot be loaded ({error}), so the rest waits: rollout {' '.join(unfinished)}",
        file=sys.stderr,
        flush=True,
    )
    return code
