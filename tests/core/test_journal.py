"""The chain shows tampering; replay means the same thing to every process."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.journal import GENESIS, Entry, Journal, canonical, first_broken_link, next_entry

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
LINES = st.lists(
    st.tuples(st.sampled_from(["entered", "intended", "done", "waiting", "ended"]), st.text(max_size=6), JSON),
    min_size=2,
    max_size=8,
)


def chain(lines: list[tuple[str, str, Any]], rollout: str = "shop-1") -> list[Entry]:
    """A whole chain of these lines."""
    entries: list[Entry] = []
    for seq, (kind, step, value) in enumerate(lines, start=1):
        prev = entries[-1].hash if entries else GENESIS
        data = {"value": value}
        entries.append(next_entry(rollout, seq, prev, at=float(seq), epoch=1, kind=kind, step=step, data=data))
    return entries


def told(*lines: tuple[str, str, dict[str, Any]]) -> Journal:
    """A journal of these lines, with free data."""
    entries: list[Entry] = []
    for seq, (kind, step, data) in enumerate(lines, start=1):
        prev = entries[-1].hash if entries else GENESIS
        entries.append(next_entry("shop-1", seq, prev, at=float(seq), epoch=1, kind=kind, step=step, data=data))
    return Journal(entries)


# The chain


@given(LINES)
def test_an_untouched_chain_is_whole(lines: list[tuple[str, str, Any]]) -> None:
    """A user loses trust in every journal when an honest one is called broken."""
    assert first_broken_link(chain(lines)) == ""


def test_an_empty_chain_is_whole() -> None:
    """A user whose rollout has no entries yet gets an error instead of an answer."""
    assert first_broken_link([]) == ""


@given(LINES, st.data())
def test_an_edit_of_any_field_is_found(lines: list[tuple[str, str, Any]], data: st.DataObject) -> None:
    """An auditor loses the proof that nobody changed who did what, and when."""
    entries = chain(lines)
    at = data.draw(st.integers(0, len(entries) - 1))
    field = data.draw(st.sampled_from(["rollout", "at", "epoch", "kind", "step", "data", "hash"]))
    edits: dict[str, Any] = {
        "rollout": "other-1",
        "at": entries[at].at + 0.25,
        "epoch": entries[at].epoch + 1,
        "kind": entries[at].kind + "x",
        "step": entries[at].step + "x",
        "data": {**entries[at].data, "by": "nobody"},
        "hash": "f" * 64,
    }
    entries[at] = replace(entries[at], **{field: edits[field]})
    assert first_broken_link(entries) != ""


@given(LINES, st.data())
def test_a_deleted_entry_is_found_unless_it_was_the_last(
    lines: list[tuple[str, str, Any]], data: st.DataObject
) -> None:
    """An auditor loses an inconvenient entry without a trace."""
    entries = chain(lines)
    del entries[data.draw(st.integers(0, len(entries) - 2))]
    assert "is missing" in first_broken_link(entries)


@given(LINES, st.data())
def test_a_renumbered_chain_with_a_hole_is_found(lines: list[tuple[str, str, Any]], data: st.DataObject) -> None:
    """Somebody deletes an entry, numbers the rest anew, and nobody notices."""
    entries = chain(lines)
    del entries[data.draw(st.integers(0, len(entries) - 2))]
    renumbered = [replace(entry, seq=seq) for seq, entry in enumerate(entries, start=1)]
    assert "does not match its hash" in first_broken_link(renumbered)


@given(LINES, st.data())
def test_reordered_entries_are_found(lines: list[tuple[str, str, Any]], data: st.DataObject) -> None:
    """An auditor can no longer tell what came first."""
    entries = chain(lines)
    first, second = sorted(data.draw(st.lists(st.integers(0, len(entries) - 1), min_size=2, max_size=2, unique=True)))
    entries[first], entries[second] = entries[second], entries[first]
    assert first_broken_link(entries) != ""
    swapped = [replace(entry, seq=seq) for seq, entry in enumerate(entries, start=1)]
    assert first_broken_link(swapped) != ""


@given(LINES)
def test_an_entry_from_another_journal_is_found(lines: list[tuple[str, str, Any]]) -> None:
    """A true entry of another rollout passes for one of this rollout."""
    entries, foreign = chain(lines), chain(lines, "other-1")
    entries[0] = foreign[0]
    assert first_broken_link(entries) != ""


def test_a_rehashed_edit_breaks_the_next_link() -> None:
    """Whoever edits an entry and recomputes its hash gets away with it."""
    entries = chain([("entered", "preparing", 1), ("entered", "mirroring", 2), ("entered", "patching", 3)])
    entries[1] = next_entry("shop-1", 2, entries[0].hash, at=2.0, epoch=1, kind="entered", step="warm", data={})
    assert "entry 3" in first_broken_link(entries)


@given(JSON)
def test_canonical_text_survives_being_read_back(value: Any) -> None:
    """A journal that was written honestly does not verify after it was read from disk."""
    assert canonical(json.loads(canonical(value))) == canonical(value)


def test_canonical_text_can_always_be_stored() -> None:
    """One broken character in a health page's answer ends every job of the rollout with an exception."""
    assert canonical({"summary": "\ud800 caf\u00e9"}).encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_a_number_is_refused(value: float) -> None:
    """A journal holds text that other JSON readers cannot read."""
    with pytest.raises(ValueError, match="JSON"):
        canonical({"share": value})


