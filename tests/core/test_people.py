"""What people say to a rollout, one word after another: a word that is over no longer counts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from providers.base import Denied, Service
from rollout import control, interventions
from rollout.actor import same_person
from rollout.commands.options import not_serving
from rollout.holds import Busy, Holds
from rollout.journal import Journal
from rollout.rows import Hold
from rollout.summary import is_way_back_open, last_route, needs_a_driver, summarise
from rollout.view.standing import standing
from rollout.wiring import Installation
from tests.core.scene import SHOP, World
from tests.core.test_control import drive, start


def shifting(made: Installation) -> str:
    """A rollout that has traffic on both sides."""
    row = start(made).row
    drive(made, row.id, until=lambda now: now.phase == "shifting")
    return row.id


def warm(made: Installation) -> str:
    """A rollout that was promoted."""
    row = start(made).row
    drive(made, row.id, until=lambda now: now.phase == "warm")
    return row.id


def test_a_pause_ends_with_the_decision_to_turn_back(installation: Installation) -> None:
    """A rollback that nobody drives is told as paused, and nobody goes on with it."""
    row = installation.store.rollout(shifting(installation))
    interventions.pause(installation, row, "ops", "lunch")
    control.turn_back(installation, row, "abort", reason="no", actor="ops")
    row = installation.store.rollout(row.id)
    summary = summarise(row, installation.store.entries(row.id), now=installation.clock.now())
    assert summary["paused"] is None and needs_a_driver(summary)
    assert drive(installation, row.id).outcome == "aborted"


def test_a_closed_rollout_is_not_resumed(installation: Installation) -> None:
    """`rollout resume` of yesterday's rollout fences the job of today's."""
    row = installation.store.rollout(shifting(installation))
    interventions.pause(installation, row, "ops", "lunch")
    control.turn_back(installation, row, "abort", reason="no", actor="ops")
    closed = drive(installation, row.id)
    assert interventions.resume(installation, closed, "ops") is False
    assert installation.store.entries(row.id)[-1].kind == "closed"


def test_a_service_that_turns_back_cannot_be_held(installation: Installation) -> None:
    """A pipeline believes that it is alone while traffic goes back."""
    row = installation.store.rollout(warm(installation))
    now = installation.clock.now()
    hold = Hold("shop", "ci", "deploying", "", now, now + 60)
    Holds(installation.store.db).put(hold)  # warm: nothing moves
    Holds(installation.store.db).release("shop", "ci", "", now)
    control.turn_back(installation, row, "rollback", reason="slow", actor="oncall")
    with pytest.raises(Busy, match=row.id):
        Holds(installation.store.db).put(hold)


def test_what_was_adopted_offers_no_way_back(installation: Installation) -> None:
    """Status offers a rollback that the emergency path refuses."""
    row = installation.store.rollout(warm(installation))
    interventions.adopt(installation, row, "ops", "it is right as it is")
    journal_entries = installation.store.entries(row.id)
    summary = summarise(installation.store.rollout(row.id), journal_entries, now=installation.clock.now())
    assert summary["way_back"] is None
    assert not is_way_back_open(row, Journal(journal_entries), installation.clock.now())


def test_adopting_takes_nothing_out_that_the_rollout_never_put_in(tmp_path: Path) -> None:
    """The user's own standby side loses its place in the balancer."""
    world = World(tmp_path)
    world.mirror_stands("base-1")  # the user's own: this rollout has no step for it
    world.run().enter("preparing")
    route = {"blue": 100, "green": 0}
    said = {"by": "ops", "reason": "leave it", "ref": "", "route": route, "active": "blue"}
    world.store.decide("shop-1", world.row.head_seq, "adopted", said, world.clock.now(), outcome="running")
    assert world.drive().phase == "adopted"
    assert world.provider.traffic.observe([SHOP])["shop"].targets["green"].total == 2
    assert world.mutations("detach") == []


def spooled(made: Installation, rollout: str, name: str, text: str | None = None) -> Path:
    """What the emergency path leaves when the store could not be used."""
    path = made.state_dir / "spool" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    decided = {"kind": "rollback", "reason": "slow", "actor": "oncall", "deny": False, "forced": False}
    decided |= {"by_person": True, "readiness": "", "route": None, "evidence": {}, "rollout": rollout, "at": 1.0}
    path.write_text(json.dumps(decided) if text is None else text)
    return path


