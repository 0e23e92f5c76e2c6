"""`rollout rollback`: put traffic back on the warm side, whatever else is broken.

Standard library, the card file and one thin provider module; the store is used if it can be, and so is a running
`rollout serve`. This file parses, chooses, tells, and ends with a code; what is done is in rollout/rescue/, which is
imported only where no server does it: half of a rollback by way of one would go into it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout import exits
from rollout.rescue import daemon
from rollout.rescue.again import PLACE, Again
from rollout.rescue.clock import REAL, NightClock
from rollout.rescue.told import Refusal, Told, Unfinished, WayBackClosed
from rollout.state_dir import StateUnreadable, find_fleet_file, state_dir_of

if TYPE_CHECKING:
    from rollout.card import Card, CardFolder
    from rollout.rescue import cold
    from rollout.rescue.asked import Asked

__all__ = ["Printed", "Refusal", "Told", "Unfinished", "WayBackClosed", "main", "run"]

USAGE = "usage"
"""The error of a command line that cannot be read."""


class Printed(Told):
    """Lines for people at once on stderr, or one JSON document at the end on stdout."""

    def __init__(self, as_json: bool, again: Again) -> None:
        super().__init__()
        self.as_json, self._again = as_json, again

    def write(self, line: str, facts: dict[str, Any]) -> None:
        if self.as_json:
            return
        with suppress(OSError, ValueError):  # a terminal that is gone is no reason to leave traffic where it is
            print(self._again.in_line(line), file=sys.stderr, flush=True)

    def stopped(self, why: str, code: int) -> int:
        """It ended in the middle: say how far it came."""
        service = self.facts.get("service", "")
        if "server" in self.facts:
            how = f"what {self.facts['server']} was asked for goes on there"
        elif "traffic" in self.facts:
            how = f"traffic was seen on {self.facts['active_slot']}, but it was not watched to the end"
        elif self.facts.get("moving"):
            how = f"traffic may be on {self.facts['active_slot']} by now, which was not read back"
        else:
            how = "this command had changed nothing yet"
        self.say(f"{why}: {how}. Again, which is harmless: rollout rollback {service}".rstrip(), error=why)
        return code

    def end(self, code: int) -> int:
        if self.as_json:
            with suppress(OSError, ValueError):
                print(json.dumps({**self.facts, "exit_code": code}, sort_keys=True, default=str), flush=True)
        return code


def main(arguments: list[str], clock: NightClock = REAL) -> tuple[int, list[str]]:
    """The exit code, and the command line that finishes the story (empty: nothing is left to do here)."""
    asked, unknown = _parser().parse_known_intermixed_args(arguments)
    told = Printed(asked.json, Again.of(asked, is_found=_is_found(asked)))
    fleet_file = None
    try:
        with _although_it_hangs_up():
            fleet_file = _fleet_file(asked)
            code = _refused(asked, unknown, told) or _through_server(asked, fleet_file, told)
            if code is None:
                code = _carry_out(asked, fleet_file, told, clock, "")
    except KeyboardInterrupt:
        code = told.stopped("interrupted", exits.INTERRUPTED)
    except Exception as error:
        code = told.stopped(f"a fault of this program ({type(error).__name__}: {error})", exits.INTERNAL)
    return told.end(code), _rest(asked, fleet_file, told, code)


def _fleet_file(asked: argparse.Namespace) -> Path | None:
    return find_fleet_file(asked.config, os.environ, _here())


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError:  # somebody removed it
        return Path("/")


def _is_found(asked: argparse.Namespace) -> bool:
    """Is the fleet file that was named the one that would be found without its name?"""
    try:
        found = find_fleet_file(None, os.environ, _here())
        return bool(asked.config and found and found.samefile(_here() / asked.config))
    except OSError:
        return False


@contextmanager
def _although_it_hangs_up() -> Iterator[None]:
    """A connection that is lost ends the terminal, not what was begun."""
    try:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    except ValueError:  # not the main thread, which alone hears of it
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before or signal.SIG_DFL)


def run(arguments: list[str], told: Told, clock: NightClock = REAL, actor: str = "") -> int:
    """The exit code of one rollback that is done here, whatever is said going to `told`; nothing is printed.

    `arguments` begin with `rollback`, and name the fleet file with --config. No state is shared: it may be called
    from many threads. `actor`: who asks, where that is not whoever runs this process.
    """
    asked, unknown = _parser().parse_known_intermixed_args(arguments)
    return _refused(asked, unknown, told) or _carry_out(asked, _fleet_file(asked), told, clock, actor)


def _refused(asked: argparse.Namespace, unknown: list[str], told: Told) -> int | None:
    """Words that mean nothing here may have been meant to keep traffic where it is (`--dry-run`, `--dril`)."""
    if not unknown:
        return None
    said = [each if each.isprintable() else "?" for each in unknown]
    if any(each.startswith("-") for each in said):
        words = [word for word in (asked.service, asked.wave and f"--wave {asked.wave}", asked.all and "--all") if word]
        why = f"{' '.join(said)} is not known here (rollout rollback --help); without it"
        lines = [" ".join(["rollout rollback", *words])]
    else:
        why, lines = "one service at a time, or --all", [f"rollout rollback {each}" for each in (asked.service, *said)]
    commands = "".join(f"\n  {line}" for line in lines)
    told.say(f"rollback refused, nothing was changed: {why}:{commands}", error=USAGE, unknown=unknown, candidates=lines)
    return exits.USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rollout rollback", add_help=False, allow_abbrev=False)
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
    told.say(f"{whose}: asking {where} to put traffic back", server=where)
    code = daemon.ask(where, _words(asked), told)
    if code is None:
        told.facts.pop("server")
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
    from rollout.card import CardFolder, CardUnreadable
    from rollout.rescue.asked import Asked

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
    from rollout.rescue import choosing
    from rollout.rescue.putting_back import put_back

    place = {name: getattr(asked, name) for name in PLACE if getattr(asked, name)}
    told.say(f"{asked.service}: asking {asked.provider} for what it stands behind")
    put_back(choosing.find_without_card(asked.provider, asked.service, place), None, None, told, wanted, clock)
    return exits.DONE


class _Fleet:
    """A fleet file and its cards, and what is asked of them."""

    def __init__(self, file: Path, cards: CardFolder, told: Told, wanted: Asked, clock: NightClock) -> None:
        self.file, self.cards, self.told, self.wanted, self.clock = file, cards, told, wanted, clock

    def put_one_back(self, asked: argparse.Namespace) -> int:
        from rollout.rescue import choosing, cold
        from rollout.rescue.putting_back import put_back

        card = choosing.choose(self.cards, asked.service, self.told, self.clock.time(), self.file)
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
        from rollout.rescue import cold

        command = cold.command(card, earlier)
        facts: dict[str, Any] = {"next": f"rollout {' '.join(command)}", "cold": command, "took_s": earlier.took_s}
        if asked.json:
            raise Refusal(f"{closed}", image=earlier.image, **facts) from closed
        self.told.say(cold.told_of(card, earlier), **facts)
        return exits.PERSON_NEEDED

    def put_many_back(self, wave: str | None) -> int:
        from rollout.rescue import choosing, many  # one service does not wait for it

        begun: list[str] = []
        if not self.wanted.drill:
            begun = many.stop_waves(self.file, wave, self.wanted, self.told, self.clock)
        found, unreadable = choosing.open_cards(self.cards, self.told, self.clock.time(), self.file)
        found = many.of_wave(found, wave, begun) if wave else found
        cold = many.left_cold(self.cards, wave, begun, found) if wave else []
        if not found:
            of = f"of {wave} " if wave else ""
            if cold:
                many.tell_left_cold(cold, self.told)
            raise Refusal(f"no service {of}has a way back open now (cards: {self.cards.folder})", exits.USAGE)
        code = many.put_all_back(found, self.cards, self.file, self.told, self.wanted, self.clock)
        if cold and not self.wanted.drill:
            many.tell_left_cold(cold, self.told)
            code = exits.PERSON_NEEDED
        if unreadable and code == exits.DONE:
            raise Unfinished(f"{len(unreadable)} cards cannot be read, and whose they are is not known (above)")
        return code


def _rest(asked: argparse.Namespace, fleet_file: Path | None, told: Told, code: int) -> list[str]:
    """The ordinary command that goes on from here; none where there is nothing to do, or it is not wanted here."""
    if (
        asked.json
        or fleet_file is None
        or not _is_there(fleet_file)
        or asked.provider
        or asked.all
        or asked.wave
        or asked.drill
    ):
        return []
    config = ["--config", str(fleet_file)]
    if code == exits.PERSON_NEEDED and (going_cold := _checked(told.facts.get("cold"))):
        reason = ["--reason", asked.reason or "on-call rollback, after the window"]
        ref = ["--ref", asked.ref] if asked.ref else []
        return [*going_cold, *reason, *ref, *([] if asked.wait else ["--no-wait"]), *config]
    done = code == exits.DONE and {"traffic", "id"} <= told.facts.keys()
    return ["resume", told.facts["id"], *config, "--after-rollback"] if done and asked.wait else []


def _checked(said: Any) -> list[str]:
    if not said:
        return []
    from rollout.rescue import cold

    return cold.checked(said)


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:
        return False


def left_over(code: int, unfinished: list[str], error: ImportError) -> int:
    """The engine cannot be loaded: what was done here stands, and the rest is said as a command."""
    print(
        f"the engine cannot be loaded ({error}), so the rest waits: rollout {' '.join(unfinished)}",
        file=sys.stderr,
        flush=True,
    )
    return code
