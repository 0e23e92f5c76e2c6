"""The rollback card is whole or not there, and says when it cannot be read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout import acts
from rollout.card import Card, CardFolder, CardSuperseded, CardUnreadable
from rollout.flow import NotYet
from tests.core.cards import a_card
from tests.core.scene import World

CARD = a_card(target={"cloud": "memory-1", "service": "shop"})


SECONDS = st.floats(0, 1e12)


@given(
    st.builds(
        Card,
        target=st.dictionaries(st.text(), st.text()),
        original=st.just("blue"),
        replacement=st.just("green"),
        was_healthy=st.booleans(),
        valid_until=st.none() | SECONDS,
        written_at=SECONDS,
        write_timeout_s=SECONDS,
    )
)
def test_a_card_survives_being_written(card: Card) -> None:
    """The way back leads to another place than the one that was captured."""
    assert Card.from_json(json.loads(json.dumps(card.to_json()))) == card


def test_a_card_is_read_as_it_was_written(tmp_path: Path) -> None:
    """A rollback at night finds nothing."""
    folder = CardFolder(tmp_path / "cards")
    folder.write(CARD)
    assert folder.read("shop") == CARD
    assert folder.all() == ([CARD], [])


@pytest.mark.parametrize(
    "wrong",
    [
        *({"valid_until": "soon"}, {"written_at": None}, {"capacity": "2"}, {"target": "lb"}, {"write_timeout_s": [5]}),
        *({"provider": 7}, {"was_healthy": "no"}, {"epoch": 1.5}, {"capacity": True}, {"closed": None}),
        *({"original": "red"}, {"original": "green"}, {"service": "cart"}),
    ],
)
def test_a_card_of_another_kind_is_damaged(tmp_path: Path, wrong: dict[str, object]) -> None:
    """One edited line ends the rollback of every service with a traceback, or leads to another one's traffic."""
    folder = CardFolder(tmp_path / "cards")
    folder.write(CARD)
    folder.write(replace(CARD, service="web"))
    folder.path("shop").write_text(json.dumps({**CARD.to_json(), **wrong}))
    with pytest.raises(CardUnreadable, match=r"shop\.json cannot be read"):
        folder.read("shop")
    readable, problems = folder.all()
    assert [card.service for card in readable] == ["web"] and len(problems) == 1


