"""What a store promises on either database: one claim, one chain, nothing recorded under a stale epoch."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollout.fleet_journal import FleetJournal
from rollout.journal import Journal, first_broken_link
from rollout.lease import Holder
from rollout.rows import Row, Wait
from rollout.store import NEVER, Claimed, Fenced, HeadMoved, LeaseHeld, Store, StoreError
from tests.stores.kit import Place

ME, RIVAL = Holder("elsewhere", "b", 1, "1"), Holder("elsewhere", "b", 2, "2")
PLAN: dict[str, Any] = {"service": {"name": "shop"}}


def opened(store: Store, rollout: str = "shop-1", service: str = "shop", key: str | None = None) -> Row:
    """An open rollout."""
    return store.open_rollout(rollout, service, PLAN, "hash", at=100.0, actor="me", reason="why", key=key)


def put(store: Store, epoch: int, kind: str, step: str = "", data: dict[str, Any] | None = None, **more: Any) -> None:
    """One entry of `shop-1`."""
    store.append("shop-1", epoch, kind, step, data or {}, 101.0, **more)


# Claims


def test_an_opened_rollout_can_be_read_back(store: Store) -> None:
    """`rollout status` shows something else than what was started."""
    row = opened(store, key="k1")
    assert (row.id, row.service, row.key, row.actor, row.reason) == ("shop-1", "shop", "k1", "me", "why")
    assert (row.phase, row.outcome, row.closed_at, row.due_at) == ("opened", "running", None, 100.0)
    assert row.plan == PLAN and row.plan_hash == "hash"
    assert store.rollout("shop-1") == row


def test_an_unknown_rollout_is_a_key_error(store: Store) -> None:
    """A mistyped id is answered with somebody else's rollout."""
    with pytest.raises(KeyError):
        store.rollout("nobody-1")


def test_a_second_start_is_refused_and_names_the_first(store: Store) -> None:
    """Two rollouts patch one service at the same time."""
    opened(store)
    with pytest.raises(Claimed, match="shop has an open rollout: shop-1") as refused:
        opened(store, "shop-2")
    assert refused.value.rollout.id == "shop-1"
    assert [row.id for row in store.rollouts()] == ["shop-1"]


def test_other_services_are_not_claimed(store: Store) -> None:
    """One rollout blocks the whole fleet."""
    opened(store)
    assert opened(store, "cart-1", "cart").service == "cart"


def test_a_closed_rollout_gives_the_claim_up(store: Store) -> None:
    """A service can be patched only once in its life."""
    opened(store)
    put(store, 0, "closed", "rolled_back", outcome="rolled_back")
    assert opened(store, "shop-2").id == "shop-2"


def test_the_same_key_is_the_same_rollout_whatever_became_of_it(store: Store) -> None:
    """A retried pipeline starts a second rollout."""
    opened(store, key="build-7")
    assert opened(store, "shop-2", key="build-7").id == "shop-1"
    put(store, 0, "closed", "retired", outcome="promoted")
    assert opened(store, "shop-3", key="build-7").id == "shop-1"
    assert opened(store, "shop-4", key="build-8").id == "shop-4"


def test_keys_belong_to_a_service(store: Store) -> None:
    """A pipeline that patches two services with one key patches only the first."""
    opened(store, key="build-7")
    assert opened(store, "cart-1", "cart", key="build-7").id == "cart-1"


def test_two_threads_get_one_claim(place: Place) -> None:
    """Two people who press enter at the same moment both start."""
    found, ready = list[str](), threading.Barrier(4)
    place.open()

    def begin(number: int) -> None:
        own = place.open()
        ready.wait()
        try:
            found.append(opened(own, f"shop-{number}").id)
        except Claimed:
            found.append("claimed")
        own.close()

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count("claimed") == 3


def test_two_processes_get_one_claim(place: Place) -> None:
    """A pipeline and a person on the same machine patch the same service."""
    place.open()
    program = (
        "import sys\nfrom pathlib import Path\nfrom rollout.store import Claimed\n"
        "from rollout.stores.opening import open_store\nstore = open_store(Path(sys.argv[1]))\nsys.stdin.readline()\n"
        "try:\n    store.open_rollout(sys.argv[2], 'shop', {}, 'h', at=1.0, actor='p')\n    print('opened')\n"
        "except Claimed:\n    print('claimed')\n"
    )
    made = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(place.fleet_file), f"shop-{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for process in made:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    said = sorted(process.communicate()[0].strip() for process in made)
    assert said == ["claimed", "claimed", "opened"]