# Replay


def test_a_recorded_step_has_its_value() -> None:
    """After a crash a finished step is done a second time."""
    journal = told(("intended", "mirror", {"args": {}}), ("done", "mirror", {"value": {"ok": 1}}))
    assert journal.value("mirror") == {"ok": 1}
    assert journal.open_intent("mirror") is None
    assert journal.recorded_steps() == {"mirror"}


def test_an_intent_without_a_record_is_open() -> None:
    """After a crash in the middle of a write nobody knows that it may have happened."""
    journal = told(
        ("intended", "swap:1:10", {"args": {}, "attempt": 1}), ("intended", "swap:1:10", {"args": {}, "attempt": 2})
    )
    found = journal.open_intent("swap:1:10")
    assert found is not None and found.data["attempt"] == 2
    assert len(journal.intents("swap:1:10")) == 2
    assert journal.record("swap:1:10") is None


def test_an_unknown_step_has_neither_record_nor_intent() -> None:
    """A step that was never begun is taken for one that was."""
    journal = told(("opened", "", {}))
    assert (journal.record("swap"), journal.value("swap"), journal.open_intent("swap")) == (None, None, None)
    assert list(journal.intents("swap")) == []


def test_a_failed_step_stays_failed_until_a_person_resumes() -> None:
    """A step that failed for good is tried again and again without anybody having said so."""
    failed = ("failed", "patch", {"outcome": "failed", "reason": "no"})
    journal = told(("intended", "patch", {"args": {"a": 1}}), failed, ("halted", "", {"reason": "x"}))
    assert journal.record("patch") is not None
    assert journal.open_intent("patch") is None
    resumed = told(
        ("intended", "patch", {"args": {"a": 1}}),
        failed,
        ("halted", "", {"reason": "x"}),
        ("resumed", "", {"by": "me"}),
    )
    assert resumed.record("patch") is None
    assert resumed.halt is None
    again = resumed.open_intent("patch")
    assert again is not None and again.data["args"] == {"a": 1}


def test_resuming_keeps_what_succeeded() -> None:
    """Resuming a halted rollout repeats all that was done before."""
    journal = told(
        ("done", "mirror", {"value": 1}),
        ("ended", "healthy", {"outcome": "met"}),
        ("ended", "proof", {"outcome": "failed", "reason": "x"}),
        ("halted", "", {"reason": "x"}),
        ("resumed", "", {"by": "me"}),
    )
    assert journal.recorded_steps() == {"mirror", "healthy"}


def test_a_decision_clears_the_halt() -> None:
    """A halted rollout cannot be rolled back, because it stays halted."""
    journal = told(("halted", "", {"reason": "x"}), ("roll_back_decided", "", {"reason": "y"}))
    assert journal.halt is None
    assert journal.decision is not None and journal.decision.data["reason"] == "y"


def test_a_halt_after_the_decision_stands() -> None:
    """A rollback that needs a person looks as if it were going on."""
    journal = told(("roll_back_decided", "", {"reason": "y"}), ("halted", "", {"reason": "x"}))
    assert journal.halt is not None and journal.decision is not None


