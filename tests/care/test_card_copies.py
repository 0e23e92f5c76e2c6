"""The cards of a shared store on each of its machines: newest word first, whoever drives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rollout.card import CardFolder
from rollout.care.card_copies import SETTLED_S, CardCopies
from tests.core.cards import a_card
from tests.core.scene import ROLLOUT, World

AGO_S = SETTLED_S + 1


def is_warm(world: World) -> bool:
    """Promoted, with its way back open and its end written on the card."""
    card = world.cards.read("shop")
    return world.row.phase == "warm" and card is not None and card.valid_until is not None


class Host:
    """Another machine with the same store, and a state folder of its own."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.cards, self.late_s = world, CardFolder(folder / "cards"), AGO_S
        self.copies = self.begun()

    def begun(self) -> CardCopies:
        """As a process that begins there."""
        return CardCopies(self.world.store.db, self.cards, lambda: self.changed_at + self.late_s)

    @property
    def changed_at(self) -> float:
        """When its file was written last."""
        path = self.cards.path("shop")
        return path.stat().st_mtime if path.exists() else 0.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A rollout that is driven here."""
    (tmp_path / "here").mkdir()
    made = World(tmp_path / "here")
    yield made
    made.store.close()


@pytest.fixture
def host(world: World, tmp_path: Path) -> Host:
    """A machine that drives nothing."""
    return Host(world, tmp_path / "there")


def test_each_machine_has_the_card_of_what_another_one_drives(world: World, host: Host) -> None:
    """At night on the other host nobody knows of the way back, and `--all` says that all are back."""
    host.copies.look()
    assert host.cards.read("shop") is None, "there is none yet"
    world.drive(is_warm)
    host.copies.look()
    card = host.cards.read("shop")
    assert card is not None and card == world.cards.read("shop") and card.valid_until is not None
    assert host.cards.sheet("shop").exists(), "and its sheet, for people"


def test_what_has_ended_is_closed_everywhere(world: World, host: Host) -> None:
    """The other host goes back to a side that was given up."""
    world.drive(is_warm)
    host.copies.look()
    world.passes(world.plan.keep_warm_s + 1)
    assert world.drive().outcome == "promoted"
    host.copies.look()
    card = host.cards.read("shop")
    assert card is not None and card.closed == "retired"


def test_what_ended_while_nobody_was_there_is_closed_by_the_first_look(world: World, host: Host) -> None:
    """A machine that was off for a week goes by the card that it had before."""
    world.drive(is_warm)
    host.copies.look()
    world.passes(world.plan.keep_warm_s + 1)
    world.drive()
    host.begun().look()
    card = host.cards.read("shop")
    assert card is not None and card.closed == "retired"


def test_a_file_that_is_ahead_of_the_journal_stays(world: World, host: Host) -> None:
    """Who drives has just closed the way back, and the copy of a moment ago opens it again."""
    world.drive(is_warm)
    host.copies.look()
    recorded = host.cards.read("shop")
    assert recorded is not None
    ahead = replace(recorded, closed="retired")
    host.cards.write(ahead)
    host.late_s = 1.0
    host.begun().look()
    assert host.cards.read("shop") == ahead, "written a moment ago: its entry may follow"
    later = replace(ahead, epoch=ahead.epoch + 1)
    host.cards.write(later)
    host.late_s = AGO_S
    host.begun().look()
    assert host.cards.read("shop") == later, "its epoch is later than the journal's"


def test_what_was_too_early_is_copied_by_the_next_look(world: World, host: Host) -> None:
    """A card that was damaged by hand, or left behind by a crash, stays for ever."""
    world.drive(is_warm)
    recorded = world.cards.read("shop")
    assert recorded is not None
    host.cards.write(replace(recorded, capacity=1))
    host.late_s = 1.0
    host.copies.look()
    assert host.cards.read("shop") != recorded
    host.late_s = AGO_S
    host.copies.look()
    assert host.cards.read("shop") == recorded


def test_a_damaged_card_is_written_anew_and_a_later_rollouts_stays(world: World, host: Host) -> None:
    """The way back of last month takes the place of tonight's."""
    world.drive(is_warm)
    host.cards.folder.mkdir(parents=True)
    host.cards.path("shop").write_text("{")
    host.copies.look()
    assert host.cards.read("shop") == world.cards.read("shop")
    later = a_card(rollout="shop-2", written_at=world.clock.now() + 60)
    host.cards.write(later)
    host.begun().look()
    assert host.cards.read("shop") == later


def test_nothing_is_read_again_that_has_not_moved(world: World, host: Host) -> None:
    """Ten thousand journals are parsed each five seconds."""
    world.drive(is_warm)
    host.copies.look()
    before = host.cards.path("shop").stat().st_mtime_ns
    asked, read = list[str](), world.store.db.all

    def noted(query: str, *more: object) -> list[object]:
        asked.append(query)
        return read(query, *more)

    host.copies._db = type("Asked", (), {"all": staticmethod(noted)})()
    host.copies.look()
    assert len(asked) == 1 and ROLLOUT in host.copies._seen
    assert host.cards.path("shop").stat().st_mtime_ns == before
