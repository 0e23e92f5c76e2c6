"""What somebody changed in the record shows, and what cannot show is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollout.care.checkpoint import FILE, write_checkpoint
from rollout.care.retention import prune
from rollout.care.verify import verify, verify_text
from rollout.fleet_journal import FleetJournal
from rollout.freeze import Freeze, Freezes
from rollout.holds import Holds
from rollout.journal import canonical
from rollout.rows import Hold
from rollout.wiring import Installation
from tests.care.scene import again, begin, closed, rechain, sql


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder on another disk, so to speak."""
    return tmp_path / "elsewhere"


def broken(made: Installation, against: Path | None = None) -> list[str]:
    """What another process finds."""
    found: list[str] = verify(again(made), None, against)["broken"]
    return found


def test_whole_journals_verify_and_broken_ones_are_named(installation: Installation) -> None:
    """A journal that was tampered with is called whole."""
    row = closed(installation)
    whole = verify(installation, row.id)
    assert whole["broken"] == [] and whole["verified"] == 1
    assert "1 journals are whole" in verify_text(whole)
    sql(installation, "UPDATE journal SET data = '{}' WHERE seq = 3")
    found = verify(installation, None)
    assert "entry 3" in found["broken"][0] and "1 journals are broken" in verify_text(found)


def test_a_journal_cut_at_its_end_is_found(installation: Installation) -> None:
    """The last entries of a journal disappear without a trace."""
    row = closed(installation)
    sql(installation, "DELETE FROM journal WHERE seq > 10")
    assert "the journal ends at entry 10" in verify(installation, row.id)["broken"][0]


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE journal SET data = '{' WHERE seq = 4", "entry 4 cannot be read"),
        ("UPDATE journal SET data = ' ' || data WHERE seq = 4", "entry 4 was edited"),
        ("UPDATE journal SET data = '[]' WHERE seq = 4", "entry 4 was edited"),
        ("UPDATE journal SET prev = 'f' WHERE seq = 4", "entry 4 names another entry before it"),
        ("UPDATE journal SET kind = CAST(kind AS BLOB) WHERE seq = 4", "cannot be read"),
        ("UPDATE rollouts SET plan = replace(plan, 'base-2', 'base-9')", "its plan in the list"),
        ("UPDATE rollouts SET plan = 'x'", "its plan cannot be read"),
        ("UPDATE rollouts SET actor = 'nobody', reason = 'x'", "its actor and reason in the list"),
        ("UPDATE rollouts SET outcome = 'aborted'", "its outcome in the list"),
        ("UPDATE rollouts SET service = 'other'", "its service in the list"),
        ("UPDATE rollouts SET phase = 'warm'", "its phase in the list"),
        ("UPDATE rollouts SET closed_at = NULL", "its end in the list"),
        ("UPDATE rollouts SET head_hash = 'f'", "not the one that its head names"),
        ("UPDATE rollouts SET pruned_at = 1", "but 75 entries of it are here"),
        ("DELETE FROM journal", "the journal ends at entry 0"),
        ("DELETE FROM rollouts", "no such rollout is listed"),
        ('UPDATE fleet_journal SET data = \'{"who":"me"}\'', "the fleet's own record"),
    ],
)
def test_every_way_to_edit_is_found_without_checkpoints(installation: Installation, statement: str, named: str) -> None:
    """Who did what, or what was planned, is changed in a column that nobody hashes."""
    row = closed(installation)
    FleetJournal(installation.store.db).append("held", "shop", {"actor": "me"}, 1.0)
    assert broken(installation) == []
    assert sql(installation, statement) >= 1
    told = " ".join(broken(installation)).replace(f"{row.head_seq} entries", "75 entries")
    assert named in told, told


def test_emptied_journals_that_nobody_archived_are_found(installation: Installation) -> None:
    """Who deletes the entries calls the rollout archived, and that is believed."""
    closed(installation)
    sql(installation, "DELETE FROM journal")
    sql(installation, "UPDATE rollouts SET pruned_at = 1")
    assert "no archiving of them is on record" in broken(installation)[0]


def test_a_forged_chain_is_found_only_against_a_checkpoint(installation: Installation, elsewhere: Path) -> None:
    """A forger who makes all hashes anew goes unnoticed for ever."""
    row = closed(installation)
    kept = write_checkpoint(installation, elsewhere)
    forged = canonical({"by": "somebody else"})
    sql(installation, "UPDATE journal SET data = ? WHERE seq = 7", forged)
    rechain(installation, row.id)
    assert broken(installation) == []
    assert "it was rewritten: entry" in broken(installation, kept)[0]


