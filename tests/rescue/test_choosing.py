"""Which service is meant, said in whatever word the person at night has in front of him."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout import emergency, exits
from rollout.card import Card, CardFolder
from rollout.rescue import choosing
from rollout.rescue.told import Refusal, Told
from tests.rescue.kit import BACK, CARD, Night


def other_cards(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cart`, too; instances are called after their service."""
    night.cards.write(replace(CARD, service="cart", rollout="cart-1", target={"balancer": "lb-2"}))
    hosts = {"lb-1": ["i-shop", "10.0.0.1"], "lb-2": ["i-cart", "10.0.0.2"]}
    monkeypatch.setattr(
        night.toy, "matches", lambda target, named: named in [*hosts[target["balancer"]], "both"], raising=False
    )


@pytest.mark.parametrize("named", ["shop-1", "i-shop", "10.0.0.1"])
def test_a_rollout_an_instance_and_an_address_lead_to_their_service(
    night: Night, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alarm names a host, and its service has to be looked up first."""
    other_cards(night, monkeypatch)
    assert night.rollback(named) == exits.DONE
    assert night.toy.marks[0]["rollout"] == "shop-1" and f"{named} is of shop" in night.err


def test_what_is_of_several_services_asks_which(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared balancer's name puts back whichever service comes first."""
    other_cards(night, monkeypatch)
    assert night.rollback("both", "--json") == exits.USAGE
    assert night.document()["candidates"] == ["rollout rollback cart", "rollout rollback shop"]
    assert night.toy.calls == []


def test_a_name_that_is_right_asks_no_platform(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rollback waits until all platforms have been asked whose name it is."""
    asked = list[str]()
    monkeypatch.setattr(night.toy, "matches", lambda target, named: asked.append(named), raising=False)
    assert night.rollback("shop") == exits.DONE
    assert asked == []


def test_a_platform_that_cannot_say_keeps_no_other_from_it(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """One region is down, and hosts of the others cannot be named any more."""
    other_cards(night, monkeypatch)
    real: Any = night.toy.matches

    def matches(target: Any, named: str) -> bool:
        if target["balancer"] == "lb-2":
            raise TimeoutError("no answer")
        return bool(real(target, named))

    monkeypatch.setattr(night.toy, "matches", matches)
    assert night.rollback("i-shop") == exits.DONE
    assert "whether i-shop is of cart cannot be told: no answer" in night.err and night.toy.weights == BACK


@pytest.mark.parametrize("named", ["../cards/shop", "/etc/passwd", ".shop", "arn:aws:x:y/z", "", "a\0b"])
def test_a_word_is_never_a_path(night: Night, named: str) -> None:
    """A word on the command line reads a file from anywhere, or ends in a traceback."""
    assert night.rollback(named) == exits.USAGE
    assert "has no rollback card" in night.err and night.toy.calls == []


@given(st.text(max_size=40))
def test_any_word_is_answered(tmp_path_factory: pytest.TempPathFactory, named: str) -> None:
    """A pasted word with odd characters ends in a traceback."""
    cards = CardFolder(tmp_path_factory.getbasetemp() / "cards-of-nobody")
    with pytest.raises(Refusal):
        choosing.choose(cards, named, Told(), 0.0)


def test_only_open_cards_are_chosen_from(night: Night) -> None:
    """A service whose window is over stands in the list, and its command is refused."""
    night.cards.write(replace(CARD, service="cart", rollout="cart-1", valid_until=900.0))
    assert night.rollback() == exits.DONE
    assert night.toy.marks[0]["rollout"] == "shop-1"


@pytest.mark.parametrize(
    ("seconds", "told"), [(5, "5 s ago"), (600, "10 min ago"), (3600 * 5, "5 h ago"), (86400 * 3, "3 days ago")]
)
def test_ages_are_short(seconds: float, told: str) -> None:
    """The person who has to choose reads numbers of five digits."""
    assert choosing._ago(seconds) == told


# Without a card


FOUND = {
    "service": "shop",
    "rollout": "shop-7",
    "original": "blue",
    "replacement": "green",
    "target": {"balancer": "lb-1"},
    "capacity": 2,
    "write_timeout_s": 5.0,
}


def test_without_any_file_the_platform_is_asked(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """The laptop with the fleet file is somewhere else, and so is the way back."""
    asked = list[Any]()

    def find(named: str, place: Any) -> list[Any]:
        asked.append((named, dict(place)))
        return [FOUND]

    monkeypatch.setattr(night.toy, "find", find, raising=False)
    night.fleet.unlink()
    arguments = ["rollback", "i-1", "--provider", "toy", "--region", "eu-1", "--profile", "ops"]
    code, rest = emergency.main(arguments, night.clock)
    assert (code, rest) == (exits.DONE, [])
    assert asked == [("i-1", {"region": "eu-1", "profile": "ops"})]
    assert night.toy.weights == BACK and night.toy.marks[0]["rollout"] == "shop-7"
    assert night.clock.now - 1000.0 >= 5.0, "nobody is fenced, so it is held"


@pytest.mark.parametrize(("found", "says"), [([], "leads to nothing"), ([FOUND, FOUND], "leads to shop, shop")])
def test_what_is_not_found_exactly_once_is_refused(
    night: Night, found: list[Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another service's traffic is moved."""
    monkeypatch.setattr(night.toy, "find", lambda named, place: found, raising=False)
    assert night.rollback("i-1", "--provider", "toy") == exits.USAGE
    assert says in night.err and night.toy.calls == []


@pytest.mark.parametrize(
    "words", [("i-1", "--provider", "nobody"), ("i-1", "--provider", "toy"), ("--provider", "toy")]
)
def test_a_provider_that_cannot_find_says_so(night: Night, words: tuple[str, ...]) -> None:
    """A provider without the function ends in a traceback."""
    assert night.rollback(*words) == exits.USAGE
    assert night.toy.calls == []


def test_a_platform_that_fails_to_find_has_changed_nothing(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person does not know whether anything happened."""

    def find(named: str, place: Any) -> list[Any]:
        raise PermissionError("expired")

    monkeypatch.setattr(night.toy, "find", find, raising=False)
    assert night.rollback("i-1", "--provider", "toy") == exits.PERSON_NEEDED
    assert "could not be asked for i-1: expired. Nothing was changed" in night.err


# What is kept with the traffic


def kept(night: Night, **told: Any) -> None:
    """What the platform says of the way back."""
    real = night.toy.read
    said = {"rollout": "shop-1", "original": "blue", "valid_until": None, "closed": "", **told}
    night.toy.read = lambda target: {**real(target), "kept": said, "notes": ["a rule is gone"]}  # type: ignore[method-assign]


def test_notes_of_the_platform_are_told(night: Night) -> None:
    """What the platform knows and the card does not stays unsaid."""
    kept(night)
    assert night.rollback("shop") == exits.DONE
    assert "  a rule is gone" in night.err


def test_a_card_of_yesterday_does_not_lead_to_the_side_that_is_bad_today(night: Night) -> None:
    """The state folder was restored; by its card, `back` is the side that was patched this morning."""
    kept(night, rollout="shop-2", original="green")
    assert night.rollback("shop") == exits.PERSON_NEEDED
    assert night.toy.calls == [] and "the traffic is by now of shop-2" in night.err
    assert "leads to blue, and what is kept with the traffic to green" in night.err
    assert night.rollback("shop", "--force") == exits.DONE


def test_an_older_word_with_the_traffic_that_is_over_counts_for_nothing(night: Night) -> None:
    """Tags that could not be renewed keep the newer card from being used."""
    kept(night, rollout="shop-0", original="green", closed="retired")
    assert night.rollback("shop") == exits.DONE


@pytest.mark.parametrize(("closed", "code"), [("retired", exits.PERSON_NEEDED), ("rolled_back", exits.DONE)])
def test_a_way_back_that_is_over_with_the_traffic_is_over(night: Night, closed: str, code: int) -> None:
    """A restored card sends traffic to a side that was given up."""
    kept(night, closed=closed)
    assert night.rollback("shop", "--no-cold") == code
    assert night.toy.calls == []


def test_a_later_releases_card_can_be_read(tmp_path: Path) -> None:
    """After a downgrade no card can be read, and no way back is left."""
    data = {**CARD.to_json(), "something_new": 1}
    assert Card.from_json(data) == CARD


def test_a_card_without_what_it_needs_is_unreadable() -> None:
    """A damaged card is taken for one that leads somewhere."""
    data = CARD.to_json()
    del data["target"]
    with pytest.raises(TypeError):
        Card.from_json(data)


def test_a_match_that_takes_long_is_left_out(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """One platform that hangs keeps all hosts from being named."""
    import threading

    never = threading.Event()
    monkeypatch.setattr(choosing, "MATCH_S", 0.05)
    monkeypatch.setattr(night.toy, "matches", lambda target, named: never.wait(30), raising=False)
    assert night.rollback("i-1") == exits.USAGE
    never.set()
    assert "whether i-1 is of shop cannot be told: no answer within" in night.err
