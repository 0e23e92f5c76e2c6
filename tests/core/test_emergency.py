"""The way back at night: it acts on the card alone, refuses in plain words, and says success only when it is true."""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rollout import emergency, entry, exits
from rollout.card import Card
from rollout.journal import Journal, first_broken_link
from rollout.rescue import deciding, judging
from rollout.store import Fenced, Store
from tests.rescue.kit import BACK, CARD, Night, a_night


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Night:
    """A night with a fake provider and a fake time."""
    return a_night(tmp_path, monkeypatch, capsys)


# What it does


def test_traffic_goes_back_first_and_then_is_marked(night: Night) -> None:
    """Users wait for paperwork, or the engine moves traffic forward again."""
    night.store()
    assert night.rollback("shop", "--reason", "checkout is slow") == exits.DONE
    assert night.toy.weights == BACK
    assert [call for call, _ in night.toy.calls] == ["put_back", "set_mark"]
    (mark,) = night.toy.marks
    assert (mark["rollout"], mark["active"], mark["reason"], mark["epoch"]) == ("shop-1", "blue", "checkout is slow", 1)


@pytest.mark.parametrize("words", [("shop", "--reason", "slow"), ("--reason", "slow", "shop"), ("--reason=slow",)])
def test_the_order_of_words_does_not_matter(night: Night, words: tuple[str, ...]) -> None:
    """A tired person writes the reason before the service and gets a usage message."""
    assert night.rollback(*words) == exits.DONE
    assert night.toy.weights == BACK and night.toy.marks[0]["reason"] == "slow"


def test_success_is_said_only_after_no_write_can_land_any_more(night: Night) -> None:
    """The engineer goes back to bed, and a late write undoes it."""
    assert night.rollback("shop") == exits.DONE
    assert night.clock.now - 1000.0 >= CARD.write_timeout_s
    last = night.err.strip().splitlines()[-1]
    assert "all new traffic is on blue, marked and read back for 5 s; 37 requests still on green" in last
    accepted = night.err.index("traffic is on blue (accepted, read back); watching 5 s for late writes")
    assert accepted < night.err.index("all new traffic")


def test_where_no_write_can_be_on_its_way_nobody_waits(night: Night) -> None:
    """Each rollback takes as long as the slowest write might, although the store shows that there is none."""
    night.store()
    assert night.rollback("shop") == exits.DONE
    assert night.clock.now == 1000.0 and night.toy.looks == 2
    assert "all new traffic is on blue, marked and read back; 37 requests still on green" in night.err
    assert "watching" not in night.err


def test_a_write_whose_result_is_not_known_is_waited_for(night: Night) -> None:
    """A worker died in the middle of a swap, and its write lands after `done` was said."""
    store = night.store()
    intent = {"token": "t", "attempt": 1, "args": {"weights": {"blue": 50, "green": 50}}, "seen": {}}
    store.append("shop-1", 0, "intended", "swap:1:50", intent, 2.0)
    night.toy.late = {6: {"blue": 50, "green": 50}}
    assert night.rollback("shop") == exits.DONE
    assert night.clock.now - 1000.0 >= CARD.write_timeout_s and night.toy.weights == BACK
    assert "watching 5 s for late writes: swap:1:50 was begun and has no result" in night.err


def test_a_store_that_is_older_than_the_card_fences_nobody(night: Night) -> None:
    """A store was restored from yesterday, and its word that nothing is under way is believed."""
    night.store()
    night.cards.write(replace(CARD, epoch=7))
    night.toy.late = {4: {"blue": 0, "green": 100}}
    assert night.rollback("shop") == exits.DONE
    assert night.toy.weights == BACK and night.clock.now - 1000.0 >= CARD.write_timeout_s
    assert "the store is older than the card (epoch 1, card 7)" in night.err


def test_a_slip_that_is_seen_at_once_is_watched_like_any_other(night: Night) -> None:
    """Traffic had slipped back already when it was read back, and it was looked at only once more."""
    night.store()
    night.toy.late = {2: {"blue": 0, "green": 100}}
    assert night.rollback("shop") == exits.DONE
    assert night.toy.weights == BACK and night.clock.now - 1000.0 >= CARD.write_timeout_s


