"""Traffic first, then the mark, and success only after both were read back; what is not back is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from providers.base import PartlyDone
from rollout import exits
from rollout.rescue import judging
from tests.rescue.kit import BACK, CARD, Night


def partly(times: int, night: Night) -> Callable[..., None]:
    """A `put_back` that leaves one of two routes behind, so many times."""
    left = [times]

    def put_back(target: Any, weights: dict[str, int], token: str) -> None:
        night.toy.calls.append(("put_back", token))
        if left[0]:
            left[0] -= 1
            raise PartlyDone("1 of 2", ["web"], {"api": "lb move api --to blue"})
        night.toy.weights = dict(weights)

    return put_back


def test_what_could_not_be_put_back_is_tried_again_and_then_named(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two listeners sends everybody to the bad side, and nobody is told which, or what to type."""
    night.store()
    monkeypatch.setattr(night.toy, "put_back", partly(999, night))
    assert night.rollback("shop") == exits.PERSON_NEEDED
    assert len([call for call, _ in night.toy.calls if call == "put_back"]) > 2
    assert night.toy.marks, "the rest goes on: engines are told"
    assert "1 of its targets were not put back" in night.err and "\n  api: lb move api --to blue" in night.err
    assert night.unfinished == []


def test_what_was_refused_once_may_go_the_next_time(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """One throttled call makes a person do by hand what the next try does."""
    night.store()
    monkeypatch.setattr(night.toy, "put_back", partly(2, night))
    assert night.rollback("shop") == exits.DONE
    assert night.toy.weights == BACK


def test_the_failed_parts_are_data_too(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script has to read the commands out of a sentence."""
    monkeypatch.setattr(night.toy, "put_back", partly(999, night))
    assert night.rollback("shop", "--json") == exits.PERSON_NEEDED
    assert night.document()["failed"] == {"api": "lb move api --to blue"}


def test_a_lost_answer_is_no_failure_when_traffic_is_seen_to_be_back(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write took effect, its answer was lost, and the engineer is told that it failed."""
    night.store()

    def put_back(target: Any, weights: dict[str, int], token: str) -> None:
        night.toy.calls.append(("put_back", token))
        night.toy.weights = dict(weights)
        raise TimeoutError("no answer")

    monkeypatch.setattr(night.toy, "put_back", put_back)
    assert night.rollback("shop") == exits.DONE
    assert len(night.toy.calls) == 2 and len(night.toy.marks) == 1


def test_where_the_change_is_refused_the_mark_tells_the_engine(night: Night) -> None:
    """Our credentials may not move traffic; the engine's may, and is not told."""
    night.toy.fails["put_back"] = PermissionError("denied")
    assert night.rollback("shop") == exits.PERSON_NEEDED
    assert len(night.toy.marks) == 1 and "the change was not confirmed: denied" in night.err


def test_a_mark_that_cannot_be_written_is_tried_again_and_told(night: Night) -> None:
    """The disk is full: traffic is back, but the engine, which nobody told, moves it forward again in silence."""
    night.store()
    night.toy.fails["set_mark"] = OSError("no space left on device")
    assert night.rollback("shop") == exits.PERSON_NEEDED
    assert night.toy.weights == BACK and night.clock.now - 1000.0 >= CARD.write_timeout_s
    assert "all new traffic is on blue, read back, but the hold mark with it was not confirmed: no space" in night.err


def test_a_mark_that_works_the_second_time_is_success(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark that one lost call kept away costs the engineer a second try."""
    real, failed = night.toy.set_mark, list[int]()

    def set_mark(target: Any, mark: Any, token: str) -> None:
        if not failed:
            failed.append(1)
            raise TimeoutError("no answer")
        real(target, mark, token)

    monkeypatch.setattr(night.toy, "set_mark", set_mark)
    assert night.rollback("shop") == exits.DONE
    assert night.toy.mark is not None


def test_a_mark_that_somebody_took_away_is_set_again(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """A late write of the engine clears the mark, and success is said of something that is not there."""
    night.store()
    real, marks = night.toy.set_mark, list[Any]()

    def set_mark(target: Any, mark: Any, token: str) -> None:
        real(target, mark, token)
        marks.append(mark)
        if len(marks) == 1:
            night.toy.mark = None

    monkeypatch.setattr(night.toy, "set_mark", set_mark)
    assert night.rollback("shop") == exits.DONE
    assert night.toy.mark is not None and len(marks) == 2


# Connections that stay


def test_what_stays_on_the_replacement_is_counted_and_can_be_cut(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users with long connections stay on the bad side for hours."""
    night.store()
    cut = list[tuple[Any, ...]]()

    def act(target: Any, slot: str, token: str) -> int:
        cut.append((slot, dict(night.toy.weights)))
        return 37

    monkeypatch.setattr(night.toy, "cut", act, raising=False)
    assert night.rollback("shop") == exits.DONE
    assert "37 requests still on green (--cut ends them)" in night.err and cut == []
    assert night.rollback("shop", "--cut") == exits.DONE
    assert cut == [("green", BACK)], "only once traffic is back"
    assert "37 requests on green were cut" in night.err


@pytest.mark.parametrize("has", [False, True])
def test_a_cut_that_cannot_be_made_is_no_failed_rollback(
    night: Night, has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traffic is back, and the command says that it failed."""

    def broken(target: Any, slot: str, token: str) -> int:
        raise TimeoutError("no answer")

    if has:
        monkeypatch.setattr(night.toy, "cut", broken, raising=False)
    assert night.rollback("shop", "--cut") == exits.DONE
    assert "cannot be cut from here (on_rollback: cut has the engine do it)" in night.err
    assert ("could not be cut: no answer" in night.err) is has


# The choice, and a card that is older than what is live


def test_a_small_original_is_a_choice_with_both_commands(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tired person has to find out how a group is made larger."""
    resize = ["aws autoscaling set-desired-capacity --desired-capacity 2"]
    monkeypatch.setattr(night.toy, "resize_by_hand", lambda target, slot, n: resize, raising=False)
    night.toy.healthy = {"blue": 1, "green": 2}
    assert night.rollback("shop", "--json") == exits.PERSON_NEEDED
    choices = night.document()["choices"]
    assert choices == {"force": "rollout rollback shop --force", "resize": resize}
    assert f"To have 2 of blue first: {resize[0]}" in night.document()["error"]


def test_while_it_is_warm_whoever_drives_it_makes_it_larger(night: Night) -> None:
    """A platform without such a command leaves the choice with one side."""
    night.cards.write(replace(CARD, valid_until=5000.0))
    night.toy.healthy = {"blue": 1, "green": 2}
    assert night.rollback("shop") == exits.PERSON_NEEDED
    assert "To have 2 of blue first: rollout resume shop-1" in night.err


def test_what_grew_since_the_card_was_written_is_told(night: Night) -> None:
    """The card is believed where the world has moved on, and nobody hears of it."""
    night.toy.healthy = {"blue": 2, "green": 3}
    assert night.rollback("shop") == exits.DONE
    assert "green has grown to 3 since the card was written" in night.err


def test_an_original_that_is_far_too_small_by_now_is_not_enough(night: Night) -> None:
    """Two hosts get the traffic of six, because two were enough last week."""
    night.toy.healthy = {"blue": 2, "green": 6}
    assert night.rollback("shop") == exits.PERSON_NEEDED
    assert night.toy.calls == [] and "green has grown to 6" in night.err
    assert night.rollback("shop", "--force") == exits.DONE


@pytest.mark.parametrize(("blue", "green", "small"), [(2, 4, False), (2, 5, True), (1, 9, False), (3, 6, False)])
def test_far_too_small_is_less_than_half_of_what_serves(blue: int, green: int, small: bool) -> None:
    """The bound drifts, and a rollback is refused at a small difference."""
    seen = {"weights": {}, "healthy": {"blue": blue, "green": green}}
    assert judging.is_far_too_small(CARD, seen) is small