def test_two_processes_may_merge_the_same_decision(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of an emergency rollback is a trace of the program's insides, because a server was quicker."""
    path = spooled(installation, shifting(installation), "shop-1")
    real = Path.read_text

    def read_while_the_other_merges(self: Path, *rest: object) -> str:
        text = real(self)
        if self == path:
            path.unlink()
        return text

    monkeypatch.setattr(Path, "read_text", read_while_the_other_merges)
    assert len(control.merge_spool(installation)) == 1
    monkeypatch.undo()
    assert control.merge_spool(installation) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rollout": 3}', '{"rollout": "shop', "null"])
def test_a_decision_that_cannot_be_read_stays_and_is_told_once(installation: Installation, text: str) -> None:
    """One torn file keeps every command from working, or fills the log for ever."""
    rollout, said = shifting(installation), set[Path]()
    path, good = spooled(installation, rollout, "a-torn", text), spooled(installation, rollout, "b-good")
    told = control.merge_spool(installation, said)
    assert any("merged the rollback" in each for each in told) and not good.exists()
    unread = [each for each in told if "cannot be merged, and stays" in each]
    assert path.exists() and len(unread) == (0 if text == '{"rollout": 3}' else 1)
    assert control.merge_spool(installation, said) == []


def test_the_emergency_path_leaves_whole_files_only(installation: Installation) -> None:
    """A server merges half a decision."""
    folder = installation.state_dir / "spool"
    folder.mkdir(parents=True)
    (folder / ".shop-1").write_text('{"rollout": ')
    assert control.merge_spool(installation) == []


# What status says of it


def summary_of(made: Installation, rollout: str) -> dict[str, Any]:
    """As `status` has it, without a live reading."""
    return summarise(made.store.rollout(rollout), made.store.entries(rollout), now=made.clock.now())


def test_a_way_back_that_is_under_way_is_told_as_one(installation: Installation) -> None:
    """`running (shifting)` is read as: the patch goes on."""
    rollout = shifting(installation)
    assert summary_of(installation, rollout)["turning_back"] is None
    control.turn_back(installation, installation.store.rollout(rollout), "rollback", reason="slow", actor="oncall")
    found = summary_of(installation, rollout)
    assert found["turning_back"] == "oncall"
    assert standing(found).startswith(f"{rollout}  turning back, as oncall asked (shifting)")
    drive(installation, rollout)
    assert summary_of(installation, rollout)["turning_back"] is None


def test_what_was_taken_down_has_no_way_back_and_no_traffic(installation: Installation) -> None:
    """Status offers a rollback to processes that are gone."""
    rollout = warm(installation)
    assert summary_of(installation, rollout)["way_back"]
    interventions.close(installation, installation.store.rollout(rollout), "ops", "the service was taken down")
    found = summary_of(installation, rollout)
    assert (found["way_back"], found["traffic"], found["outcome"]) == (None, None, "promoted")


def test_what_was_adopted_is_told_with_the_route_that_was_adopted(installation: Installation) -> None:
    """History says half of the traffic where a person had put all of it."""
    rollout = warm(installation)
    interventions.adopt(installation, installation.store.rollout(rollout), "ops", "right as it is")
    assert last_route(Journal(installation.store.entries(rollout))) == {"blue": 0, "green": 100}


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ({"weights": {"blue": 0, "green": 100}, "healthy": {"green": 0}, "unknown": {}}, True),
        ({"weights": {"blue": 0, "green": 100}, "healthy": {"green": 1}, "unknown": {}}, False),
        ({"weights": {"blue": 0, "green": 100}, "healthy": {"green": 0}, "unknown": {"green": 1}}, False),
        ({"weights": {"blue": 50, "green": 50}, "healthy": {"blue": 1, "green": 0}, "unknown": {}}, False),
        (None, False),
    ],
)
def test_a_side_that_has_all_traffic_and_no_host_is_told(seen: dict[str, Any] | None, told: bool) -> None:
    """Everything is down, and status says: promoted."""
    summary = {"active_slot": "green", "way_back": "rollout rollback shop"}
    found = not_serving(summary, seen)
    assert (found is not None) == told
    if found:
        assert "green has all traffic and no healthy host; next: rollout rollback shop" in found


# Who


def known_as(made: Installation, caller: Any) -> Installation:
    """The same fleet on a platform that knows its callers."""
    made._providers["memory"] = replace(made.provider("memory"), caller=caller)
    return made


def test_the_platforms_identity_is_on_record_beside_the_user(installation: Installation) -> None:
    """The cloud's own log names a role, and nobody can tell which person that was."""
    row = start(
        known_as(installation, lambda service: "arn:aws:sts::1:assumed-role/patcher/x"), actor="eve@vm for github:a/b"
    ).row
    assert row.actor == "eve@vm as arn:aws:sts::1:assumed-role/patcher/x for github:a/b"
    assert same_person(row.actor, "eve@laptop") and not same_person(row.actor, "bob@vm")


def test_an_identity_that_cannot_be_read_stops_nothing(installation: Installation) -> None:
    """A patch waits for a service that only tells who we are."""

    def fails(service: Service) -> str:
        raise Denied("no sts here")

    assert start(known_as(installation, fails), actor="eve@vm").row.actor == "eve@vm"