def test_what_the_platform_tells_only_later_is_not_called_nothing(night: Night) -> None:
    """The side that still has customers on it is said to be empty, and somebody ends it."""
    night.store()
    night.toy.left = None
    assert night.rollback("shop") == exits.DONE
    last = night.err.strip().splitlines()[-1]
    assert "what is still on green is not told at once" in last and "0 requests" not in last


def test_a_late_write_is_put_right(night: Night) -> None:
    """Traffic slips back to the bad side a second after it was put back."""
    night.toy.late = {3: {"blue": 50, "green": 50}, 6: {"blue": 0, "green": 100}}
    assert night.rollback("shop") == exits.DONE
    assert night.toy.weights == BACK
    assert [call for call, _ in night.toy.calls] == ["put_back", *["set_mark", "put_back"] * 2, "set_mark"]
    assert len({token for _, token in night.toy.calls}) == 6
    marked = [mark["at"] for mark in night.toy.marks]
    assert marked == sorted(set(marked)), "whoever drives sees by it until when clients may follow what slipped"


def test_nobody_is_fought_for_ever(night: Night) -> None:
    """The command hangs at night and says nothing, while somebody else moves traffic."""
    night.store()
    night.toy.stubborn = True
    assert night.rollback("shop") == exits.PERSON_NEEDED
    assert "traffic does not stay on blue: it is blue 0 %, green 100 %" in night.err


def test_the_decision_is_journalled_and_fences_whoever_drives(night: Night) -> None:
    """The engine goes on moving traffic forward, or nobody can see who put it back."""
    store = night.store()
    epoch = store.take_lease("shop", replace_holder(), 1.0)
    assert night.rollback("shop", "--reason", "slow") == exits.DONE
    with pytest.raises(Fenced):
        store.append("shop-1", epoch, "intended", "swap", {}, 2.0)
    journal = Journal(store.entries("shop-1"))
    decision = journal.decision
    assert decision is not None and first_broken_link(journal.entries) == ""
    assert (decision.data["kind"], decision.data["reason"], decision.data["by_person"]) == ("rollback", "slow", True)
    assert decision.data["route"] == {"blue": 0, "green": 100} and decision.data["deny"] is False


def replace_holder() -> Any:
    """Some process elsewhere."""
    from tests.core.scene import HOLDER

    return HOLDER


def test_a_second_rollback_is_harmless(night: Night) -> None:
    """Pressing twice makes two decisions, or an error."""
    store = night.store()
    assert night.rollback("shop") == night.rollback("shop") == exits.DONE
    assert [entry.kind for entry in store.entries("shop-1")].count("roll_back_decided") == 1
    assert night.toy.weights == BACK