def test_rollouts_are_listed_newest_first(store: Store) -> None:
    """`rollout status SERVICE` shows last year's rollout, or an earlier one after the clock was set back."""
    for number, at in ((1, 1.0), (2, 3.0), (3, 2.0)):
        store.open_rollout(f"s{number}-1", f"s{number}", {}, "h", at=at, actor="me")
    assert [row.id for row in store.rollouts()] == ["s3-1", "s2-1", "s1-1"]
    assert [row.id for row in store.rollouts("s3")] == ["s3-1"]
    assert [row.id for row in store.rollouts(limit=1)] == ["s3-1"]


def test_only_open_rollouts_whose_time_has_come_are_due(store: Store) -> None:
    """A waiting rollout is never looked at again, or a closed one for ever."""
    opened(store)
    opened(store, "cart-1", "cart")
    assert {row.id for row in store.due(100.0)} == {"shop-1", "cart-1"}
    epoch = store.take_lease("shop", ME, 100.0)
    store.release_lease("shop-1", epoch, 150.0)
    assert [row.id for row in store.due(149.0)] == ["cart-1"]
    put(store, epoch, "closed", "retired")
    assert [row.id for row in store.due(NEVER)] == ["cart-1"]
    assert [row.id for row in store.rollouts(open_only=True)] == ["cart-1"]


# Appending


def test_the_first_entry_says_who_and_why(store: Store) -> None:
    """Nobody knows later who started a rollout."""
    opened(store)
    (first,) = store.entries("shop-1")
    said = {"plan_hash": "hash", "actor": "me", "reason": "why", "ref": ""}
    assert (first.kind, first.seq, first.data) == ("opened", 1, said)


def test_a_stale_controller_records_nothing(store: Store) -> None:
    """A controller that was frozen for a minute goes on where another one took over."""
    opened(store)
    stale = store.take_lease("shop", ME, 100.0)
    store.take_lease("shop", RIVAL, 200.0)
    with pytest.raises(Fenced, match="stale"):
        put(store, stale, "done", "swap")
    with pytest.raises(Fenced, match="stale"):
        store.save_wait("shop-1", stale, Wait("x", 1.0, None, 2.0, {}))
    with pytest.raises(Fenced, match="stale"):
        store.renew_lease("shop", stale, 200.0)
    assert len(store.entries("shop-1")) == 1
    assert store.wait("shop-1") is None


def test_fenced_is_not_an_ordinary_exception() -> None:
    """Some `except Exception` swallows it, and a stale controller goes on."""
    assert not issubclass(Fenced, Exception)


def test_a_decision_is_written_only_over_the_journal_that_was_read(store: Store) -> None:
    """A rollback is decided on what was true a moment ago."""
    opened(store)
    put(store, 0, "entered", "preparing")
    with pytest.raises(HeadMoved, match="read at entry 1, now at 2"):
        store.decide("shop-1", 1, "roll_back_decided", {}, 102.0)
    entry = store.decide("shop-1", 2, "roll_back_decided", {"reason": "x"}, 102.0, outcome="running")
    assert entry.epoch == 1 and store.rollout("shop-1").due_at == 102.0


def test_a_decision_fences_whoever_drives(store: Store) -> None:
    """The rollout goes forward after somebody decided to put traffic back."""
    opened(store)
    epoch = store.take_lease("shop", ME, 100.0)
    store.decide("shop-1", 1, "roll_back_decided", {}, 101.0)
    with pytest.raises(Fenced):
        put(store, epoch, "intended", "swap:2:100")


def test_a_stale_controller_is_told_before_it_repeats_a_write(store: Store) -> None:
    """A frozen controller repeats a create whose intent it finds, long after another one took over."""
    opened(store)
    stale = store.take_lease("shop", ME, 100.0)
    store.raise_if_stale("shop-1", stale)
    store.take_lease("shop", RIVAL, 200.0)
    with pytest.raises(Fenced, match="epoch 1 is stale, 2 is current"):
        store.raise_if_stale("shop-1", stale)
    assert store.rollout("shop-1").head_seq == 1


