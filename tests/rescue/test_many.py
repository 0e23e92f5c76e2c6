"""All at once: what begins is stopped first, every service is told as it happens, and 0 means that all are back."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rollout import exits
from rollout.campaign.model import CampaignPlan, Limits, Place, Run, Wave
from rollout.campaign.register import newest, open_run
from rollout.rescue import many, putting_back
from rollout.store import Store
from tests.rescue.kit import BACK, CARD, Night, Toy, a_night

NAMES = ("cart", "shop", "till")


class Toys(ModuleType):
    """A balancer for each service."""

    SERVICES_AT_ONCE = 2

    def __init__(self) -> None:
        super().__init__("providers.toy.rollback")
        self.of = {name: Toy() for name in NAMES}
        self.now, self.most, self.guard = 0, 0, threading.Lock()

    def read(self, target: Mapping[str, Any]) -> dict[str, Any]:
        """As the service's balancer does."""
        return self.of[target["balancer"]].read(target)

    def put_back(self, target: Mapping[str, Any], weights: dict[str, int], token: str) -> None:
        """The same, and how many do so at the same time."""
        with self.guard:
            self.now += 1
            self.most = max(self.most, self.now)
        threading.Event().wait(0.02)
        self.of[target["balancer"]].put_back(target, weights, token)
        with self.guard:
            self.now -= 1

    def set_mark(self, target: Mapping[str, Any], mark: Any, token: str) -> None:
        """As the service's balancer does."""
        self.of[target["balancer"]].set_mark(target, mark, token)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Toys:
    """The balancers of all services."""
    return Toys()