def test_a_tail_cut_with_its_head_is_found(installation: Installation, elsewhere: Path) -> None:
    """The last thing that somebody did is not on record any more."""
    row = begin(installation)
    kept = write_checkpoint(installation, elsewhere)
    closed_seq = installation.store.append(row.id, 0, "halted", "", {"reason": "x"}, 1.0).seq
    kept = write_checkpoint(installation, elsewhere)
    sql(installation, "DELETE FROM journal WHERE seq = ?", closed_seq)
    rechain(installation, row.id)
    assert broken(installation) == []
    assert f"has entry {closed_seq}, and it ends at entry 1" in broken(installation, kept)[0]


def test_a_rollout_that_is_gone_is_found(installation: Installation, elsewhere: Path) -> None:
    """A whole rollout never happened."""
    row = closed(installation)
    kept = write_checkpoint(installation, elsewhere)
    write_checkpoint(installation, elsewhere)  # from here on it is left out, as it is closed
    for table in ("journal", "waits", "rollouts"):
        sql(installation, f"DELETE FROM {table}")  # noqa: S608 - three fixed names
    assert broken(installation) == []
    found = broken(installation, kept)
    assert len(found) == 1 and found[0].startswith(f"{row.id}: it is missing")


def test_the_fleets_own_record_is_protected_too(installation: Installation, elsewhere: Path) -> None:
    """Holds, denials and restores disappear from the record."""
    fleet = FleetJournal(installation.store.db)
    fleet.append("held", "shop", {}, 1.0)
    fleet.append("released", "shop", {}, 2.0)
    kept = write_checkpoint(installation, elsewhere)
    sql(installation, "DELETE FROM fleet_journal WHERE seq = 2")
    assert broken(installation) == []
    assert "fleet: its end was cut off" in broken(installation, kept)[0]
    FleetJournal(again(installation).store.db).append("held", "shop", {}, 3.0)
    assert "fleet: it was rewritten: entry 2" in broken(installation, kept)[0]


def test_what_is_not_protected_is_said(installation: Installation, elsewhere: Path) -> None:
    """A user believes that all is safe, and the last hour is not."""
    row = begin(installation)
    kept = write_checkpoint(installation, elsewhere)
    assert "all is protected" in verify_text(verify(installation, None, kept))
    for number in range(11):
        installation.store.append(row.id, 0, "warned", "", {"about": "failing", "reason": str(number)}, 1.0)
    FleetJournal(installation.store.db).append("held", "shop", {}, 1.0)
    text = verify_text(verify(installation, None, kept))
    assert "11 entries of 1 rollout and 1 of the fleet's own record since the last checkpoint at 20" in text
    assert "are not protected" in text
    assert "Not protected: entries cut from the end" in verify_text(verify(installation, None))


def test_verifying_does_not_mistake_what_is_being_written(installation: Installation) -> None:
    """An honest journal is called broken because it grew while it was read."""
    from rollout.care.chains import fleet_chain, rollout_chains
    from rollout.database import snapshot

    row = begin(installation)
    with snapshot(installation.store_path) as taken:
        fleet = fleet_chain(taken)
        installation.store.append(row.id, 0, "halted", "", {"reason": "x"}, 1.0)
        (chain,) = rollout_chains(taken, fleet)
    assert chain.problem == "" and chain.head[0] == 1


def test_the_json_of_verify_is_stable(installation: Installation, elsewhere: Path) -> None:
    """A script that watches the record breaks."""
    row = closed(installation)
    kept = write_checkpoint(installation, elsewhere)
    seen = json.loads(json.dumps(verify(installation, None, kept)))
    assert set(seen) == {"broken", "verified", "heads", "pruned", "fleet", "against"}
    assert seen["heads"][row.id]["entries"] == row.head_seq
    assert seen["against"]["file"] == str(elsewhere / FILE)
    assert seen["against"]["unprotected"] == {"entries": 0, "rollouts": 0, "fleet_entries": 0}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KINDS = ["opened", "entered", "intended", "done", "warned", "cleared", "adopted", "paused", "resumed", "closed", "x"]


