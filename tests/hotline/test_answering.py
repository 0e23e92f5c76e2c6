"""What the hotline does is the emergency path itself, for its own fleet; what is kept warm is told when it cools."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from providers.memory import rollback
from rollout import emergency, rehearsals
from rollout.card import CardFolder
from rollout.drills import Drill, last_drills, record
from rollout.fleet_journal import FleetJournal
from rollout.hotline.answering import Answering
from rollout.hotline.request import Request
from rollout.hotline.warm import Warmth
from rollout.journal import Journal
from rollout.rescue.told import Told
from rollout.wiring import Installation
from tests.care.scene import warm as promoted
from tests.core.scene import FLEET
from tests.hotline.kit import Heard

DRILLS = "drills: {every: 7d}\n"


class Fleet:
    """`shop` promoted and warm; a real emergency path over the simulated cloud."""

    def __init__(self, installation: Installation) -> None:
        self.made, self.heard = installation, Heard()
        self.row = promoted(installation)
        card = installation.cards.read("shop")
        assert card is not None
        self.card = replace(card, valid_until=None)  # by the clock of this machine it ended long ago
        installation.cards.write(self.card)

    def ask(self, *arguments: str, who: str = "alice@host") -> int:
        """As somebody else does through the hotline."""
        answering = Answering(self.made.fleet_file, lambda **said: None)
        return answering(Request(("rollback", *arguments)), who, self.heard.say)

    def drills(self) -> dict[str, Drill]:
        """The last of each service, wherever it is noted."""
        return last_drills(self.made.store.db, self.made.state_dir / "drills")


@pytest.fixture
def fleet(installation: Installation) -> Fleet:
    """See Fleet."""
    return Fleet(installation)


def test_a_rollback_is_the_askers_and_is_told_whole(fleet: Fleet) -> None:
    """Through the server something else happens than directly, or it was nobody."""
    assert fleet.ask("shop", "--reason", "slow") == 0, fleet.heard.lines
    decision = Journal(fleet.made.store.entries(fleet.row.id)).decision
    assert decision is not None
    assert (decision.data["actor"], decision.data["reason"]) == ("alice@host", "slow")
    assert fleet.heard.facts["traffic"] == {"blue": 100, "green": 0} and fleet.heard.facts["id"] == fleet.row.id
    assert "all new traffic is on blue" in fleet.heard.lines[-1]
    json.dumps(fleet.heard.facts)


def test_a_refusal_is_an_answer(fleet: Fleet) -> None:
    """A refusal through the server is taken for no answer, and tried again directly."""
    assert fleet.ask("nothing") != 0
    assert "nothing has no rollback card" in fleet.heard.lines[-1]


def test_a_command_line_that_cannot_be_read_ends_no_server(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """A typo on a laptop ends the server that drives all rollouts."""
    assert fleet.ask("shop", "--reason") == 2
    assert "cannot be read" in fleet.heard.lines[-1]


def test_a_drill_is_on_record_with_who_and_how_long(fleet: Fleet) -> None:
    """Nobody can show an auditor that the way back was ever tried."""
    assert fleet.drills() == {}
    assert fleet.ask("shop", "--drill") == 0
    drill = fleet.drills()["shop"]
    assert (drill.ok, drill.via, drill.actor, drill.rollout) == (True, "daemon", "alice@host", fleet.row.id)
    assert "2 of 2 healthy" in drill.readiness and drill.seconds >= 0
    assert not Journal(fleet.made.store.entries(fleet.row.id)).decision, "nothing was changed"


def test_a_direct_drill_says_so(fleet: Fleet) -> None:
    """Only the server's way was ever tried, and the direct one is broken."""
    assert emergency.run(["rollback", "shop", "--drill", f"--config={fleet.made.fleet_file}"], Told()) == 0
    assert fleet.drills()["shop"].via == "direct"


