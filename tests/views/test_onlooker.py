"""Who only looks changes nothing, holds nobody up, and goes on where something cannot be read."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from providers.base import Transient
from rollout import control
from rollout.control import UnknownRollout, find
from rollout.rows import Row
from rollout.store import Store, StoreError
from rollout.view.onlooker import SHOWN_BEFORE, Everything, Looks, Standing, Traffic, Watched, looking
from rollout.view.stream import Event
from rollout.wiring import Installation
from tests.core.scene import HOLDER, ROLLOUT, World, phase_is

PATIENCE_S = 20.0


def watched(world: World, told: list[Event], *, all_of_it: bool = False) -> Watched:
    """Somebody who watches the world's rollout."""
    return Watched(lambda: world.store, lambda: ROLLOUT, world.clock.now, told.append, all_of_it=all_of_it)


def kinds(told: list[Event]) -> list[str]:
    """What was told, in order."""
    return [event.kind for event in told]


# One rollout


def test_a_watcher_is_told_the_end_of_what_was_and_all_that_comes(world: World) -> None:
    """A watcher sees an empty screen until something happens, or misses what happens."""
    world.drive(phase_is("proving"))
    told: list[Event] = []
    watcher = watched(world, told)
    assert watcher.look() is False
    before = [event for event in told if event.text]
    assert len(before) == SHOWN_BEFORE and kinds(told)[-1] == "stands"
    told.clear()
    assert watcher.look() is False and told == [], "nothing is new"
    head = world.row.head_seq
    world.drive(phase_is("shifting"))
    watcher.look()
    assert [event.data["seq"] for event in told if "seq" in event.data] == list(range(head + 1, world.row.head_seq + 1))
    world.drive()
    assert watcher.look() is True
    assert told[-1].kind == "stands" and told[-1].data["outcome"] == "promoted"


def test_a_script_is_told_all_of_it(world: World) -> None:
    """A pipeline that began to watch a second late never learns how it began."""
    world.drive()
    told: list[Event] = []
    assert watched(world, told, all_of_it=True).look() is True
    assert [event.data["seq"] for event in told if "seq" in event.data] == list(range(1, world.row.head_seq + 1))


def test_watching_writes_nothing(world: World) -> None:
    """Somebody who looks takes the lease from who drives, or is taken for a driver."""
    world.drive(phase_is("shifting"))
    before = list(world.store.db.all("SELECT * FROM services")), world.row, world.store.wait(ROLLOUT)
    watcher = watched(world, [])
    for _ in range(5):
        watcher.look()
    assert (list(world.store.db.all("SELECT * FROM services")), world.row, world.store.wait(ROLLOUT)) == before
    assert world.store.driver(ROLLOUT, world.clock.now()) is None


def test_who_drives_is_shown_when_it_changes(world: World) -> None:
    """The driver died, and whoever watches goes on believing that it is driven."""
    told: list[Event] = []
    watcher = Standing(lambda: world.store, lambda: ROLLOUT, world.clock.now, told.append)
    watcher.look()
    world.store.note_driver(ROLLOUT, HOLDER, world.clock.now())
    watcher.look()
    world.passes(60)
    watcher.look()
    assert [event.data["driven_by"] for event in told] == [None, str(HOLDER), None]
    assert kinds(told) == ["stands"] * 3, "where it is driven from here, the driver tells the rest"


def test_a_busy_store_is_tried_again(world: World) -> None:
    """A back-up of the store's file ends every view of it."""
    told: list[Event] = []
    watcher = watched(world, told)
    watcher.look()
    real, told[:] = watcher._store, []

    class Busy:
        def rollout(self, rollout: str) -> Row:
            raise StoreError("the store x cannot be used: database is locked")

    watcher._store = Busy()  # type: ignore[assignment]
    assert watcher.look() is False and watcher.look() is False
    assert [event.text for event in told] == ["the store x cannot be used: database is locked; trying again"]
    watcher._store = real
    world.drive()
    assert watcher.look() is True