@pytest.mark.parametrize(
    "damage", [lambda path: (path.unlink(), path.mkdir()), lambda path: path.write_text("[" * 99999)]
)
def test_a_card_that_the_disk_does_not_give_is_damaged(tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    """One bad sector takes the way back from all services."""
    folder = CardFolder(tmp_path / "cards")
    folder.write(CARD)
    damage(folder.path("shop"))
    assert len(folder.all()[1]) == 1


def test_a_service_without_a_card_has_none(tmp_path: Path) -> None:
    """A new service ends the command with a traceback."""
    folder = CardFolder(tmp_path / "cards")
    assert folder.read("shop") is None
    assert folder.all() == ([], [])


def test_a_later_card_replaces_the_earlier(tmp_path: Path) -> None:
    """Traffic goes back to the side of the rollout before the last."""
    folder = CardFolder(tmp_path)
    folder.write(CARD)
    folder.write(replace(CARD, rollout="shop-2", original="green", replacement="blue"))
    ((found,), problems) = folder.all()
    assert problems == []
    assert (found.rollout, found.way_back) == ("shop-2", {"green": 100, "blue": 0})


def test_a_crash_while_writing_leaves_the_earlier_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut at the wrong moment leaves half a card, and no way back."""
    folder = CardFolder(tmp_path)
    folder.write(CARD)

    def dies(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", dies)
    with pytest.raises(OSError, match="no space"):
        folder.write(replace(CARD, rollout="shop-2"))
    assert folder.read("shop") == CARD
    assert folder.all() == ([CARD], [])  # what was written aside is not taken for a card
    monkeypatch.undo()
    folder.write(replace(CARD, rollout="shop-2"))
    assert [card.rollout for card in folder.all()[0]] == ["shop-2"]


def test_what_keeps_writers_apart_is_not_taken_for_a_card(tmp_path: Path) -> None:
    """The command at night asks which of two services is meant, and one of them is a lock."""
    folder = CardFolder(tmp_path)
    folder.write(CARD)
    assert {path.name for path in tmp_path.iterdir()} > {"shop.json"}
    assert folder.all() == ([CARD], [])


def test_a_late_writer_does_not_replace_a_later_rollouts_card(tmp_path: Path) -> None:
    """Traffic goes back to the side of the rollout before the last, which was deleted."""
    folder = CardFolder(tmp_path)
    later = replace(CARD, rollout="shop-2", original="green", replacement="blue", written_at=200.0)
    folder.write(later)
    with pytest.raises(CardSuperseded, match=r"shop\.json is the card of shop-2, which began later"):
        folder.write(replace(CARD, closed="rolled_back"))
    assert folder.read("shop") == later
    folder.write(replace(later, closed="retired"))
    assert folder.all()[0][0].closed == "retired"


def test_a_card_that_cannot_be_read_is_written_anew(tmp_path: Path) -> None:
    """One damaged file keeps a service from ever being rolled out again."""
    folder = CardFolder(tmp_path)
    folder.path("shop").write_text("{")
    folder.write(CARD)
    assert folder.read("shop") == CARD


def test_a_superseded_card_keeps_the_late_rollout_from_going_on(world: World) -> None:
    """A forgotten rollout goes on with traffic, and its way back is another rollout's."""
    run = world.past_capture()
    world.cards.write(replace(CARD, rollout="shop-9", written_at=world.clock.now() + 60))
    with pytest.raises(NotYet, match=r"card: Conflict: .* is the card of shop-9"):
        run.once(acts.write_card(run))
    assert world.journal.record("card") is None
    present = world.cards.read("shop")
    assert present is not None and present.rollout == "shop-9"


@pytest.mark.parametrize("healthy", [0, 1, 2, 3])
def test_a_card_says_whether_the_original_was_whole(world: World, healthy: int) -> None:
    """A restarted balancer that has judged nothing yet blocks the way back, or an ill side is trusted."""
    run = world.run()
    run.note("done", "capture", {"value": {**world.capture(run.guard()), "healthy": healthy}})
    run = world.later()
    run.once(acts.write_card(run))
    card = world.cards.read("shop")
    assert card is not None and card.was_healthy is (healthy >= 2)


def test_a_damaged_card_among_others_is_told_and_skipped(tmp_path: Path) -> None:
    """One broken file hides the way back of every other service, or nobody learns that it is broken."""
    folder = CardFolder(tmp_path)
    folder.write(CARD)
    folder.path("cart").write_text("{")
    cards, problems = folder.all()
    assert cards == [CARD] and len(problems) == 1 and str(folder.path("cart")) in problems[0]


def test_the_cards_folder_is_its_owners_alone(tmp_path: Path) -> None:
    """Anybody on the host can read, and prepare, where traffic goes back to."""
    CardFolder(tmp_path / "cards").write(CARD)
    assert (tmp_path / "cards").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"rollout": "x"}', '{"surprise": 1}', "\u0000"])
def test_a_damaged_card_says_which_file_it_is(tmp_path: Path, text: str) -> None:
    """The on-call engineer gets a traceback instead of the name of the broken file."""
    (tmp_path / "shop.json").write_text(text)
    with pytest.raises(CardUnreadable) as refused:
        CardFolder(tmp_path).read("shop")
    assert str(tmp_path / "shop.json") in str(refused.value)


def test_a_card_that_is_not_text_says_so(tmp_path: Path) -> None:
    """A damaged disk ends the rollback with a traceback."""
    (tmp_path / "shop.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CardUnreadable):
        CardFolder(tmp_path).read("shop")


def test_a_person_can_read_a_card(tmp_path: Path) -> None:
    """With nothing but a text viewer left, nobody sees where traffic has to go."""
    folder = CardFolder(tmp_path)
    folder.write(CARD)
    text = folder.path("shop").read_text()
    assert '"original": "blue"' in text and len(text.splitlines()) > 10