def test_a_journal_that_moves_meanwhile_is_read_again(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollback fails because the engine wrote a line at that moment."""
    store, real, moved = night.store(), Store.decide, list[int]()

    def decide(self: Store, rollout: str, head: int, *rest: Any, **more: Any) -> Any:
        if not moved:
            moved.append(head)
            self.append("shop-1", 0, "entered", "preparing", {}, 2.0)
        return real(self, rollout, head, *rest, **more)

    monkeypatch.setattr(Store, "decide", decide)
    assert night.rollback("shop") == exits.DONE
    assert [entry.kind for entry in store.entries("shop-1")] == ["opened", "entered", "roll_back_decided"]


def test_the_rest_of_the_story_is_told_by_the_ordinary_path(night: Night) -> None:
    """The patched side stays behind and costs money."""
    night.store()
    night.rollback("shop")
    assert night.unfinished == ["resume", "shop-1", "--config", str(night.fleet), "--after-rollback"]
    for option in ("--no-wait", "--json"):
        night.rollback("shop", option)
        assert night.unfinished == []


# Without a store


def lock(night: Night) -> sqlite3.Connection:
    """Another process keeps the store to itself."""
    night.store().close()
    other = sqlite3.connect(night.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    return other


def corrupt(night: Night) -> None:
    """The store's file is rubbish."""
    night.path.write_bytes(b"this was a database once, before the disk went bad" * 10)


def forget(night: Night) -> None:
    """The store knows nothing of this rollout."""
    Store(night.path).close()


def newer(night: Night) -> None:
    """A newer release wrote the store."""
    night.store().close()
    db = sqlite3.connect(night.path)
    db.execute("PRAGMA user_version = 99")
    db.close()


@pytest.mark.parametrize("trouble", [lambda night: None, lock, corrupt, forget, newer])
def test_a_store_that_cannot_be_used_does_not_stop_a_rollback(
    night: Night, trouble: Callable[[Night], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is down, and with it the way back."""
    monkeypatch.setattr(deciding, "STORE_BUSY_S", 0.0)
    kept = trouble(night)
    assert night.rollback("shop", "--reason", "slow") == exits.DONE
    assert night.toy.weights == BACK and night.toy.marks[0]["epoch"] == 0
    (decision,) = night.spooled()
    assert (decision["rollout"], decision["reason"], decision["at"]) == ("shop-1", "slow", 1000.0)
    assert "the store cannot be used" in night.err
    if kept is not None:
        kept.close()


def test_even_a_spool_that_cannot_be_written_does_not_stop_it(night: Night) -> None:
    """A full disk keeps traffic on the bad side."""
    (night.folder / "state" / "spool").write_text("a file where the folder should be")
    assert night.rollback("shop") == exits.DONE
    assert night.toy.weights == BACK


# Refusals


def refused(night: Night, code: int, *arguments: str, says: str) -> None:
    """The command refuses, says so, and changes nothing."""
    assert night.rollback(*arguments) == code, night.err
    assert says in night.err, night.err
    assert night.toy.calls == [] and night.toy.marks == [] and night.unfinished == []


def test_an_original_that_cannot_serve_is_refused_with_the_way_around(night: Night) -> None:
    """All users are sent to a dead side by a tired person."""
    night.toy.healthy = {"blue": 1, "green": 2}
    refused(night, exits.PERSON_NEEDED, "shop", says="blue: 1 of 2 healthy, 2 on the other side. Traffic stays as")
    assert "Traffic stays as it is: blue 0 %, green 100 %" in night.err and "rollback refused" in night.err
    assert "rollout rollback shop --force" in night.err


def test_force_goes_onto_a_side_that_is_not_healthy_and_is_on_record(night: Night) -> None:
    """A person who knows better has no way, or leaves no trace."""
    store = night.store()
    night.toy.healthy, night.toy.unhealthy = {"blue": 0, "green": 0}, {"blue": 2, "green": 2}
    assert night.rollback("shop", "--force") == exits.PERSON_NEEDED
    assert night.toy.weights == BACK and len(night.toy.marks) == 1
    decision = Journal(store.entries("shop-1")).decision
    assert decision is not None and decision.data["forced"] is True
    assert decision.data["readiness"] == "blue: 0 of 2 healthy, 0 on the other side"


def test_force_onto_a_side_that_recovers_meanwhile_is_success(night: Night) -> None:
    """A person who knew better is told that it failed."""
    night.toy.healthy, night.toy.turns = {"blue": 0, "green": 0}, {4: {"healthy": {"blue": 2, "green": 0}}}
    assert night.rollback("shop", "--force") == exits.DONE


def test_an_original_that_turned_sick_meanwhile_needs_a_person(night: Night) -> None:
    """The command says success, the patched side is given up, and nothing serves any more."""
    sick = {"healthy": {"blue": 0, "green": 2}, "unhealthy": {"blue": 2, "green": 0}}
    night.toy.turns = {4: sick}
    assert night.rollback("shop") == exits.PERSON_NEEDED
    assert night.toy.weights == BACK and len(night.toy.marks) == 1 and night.unfinished == []
    last = night.err.strip().splitlines()[-1]
    assert last.startswith("rollback not finished: all new traffic is on blue, but blue does not serve: blue: 0 of 2")
    assert "green is kept" in last and "rollout status shop" in last


def test_a_rollback_that_was_begun_is_not_called_refused(night: Night) -> None:
    """A person reads `refused` and believes that nothing was changed."""
    night.store()
    night.toy.fails["set_mark"] = RuntimeError("no answer")
    assert night.rollback("shop") == exits.PERSON_NEEDED
    assert "rollback not finished: all new traffic is on blue, read back, but the hold mark" in night.err
    assert "refused" not in night.err and night.toy.weights == BACK


# Targets that are not judged yet


def test_targets_that_are_not_judged_yet_are_waited_for(night: Night) -> None:
    """A balancer that was restarted a second ago costs the on-call engineer a refusal."""
    night.toy.healthy, night.toy.unknown = {"blue": 0, "green": 2}, {"blue": 2, "green": 0}
    night.toy.turns = {4: {"healthy": {"blue": 2, "green": 2}, "unknown": {"blue": 0, "green": 0}}}
    assert night.rollback("shop") == exits.DONE
    assert "blue: 2 of 2 healthy" in night.err


def test_targets_that_turn_out_ill_are_refused(night: Night) -> None:
    """All users are sent to a dead side because its judgement came a moment later."""
    night.toy.healthy, night.toy.unknown = {"blue": 0, "green": 2}, {"blue": 2, "green": 0}
    night.toy.turns = {4: {"unhealthy": {"blue": 2, "green": 0}, "unknown": {"blue": 0, "green": 0}}}
    refused(night, exits.PERSON_NEEDED, "shop", says="blue: 0 of 2 healthy, 2 on the other side")


@pytest.mark.parametrize(("was_healthy", "code"), [(True, exits.DONE), (False, exits.PERSON_NEEDED)])
def test_targets_that_are_never_judged_are_not_waited_for_long(night: Night, was_healthy: bool, code: int) -> None:
    """A frozen balancer keeps traffic on the bad side for minutes, or an unproven side is trusted."""
    night.cards.write(replace(CARD, was_healthy=was_healthy))
    night.toy.healthy, night.toy.unknown = {"blue": 0, "green": 2}, {"blue": 2, "green": 0}
    night.toy.turns = {12: {"healthy": {"blue": 2, "green": 2}, "unknown": {"blue": 0, "green": 0}}}
    assert night.rollback("shop") == code
    told = "it was healthy when the card was written" if was_healthy else "it was never seen healthy"
    assert f"blue: 0 of 2 healthy, 2 not judged yet; {told}" in night.err
    assert night.toy.weights == (BACK if was_healthy else {"blue": 0, "green": 100})
    waited = night.clock.now - 1000.0 - (CARD.write_timeout_s if was_healthy else 0.0)
    assert judging.JUDGED_S <= waited < judging.JUDGED_S + 3 * judging.LOOK_S


def test_judged_targets_are_not_waited_for(night: Night) -> None:
    """Every rollback takes two seconds longer than it has to."""
    night.rollback("shop", "--drill")
    assert night.clock.now == 1000.0 and night.toy.looks == 1


# The journal is newer than the card


def told_in_the_journal(night: Night, *lines: tuple[str, str, str | None]) -> Store:
    """The store, with these entries since the card was written."""
    store = night.store()
    for kind, step, outcome in lines:
        store.append("shop-1", 0, kind, step, {"outcome": outcome or "", "reason": ""}, 2.0, outcome=outcome)
    return store


def test_a_rollout_that_was_rolled_back_meanwhile_is_success(night: Night) -> None:
    """The command leaves a hold mark behind that keeps the service from being patched."""
    told_in_the_journal(
        night, ("entered", "rolling_back", None), ("entered", "rolled_back", None), ("closed", "", "rolled_back")
    )
    refused(night, exits.DONE, "shop", says="nothing to do: shop-1 was rolled back meanwhile: traffic is on blue")


@pytest.mark.parametrize(
    "lines",
    [
        [("entered", "retiring", None)],
        [("entered", "retired", None), ("closed", "retired", "promoted")],
        [("entered", "warm", None), ("closed", "", "promoted")],
    ],
    ids=["retiring", "retired", "taken down"],
)
@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_way_back_that_the_journal_says_is_closed_is_refused(
    night: Night, lines: list[tuple[str, str, str | None]], force: tuple[str, ...]
) -> None:
    """Traffic goes to a side that is just being deleted, because the card on disk is a moment older."""
    told_in_the_journal(night, *lines)
    refused(night, exits.PERSON_NEEDED, "shop", "--no-cold", *force, says="rollout start shop --image <earlier image>")
    assert night.spooled() == []


def test_a_way_back_that_is_being_told_is_open(night: Night) -> None:
    """A rollback that hangs half-way cannot be hurried."""
    store = told_in_the_journal(night, ("roll_back_decided", "", None), ("entered", "rolling_back", None))
    assert night.rollback("shop") == exits.DONE
    assert night.toy.weights == BACK
    assert [entry.kind for entry in store.entries("shop-1")].count("roll_back_decided") == 1


# The card changed meanwhile


@pytest.mark.parametrize(
    "card", [replace(CARD, closed="rolled_back"), replace(CARD, rollout="shop-2", written_at=900.0)]
)
def test_a_mark_that_comes_too_late_is_taken_away_again(night: Night, card: Card) -> None:
    """The next rollout of the service meets the mark of one that is long over, and turns back."""
    night.toy.meanwhile = lambda: night.cards.write(card)
    night.rollback("shop")
    first, second = night.toy.marks
    assert first["rollout"] == "shop-1" and second is None
    assert len({token for _, token in night.toy.calls}) == len(night.toy.calls)


@pytest.mark.parametrize("text", ["{", None])
def test_a_mark_stays_where_nobody_can_say_that_it_is_too_late(night: Night, text: str | None) -> None:
    """The engine moves traffic forward again, because a file could not be read."""
    path = night.cards.path("shop")
    night.toy.meanwhile = lambda: path.write_text(text) if text else path.unlink(missing_ok=True)
    assert night.rollback("shop") == exits.DONE
    assert len(night.toy.marks) == 1


def test_a_late_mark_that_cannot_be_taken_away_is_no_reason_to_stop(night: Night) -> None:
    """The rollback ends with a traceback, and nobody reads back whether traffic stays."""
    night.toy.meanwhile = lambda: night.cards.write(replace(CARD, closed="rolled_back"))
    night.toy.fails["clear mark"] = RuntimeError("no answer")
    assert night.rollback("shop") == exits.DONE
    assert night.toy.weights == BACK and night.clock.now - 1000.0 >= CARD.write_timeout_s


def test_traffic_that_is_back_already_is_marked_whatever_its_health(night: Night) -> None:
    """A rollback that was half done is refused the second time."""
    night.toy.weights, night.toy.healthy = dict(BACK), {"blue": 0, "green": 2}
    assert night.rollback("shop") == exits.PERSON_NEEDED  # it needs a person, but it is not refused
    assert night.toy.weights == BACK and len(night.toy.marks) == 1
    assert "blue does not serve: blue: 0 of 2 healthy, 2 on the other side" in night.err


def test_a_finished_rollback_says_so_and_is_success(night: Night) -> None:
    """A person believes that the rollback failed because it was done before."""
    night.cards.write(replace(CARD, closed="rolled_back"))
    refused(night, exits.DONE, "shop", says="shop-1 was rolled back already: traffic is on blue")


@pytest.mark.parametrize("card", [replace(CARD, closed="retired"), replace(CARD, valid_until=999.0)])
def test_a_closed_way_back_is_refused_with_the_cold_one(night: Night, card: Card) -> None:
    """Traffic goes to a side that was given up."""
    night.cards.write(card)
    refused(night, exits.PERSON_NEEDED, "shop", says="rollout start shop --image <earlier image>")


def test_an_open_window_is_open(night: Night) -> None:
    """The way back of a warm service is refused a minute after its promotion."""
    night.cards.write(replace(CARD, valid_until=1060.0))
    assert night.rollback("shop") == exits.DONE


def test_an_unknown_service_lists_the_known_ones(night: Night) -> None:
    """A typing mistake at night costs minutes."""
    refused(night, exits.USAGE, "shpo", says="services with one: shop")


def test_the_only_open_card_needs_no_name(night: Night) -> None:
    """The shortest command asks a question that has one answer."""
    night.cards.write(replace(CARD, service="cart", rollout="cart-1", closed="retired"))
    assert night.rollback() == exits.DONE


def test_two_open_cards_ask_which(night: Night) -> None:
    """The wrong service is rolled back."""
    night.cards.write(replace(CARD, service="cart", rollout="cart-1", written_at=940.0))
    refused(night, exits.USAGE, says="\n  rollout rollback cart   # 60 s ago\n  rollout rollback shop   # 15 min ago")


def test_no_open_card_says_so(night: Night) -> None:
    """A person does not know whether there was anything to roll back."""
    night.cards.write(replace(CARD, closed="retired"))
    refused(night, exits.USAGE, says="no service has a way back open now")
    assert night.err.splitlines()[-1] == "  rollout rollback shop   # goes cold"


def test_pressed_twice_without_a_name_it_says_where_traffic_is(night: Night) -> None:
    """The second time, an error is all that is said of a rollback that worked."""
    night.cards.write(replace(CARD, closed="rolled_back"))
    refused(night, exits.USAGE, says="no service has a way back open now")
    assert night.err.splitlines()[-1] == "  rollout rollback shop   # rolled back: traffic is on blue"


def test_without_a_fleet_file_the_option_is_named(
    night: Night, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A person in the wrong folder learns nothing."""
    monkeypatch.delenv("ROLLOUT_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert emergency.main(["rollback", "shop"]) == (exits.USAGE, [])


def test_a_fleet_file_that_is_gone_is_named(night: Night) -> None:
    """A mistyped --config ends in a traceback."""
    night.fleet.unlink()
    refused(night, exits.USAGE, "shop", says=f"there is no fleet file {night.fleet}")


def test_a_damaged_card_is_named(night: Night) -> None:
    """A damaged file ends the most important command with a traceback."""
    night.cards.path("shop").write_text("{")
    refused(night, exits.PERSON_NEEDED, "shop", says=str(night.cards.path("shop")))


def test_another_services_damaged_card_does_not_matter(night: Night) -> None:
    """One damaged file takes the way back from the whole fleet."""
    night.cards.path("cart").write_text("{")
    assert night.rollback("shop") == exits.DONE


def test_without_a_name_a_damaged_card_may_be_the_one_that_is_meant(night: Night) -> None:
    """The change of tonight was cart's, its card is damaged, and shop's traffic is moved."""
    night.cards.path("cart").write_text("{")
    refused(night, exits.USAGE, says=f"the rollback card {night.cards.path('cart')} cannot be read")
    assert night.err.splitlines()[-1].startswith("  rollout rollback shop ")
    assert night.rollback("shop") == exits.DONE


def test_without_any_card_that_can_be_read_the_damaged_ones_are_named(night: Night) -> None:
    """A person believes that there is nothing to roll back, because nothing can be read."""
    night.cards.path("shop").write_text("{")
    refused(night, exits.USAGE, says=str(night.cards.path("shop")))


@pytest.mark.parametrize("unknown", [("--dry-run",), ("--dril",), ("--dirll",), ("-n",), ("--timeout", "5"), ("--al",)])
def test_an_option_that_is_unknown_here_moves_nothing(night: Night, unknown: tuple[str, ...]) -> None:
    """A drill with a slip of the finger is a rollback in earnest."""
    refused(night, exits.USAGE, "shop", *unknown, says=" ".join(unknown))
    assert night.toy.looks == 0 and night.err.splitlines()[-1] == "  rollout rollback shop"
    assert night.rollback("shop", *unknown, "--json") == exits.USAGE
    assert night.document()["candidates"] == ["rollout rollback shop"]


def test_two_names_are_two_commands(night: Night) -> None:
    """One of two services is put back, and both are believed to be."""
    refused(night, exits.USAGE, "shop", "cart", says="one service at a time, or --all")
    assert night.err.splitlines()[-2:] == ["  rollout rollback shop", "  rollout rollback cart"]


@pytest.mark.parametrize("option", ["-q", "--quiet", "--no-input"])
def test_quiet_options_of_the_other_commands_are_accepted(night: Night, option: str) -> None:
    """A script that says -q everywhere is told of a mistake in the middle of a rollback."""
    assert night.rollback(option, "shop") == exits.DONE
    assert night.toy.weights == BACK and "ignored" not in night.err


def test_a_provider_without_an_emergency_path_is_said(night: Night) -> None:
    """A provider from outside ends the command with a traceback."""
    night.cards.write(replace(CARD, provider="their.package:factory"))
    refused(night, exits.PERSON_NEEDED, "shop", says="rollout abort shop-1")


@pytest.mark.parametrize(
    ("call", "says", "code"),
    [
        ("read", "cannot be read, so nothing was changed: no answer", exits.PERSON_NEEDED),
        ("put_back", "the change was not confirmed: no answer", exits.PERSON_NEEDED),
        ("set_mark", "run this command again, which is harmless", exits.PERSON_NEEDED),
        ("read again", "reading it back failed: no answer", exits.PERSON_NEEDED),
    ],
)
def test_a_platform_that_does_not_answer_is_said_with_the_next_step(
    night: Night, call: str, says: str, code: int
) -> None:
    """A person believes that traffic is back when nobody knows."""
    night.store()
    night.toy.fails[call] = RuntimeError("no answer")
    assert night.rollback("shop") == code
    assert says in night.err and night.unfinished == []


def test_putting_right_that_fails_is_said(night: Night) -> None:
    """A late write that could not be put right ends in a traceback."""
    night.toy.late, night.toy.fails = {3: {"blue": 0, "green": 100}}, {"put_back again": RuntimeError("no answer")}
    assert night.rollback("shop") == exits.PERSON_NEEDED
    assert "rollout status shop" in night.err


# Drill and JSON


def test_a_drill_changes_nothing(night: Night) -> None:
    """Practising a rollback is one."""
    store = night.store()
    before = night.path.read_bytes()
    assert night.rollback("shop", "--drill") == exits.DONE
    assert night.toy.calls == [] and night.toy.marks == [] and night.toy.looks == 1
    assert "drill: all but the change itself worked" in night.err and night.unfinished == []
    assert len(store.entries("shop-1")) == 1 and night.path.read_bytes() == before and night.spooled() == []


def test_a_drill_finds_what_would_be_in_the_way(night: Night) -> None:
    """The drill was green, and the real rollback is refused."""
    night.toy.healthy = {"blue": 0, "green": 2}
    refused(night, exits.PERSON_NEEDED, "shop", "--drill", says="blue: 0 of 2 healthy, 2 on the other side")


def test_json_is_one_document_on_stdout(night: Night) -> None:
    """A script cannot read what became of the rollback."""
    night.store()
    assert night.rollback("shop", "--json") == exits.DONE
    said = night.document()
    assert night.err == "" and len(night.out.splitlines()) == 1
    assert (said["id"], said["service"], said["active_slot"], said["exit_code"]) == ("shop-1", "shop", "blue", 0)
    assert said["traffic"] == BACK and said["before"] == {"blue": 0, "green": 100}
    assert said["in_flight"] == {"green": 37} and said["next"] == "rollout resume shop-1"


def test_a_refusal_is_a_document_too(night: Night) -> None:
    """A script gets nothing at all when it is refused."""
    assert night.rollback("shpo", "--json") == exits.USAGE
    assert night.document()["exit_code"] == exits.USAGE and "shpo has no rollback card" in night.document()["error"]


# The entry


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("rollback shop", "rollback"),
        ("--config fleet.yaml rollback shop", "rollback"),
        ("--config=fleet.yaml rollback", "rollback"),
        ("--config rollback status", "status"),
        ("-q --json rollback", "rollback"),
        ("start --reason rollback", "start"),
        ("status rollback", "status"),
        ("--version", None),
        ("--config", None),
        ("", None),
    ],
)
def test_the_command_is_found_behind_its_options(line: str, command: str | None) -> None:
    """A rollback goes the slow way, or another command becomes a rollback."""
    assert entry.command_of(line.split()) == command


@pytest.mark.parametrize(
    "line",
    [
        "rollback shop --reason slow",
        "rollback --reason slow shop",
        "--config X rollback shop --reason slow",
        "rollback shop --reason slow --config X",
        "rollback --json shop --reason=slow --drill",
        "rollback --reason slow --config X shop --no-wait",
    ],
)
def test_options_may_stand_anywhere(line: str) -> None:
    """A tired person's word order decides whether there is a rollback."""
    asked = emergency._parser().parse_intermixed_args(line.split())
    assert (asked.command, asked.service, asked.reason) == ("rollback", "shop", "slow")
    assert asked.config == ("X" if "X" in line else None)


def test_the_entry_finishes_what_the_emergency_path_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a rollback nobody gives the patched side up, or its exit code is lost."""
    from rollout import cli

    told = list[list[str]]()

    def ordinary(arguments: list[str]) -> int:
        told.append(arguments)
        return 0

    monkeypatch.setattr(cli, "main", ordinary)
    monkeypatch.setattr(emergency, "main", lambda arguments: (0, ["resume", "shop-1"]))
    assert entry.run(["rollback", "shop"]) == 0 and told == [["resume", "shop-1"]]
    monkeypatch.setattr(emergency, "main", lambda arguments: (5, []))
    assert entry.run(["rollback", "shop"]) == 5 and len(told) == 1
    for line in (["rollback", "--help"], ["rollback", "shop", "-h"], ["--config", "X", "rollback", "-h", "--force"]):
        assert entry.run(line) == 0 and told.pop() == ["rollback", "--help"], "asking for help moves traffic"


def test_help_tells_every_option() -> None:
    """The option that is needed tonight is not told of."""
    from rollout.commands import run

    names = set(inspect.signature(run.rollback).parameters)
    spelled = {"all": "all_services", "json": "json_out"}
    known = {spelled.get(action.dest, action.dest) for action in emergency._parser()._actions}
    assert known - {"command", "quiet"} <= names