def test_resuming_keeps_the_decision_to_turn_back() -> None:
    """Resuming a rollback sends it forward again, onto the bad side."""
    journal = told(("roll_back_decided", "", {"reason": "y"}), ("halted", "", {"reason": "x"}), ("resumed", "", {}))
    assert journal.decision is not None and journal.halt is None


def test_the_phase_is_the_last_one_entered() -> None:
    """Status names a phase that is long over."""
    assert told(("opened", "", {})).phase == "opened"
    assert told(("entered", "preparing", {}), ("entered", "mirroring", {}), ("done", "x", {})).phase == "mirroring"


def test_the_head_is_the_last_entry() -> None:
    """A decision is written over a journal that went on meanwhile."""
    assert Journal([]).head == 0
    assert told(("opened", "", {}), ("entered", "preparing", {})).head == 2


def test_all_declared_routes_are_known_oldest_first() -> None:
    """A late write of ours is taken for a stranger's edit, or a stranger's for ours."""
    journal = told(
        ("intended", "pin", {"args": {"floor": 2}}),
        ("intended", "swap:1:10", {"args": {"weights": {"blue": 90, "green": 10}}}),
        ("intended", "swap:2:100", {"args": {"weights": {"blue": 0, "green": 100}}}),
    )
    assert [dict(weights) for _, weights in journal.intended_routes()] == [
        {"blue": 90, "green": 10},
        {"blue": 0, "green": 100},
    ]


def test_trouble_counts_from_its_beginning() -> None:
    """A platform that is down is given its whole time again with every try, or none after a long quiet rest."""
    troubled = ("troubled", "between steps", {"reason": "Transient: timeout"})
    journal = told(("entered", "warm", {}), troubled, ("intended", "swap", {"args": {}}), troubled)
    assert journal.trouble is not None and journal.trouble.seq == 2


def test_trouble_begins_with_its_first_entry() -> None:
    """One slow answer after hours of rest is taken for hours of trouble."""
    assert told(("entered", "warm", {}), ("waiting", "keep-warm", {})).trouble is None


@pytest.mark.parametrize(
    "kind",
    [
        "recovered",
        "entered",
        "done",
        "failed",
        "waiting",
        "ended",
        "verdict_changed",
        "roll_back_decided",
        "halted",
        "resumed",
        "approved",
        "warm_ended",
    ],
)
def test_whatever_goes_on_ends_the_trouble(kind: str) -> None:
    """Two short outages far apart add up to one long one, and turn a good patch back."""
    first = ("troubled", "mirror", {"reason": "x"})
    assert told(first, (kind, "mirror", {})).trouble is None
    again = told(first, (kind, "mirror", {}), ("troubled", "mirror", {"reason": "y"})).trouble
    assert again is not None and again.seq == 3


def test_what_is_only_meant_does_not_end_the_trouble() -> None:
    """Every try of a write that never succeeds begins its time-out anew, and it is tried for ever."""
    journal = told(("troubled", "swap", {"reason": "x"}), ("intended", "swap", {"args": {}}))
    assert journal.trouble is not None


def test_ended_warm_time_closing_and_last_entries_are_found() -> None:
    """`--end-warm` and a closed rollout are forgotten by the next process."""
    journal = told(
        ("approved", "", {"by": "a"}),
        ("approved", "", {"by": "b"}),
        ("warm_ended", "", {"by": "me"}),
        ("closed", "x", {}),
    )
    assert journal.warm_ended is not None and journal.closed is not None
    last = journal.last("approved")
    assert last is not None and last.data["by"] == "b"
    assert journal.last("halted") is None


@given(LINES, st.integers(0, 8))
def test_replay_does_not_depend_on_when_it_was_read(lines: list[tuple[str, str, Any]], cut: int) -> None:
    """A process that read the journal in two parts acts differently from one that read it at once."""
    entries = chain([(kind, step, value) for kind, step, value in lines if kind != "intended"])
    at_once, in_parts = Journal(entries), Journal(entries[:cut])
    for entry in entries[cut:]:
        in_parts.add(entry)
    assert at_once.recorded_steps() == in_parts.recorded_steps()
    assert (at_once.phase, at_once.head) == (in_parts.phase, in_parts.head)