def test_after_a_decision_nobody_waits_for_a_lease(store: Store) -> None:
    """A rollback waits ten seconds for the lease of a controller that it has just fenced."""
    opened(store)
    store.take_lease("shop", ME, 100.0)
    store.decide("shop-1", 1, "roll_back_decided", {}, 101.0)
    assert store.lease("shop") is None
    assert store.take_lease("shop", RIVAL, 101.0) == 3


def test_a_refused_decision_changes_no_epoch(store: Store) -> None:
    """A refused rollback stops the rollout that it did not turn back."""
    opened(store)
    epoch = store.take_lease("shop", ME, 100.0)
    with pytest.raises(HeadMoved):
        store.decide("shop-1", 7, "roll_back_decided", {}, 101.0)
    put(store, epoch, "entered", "preparing")


def test_later_entries_can_be_read_alone(store: Store) -> None:
    """Progress on the screen repeats itself from the start."""
    opened(store)
    put(store, 0, "entered", "preparing")
    assert [entry.kind for entry in store.entries("shop-1", 1)] == ["entered"]


def test_concurrent_appends_keep_the_chain_whole(place: Place) -> None:
    """Two threads that write at once leave a journal that looks tampered with."""
    first = place.open()
    opened(first)

    def write(number: int) -> None:
        own = first if number % 2 else place.open()
        for turn in range(5):
            own.append("shop-1", 0, "done", f"{number}:{turn}", {"value": turn}, 5.0)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = first.entries("shop-1")
    assert len(entries) == 21
    assert first_broken_link(entries) == ""
    assert first.rollout("shop-1").head_hash == entries[-1].hash


def test_a_crash_inside_a_transaction_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies while it writes leaves half of an entry."""
    opened(store)
    before = store.rollout("shop-1")

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rollout.store._save_wait", dies)
    with pytest.raises(KeyboardInterrupt):
        put(store, 0, "waiting", "healthy", wait=Wait("healthy", 1.0, None, 1.0, {}))
    assert store.rollout("shop-1") == before
    assert len(store.entries("shop-1")) == 1
    monkeypatch.undo()
    put(store, 0, "entered", "preparing")
    assert first_broken_link(store.entries("shop-1")) == ""


def test_data_that_cannot_be_kept_leaves_nothing(store: Store) -> None:
    """One strange value in a check's evidence corrupts the journal."""
    opened(store)
    for bad in (float("nan"), object()):
        with pytest.raises((ValueError, TypeError)):
            put(store, 0, "done", "x", {"value": bad})
    assert len(store.entries("shop-1")) == 1
    put(store, 0, "done", "x", {"value": 1})


KEYS = st.integers(0, 500) | st.text(max_size=4)
EVIDENCE = st.dictionaries(KEYS, st.integers() | st.text() | st.tuples(st.integers(), st.floats(-1e6, 1e6)), max_size=4)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    evidence=st.dictionaries(st.integers(0, 2000), st.integers(), max_size=5)
    | EVIDENCE.filter(lambda d: len({type(k) for k in d}) < 2),
    at=st.integers(0, 2**40),
)
def test_whatever_a_check_leaves_as_evidence_the_chain_stays_whole(
    place: Place, evidence: dict[Any, Any], at: int
) -> None:
    """An honest journal is called broken because some evidence had numbers for keys, or a clock whole seconds."""
    empty = place.another()
    store = empty.open()
    opened(store)
    returned = store.append("shop-1", 0, "done", "x", {"evidence": evidence}, at)
    read = store.entries("shop-1")
    assert first_broken_link(read) == ""
    assert read[-1] == returned
    empty.close()


# Summary of the journal


