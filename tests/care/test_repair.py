"""What can be put right is, without moving traffic and without deleting what somebody may need."""

from __future__ import annotations

import json
import os

import pytest

from providers.base import HoldMark, Slot
from rollout import interventions
from rollout.acts import owner_tag_of
from rollout.care.repair import Repaired, repair
from rollout.care.restored import RESTORED, set_fact
from rollout.fleet_journal import FleetJournal
from rollout.journal import Journal
from rollout.lease import Holder, this_process
from rollout.rows import Row
from rollout.wiring import Installation, UnknownService
from tests.care.scene import begin, closed, cloud_of, drive, route, service_of, warm

DEAD = Holder(os.uname().nodename, "another boot", 1, "1")


def mend(made: Installation, *, dry_run: bool = False) -> Repaired:
    """As the command does; it moves no traffic, whatever it finds."""
    before = dict(route(made).weights)
    told = repair(made, "shop", by="me", dry_run=dry_run)
    assert dict(route(made).weights) == before
    return told


def exists(made: Installation, slot: Slot) -> bool:
    """Does anything stand there?"""
    return made.provider("memory").compute.describe(service_of(made))[slot].exists


def abandoned(made: Installation) -> Row:
    """A rollout that was closed by a hand in the middle; its mirror and its floors were left."""
    row = begin(made)
    drive(made, row.id, lambda now: now.phase == "proving")
    interventions.close(made, made.store.rollout(row.id), "me", "by hand")
    card = made.cards.read("shop")
    assert card
    made.cards.path("shop").write_text(json.dumps({**card.to_json(), "closed": "rolled_back"}))
    assert exists(made, "green")
    return made.store.rollout(row.id)


def test_nothing_to_do(installation: Installation) -> None:
    """A healthy fleet is never changed by a nightly repair."""
    assert repair(installation, by="me") == Repaired()
    closed(installation)
    mutations = len(cloud_of(installation).mutations)
    assert mend(installation) == Repaired()
    assert len(cloud_of(installation).mutations) == mutations
    with pytest.raises(UnknownService, match="shpo"):
        repair(installation, "shpo", by="me")


def test_a_spooled_decision_is_journalled(installation: Installation) -> None:
    """The rollback that the on-call engineer made without the store is never on record."""
    row = warm(installation)
    folder = installation.state_dir / "spool"
    folder.mkdir()
    data = {"rollout": row.id, "kind": "rollback", "reason": "odd", "actor": "oncall", "deny": False}
    more = {"forced": False, "by_person": True, "readiness": "", "route": {"blue": 100, "green": 0}, "evidence": {}}
    (folder / "shop-1.json").write_text(json.dumps({**data, **more}))
    (folder / "shop-2.json").write_text("{")
    rehearsed = mend(installation, dry_run=True)
    assert len(rehearsed.done) == 2 and len(list(folder.iterdir())) == 2
    told = mend(installation)
    assert any("merged the rollback that oncall decided" in text for text in told.done)
    assert any("shop-2.json cannot be merged" in text for text in told.left)
    decision = Journal(installation.store.entries(row.id)).decision
    assert decision and decision.data["reason"] == "odd"
    assert FleetJournal(installation.store.db).entries()[-1].kind == "repaired"


@pytest.mark.parametrize("how", ["missing", "damaged", "of an earlier rollout"])
def test_the_card_of_an_open_rollout_is_written_again(installation: Installation, how: str) -> None:
    """The way back is one command away in the documentation only."""
    row = warm(installation)
    card, path = installation.cards.read("shop"), installation.cards.path("shop")
    assert card
    if how == "missing":
        path.unlink()
    elif how == "damaged":
        path.write_text('{"rollout": ')
    else:
        written_at = card.written_at - 99
        path.write_text(json.dumps({**card.to_json(), "rollout": row.id, "written_at": written_at}))
        if how == "of an earlier rollout":
            older = closed_before(installation, row)
            path.write_text(json.dumps({**card.to_json(), "rollout": older, "written_at": written_at}))
    if how != "missing":
        assert mend(installation, dry_run=True).done and (path.read_text() != json.dumps(card.to_json()))
    told = mend(installation)
    assert len(told.done) == 1 and f"write the rollback card of {row.id} again" in told.done[0]
    again = installation.cards.read("shop")
    assert again and (again.rollout, again.target, again.valid_until) == (row.id, card.target, card.valid_until)
    assert mend(installation).done == []


def closed_before(made: Installation, row: Row) -> str:
    """The id of a rollout that the store knows as closed, and that began before."""
    with made.store.db.transaction() as db:
        columns = "id, service, plan, plan_hash, actor, reason, opened_at, phase, outcome, closed_at, head_seq"
        columns += ", head_hash, due_at, rowid"
        values = (
            "shop-old",
            "shop",
            "{}",
            "",
            "me",
            "",
            row.opened_at - 99,
            "retired",
            "promoted",
            1.0,
            0,
            "",
            0.0,
            -1,
        )
        db.execute(f"INSERT INTO rollouts ({columns}) VALUES ({', '.join('?' * 14)})", values)  # noqa: S608 - fixed
    return "shop-old"


def test_the_lease_of_a_dead_process_is_released(installation: Installation) -> None:
    """Everybody waits for a lease that nobody has."""
    row = warm(installation)
    store, now = installation.store, installation.clock.now()
    store.take_lease("shop", DEAD, now, lease_s=9999)
    assert any("release the lease" in text for text in mend(installation, dry_run=True).done)
    assert store.lease("shop")
    assert any("release the lease" in text for text in mend(installation).done)
    assert store.lease("shop") is None
    store.take_lease("shop", this_process(), now, lease_s=9999)
    assert not any("lease" in text for text in mend(installation).done)
    assert store.lease("shop"), f"{row.id} is driven by somebody who lives"


