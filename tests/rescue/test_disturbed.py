"""The command itself is disturbed: a lost terminal, Ctrl-C, a folder that is gone, a fault of ours, a lost card."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rollout import emergency, exits
from rollout.journal import Journal
from rollout.rescue import cold, putting_back
from rollout.rescue.again import Again
from tests.rescue.kit import BACK, CARD, Night


class Gone:
    """A stream whose other end is gone."""

    def write(self, text: str) -> int:
        """Nobody reads it."""
        raise BrokenPipeError

    flush = isatty = lambda self: None


@pytest.mark.parametrize("stream", [Gone(), None])
def test_a_terminal_that_is_gone_stops_nothing(night: Night, stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rollout rollback | head`, or a lost connection: traffic stays where it is, for nobody reads."""
    with monkeypatch.context() as lost:
        lost.setattr(sys, "stderr", stream)
        assert emergency.main(["rollback", "shop"], night.clock)[0] == exits.DONE
        lost.setattr(sys, "stdout", stream)
        assert emergency.main(["rollback", "shop", "--json"], night.clock)[0] == exits.DONE
    assert night.toy.weights == BACK and night.toy.mark is not None


def test_a_connection_that_is_lost_ends_nothing(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """The VPN drops between traffic and mark, and the engine moves forward again."""
    before = signal.getsignal(signal.SIGHUP)
    night.toy.meanwhile = lambda: os.kill(os.getpid(), signal.SIGHUP)
    assert night.rollback("shop") == exits.DONE
    assert night.toy.mark is not None and signal.getsignal(signal.SIGHUP) == before


def stop(*_: Any) -> None:
    """Somebody presses Ctrl-C."""
    raise KeyboardInterrupt


def test_ctrl_c_while_traffic_moves_still_tells_the_engine(night: Night) -> None:
    """Somebody stops the command in the middle: traffic is back, no mark is, and a traceback is all he reads."""
    night.toy.meanwhile = stop
    assert night.rollback("shop") == exits.INTERRUPTED
    assert night.toy.mark is not None and night.unfinished == []
    assert night.err.splitlines()[-1].startswith("interrupted: traffic may be on blue by now, which was not read back")
    assert night.err.splitlines()[-1].endswith("Again, which is harmless: rollout rollback shop")


def test_ctrl_c_while_it_watches(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """He who has seen enough is told that nothing was done."""
    monkeypatch.setattr(night.clock, "sleep", stop)
    assert night.rollback("shop") == exits.INTERRUPTED
    assert night.toy.weights == BACK and "traffic was seen on blue, but it was not watched to the end" in night.err


def test_ctrl_c_before_anything(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """He does not know whether he has to look for what he did."""
    monkeypatch.setattr(night.toy, "read", stop)
    assert night.rollback("shop", "--json") == exits.INTERRUPTED
    assert night.document()["error"] == "interrupted" and night.toy.calls == []
    assert night.rollback("shop") == exits.INTERRUPTED and "had changed nothing yet" in night.err


def test_a_fault_of_ours_is_one_line(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty lines of traceback, and not where traffic is."""

    def faulty(*_: Any) -> Any:
        raise KeyError("healthy")

    monkeypatch.setattr(putting_back, "readiness", faulty)
    assert night.rollback("shop", "--json") == exits.INTERNAL
    assert night.document()["exit_code"] == exits.INTERNAL and "KeyError" in night.document()["error"]
    assert night.rollback("shop") == exits.INTERNAL and "Traceback" not in night.err
    assert night.err.splitlines()[-1].endswith("rollout rollback shop")


def test_a_folder_that_was_removed_is_no_obstacle(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shell stands in a folder that a clean-up took."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert night.rollback("shop") == exits.DONE


# The card


def journalled(night: Night) -> None:
    """The journal has the card."""
    store = night.store()
    store.append("shop-1", 0, "done", "card", {"value": CARD.to_json()}, 2.0)
    store.append("shop-1", 0, "done", "card:1", {"value": replace(CARD, capacity=1).to_json()}, 3.0)


@pytest.mark.parametrize("damage", ["gone", "{", json.dumps({**CARD.to_json(), "target": 7})])
@pytest.mark.parametrize("named", [["shop"], ["shop-1"], [], ["--all"]])
def test_the_journal_has_the_card_too(night: Night, damage: str, named: list[str]) -> None:
    """One lost file, and the way back that stands ready cannot be used."""
    journalled(night)
    path = night.cards.path("shop")
    if damage == "gone":
        path.unlink()
    else:
        path.write_text(damage)
    assert night.rollback(*named) == exits.DONE, night.err
    assert night.toy.weights == BACK and Journal(night.store().entries("shop-1")).decision is not None


def test_without_file_and_store_it_is_said(night: Night) -> None:
    """The store's error is told instead of the card's, or a traceback."""
    journalled(night)
    night.cards.path("shop").write_text("{")
    for path in night.path.parent.glob("rollout.db*"):
        path.write_bytes(b"not a database" * 400)
    assert night.rollback("shop") == exits.PERSON_NEEDED
    assert f"{night.cards.path('shop')} cannot be read" in night.err


# What is typed next


def test_what_is_printed_works_as_it_is_printed(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next command, typed as it was told, finds no fleet file."""
    monkeypatch.delenv("ROLLOUT_CONFIG")
    night.toy.healthy = {"blue": 1, "green": 2}
    fleet = night.folder / "a fleet.yaml"
    night.fleet.rename(fleet)
    assert night.rollback("shop", "--config", str(fleet)) == exits.PERSON_NEEDED
    assert f"nevertheless: rollout rollback --config '{fleet}' shop --force" in night.err
    night.toy.fails["read"], night.toy.looks = TimeoutError("no answer"), 0
    assert night.rollback("nobody", "--config", str(fleet)) == exits.USAGE
    night.toy.fails = {"read again": TimeoutError("no answer")}
    assert night.rollback("shop", "--force", "--config", str(fleet)) == exits.PERSON_NEEDED
    assert f"rollout --config '{fleet}' status shop" in night.err


def test_what_is_found_anyhow_need_not_be_named(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line to be typed at night is longer than it has to be."""
    monkeypatch.delenv("ROLLOUT_CONFIG")
    monkeypatch.chdir(night.folder)
    night.toy.healthy = {"blue": 1, "green": 2}
    assert night.rollback("shop", "--config", str(night.fleet)) == exits.PERSON_NEEDED
    assert night.err.splitlines()[-1].endswith("nevertheless: rollout rollback shop --force")


def test_a_platforms_place_is_named_again() -> None:
    """The way back of a laptop without a fleet file is told as a command that finds none."""
    line = ["rollback", "shop", "--provider", "aws", "--region", "eu-1"]
    again = Again.of(emergency._parser().parse_args(line), is_found=False)
    assert again.in_line("next: rollout rollback shop --force") == (
        "next: rollout rollback --provider aws --region eu-1 shop --force"
    )
    assert again.in_line("rollout rollback --help") == "rollout rollback --help"


@pytest.mark.parametrize(
    "told",
    [
        *(None, "start", [], ["start"], ["freeze", "off", "--yes"], ["start", "shop", "--image", 7, "--cold"]),
        *(["start", "--config=/x", "--image", "y", "--cold"], ["start", "shop", "--image", "y", "--cold", "--no-wait"]),
    ],
)
def test_a_server_cannot_make_it_run_something_else(told: Any) -> None:
    """A server that was taken over starts what it likes on the engineer's machine."""
    assert cold.checked(told) == []
    good = ["start", "shop", "--image", "base-1", "--cold"]
    assert cold.checked(good) == good
