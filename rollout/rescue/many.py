"""All services at once, or a wave's: what still begins is stopped first, then traffic goes back everywhere in threads.

Looks and writes are made by few services of a platform at the same time, for its limits are shared; what is only
watched waits for nobody.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rollout import exits
from rollout.actor import this_actor
from rollout.card import Card, CardFolder
from rollout.rescue import thin
from rollout.rescue.asked import Asked
from rollout.rescue.clock import NightClock
from rollout.rescue.deciding import STORE_S, open_store, within
from rollout.rescue.putting_back import begin, finish
from rollout.rescue.told import Refusal, Told

SERVICES_AT_ONCE = 4
"""Of one provider that says nothing else (`SERVICES_AT_ONCE` of its thin module)."""


RUN_END = r"-\d{8}-[0-9a-f]+"
"""What a run's id has after its campaign's name."""


class OneOfMany(Told):
    """What is said of one service: its headlines go on to all, its details stay in its facts."""

    def __init__(self, service: str, to_all: Told, guard: threading.Lock) -> None:
        super().__init__()
        self._service, self._all, self._guard, self.last = service, to_all, guard, ""

    def write(self, line: str, facts: dict[str, Any]) -> None:
        if facts.get("accepted"):
            self.headline(line)
        elif not line.startswith("  "):
            self.last = line

    def headline(self, line: str) -> None:
        with self._guard:
            self._all.say(line if line.startswith(f"{self._service}:") else f"{self._service}: {line}")


def stop_waves(fleet_file: Path, name: str | None, asked: Asked, told: Told, clock: NightClock) -> list[str]:
    """Pause what runs (of that name), so that nothing of it begins meanwhile; which services it has begun.

    Best effort: a store that cannot be used is told.
    """
    by, why = asked.actor or this_actor(), asked.reason or "rolled back"
    try:
        paused, services = within(STORE_S, lambda: _stop(fleet_file, name, by, why, clock.time()))
    except Exception as error:  # traffic is what counts
        told.say(f"  no wave could be stopped, for the store cannot be used ({error})", stopped=[])
        return []
    if paused:
        later = ", ".join(f"rollout wave resume {run}" for run in paused)
        told.say(f"stopped first: {', '.join(paused)} (to go on later: {later})", stopped=paused)
    return services


def _stop(fleet_file: Path, name: str | None, by: str, why: str, now: float) -> tuple[list[str], list[str]]:
    from rollout.campaign.members import services_of
    from rollout.campaign.register import NotNow, UnknownRun, pause, runs

    store = open_store(fleet_file)
    try:
        paused = []
        for each in [name] if name else [run.id for run in runs(store.db)]:
            try:
                paused.append(pause(store.db, each, by, why, now, rollouts=True).id)
            except (NotNow, UnknownRun):
                continue  # it stands already, or is over
        return paused, services_of(store.db, name) if name else []
    finally:
        store.close()


def of_wave(found: Sequence[Card], name: str, services: Sequence[str]) -> list[Card]:
    """The cards of a wave: as the store says, and as the cards themselves do."""
    return [card for card in found if card.service in services or is_of_wave(card.wave, name)]


def is_of_wave(wave: str, name: str) -> bool:
    """Is `run/wave`, as a card has it, of this campaign, of a wave of it (`monthly/canary`), or of this run?"""
    run, _, of = wave.partition("/")
    wanted, slash, wanted_wave = name.partition("/")
    same_run = run == wanted or re.fullmatch(re.escape(wanted) + RUN_END, run) is not None
    return bool(run) and same_run and (not slash or of == wanted_wave)


def left_cold(cards: CardFolder, name: str, services: Sequence[str], found: Sequence[Card]) -> list[str]:
    """Services of a wave whose way back is closed, and that were not put back before: they go cold, each by itself."""
    going = {card.service for card in found}
    left = (card for card in of_wave(cards.all()[0], name, services) if card.service not in going)
    return sorted(card.service for card in left if card.closed != "rolled_back")


def tell_left_cold(services: Sequence[str], told: Told) -> None:
    lines = "".join(f"\n  rollout rollback {service}   # goes cold" for service in services)
    told.say(f"not put back, for their way back is closed:{lines}", cold=list(services))


def put_all_back(
    found: Sequence[Card], cards: CardFolder, fleet_file: Path, told: Told, asked: Asked, clock: NightClock
) -> int:
    """Exit code 0 only if all of them are back. Says a line for each as it happens, and sums up."""
    verb = "trying, without a change, to put back" if asked.drill else "putting back"
    told.say(f"{verb} {len(found)} services: {', '.join(card.service for card in found)}")
    turns = {provider: threading.Semaphore(_at_once(provider)) for provider in {card.provider for card in found}}
    guard, ended = threading.Lock(), threading.Semaphore(0)
    each_asked = replace(asked, beside=len(found))
    results = dict[str, tuple[int, dict[str, Any]]]()

    def one(card: Card) -> None:
        mine = OneOfMany(card.service, told, guard)
        try:
            results[card.service] = _one(card, cards, fleet_file, mine, each_asked, clock, turns[card.provider])
        finally:
            ended.release()

    for card in found:
        threading.Thread(target=one, args=(card,), daemon=True).start()
    for _ in found:
        ended.acquire()
    return _sum_up(found, results, told, asked)


def _at_once(provider: str) -> int:
    try:
        return max(1, int(getattr(thin.load(provider), "SERVICES_AT_ONCE", SERVICES_AT_ONCE)))
    except ImportError:
        return SERVICES_AT_ONCE


def _one(
    card: Card,
    cards: CardFolder,
    fleet_file: Path,
    told: OneOfMany,
    asked: Asked,
    clock: NightClock,
    turn: threading.Semaphore,
) -> tuple[int, dict[str, Any]]:
    try:
        with turn:
            move = begin(card, cards, fleet_file, told, asked, clock, thin.one_of_many(card))
        if move is not None:
            finish(move, cards)
        code, line = exits.DONE, told.last
    except Refusal as refusal:
        code, line = refusal.code, f"{refusal.how}: {refusal}"
        told.facts.update(refusal.facts, error=str(refusal))
    except Exception as error:  # one service's fault must not keep the others from being told
        code, line = exits.INTERNAL, f"rollback failed: {type(error).__name__}: {error}"
        told.facts.update(error=line)
    told.headline(line)
    return code, {**told.facts, "exit_code": code}


def _sum_up(found: Sequence[Card], results: dict[str, tuple[int, dict[str, Any]]], told: Told, asked: Asked) -> int:
    failed = [card for card in found if results[card.service][0] != exits.DONE]
    commands = {card.service: _again(card, results[card.service][1], asked) for card in failed}
    facts = {"services": {card.service: results[card.service][1] for card in found}, "failed": commands}
    back = len(found) - len(failed)
    are = "could be put back; nothing was changed" if asked.drill else "are back"
    if not failed:
        rest = "" if asked.drill else "; the rest of each is done by rollout serve, or rollout resume"
        told.say(f"all {back} services {are}{rest}", **facts)
        return exits.DONE
    lines = "".join(f"\n  {command}   # {service}" for service, command in commands.items())
    told.say(f"{back} of {len(found)} services {are}; not:{lines}", **facts)
    return exits.PERSON_NEEDED


def _again(card: Card, facts: dict[str, Any], asked: Asked) -> str:
    if asked.drill:
        return f"rollout rollback {card.service} --drill"
    forced = facts.get("choices", {}).get("force")
    return str(forced or f"rollout rollback {card.service}")