def test_a_hold_mark_that_was_left_over_is_cleared(installation: Installation) -> None:
    """The next rollout turns back at once, for a mark of the last one."""
    row = closed(installation)
    cloud_of(installation).edit_by_hand("shop", mark=HoldMark(row.id, 1, "blue", "oncall", 1.0))
    assert any("hold mark" in text for text in mend(installation, dry_run=True).done)
    assert route(installation).mark
    assert any("hold mark" in text for text in mend(installation).done)
    assert route(installation).mark is None


def test_somebody_elses_mark_stays(installation: Installation) -> None:
    """A person's word is overwritten by a nightly run."""
    closed(installation)
    cloud_of(installation).edit_by_hand("shop", mark=HoldMark("another-1", 0, "blue", "oncall", 1.0))
    assert mend(installation).done == [] and route(installation).mark


def test_a_side_that_was_left_behind_is_removed(installation: Installation) -> None:
    """Hosts that nobody uses are paid for ever, and raised floors keep the service from shrinking."""
    abandoned(installation)
    rehearsed = mend(installation, dry_run=True)
    assert any("remove green" in text for text in rehearsed.done) and exists(installation, "green")
    installation.clock.sleep(5)
    told = mend(installation)
    assert any("remove green" in text for text in told.done), told
    assert not exists(installation, "green") and exists(installation, "blue")
    assert any("floor of blue back from 2 to 0" in text for text in told.done), told
    assert installation.provider("memory").compute.describe(service_of(installation))["blue"].floor == 0
    assert installation.store.lease("shop") is None
    assert mend(installation) == Repaired()
    assert closed(installation).outcome == "promoted"


@pytest.mark.parametrize(
    "why", ["not ours", "card open", "card damaged", "traffic", "original is sick", "marked", "new rollout"]
)
def test_a_side_that_somebody_may_need_is_never_removed(installation: Installation, why: str) -> None:
    """The last side that serves, a person's own environment, or the way back is deleted by a clean-up."""
    abandoned(installation)
    cloud, path = cloud_of(installation), installation.cards.path("shop")
    slot = cloud.services["shop"].slots["green"]
    assert slot.owner == owner_tag_of("shop")
    if why == "not ours":
        slot.owner = "somebody"
    elif why == "card open":
        path.write_text(json.dumps({**json.loads(path.read_text()), "closed": ""}))
    elif why == "card damaged":
        path.write_text("{")
    elif why == "traffic":
        cloud.edit_by_hand("shop", weights={"blue": 90, "green": 10})
    elif why == "original is sick":
        for instance in cloud.services["shop"].slots["blue"].instances:
            instance.judged = "unhealthy"
        installation.clock.sleep(0)
    elif why == "marked":
        cloud.edit_by_hand("shop", mark=HoldMark("another-1", 0, "blue", "oncall", 1.0))
    else:
        begin(installation, "base-1" if why == "traffic" else None)
    told = mend(installation)
    assert exists(installation, "green")
    assert not any("remove green" in text for text in told.done)
    assert told.left or why in ("not ours", "traffic"), "what is kept is said, and why"


def test_a_warm_side_is_never_removed(installation: Installation) -> None:
    """The way back disappears while its window is open."""
    row = warm(installation)
    installation.provider("memory")
    told = mend(installation)
    assert exists(installation, "blue") and exists(installation, "green")
    assert told.done == [] and any(f"{row.id} is warm, and nobody drives it" in text for text in told.left)
    assert f"rollout resume {row.id}" in told.left[0]


def test_a_floor_that_a_person_set_stays(installation: Installation) -> None:
    """A person's own floor is taken for a left-over."""
    abandoned(installation)
    cloud_of(installation).services["shop"].slots["blue"].floor = 1
    told = mend(installation)
    assert not any("floor" in text for text in told.done)


def test_a_halted_rollout_needs_a_person(installation: Installation) -> None:
    """A repair that says that all is well hides what is not."""
    row = warm(installation)
    epoch = installation.store.db.all("SELECT epoch FROM services")[0][0]
    installation.store.append(row.id, epoch, "halted", "", {"reason": "odd"}, 1.0, outcome="halted")
    assert any("is halted: odd" in text and "rollout status" in text for text in mend(installation).left)


def test_a_restored_store_is_not_repaired_by_guesses(installation: Installation) -> None:
    """A store that lacks the last day decides which side is an orphan."""
    abandoned(installation)
    with installation.store.db.transaction() as db:
        set_fact(db, RESTORED, json.dumps({"at": 1.0, "from": "/kept.db"}))
    told = mend(installation)
    assert told.done == [] and len(told.left) == 1
    assert "rollout repair --restored" in told.left[0] and exists(installation, "green")


def test_a_store_that_was_copied_back_is_not_repaired_by_guesses(installation: Installation) -> None:
    """The same, where nobody said that it was restored."""
    abandoned(installation)
    path = installation.cards.path("shop")
    path.write_text(json.dumps({**json.loads(path.read_text()), "rollout": "shop-of-tomorrow"}))
    told = mend(installation)
    assert told.done == [] and "looks restored" in told.left[0] and exists(installation, "green")


def test_a_provider_that_does_not_answer_is_said(installation: Installation) -> None:
    """One balancer that is away keeps all other services from being repaired, or is not mentioned."""
    closed(installation)
    cloud_of(installation).switches.fail["traffic.route"] = "transient"
    told = repair(installation, by="me")
    assert told.done == [] and "its provider cannot be asked" in told.left[0]