@given(
    kind=st.sampled_from(KINDS),
    step=st.text(max_size=5),
    data=st.dictionaries(st.text(max_size=5), JSON),
    forge=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_nothing_that_is_written_breaks_the_verification(
    installation: Installation, kind: str, step: str, data: dict[str, Any], forge: bool
) -> None:
    """Whoever tampers makes the one command fail that would show it."""
    if not installation.store.rollouts():
        begin(installation)
    row = installation.store.rollouts()[0]
    sql(installation, "DELETE FROM journal WHERE seq > 1")
    values = (row.id, 2, 1.0, 1, kind, step, canonical(data), "", "")
    sql(installation, "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", *values)
    if forge:
        rechain(installation, row.id)
    found = broken(installation)
    assert found or forge


def test_an_edited_key_is_found(installation: Installation) -> None:
    """Who repeats a request gets another rollout than the one that it opened."""
    from rollout import control

    control.start(installation, "shop", image=None, saved=None, key="deploy-7", actor="me", reason="because")
    assert broken(installation) == []
    sql(installation, "UPDATE rollouts SET key = 'deploy-8'")
    assert "its key in the list" in broken(installation)[0]


@pytest.mark.parametrize("column", ["actor", "reason", "outcome", "service"])
def test_the_row_of_an_archived_rollout_is_protected(installation: Installation, elsewhere: Path, column: str) -> None:
    """Once the entries are archived, anybody may rewrite who did what and how it ended."""
    row = closed(installation)
    closed(installation, "base-1")
    installation.clock.sleep(1000)
    assert [each.rollout for each in prune(installation, 1.0, elsewhere).pruned] == [row.id]
    assert broken(installation) == []
    sql(installation, f"UPDATE rollouts SET {column} = 'x' WHERE id = ?", row.id)  # noqa: S608 - fixed names
    assert "its row in the list was edited since it was archived" in broken(installation)[0]


def test_a_denial_that_vanished_is_told(installation: Installation) -> None:
    """A bad image is allowed again, and nobody knows by whom."""
    said = {"by": "me", "reason": "broke"}
    for image in ("a", "b"):
        installation.store.deny("shop", image, "broke", "", 1.0, said)
    installation.store.lift_denial("shop", "a", said, 2.0)
    assert broken(installation) == []
    sql(installation, "DELETE FROM denials")
    (told,) = broken(installation)
    assert told.startswith("shop: b was denied") and "no record says that it was lifted" in told


def test_a_rollouts_denial_that_vanished_is_told(installation: Installation) -> None:
    """The image that failed its checks last night is installed again tonight."""
    row, store = begin(installation), installation.store
    at = installation.clock.now()
    store.append(row.id, 0, "intended", "back:deny", {"args": {"images": ["bad"]}}, at)
    store.deny("shop", "bad", "failed", row.id, at)
    store.append(row.id, 0, "done", "back:deny", {"value": {"denied": ["bad"]}}, at)
    assert broken(installation) == []
    sql(installation, "DELETE FROM denials")
    assert "shop: bad was denied" in broken(installation)[0]
    store.lift_denial("shop", "bad", {"by": "me"}, at + 1)
    assert broken(installation) == []


def test_a_hold_that_is_not_as_recorded_is_told(installation: Installation) -> None:
    """A freeze is taken away, or put on in somebody's name."""
    holds = Holds(installation.store.db)
    holds.put(Hold("shop", "me", "freeze", "", 1.0, None))
    assert broken(installation) == []
    sql(installation, "UPDATE holds SET actor = 'you'")
    assert "held by another" in broken(installation)[0]
    sql(installation, "DELETE FROM holds")
    assert "no record says that it was released" in broken(installation)[0]
    holds.put(Hold("shop", "me", "freeze", "", 2.0, 3.0))
    sql(installation, "DELETE FROM holds")
    assert broken(installation) == [], "it ended by itself"
    sql(installation, "INSERT INTO holds VALUES ('other', 'you', '', '', 1.0, NULL)")
    assert "other: it is held, and no record says so" in broken(installation)[0]


def test_a_freeze_that_is_not_as_recorded_is_told(installation: Installation) -> None:
    """In the middle of an incident somebody takes the freeze out of the store, and no record says so."""
    freezes = Freezes(installation.store.db)
    freezes.put(Freeze("all", "me", "payments", "", 1.0))
    freezes.put(Freeze("service:shop", "me", "release", "", 1.0, 5.0))
    assert broken(installation) == []
    sql(installation, "UPDATE facts SET value = replace(value, '\"me\"', '\"you\"') WHERE name = 'freeze:all'")
    assert "all: it is frozen otherwise than the record says" in broken(installation)[0]
    sql(installation, "DELETE FROM facts WHERE name = 'freeze:all'")
    assert (
        "all: it was frozen, and is not any more, though no record says that it was lifted" in broken(installation)[0]
    )
    freezes.put(Freeze("all", "me", "payments", "", 2.0))
    freezes.lift("all", "me", "paid", 3.0)
    assert broken(installation) == []
    sql(installation, "UPDATE facts SET name = 'freeze:tag:a=b' WHERE name = 'freeze:service:shop'")
    assert [each.partition(":")[2] for each in broken(installation)] and "no record says so" in str(
        broken(installation)
    )
