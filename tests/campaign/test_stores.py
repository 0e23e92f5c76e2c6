"""Runs are kept alike on SQLite and on PostgreSQL: the same words, the same facts, the same refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rollout.campaign import register
from rollout.campaign.heard import Heard
from rollout.campaign.members import services_of
from rollout.campaign.model import CampaignPlan, Limits, Mark, Pin, Place, Run, Wave
from rollout.fleet_journal import FleetJournal
from rollout.journal import first_broken_link
from rollout.store import Store
from tests.campaign.scene import ME, RIVAL
from tests.stores.conftest import place, server, store

__all__ = ["place", "server", "store"]
NOW = 1_767_225_600.25


def a_run(run: str = "monthly-1", key: str | None = "k") -> Run:
    """Two waves of three services."""
    waves = (Wave("one", (), ("a",), Limits(soak_s=600.0, go_on="asked")), Wave("two", ("one",), ("b", "c")))
    pins = (Pin("memory", "", "", "", "base-2"),)
    plan = CampaignPlan("monthly", "base-2", waves, {name: Place("memory") for name in "abc"}, pins)
    return Run(run, "monthly", plan, "ops", "patch day", "CHG-1", NOW, key=key)


def begin(store: Store, run: Run, service: str) -> str:
    """Its rollout, opened as the runner does."""
    rollout = f"{service}-1"
    store.open_rollout(
        *(rollout, service, {"provider": "memory", "capacity": 2}, "hash"),
        at=NOW,
        actor="ops",
        key=f"{run.id}/{service}",
        also=lambda db: register.note_begun(db, run, service, rollout, 2),
    )
    return rollout


def test_a_run_is_kept_and_carried_out(store: Store) -> None:
    """On PostgreSQL a campaign does not start, or loses what it had begun."""
    db = store.db
    opened = register.open_run(db, a_run())
    assert register.open_run(db, a_run("monthly-2")).id == opened.id, "the same key"
    with pytest.raises(register.Running):
        register.open_run(db, a_run("monthly-3", None))
    assert register.newest(db, "monthly") == a_run() and register.known_key(db, "monthly", "k") == a_run()
    run = register.take_turn(db, opened, ME, NOW)
    assert run is not None and run.turn == 1 and register.take_turn(db, run, RIVAL, NOW + 1) is None
    begin(store, run, "a")
    register.note_put_off(db, run, "b", "held", NOW + 9, tried=True, hosts=7)
    register.note_skipped(db, run, "c", "no_way", "mixed")
    a, b, c = Heard(db).complete(register.members(db, run.id))
    assert (a.rollout, a.phase, a.outcome, a.hosts, a.progress) == ("a-1", "opened", "running", 2, "moving")
    assert (b.why, b.not_before, b.tries, b.hosts) == ("held", NOW + 9, 1, 7)
    assert (c.skipped, c.why, c.progress) == ("no_way", "mixed", "skipped")
    assert services_of(db, "monthly/one") == ["a"] and services_of(db, "monthly-1") == ["a"]
    assert first_broken_link(FleetJournal(db).entries()) == ""


def test_words_and_turns(store: Store) -> None:
    """On PostgreSQL a pause is forgotten, or two processes carry one run out."""
    db = store.db
    run = register.take_turn(db, register.open_run(db, a_run()), ME, NOW)
    assert run is not None
    register.note_done(db, run, "one", NOW + 1)
    later = register.take_turn(db, run, RIVAL, NOW + 201)
    assert later is not None and later.turn == 2
    assert later.marks == {"one": Mark(NOW + 1, 201.0)}, "nobody looked meanwhile"
    assert register.go_on(db, "monthly", "lead", "fine", NOW + 202) == ["one"]
    with pytest.raises(register.Superseded):
        begin(store, run, "b")
    assert store.rollouts("b") == [], "nothing was opened under an old turn"
    register.pause(db, "monthly", "ops", "lunch", NOW + 203, rollouts=True)
    with pytest.raises(register.Superseded):
        begin(store, later, "b")
    register.resume(db, "monthly", "ops", "", NOW + 204)
    register.note_stopped(db, later, "enough", NOW + 205)
    register.abort(db, "monthly", "ops", "wrong", NOW + 206)
    aborting = register.newest(db, "monthly")
    assert aborting is not None and (aborting.state, aborting.rollouts, aborting.turn) == ("aborting", True, 2)
    register.note_over(db, replace(aborting), "aborted", NOW + 207)
    assert register.runs(db) == [] and len(register.runs(db, open_only=False)) == 1
    assert register.open_run(db, a_run("monthly-4", None)).id == "monthly-4"
