"""freeze · schedule · why-not-now, and start outside of a window, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rollout.cli import main
from rollout.freeze import Freezes
from rollout.store import Store
from rollout.view.listing import list_all
from rollout.view.overview import overview, text_of
from tests.core.interrupting import jobs
from tests.core.scene import FLEET
from tests.core.scene import World as Scene
from tests.when.test_freeze import frozen, in_gate

Typed = Callable[..., tuple[int, str, str]]

TAGGED = (
    FLEET
    + """\
    tags: {team: payments}
  till:
    provider: memory
    coexist: safe
    tags: {team: tills, region: eu-central-1}
"""
)
NEVER_NOW = "    blackouts: [01-01..12-31]\n"


@pytest.fixture
def typed(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """One command line over a fleet: exit code, stdout, stderr."""
    (tmp_path / "fleet.yaml").write_text(TAGGED)
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(words))
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def data(typed: Typed, *words: str) -> Any:
    """The one document that a command prints as JSON."""
    code, out, _ = typed(*words, "--json")
    assert code == 0, out
    return json.loads(out)


def test_one_command_stops_everything_and_one_lets_it_go_on(typed: Typed) -> None:
    """In an incident somebody has to look the syntax up."""
    code, out, _ = typed("freeze", "on", "--reason", "customers are down", "--until", "2h", "--ref", "INC-7")
    assert code == 0 and "Lift it with: rollout freeze off all" in out
    (found,) = data(typed, "freeze", "list")["freezes"]
    assert (found["scope"], found["reason"], found["ref"]) == ("all", "customers are down", "INC-7")
    assert found["until"] - found["at"] == 7200
    code, out, err = typed("start", "shop")
    assert (code, out) == (6, "") and "customers are down" in err and "Ways back are open" in err
    assert data(typed, "freeze", "off")["lifted"] is True
    assert data(typed, "freeze", "off")["lifted"] is False
    assert typed("freeze", "list")[1] == "nothing is frozen\n"


def test_a_freeze_says_why(typed: Typed) -> None:
    """Everybody is stopped, and nobody knows by what."""
    code, _, err = typed("freeze", "on")
    assert code == 2 and "--reason TEXT" in err
    code, _, err = typed("freeze", "on", "--reason", "x", "--until", "2020-01-01T00:00")
    assert code == 2 and "over already" in err
    assert data(typed, "freeze", "list")["freezes"] == []


def test_a_part_that_is_none_is_refused(typed: Typed) -> None:
    """A freeze over nothing lulls everybody."""
    for scope, told in (("tag:team=web", "no service of"), ("shpo", "did you mean shop"), ("x:y", "service:NAME")):
        code, _, err = typed("freeze", "on", scope, "--reason", "x")
        assert code == 2 and told in err, (scope, err)
    assert data(typed, "freeze", "list")["freezes"] == []


def test_all_is_frozen_even_where_the_fleet_file_is_broken(typed: Typed, tmp_path: Path) -> None:
    """Somebody edits the fleet file in the incident, and nobody can stop anything."""
    (tmp_path / "fleet.yaml").write_text(TAGGED + "nonsense: 1\n")
    assert typed("freeze", "on", "--reason", "x")[0] == 0
    assert [each["scope"] for each in data(typed, "freeze", "list")["freezes"]] == ["all"]


def test_a_tag_means_the_services_that_have_it(typed: Typed) -> None:
    """The freeze of one team stops the other, or not its own."""
    freeze = data(typed, "freeze", "on", "tag:team=payments", "--reason", "x")["freeze"]
    assert freeze["services"] == ["shop"]
    assert data(typed, "freeze", "on", "region:eu-central-1", "--reason", "x")["freeze"]["services"] == ["till"]
    assert typed("start", "shop")[0] == 6
    code, out, _ = typed("freeze", "off", "tag:team=payments")
    assert code == 0 and "still frozen: region:eu-central-1" in out
    assert typed("start", "till", "--image", "base-2")[0] == 6


def test_status_says_it_first_of_all_that_stands_still(tmp_path: Path) -> None:
    """Somebody waits for a rollout, and status does not say that all is frozen."""
    world = Scene(tmp_path)
    frozen(world, for_s=60)
    listed = list_all(world.store, world.clock.now())
    assert [each["scope"] for each in listed["freezes"]] == ["all"]
    told = text_of(overview(listed))
    assert "FROZEN, so that nothing takes a step forward" in told and "all  by lead@desk (INC-7) until" in told
    assert list_all(world.store, world.clock.now() + 60)["freezes"] == []


def test_explain_says_who_froze_it(tmp_path: Path) -> None:
    """On-call looks at a rollout that stands still, and sees no reason."""
    from rollout.tell.case import case_of
    from rollout.tell.standing import standing_of
    from rollout.tell.words import words_of

    world = Scene(tmp_path)
    world.drive(in_gate("live:1:50"))
    frozen(world)
    jobs(world, 60)
    case = case_of(world.row, world.store.entries(world.row.id), world.store.wait(world.row.id))
    told = standing_of(case, world.clock.now())
    assert told["situation"] == "frozen"
    text = words_of(told)
    assert "somebody froze it" in text and "lead@desk froze it: customers are down" in text
    assert "rollout freeze list" in text and "rollout abort" in text


def test_schedule(typed: Typed, tmp_path: Path) -> None:
    """What runs when is found out by waiting for it."""
    assert typed("schedule")[1].startswith("nothing is scheduled")
    (tmp_path / "fleet.yaml").write_text(FLEET + "    windows: [{from: '00:00', to: '24:00'}]\n")
    found = data(typed, "schedule", "--days", "3")
    assert found["days"] == 3 and [item["kind"] for item in found["items"]] == ["window"]
    code, out, _ = typed("schedule", "--days", "3")
    assert code == 0 and "shop may be begun" in out
    assert typed("schedule", "--days", "0")[0] == 2


def test_why_not_now(typed: Typed) -> None:
    """It would not begin, and each reason is met alone."""
    typed("freeze", "on", "--reason", "incident")
    found = data(typed, "why-not-now", "till", "--image", "base-2")
    assert found["would_begin"] is False and found["command"] is None
    assert found["reasons"][0]["kind"] == "freeze" and found["reasons"][0]["next"] == "rollout freeze off all"
    code, out, _ = typed("why-not-now", "till", "--image", "base-2")
    assert code == 0 and out.startswith("till would not begin or go on now:\n1. freeze: frozen (all): incident (by ")
    assert "\n   next: rollout freeze off all\n" in out
    assert typed("why-not-now", "tlil")[0] == 2


def test_outside_of_a_window_only_with_a_reason(typed: Typed, tmp_path: Path) -> None:
    """Somebody goes around the window, and nobody learns why."""
    (tmp_path / "fleet.yaml").write_text(FLEET + NEVER_NOW)
    code, _, err = typed("start", "shop")
    assert code == 2 and "shop may not be begun now: blackout 01-01..12-31" in err and "--outside-window" in err
    code, _, err = typed("start", "shop", "--outside-window")
    assert code == 2 and "--reason TEXT" in err
    store = Store(tmp_path / ".rollout" / "rollout.db")
    assert store.rollouts() == [] and Freezes(store.db).all(0.0) == []
    store.close()


def test_nothing_is_stood_up_while_it_is_frozen(typed: Typed) -> None:
    """Everything is to stand still, and a nightly job launches hosts."""
    typed("freeze", "on", "shop", "--reason", "an incident")
    code, _, err = typed("up", "shop", "--image", "base-1")
    assert code == 6 and "shop is frozen (service:shop)" in err and "rollout freeze off service:shop" in err, err
    assert typed("up", "till", "--image", "base-1")[0] != 6, "only what is frozen"


def test_bake_says_that_it_is_not_begun_while_frozen(typed: Typed) -> None:
    """Somebody plans a night around a command that will be refused."""
    assert "frozen" in typed("bake", "--help")[1] and "frozen" in typed("up", "--help")[1]


def test_a_frozen_service_is_not_baked(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host is launched in the middle of an incident."""
    from providers.memory import adapter

    begun = list[str]()
    monkeypatch.setattr(adapter, "bake", lambda *_, **__: begun.append("bake"), raising=False)
    typed("freeze", "on", "--reason", "an incident")
    code, _, err = typed("bake", "shop")
    assert code == 6 and "frozen" in err and not begun