def test_a_drill_that_fails_is_on_record_and_news(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way back cannot be used, and the drill that found it out leaves no trace."""

    def lost(target: object) -> None:
        raise RuntimeError("no answer")

    monkeypatch.setattr(rollback, "read", lost)
    assert fleet.ask("shop", "--drill") == 5
    drill = fleet.drills()["shop"]
    assert not drill.ok and "cannot be read" in drill.why and "no answer" in drill.why
    assert fleet.made.store.db.all("SELECT kind, service FROM news WHERE kind = 'drill_failed'") == [
        ("drill_failed", "shop")
    ]


def test_a_way_back_that_is_over_is_no_failed_drill(fleet: Fleet) -> None:
    """People are woken because a window ended as planned."""
    fleet.made.cards.write(replace(fleet.card, closed="retired"))
    assert fleet.ask("shop", "--drill") != 0
    assert fleet.drills() == {}


def test_without_a_store_it_is_kept_beside_the_cards(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drill fails because the database is away; or leaves no trace."""
    fleet.made.store.close()
    for path in fleet.made.state_dir.glob("rollout.db*"):
        path.rename(path.with_name(f"away-{path.name}"))
    assert fleet.ask("shop", "--drill") == 0, fleet.heard.lines
    assert last_drills(None, fleet.made.state_dir / "drills")["shop"].ok
    for path in fleet.made.state_dir.glob("away-*"):
        path.rename(path.with_name(path.name.removeprefix("away-")))
    again = Installation(fleet.made.fleet_file, fleet.made.clock)
    assert [drill.service for drill in rehearsals.journal_kept(again)] == ["shop"]
    assert [entry.kind for entry in FleetJournal(again.store.db).entries()][-1] == "drilled"


# Schedules


def scheduled(fleet: Fleet, text: str = DRILLS) -> Installation:
    """The same fleet with drills in its file."""
    fleet.made.fleet_file.write_text(FLEET + text)
    made = Installation(fleet.made.fleet_file, fleet.made.clock)
    made._providers = fleet.made._providers
    return made


def test_what_is_due_is_rehearsed_once(fleet: Fleet) -> None:
    """Drills on a schedule are never made, or made every minute."""
    made = scheduled(fleet)
    ((card, code, facts),) = rehearsals.rehearse(made)
    assert (card.service, code, facts["drill"]) == ("shop", 0, True)
    drill = fleet.drills()["shop"]
    assert (drill.actor, drill.via) == ("rollout", "daemon")
    record(made.store.db, replace(drill, at=made.clock.now()))
    assert rehearsals.rehearse(made) == []
    made.clock.sleep(7 * 86_400.0)
    assert [card.service for card, _, _ in rehearsals.rehearse(made)] == ["shop"]


@pytest.mark.parametrize("text", ["", DRILLS.replace("drills", "keep").replace("{every: 7d}", "{}"), "drills: {}\n"])
def test_without_a_schedule_nothing_is_rehearsed(fleet: Fleet, text: str) -> None:
    """A platform is asked for what nobody wants to know."""
    assert rehearsals.due(scheduled(fleet, text)) == []


def test_a_service_has_its_own_schedule_or_none(fleet: Fleet) -> None:
    """One service must not be drilled, and then none is."""
    text = FLEET.replace("    settle: 1s\n", "    settle: 1s\n    drills: {}\n") + DRILLS
    fleet.made.fleet_file.write_text(text)
    made = Installation(fleet.made.fleet_file, fleet.made.clock)
    assert rehearsals.due(made) == []
    fleet.made.fleet_file.write_text(text.replace("drills: {}", "drills: {every: 1h}"))
    assert [card.service for card in rehearsals.due(Installation(fleet.made.fleet_file, fleet.made.clock))] == ["shop"]


def test_closed_ways_back_and_strange_cards_are_left_alone(fleet: Fleet) -> None:
    """A service that is long gone fails its drill every day."""
    made = scheduled(fleet)
    cards: CardFolder = made.cards
    cards.write(replace(fleet.card, service="gone"))
    cards.write(replace(fleet.card, closed="rolled_back"))
    assert rehearsals.due(made) == []
    cards.write(replace(fleet.card, valid_until=made.clock.now() - 1))
    assert rehearsals.due(made) == []


# Warm


def test_what_is_open_is_read_and_what_cools_is_told_once(tmp_path: Path, fleet: Fleet) -> None:
    """The first rollback of the night pays for all imports; or a balancer is away for a week and nobody knows."""
    told, problem, reads = list[tuple[str, str]](), [""], list[Any]()

    class Thin:
        @staticmethod
        def read(target: Any) -> None:
            """As a thin module's."""
            reads.append(target)
            if problem[0]:
                raise RuntimeError(problem[0])

    cards = fleet.made.cards
    cards.write(replace(fleet.card, service="over", valid_until=10.0))
    cards.write(replace(fleet.card, service="shut", closed="retired"))
    warmth = Warmth(cards, lambda *said: told.append(said), lambda provider: Thin)
    warmth.keep(20.0)
    assert reads == [fleet.card.target] and told == []
    for problem[0] in ("no answer", "still none", "", ""):
        warmth.keep(20.0)
    assert told == [("shop", "RuntimeError: no answer"), ("shop", "")]


def test_the_real_modules_can_be_kept_warm(fleet: Fleet) -> None:
    """What is warmed is something else than what a rollback uses."""
    told = list[tuple[str, str]]()
    Warmth(fleet.made.cards, lambda *said: told.append(said)).keep(0.0)
    assert told == []
