"""The store is asked, and never waited for long: what fences whoever drives, and what still may land."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout import exits
from rollout.journal import Entry, Journal
from rollout.rescue import deciding
from rollout.store import Store, StoreError
from tests.rescue.kit import BACK, CARD, Night


def entry(kind: str, step: str, at: float = 1.0, **args: Any) -> Entry:
    """A journal entry of which only this matters."""
    return Entry("shop-1", 1, at, 1, kind, step, {"args": args}, "", "")


def swap(kind: str, at: float = 1.0, step: str = "swap:1:50") -> Entry:
    """An entry of a move."""
    return entry(kind, step, at, weights={"blue": 50, "green": 50})


def found_done(step: str = "swap:1:50") -> Entry:
    """A step that was done already when it was looked at."""
    return Entry("shop-1", 1, 99.5, 1, "done", step, {"value": {"already": True}}, "", "")


@pytest.mark.parametrize(
    ("entries", "doubt"),
    [
        ([], ""),
        ([swap("intended"), swap("done")], ""),
        ([swap("intended"), swap("failed")], ""),
        ([swap("intended")], "swap:1:50"),
        ([swap("intended", 1.0), swap("intended", 99.0), swap("done")], ""),  # the first one had its time
        ([swap("intended", 97.0), swap("intended", 99.0), swap("done")], "swap:1:50"),
        ([swap("intended", 99.0), swap("failed", 99.5)], "swap:1:50"),  # given up, after it timed out
        ([swap("intended", 90.0), swap("failed", 99.5)], ""),
        ([swap("intended", 99.0), found_done()], "swap:1:50"),  # by whatever: this write may still be on its way
        ([swap("intended", 90.0), swap("intended", 99.0), found_done()], "swap:1:50"),
        ([swap("intended", 99.0), swap("done")], ""),
        ([swap("intended"), swap("done"), swap("intended", step="swap:2:100")], "swap:2:100"),
        ([entry("intended", "mirror", image="x")], ""),
        ([entry("intended", "attach:1", slot="green")], "attach:1"),
        ([entry("intended", "back:detach", slot="green"), entry("done", "back:detach")], ""),
        ([entry("intended", "original-detach", slot="blue")], "original-detach"),
    ],
)
def test_a_write_without_its_result_may_still_land(entries: list[Entry], doubt: str) -> None:
    """Success is said while a write is on its way; or everybody waits for one that ended long ago."""
    assert deciding.unanswered(entries, since=95.0) == doubt


WORDS = st.tuples(st.sampled_from(["intended", "done", "failed", "waiting"]), st.sampled_from(["swap:1", "swap:2"]))


@given(st.lists(WORDS, max_size=12))
def test_doubt_ends_exactly_with_the_last_result(words: Sequence[tuple[str, str]]) -> None:
    """One order of lines is read as certain though the last word on a step was that it was begun."""
    entries = [swap(kind, step=step) for kind, step in words]
    last = {step: kind for kind, step in words if kind != "waiting"}
    open_now = {step for step, kind in last.items() if kind == "intended"}
    doubt = deciding.unanswered(entries, since=95.0)
    assert bool(doubt) == bool(open_now) and (not doubt or doubt in open_now)


def test_a_store_that_hangs_is_not_waited_for(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network disk or a database that does not answer keeps traffic on the bad side."""
    never = threading.Event()
    monkeypatch.setattr(deciding, "STORE_S", 0.05)
    monkeypatch.setattr(deciding, "open_store", lambda fleet_file: never.wait(30))
    assert night.rollback("shop") == exits.DONE
    never.set()
    assert night.toy.weights == BACK and night.toy.marks[0]["epoch"] == 0
    assert "the store cannot be used (no answer within 0.1 s)" in night.err or "no answer within 0.0 s" in night.err
    assert len(night.spooled()) == 1