@pytest.fixture
def fleet(tmp_path: Path, toys: Toys, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Night:
    """A night with three services."""
    night = a_night(tmp_path, monkeypatch, capsys)
    monkeypatch.setitem(sys.modules, "providers.toy.rollback", toys)
    for name in NAMES:
        wave = "monthly-20260101-abc123/canary" if name != "till" else ""
        night.cards.write(replace(CARD, service=name, rollout=f"{name}-1", target={"balancer": name}, wave=wave))
    return night


def weights(toys: Toys) -> dict[str, bool]:
    """Which services are back."""
    return {name: toy.weights == BACK for name, toy in toys.of.items()}


def test_all_are_put_back_with_a_line_for_each(fleet: Night, toys: Toys) -> None:
    """At night forty commands have to be typed, one after the other."""
    assert fleet.rollback("--all") == exits.DONE
    assert weights(toys) == dict.fromkeys(NAMES, True)
    lines = fleet.err.splitlines()
    assert all(any(line.startswith(f"{name}: all new traffic is on blue") for line in lines) for name in NAMES)
    assert lines[-1].startswith("all 3 services are back") and fleet.unfinished == []
    assert all(toy.marks[-1]["rollout"] == f"{name}-1" for name, toy in toys.of.items())


def test_what_fails_is_listed_with_its_command_and_stops_no_other(fleet: Night, toys: Toys) -> None:
    """One sick service keeps the others where they are, or is lost among their lines."""
    toys.of["cart"].healthy = {"blue": 0, "green": 2}
    toys.of["till"].fails["read"] = TimeoutError("no answer")
    assert fleet.rollback("--all") == exits.PERSON_NEEDED
    assert weights(toys) == {"cart": False, "shop": True, "till": False}
    assert "cart: rollback refused: blue: 0 of 2 healthy" in fleet.err
    summary = fleet.err[fleet.err.index("1 of 3 services are back; not:") :]
    assert "\n  rollout rollback cart --force   # cart" in summary and "\n  rollout rollback till   # till" in summary


def test_a_fault_of_ours_in_one_is_one_failure(fleet: Night, toys: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in one thread makes the command wait for ever, or say that all is well."""
    real = putting_back.begin

    def begin(card: Any, *rest: Any) -> Any:
        if card.service == "cart":
            raise ZeroDivisionError("a bug")
        return real(card, *rest)

    monkeypatch.setattr(many, "begin", begin)
    assert fleet.rollback("--all", "--json") == exits.PERSON_NEEDED
    said = fleet.document()
    assert said["failed"] == {"cart": "rollout rollback cart"}
    assert said["services"]["cart"]["exit_code"] == exits.INTERNAL and said["services"]["shop"]["exit_code"] == 0


def test_json_is_one_document(fleet: Night) -> None:
    """A script gets three documents, or none."""
    assert fleet.rollback("--all", "--json") == exits.DONE
    said = fleet.document()
    assert (fleet.err, len(fleet.out.splitlines())) == ("", 1)
    assert {name: each["traffic"] for name, each in said["services"].items()} == dict.fromkeys(NAMES, BACK)
    assert (said["failed"], said["exit_code"]) == ({}, 0)


def test_what_was_put_back_before_is_no_failure(fleet: Night, toys: Toys) -> None:
    """The second press of the button ends in red."""
    assert fleet.rollback("--all") == fleet.rollback("--all") == exits.DONE
    assert weights(toys) == dict.fromkeys(NAMES, True)


def test_a_platform_is_not_asked_by_all_at_once(fleet: Night, toys: Toys) -> None:
    """Forty services at once are throttled, and none of them is put back."""
    assert fleet.rollback("--all") == exits.DONE
    assert toys.most <= toys.SERVICES_AT_ONCE


def test_who_is_watched_keeps_nobody_waiting(fleet: Night, toys: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a store each service is held for T, one after the other: the last one is put back after minutes."""
    monkeypatch.setattr(toys, "SERVICES_AT_ONCE", 1)
    assert fleet.rollback("--all") == exits.DONE
    accepted = [index for index, line in enumerate(fleet.err.splitlines()) if "(accepted, read back)" in line]
    assert len(accepted) == 3


def test_a_card_that_cannot_be_read_is_no_success(fleet: Night, toys: Toys) -> None:
    """`all are back` is said, and one service was never looked at."""
    fleet.cards.path("cart").write_text("{")
    assert fleet.rollback("--all") == exits.PERSON_NEEDED
    assert weights(toys) == {"cart": False, "shop": True, "till": True}
    assert "1 cards cannot be read" in fleet.err and str(fleet.cards.path("cart")) in fleet.err


def test_a_drill_of_all_changes_nothing(fleet: Night, toys: Toys) -> None:
    """A rehearsal moves the whole fleet."""
    assert fleet.rollback("--all", "--drill") == exits.DONE
    assert weights(toys) == dict.fromkeys(NAMES, False)
    assert all(toy.calls == [] for toy in toys.of.values())


def test_a_drill_says_nothing_of_success(fleet: Night) -> None:
    """After a drill of all, everybody believes that traffic is back."""
    assert fleet.rollback("--all", "--drill") == exits.DONE
    assert "are back" not in fleet.err and "could be put back; nothing was changed" in fleet.err.splitlines()[-1]


def test_nothing_open_says_so(fleet: Night) -> None:
    """An empty summary is taken for success."""
    for name in NAMES:
        fleet.cards.write(replace(CARD, service=name, rollout=f"{name}-1", closed="retired"))
    assert fleet.rollback("--all") == exits.USAGE
    assert "no service has a way back open now" in fleet.err


# Waves


def a_run(night: Night) -> Store:
    """The campaign `monthly` runs, and has begun cart and shop."""
    store = night.store()
    places = {name: Place() for name in NAMES}
    waves = (Wave("canary", (), ("cart", "shop"), Limits()), Wave("rest", ("canary",), ("till",), Limits()))
    plan = CampaignPlan("monthly", "base-2", waves, places, ())
    run = open_run(store.db, Run("monthly-20260101-abc123", "monthly", plan, "me", "", "", 1.0))
    with store.db.transaction() as db:
        for name in ("cart", "shop"):
            db.execute("UPDATE campaign_members SET rollout = ? WHERE run = ? AND service = ?", (name, run.id, name))
    return store


@pytest.mark.parametrize("name", ["monthly", "monthly/canary", "monthly-20260101-abc123"])
def test_a_wave_is_stopped_first_and_its_services_are_put_back(fleet: Night, toys: Toys, name: str) -> None:
    """While its services are put back, the wave begins the next ones."""
    store = a_run(fleet)
    assert fleet.rollback("--wave", name, "--reason", "bad patch") == exits.DONE
    assert weights(toys) == {"cart": True, "shop": True, "till": False}
    run = newest(store.db, "monthly")
    assert run is not None and (run.state, run.said, run.rollouts) == ("paused", "bad patch", True)
    stopped = fleet.err.index("stopped first: monthly-20260101-abc123")
    assert stopped < fleet.err.index("putting back 2 services")


def test_what_of_a_wave_only_goes_cold_is_named(fleet: Night, toys: Toys) -> None:
    """Three of four services are back, exit code 0 says all are, and nobody looks for the fourth."""
    a_run(fleet)
    card = fleet.cards.read("cart")
    assert card is not None
    fleet.cards.write(replace(card, closed="retired"))
    assert fleet.rollback("--wave", "monthly") == exits.PERSON_NEEDED
    assert weights(toys) == {"cart": False, "shop": True, "till": False}
    assert fleet.err.rstrip().endswith("rollout rollback cart   # goes cold")
    assert "rollout wave resume monthly-20260101-abc123" in fleet.err
    fleet.cards.write(replace(card, closed="rolled_back"))
    assert fleet.rollback("--wave", "monthly", "--force") == exits.DONE, "it is back already"


def test_all_stops_what_runs(fleet: Night, toys: Toys) -> None:
    """A campaign goes on patching behind the back of whoever puts everything back."""
    store = a_run(fleet)
    assert fleet.rollback("--all") == exits.DONE
    run = newest(store.db, "monthly")
    assert run is not None and run.state == "paused"
    assert fleet.rollback("--all") == exits.DONE, "stopped already"


@pytest.mark.parametrize("name", ["monthly", "monthly/canary"])
def test_without_the_store_the_cards_know_their_wave(fleet: Night, toys: Toys, name: str) -> None:
    """The database is gone, and nobody knows which services the wave had begun."""
    assert fleet.rollback("--wave", name) == exits.DONE
    assert weights(toys) == {"cart": True, "shop": True, "till": False}
    assert "no wave could be stopped, for the store cannot be used" in fleet.err


@pytest.mark.parametrize(
    ("wave", "name", "same"),
    [
        ("monthly-20260101-abc123/canary", "monthly", True),
        ("monthly-20260101-abc123/canary", "monthly/canary", True),
        ("monthly-20260101-abc123/canary", "monthly/rest", False),
        ("monthly-20260101-abc123/canary", "monthly-20260101-abc123/canary", True),
        ("monthly-extra-20260101-abc123/canary", "monthly", False),
        ("monthly-20260101-abc123/canary", "month", False),
        ("", "monthly", False),
        ("", "", False),
    ],
)
def test_a_wave_is_told_from_its_namesakes(wave: str, name: str, same: bool) -> None:
    """Services of another campaign are put back, or half of this one is not."""
    assert many.is_of_wave(wave, name) is same


def test_an_unknown_wave_puts_nothing_back(fleet: Night, toys: Toys) -> None:
    """A mistyped name puts the whole fleet back."""
    assert fleet.rollback("--wave", "monhtly") == exits.USAGE
    assert weights(toys) == dict.fromkeys(NAMES, False)
