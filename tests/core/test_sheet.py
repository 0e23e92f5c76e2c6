"""The break-glass sheet says all that a person needs at night, and lies beside its card, always of the same age."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from rollout import sheet
from rollout.acts import begun_by
from rollout.card import CardFolder, CardSuperseded
from rollout.sheet import commands_of, sheet_of
from tests.core.cards import a_card
from tests.core.scene import World, phase_is

CARD = a_card(
    target={"service": "shop", "balancer": "lb-1"}, app_version="v7", written_at=1_767_225_600.0, was_healthy=True
)


def test_it_says_what_is_and_how_to_go_back() -> None:
    """At 3 a.m. nobody knows what serves, until when there is a way back, and whom to wake."""
    text = sheet_of(replace(CARD, valid_until=1_767_312_000.0), "alice@host (CVE-1, CHG-2)")
    for told in (
        "BREAK GLASS: shop",
        "shop-1, begun by alice@host (CVE-1, CHG-2)",
        "blue is the side from before, application version v7",
        "healthy. It needs 2 healthy hosts",
        "TO GO BACK (until 2026-01-02 00:00:00 UTC)",
        "rollout rollback shop --reason TEXT",
        "WITHOUT THIS PROGRAM (memory): blue 100 %, green 0 %",
        "See the weights stay for 5 s",
        "Delete nothing of green",
        "responsible for shop: begun by alice@host",
    ):
        assert told in text, told
    assert all(len(line) <= 120 for line in text.splitlines())


def test_a_platform_without_commands_shows_what_is_declared_where() -> None:
    """The sheet leaves out the one thing that only we know."""
    assert commands_of(CARD) == []
    assert '"balancer": "lb-1"' in sheet_of(CARD)


def test_a_platforms_own_commands_are_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person has the vendor's tool, and has to look its options up."""
    thin = type("Thin", (), {"by_hand": staticmethod(lambda target, weights: [f"move {weights}", "look"])})
    monkeypatch.setattr(sheet, "load", lambda provider: thin)
    assert "\nmove {'blue': 100, 'green': 0}\nlook\n" in sheet_of(CARD)


def test_a_module_that_breaks_keeps_no_card_from_being_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A rollout cannot begin because of the words on a sheet."""

    def breaks(provider: str) -> object:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(sheet, "load", breaks)
    CardFolder(tmp_path).write(CARD)
    assert "BREAK GLASS" in (tmp_path / "shop.txt").read_text()


@pytest.mark.parametrize("closed", ["rolled_back", "retired", "adopted", "something new"])
def test_a_closed_card_says_that_it_is_no_way_back(closed: str) -> None:
    """A person sends all traffic to a side that was deleted yesterday."""
    text = sheet_of(replace(CARD, closed=closed))
    assert "THERE IS NO WAY BACK ANY MORE" in text and "rollout rollback" not in text


def test_what_others_wrote_steers_no_terminal() -> None:
    """A reason with control characters hides the commands below it."""
    text = sheet_of(replace(CARD, app_version="v\x1b[2J\n7"), "me: a\x1b[2J\nTO GO BACK rm -rf /")
    assert "\x1b" not in text and "\nTO GO BACK rm" not in text


def test_it_is_private_and_as_old_as_its_card(tmp_path: Path) -> None:
    """Others read where traffic is declared; or the sheet is of an earlier rollout."""
    cards = CardFolder(tmp_path)
    cards.write(CARD, "alice@host")
    path = cards.sheet("shop")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and "begun by alice@host" in path.read_text()
    assert cards.all() == ([CARD], []), "no card is made from it"
    cards.write(replace(CARD, rollout="shop-2", written_at=CARD.written_at + 1))
    assert "shop-2" in path.read_text()
    with pytest.raises(CardSuperseded):
        cards.write(CARD)
    assert "shop-2" in path.read_text()
    cards.remove("shop")
    assert cards.read("shop") is None and not path.exists()


def test_in_a_shared_folder_it_is_the_groups(tmp_path: Path) -> None:
    """The one who is on call may not read it."""
    folder = tmp_path / "cards"
    folder.mkdir()
    folder.chmod(0o2770)
    CardFolder(folder).write(CARD)
    assert stat.S_IMODE((folder / "shop.txt").stat().st_mode) == 0o660


def test_one_that_cannot_be_written_is_not_left_over_from_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk leaves the commands of last month's balancer."""
    cards = CardFolder(tmp_path)
    cards.write(CARD)

    def full(self: Path, *text: object, **more: object) -> int:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", full)
    cards.write(replace(CARD, capacity=3))
    card = cards.read("shop")
    assert card is not None and card.capacity == 3 and not cards.sheet("shop").exists()


def test_every_rollout_has_one(tmp_path: Path) -> None:
    """The sheet is there in the tests, and in no rollout."""
    world = World(tmp_path)
    world.drive(phase_is("shifting"))
    text = world.cards.sheet("shop").read_text()
    assert "begun by tester (because)" in text and begun_by(world.later()) == "tester (because)"
    world.drive()
    assert "THERE IS NO WAY BACK ANY MORE" in world.cards.sheet("shop").read_text()