MOVES = st.lists(
    st.sampled_from(
        [
            ("entered", "preparing", None),
            ("entered", "shifting", None),
            ("entered", "warm", "promoted"),
            ("waiting", "approval", "waiting_approval"),
            ("waiting", "healthy", None),
            ("ended", "healthy", None),
            ("ended", "approval", "running"),
            ("done", "swap:1:10", None),
            ("halted", "", "halted"),
            ("decide", "roll_back_decided", "running"),
            ("decide", "resumed", "running"),
            ("lease", "", None),
            ("closed", "rolled_back", "rolled_back"),
        ]
    ),
    max_size=12,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(moves=MOVES)
def test_a_row_says_what_its_journal_says(place: Place, moves: list[tuple[str, str, str | None]]) -> None:
    """`status` shows one thing and the journal another."""
    empty = place.another()
    store, epoch, outcome, waits = empty.open(), 0, "running", False
    opened(store)
    for at, (kind, step, new) in enumerate(moves, start=1):
        if kind == "lease":
            epoch = store.take_lease("shop", ME, float(at))
            continue
        if kind == "decide":
            epoch = store.decide("shop-1", store.rollout("shop-1").head_seq, step, {}, float(at), outcome=new).epoch
        else:
            wait = Wait(step, float(at), None, float(at), {}) if kind == "waiting" else None
            store.append("shop-1", epoch, kind, step, {}, float(at), outcome=new, wait=wait)
        outcome = new or outcome
        waits = kind == "waiting" or (
            waits and kind not in ("ended", "halted", "closed") and step != "roll_back_decided"
        )
    row, entries = store.rollout("shop-1"), store.entries("shop-1")
    journal = Journal(entries)
    assert first_broken_link(entries) == ""
    assert (row.phase, row.head_seq, row.head_hash) == (journal.phase, journal.head, entries[-1].hash)
    assert row.outcome == outcome
    assert row.closed_at == (journal.closed.at if journal.closed else None)
    assert (store.wait("shop-1") is not None) == waits
    empty.close()


# Waits


def test_a_wait_is_kept_until_what_ends_it(store: Store) -> None:
    """A restarted program waits from the beginning, or for something that is over."""
    opened(store)
    wait = Wait("healthy", 100.0, 160.0, 105.0, {"seen": "1 of 2"})
    for ending in ("ended", "halted", "roll_back_decided", "closed"):
        put(store, 0, "waiting", "healthy", wait=wait)
        assert store.wait("shop-1") == wait
        put(store, 0, ending, "healthy")
        assert store.wait("shop-1") is None


def test_a_look_at_a_wait_replaces_the_one_before(store: Store) -> None:
    """Progress of a gate is lost between two looks."""
    opened(store)
    put(store, 0, "waiting", "live", wait=Wait("live", 1.0, None, 2.0, {}))
    store.save_wait("shop-1", 0, Wait("live", 1.0, None, 9.0, {"judged": {"passes": 1}}))
    found = store.wait("shop-1")
    assert found is not None and (found.due_at, found.state) == (9.0, {"judged": {"passes": 1}})
    assert len(store.entries("shop-1")) == 2


# Leases


def test_each_taking_raises_the_epoch(store: Store) -> None:
    """Two controllers in a row cannot be told apart, so the first one's late writes count."""
    opened(store)
    epochs = [store.take_lease("shop", ME, 100.0 + turn) for turn in range(3)]
    assert epochs == [1, 2, 3]


def test_a_held_lease_is_refused_and_says_who_and_how_long(store: Store) -> None:
    """Two processes drive one rollout, or a person cannot see who does."""
    store.take_lease("shop", ME, 100.0, 10.0)
    with pytest.raises(LeaseHeld, match="process 1 on elsewhere; its lease runs out in 6 s") as held:
        store.take_lease("shop", RIVAL, 104.0)
    assert (held.value.holder, held.value.expires_in_s) == (ME, 6.0)
    assert store.lease("shop") == (ME, 110.0)


def test_an_expired_lease_is_taken(store: Store) -> None:
    """A rollout whose controller was lost on another host hangs for ever."""
    store.take_lease("shop", ME, 100.0, 10.0)
    assert store.take_lease("shop", RIVAL, 110.0) == 2


def test_a_renewed_lease_lasts_longer(store: Store) -> None:
    """A long write loses its lease in the middle."""
    epoch = store.take_lease("shop", ME, 100.0, 10.0)
    store.renew_lease("shop", epoch, 108.0, 10.0)
    with pytest.raises(LeaseHeld):
        store.take_lease("shop", RIVAL, 115.0)


def test_a_released_lease_is_free_and_says_when_it_is_due(store: Store) -> None:
    """The next process waits ten seconds for nobody, or a finished wait is never looked at."""
    opened(store)
    epoch = store.take_lease("shop", ME, 100.0)
    store.release_lease("shop-1", epoch, 130.0)
    assert store.lease("shop") is None and store.rollout("shop-1").due_at == 130.0
    epoch = store.take_lease("shop", RIVAL, 101.0)
    store.release_lease("shop-1", epoch)
    assert store.rollout("shop-1").due_at == NEVER


def test_a_job_that_ends_changes_no_other_rollouts_time(store: Store) -> None:
    """A rollout that was opened a moment ago waits for ever, because the one before it had just ended."""
    opened(store)
    opened(store, "cart-1", "cart")
    epoch = store.take_lease("shop", ME, 100.0)
    put(store, epoch, "closed", "retired", outcome="promoted")
    opened(store, "shop-2")
    store.release_lease("shop-1", epoch)
    assert (store.rollout("shop-2").due_at, store.rollout("cart-1").due_at) == (100.0, 100.0)
    assert store.lease("shop") is None


def test_a_stale_release_takes_nobodys_lease_away(store: Store) -> None:
    """A controller that was overtaken frees the lease of the one that overtook it."""
    opened(store)
    stale = store.take_lease("shop", ME, 100.0)
    store.take_lease("shop", RIVAL, 200.0)
    store.release_lease("shop-1", stale, 999.0)
    found = store.lease("shop")
    assert found is not None and found[0] == RIVAL
    assert store.rollout("shop-1").due_at == 100.0


def test_a_service_nobody_drives_has_no_lease(store: Store) -> None:
    """Status names a driver where there is none."""
    assert store.lease("shop") is None


# Who drives


def test_a_driver_is_known_while_it_is_there(store: Store) -> None:
    """A second command drives too, or waits for a process that left long ago."""
    opened(store)
    assert store.driver("shop-1", 100.0) is None
    store.note_driver("shop-1", ME, 100.0)
    assert store.driver("shop-1", 110.0) == ME
    assert store.driver("shop-1", 110.5) is None
    store.leave_driver("shop-1", RIVAL)
    assert store.driver("shop-1", 101.0) == ME
    store.leave_driver("shop-1", ME)
    assert store.driver("shop-1", 101.0) is None


def test_a_dead_driver_drives_nothing(store: Store) -> None:
    """After a crash the next command watches a process that is not there."""
    opened(store)
    store.note_driver("shop-1", Holder(socket.gethostname(), "an earlier boot", 1, "1"), 100.0)
    assert store.driver("shop-1", 100.0) is None


def test_a_driver_is_no_fence(store: Store) -> None:
    """A courtesy between terminals keeps the engine from acting."""
    opened(store)
    store.note_driver("shop-1", ME, 100.0)
    assert store.take_lease("shop", RIVAL, 100.0) == 1


# Denied images


def test_an_image_that_failed_on_enough_services_is_denied_to_all(store: Store) -> None:
    """An image that breaks everything is tried on every service in turn."""
    store.deny("shop", "base-2", "x", "shop-1", 1.0)
    assert store.denied_everywhere(2) == {}
    store.deny("cart", "base-2", "x", "cart-1", 1.0)
    assert store.denied_everywhere(2) == {"base-2": "it failed on 2 services"}


def test_denied_images_are_remembered_for_their_service_and_lifted(store: Store) -> None:
    """A patch that failed is rolled out again the next night."""
    store.deny("shop", "base-2", "it broke", "shop-1", 1.0)
    store.deny("shop", "base-2", "it broke again", "shop-2", 2.0)
    assert store.denials("shop") == {"base-2": "it broke again"}
    assert store.denials("cart") == {}
    store.lift_denial("shop", "base-2", {"by": "me"}, 3.0)
    assert FleetJournal(store.db).entries()[-1].kind == "denial_lifted"
    assert store.denials("shop") == {}


def test_a_store_can_be_read_by_a_second_connection_while_it_is_written(place: Place) -> None:
    """`status` hangs while a rollout runs."""
    writer, reader = place.open(), place.open(busy_s=0.0)
    opened(writer)
    with writer.db.transaction():
        assert reader.rollout("shop-1").id == "shop-1"
        with pytest.raises(StoreError, match=r"locked|has been writing"):
            reader.take_lease("shop", RIVAL, 1.0)