def test_a_store_that_is_written_to_can_be_watched(world: World) -> None:
    """While somebody commits, every look fails."""
    told: list[Event] = []
    watcher = watched(world, told)
    with closing(sqlite3.connect(world.store.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE rollouts SET reason = 'x'")
        assert watcher.look() is False
        writer.execute("ROLLBACK")
    assert kinds(told)[-1] == "stands"


def test_a_store_that_never_could_be_read_is_an_error(world: World) -> None:
    """The view stays empty for ever, without a word."""

    def broken() -> Store:
        raise StoreError("the store x was written by a newer release")

    looks = Looks(Watched(broken, lambda: ROLLOUT, world.clock.now, [].append, all_of_it=False).look, 0.0)
    looks.begin()
    assert looks.over.wait(PATIENCE_S)
    assert isinstance(looks.error, StoreError)


def test_an_unknown_name_is_an_error(installation: Installation) -> None:
    """A typing mistake shows an empty view."""
    finder = Watched(
        lambda: installation.store, lambda: find(installation, "shpo").id, lambda: 1.0, [].append, all_of_it=False
    )
    with pytest.raises(UnknownRollout):
        finder.look()


# Threads


def test_a_look_that_hangs_holds_nobody_up() -> None:
    """A platform that does not answer keeps Ctrl-C from putting traffic back."""
    entered, hang = threading.Event(), threading.Event()

    def look() -> bool:
        entered.set()
        hang.wait(PATIENCE_S)
        return True

    looks = Looks(look, 0.0)
    with looking([looks]):
        assert entered.wait(PATIENCE_S)
    assert not looks.over.is_set(), "the body ended while it still hung"
    hang.set()
    assert looks.over.wait(PATIENCE_S)


def test_a_look_that_fails_ends_only_itself() -> None:
    """A fault of the view ends a rollout."""

    def look() -> bool:
        raise ZeroDivisionError("a fault")

    looks, second = Looks(look, 0.0), Looks(lambda: True, 0.0)
    with looking([looks, second]):
        assert looks.over.wait(PATIENCE_S) and second.over.wait(PATIENCE_S)
    assert isinstance(looks.error, ZeroDivisionError) and second.error is None


# Traffic


def begun(installation: Installation) -> Row:
    """An opened rollout of the simulated service."""
    return control.start(installation, "shop", image="base-2", saved=None, key=None, actor="me", reason="").row


def test_traffic_is_read_from_the_provider(installation: Installation) -> None:
    """The view shows what was meant instead of what is."""
    row, told = begun(installation), list[Event]()
    traffic = Traffic(installation, lambda: row, told.append)
    traffic.look()
    installation.clock.sleep(5)
    assert traffic.look() is False
    assert kinds(told) == ["traffic", "traffic"] and json.dumps(told[1].line)
    blue = told[1].data["sides"]["blue"]
    assert (blue["weight"], blue["healthy"], blue["role"]) == (100, 2, "original") and blue["requests"] > 0


@pytest.mark.parametrize("error", [Transient("no answer"), KeyError("shop"), RuntimeError("a fault in an adapter")])
def test_traffic_that_cannot_be_read_is_unknown(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """An outage of the platform ends the view just when it is needed."""
    row, told = begun(installation), list[Event]()
    traffic = Traffic(installation, lambda: row, told.append)

    def observe(services: Any) -> Any:
        raise error

    monkeypatch.setattr(type(installation.provider("memory").traffic), "observe", lambda self, services: observe(0))
    traffic.look()
    traffic.look()
    assert kinds(told) == ["traffic"], "told once"
    assert told[0].data["sides"] is None and type(error).__name__ in told[0].data["problem"]


def test_traffic_waits_until_it_is_known_whose(installation: Installation) -> None:
    """The first look comes before the store answered, and ends the view."""
    told: list[Event] = []
    assert Traffic(installation, lambda: None, told.append).look() is False
    assert told == []


# A whole fleet


def no_routes(rows: Any) -> Any:
    """Nothing answers."""
    return {}


def fleet(installation: Installation, told: list[Event]) -> Callable[[], bool]:
    """Looks at all of it."""
    return Everything(installation, no_routes, told.append).look


def test_a_fleet_without_a_store_is_watched_until_there_is_one(installation: Installation) -> None:
    """A view that was opened before the first rollout never shows one; or looking makes a store."""
    told: list[Event] = []
    look = fleet(installation, told)
    look()
    assert not installation.store_path.exists()
    row = begun(installation)
    look()
    assert [len(event.data["rollouts"]) for event in told if event.kind == "listed"] == [0, 1]
    assert [event.data["id"] for event in told if event.kind == "opened"] == [row.id]


def test_what_happens_in_a_fleet_is_told_with_its_rollout(installation: Installation) -> None:
    """A sentence scrolls by, and nobody knows which of twenty services it is about."""
    told: list[Event] = []
    row = begun(installation)
    look = fleet(installation, told)
    look()
    assert kinds(told) == ["listed"], "what was before is in the list"
    installation.store.decide(row.id, row.head_seq, "paused", {"by": "me", "reason": "sale"}, 1.0)
    look()
    look()
    paused = [event for event in told if event.kind == "paused"]
    assert [event.text for event in paused] == [f"{row.id}: paused by me: sale"]
    assert paused[0].data["text"] == "paused by me: sale"


def test_a_fleet_whose_store_is_busy_is_looked_at_again(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A back-up of the store's file ends the view; or a store that cannot be read at all shows an empty one."""
    told: list[Event] = []
    begun(installation)
    look = fleet(installation, told)
    real = Store.entries

    def busy(self: Store, rollout: str, after: int = 0) -> Any:
        raise StoreError("locked")

    monkeypatch.setattr(Store, "entries", busy)
    with pytest.raises(StoreError):
        look()
    monkeypatch.setattr(Store, "entries", real)
    look()
    monkeypatch.setattr(Store, "entries", busy)
    assert look() is False
    assert kinds(told) == ["listed"]