@pytest.mark.parametrize("error", [StoreError("database or disk is full"), OSError("read-only file system")])
def test_a_store_that_cannot_be_written_is_spooled_for_later(
    night: Night, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full or read-only disk keeps traffic on the bad side, or the decision is lost."""
    store = night.store()

    def decide(*_: Any, **more: Any) -> Any:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(Store, "decide", decide)
        assert night.rollback("shop", "--reason", "slow") == exits.DONE
    assert night.toy.weights == BACK and night.clock.now - 1000.0 >= CARD.write_timeout_s
    assert Journal(store.entries("shop-1")).decision is None
    (kept,) = night.spooled()
    assert (kept["reason"], kept["by_person"]) == ("slow", True)


def test_a_journal_that_never_rests_is_given_up(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that writes without a pause keeps the on-call engineer out for ever."""
    from rollout.store import HeadMoved

    night.store()
    tries = list[int]()

    def decide(*_: Any, **more: Any) -> Any:
        tries.append(1)
        raise HeadMoved("again")

    monkeypatch.setattr(Store, "decide", decide)
    assert night.rollback("shop") == exits.DONE
    assert len(tries) == deciding.TRIES and "moves too fast" in night.err and len(night.spooled()) == 1


def test_weights_that_a_person_set_are_told_and_replaced(night: Night) -> None:
    """Somebody's half-done repair vanishes without a word."""
    store = night.store()
    captured = {"value": {"route": {"weights": {"blue": 100, "green": 0}}, "environments": {}, "healthy": 2}}
    store.append("shop-1", 0, "done", "capture", captured, 2.0)
    night.toy.weights = {"blue": 30, "green": 70}
    assert night.rollback("shop") == exits.DONE
    assert "now blue 30 %, green 70 %" in night.err and "somebody else set these weights" in night.err
    decision = Journal(store.entries("shop-1")).decision
    assert decision is not None and decision.data["route"] == {"blue": 30, "green": 70}


@pytest.mark.parametrize("skew_s", [-20.0, 0.0, 20.0])
def test_the_clock_of_whoever_drove_decides_nothing(night: Night, skew_s: float) -> None:
    """The driver's machine is 20 s behind: its lost write seems long gone, and undoes the rollback after success."""
    store, at = night.store(), night.clock.now + skew_s - 1.0
    intent = {"token": "t", "attempt": 1, "args": {"weights": {"blue": 0, "green": 100}}, "seen": {}}
    for _ in range(2):
        store.append("shop-1", 0, "intended", "swap:2:100", intent, at)
    store.append("shop-1", 0, "done", "swap:2:100", {"value": {}}, at)
    assert night.rollback("shop") == exits.DONE
    assert night.clock.now - 1000.0 >= CARD.write_timeout_s


@pytest.mark.parametrize("forced", [False, True])
def test_a_persons_word_over_a_way_back_that_halted_is_on_record(night: Night, forced: bool) -> None:
    """It turned back by itself and halted; a person forces it, and nobody can tell who did, or that it was forced."""
    store = night.store()
    head = len(store.entries("shop-1"))
    store.decide("shop-1", head, "roll_back_decided", {"actor": "rollout", "reason": "gate", "deny": False}, 2.0)
    store.decide("shop-1", head + 1, "halted", {"reason": "blue is sick"}, 3.0, outcome="halted")
    assert night.rollback("shop", "--reason", "it is well again", *(["--force"] if forced else [])) == exits.DONE
    said = store.entries("shop-1")[-1]
    assert (said.kind, said.data["forced"], said.data["reason"]) == ("resumed", forced, "it is well again")
    assert said.data["by_person"] is True and store.rollout("shop-1").outcome == "running"
    assert night.rollback("shop") == exits.DONE
    assert len(store.entries("shop-1")) == said.seq, "twice is once"


def test_the_way_back_is_looked_at_again_where_nothing_fences(night: Night) -> None:
    """The window closes while the store is waited for, and traffic is sent to a side that was just given up."""

    def read(target: Any) -> dict[str, Any]:
        night.cards.write(replace(CARD, closed="retired"))
        return real(target)

    real, night.toy.read = night.toy.read, read  # type: ignore[method-assign]
    assert night.rollback("shop", "--no-cold") == exits.PERSON_NEEDED
    assert night.toy.calls == [] and "Traffic stays on green" in night.err


def test_the_own_weights_are_nobody_elses(night: Night) -> None:
    """Each rollback suspects a stranger."""
    store = night.store()
    captured = {"value": {"route": {"weights": {"blue": 100, "green": 0}}, "environments": {}, "healthy": 2}}
    store.append("shop-1", 0, "done", "capture", captured, 2.0)
    intent = {"token": "t", "attempt": 1, "args": {"weights": {"blue": 0, "green": 100}}, "seen": {}}
    store.append("shop-1", 0, "intended", "swap:1:100", intent, 2.0)
    store.append("shop-1", 0, "done", "swap:1:100", {"value": {}}, 2.0)
    assert night.rollback("shop") == exits.DONE
    assert "somebody else" not in night.err


def test_within_gives_the_answer_or_the_error() -> None:
    """An error of the store is taken for its silence."""
    assert deciding.within(5.0, lambda: 7) == 7
    with pytest.raises(KeyError):
        deciding.within(5.0, lambda: dict[str, int]()["x"])


def test_a_drill_says_that_the_store_is_out_of_reach(night: Night) -> None:
    """The drill was green; in earnest it takes much longer, for nothing fences whoever drives."""
    assert night.rollback("shop", "--drill") == exits.DONE
    assert "the store cannot be used" in night.err and "it would be held for 5 s" in night.err
    night.store()
    assert night.rollback("shop", "--drill") == exits.DONE
    assert "cannot be used" not in night.err and night.toy.calls == []


@pytest.mark.parametrize("silent", [False, True], ids=["refused", "never answers"])
def test_a_database_server_that_is_gone_keeps_nobody_waiting(night: Night, silent: bool) -> None:
    """PostgreSQL is down with the rest of the room, and with it the way back."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if silent:
            server.listen(1)
        night.fleet.write_text(f"state: state\nstore: postgresql://rollout@127.0.0.1:{server.getsockname()[1]}/fleet\n")
        began = time.monotonic()
        assert night.rollback("shop") == exits.DONE
        assert time.monotonic() - began < deciding.STORE_S + 2.0
    assert night.toy.weights == BACK and night.toy.marks[0]["epoch"] == 0
    assert "the store cannot be used" in night.err and len(night.spooled()) == 1
