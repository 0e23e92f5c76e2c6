"""The control API against a running balancer."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.local.balancer.client import BalancerClient, Conflict, Refused, Unreachable
from tests.local.balancer_kit import Kit, serving, wait_until

GREEN = {"blue": 0, "green": 100}


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    """A balancer that is stopped again, whatever happens."""
    with serving(Kit(tmp_path / "b"), a_side=1) as kit:
        yield kit


def test_a_write_needs_the_revision_that_is_in_force(kit: Kit) -> None:
    """Else two people overwrite each other without noticing."""
    revision = kit.client.state()["revision"]
    kit.client.set_weights(GREEN, expected_revision=revision, token="mine")
    with pytest.raises(Conflict) as refused:
        kit.client.set_weights({"blue": 50, "green": 50}, expected_revision=revision, token="theirs")
    assert refused.value.state["weights"] == GREEN
    with pytest.raises(Conflict):
        kit.client.set_targets("blue", [], expected_revision=revision, token="theirs")


def test_a_repeat_of_the_last_write_is_harmless(kit: Kit) -> None:
    """Else a command killed after its call, and run again, fails or acts twice."""
    revision = kit.client.state()["revision"]
    once = kit.client.set_weights(GREEN, expected_revision=revision, token="same")
    twice = kit.client.set_weights(GREEN, expected_revision=revision, token="same")
    assert once["revision"] == twice["revision"] == revision + 1
    with pytest.raises(Conflict):
        kit.client.set_weights({"blue": 1, "green": 99}, expected_revision=revision, token="same")


@pytest.mark.parametrize(
    "weights",
    [
        {"blue": 0, "green": 0},
        {"blue": -1, "green": 100},
        {"blue": 101, "green": 0},
        {"blue": 100},
        {"blue": 100, "green": 0, "red": 0},
        {"blue": 1.5, "green": 1},
        {"blue": True, "green": 1},
    ],
)
def test_rubbish_is_refused_and_changes_nothing(kit: Kit, weights: dict[str, int]) -> None:
    """Else one typing error takes a service down."""
    before = kit.client.state()
    with pytest.raises(Refused) as refused:
        kit.client.set_weights(weights, expected_revision=None, token="t")
    assert refused.value.status == 400
    assert kit.client.state()["revision"] == before["revision"]
    assert kit.ask().body == b"b1"


def test_a_slot_in_use_cannot_be_emptied_nor_an_empty_one_used(kit: Kit) -> None:
    """Else a retire that went wrong leaves clients with nobody."""
    with pytest.raises(Refused) as emptied:
        kit.client.set_targets("blue", [], expected_revision=None, token="t")
    assert emptied.value.status == 422
    kit.client.set_targets("green", [], expected_revision=None, token="t")
    with pytest.raises(Refused) as used:
        kit.client.set_weights({"blue": 90, "green": 10}, expected_revision=None, token="t2")
    assert used.value.status == 422
    with pytest.raises(Refused) as unknown:
        kit.client.set_targets("red", [], expected_revision=None, token="t3")
    assert unknown.value.status == 400
    with pytest.raises(Refused, match="balancer itself"):
        kit.client.set_targets("green", [kit.listen], expected_revision=None, token="t4")


def test_acknowledged_means_on_disk(kit: Kit) -> None:
    """Else a crash after "done" silently puts traffic back."""
    answer = kit.client.set_weights(GREEN, expected_revision=None, token="kept")
    written = json.loads((kit.directory / "state.json").read_text())
    assert (written["revision"], written["weights"], written["token"]) == (answer["revision"], GREEN, "kept")


def test_the_hold_mark_is_shown_and_an_unreadable_one_is_said(kit: Kit) -> None:
    """Else a forward rollout overwrites what the on-call engineer did."""
    assert kit.client.state()["mark"] is None
    mark = kit.directory / "mark.json"
    mark.write_text('{"actor": "night shift", "epoch": 3}')
    assert kit.client.state()["mark"] == {"actor": "night shift", "epoch": 3}
    for broken in ("{", "[]"):
        mark.write_text(broken)
        assert list(kit.client.state()["mark"] or {}) == ["unreadable"]


def test_a_cut_closes_what_is_in_flight_on_that_slot_only(kit: Kit) -> None:
    """Else connections stay on a bad side after a rollback, or good ones are lost."""
    with kit.connected() as client:
        client.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: kit.client.state()["counters"]["blue"]["in_flight"] == 1, "it is in flight")
        assert kit.client.cut("green") == 0
        assert kit.client.cut("blue") == 1
        with pytest.raises(ConnectionResetError):
            while client.recv(65536):
                pass
    counters = kit.client.state()["counters"]["blue"]
    assert (counters["in_flight"], counters["cut"], counters["failed"]) == (0, 1, 0)
    assert kit.ask().status == 200


def test_a_write_that_was_given_up_never_lands(kit: Kit) -> None:
    """Else a balancer that was frozen moves traffic forward again, after everybody was told that it is back."""
    before = kit.client.state()
    worker = kit.pid("worker")
    os.kill(worker, signal.SIGSTOP)
    try:
        for act in (_swap, _empty, _cut):
            with pytest.raises(Unreachable) as lost:
                act(BalancerClient(kit.directory, 0.2))
            assert lost.value.may_have_applied
    finally:
        os.kill(worker, signal.SIGCONT)
    log = kit.directory / "balancer.log"
    wait_until(lambda: log.read_text().count("came too late") == 3, "all three were read")
    assert (kit.client.state()["revision"], kit.pid("worker")) == (before["revision"], worker)


def _swap(client: BalancerClient) -> None:
    client.set_weights(GREEN, expected_revision=None, token="late")


def _empty(client: BalancerClient) -> None:
    client.set_targets("green", [], expected_revision=None, token="late")


def _cut(client: BalancerClient) -> None:
    client.cut("blue")


def test_nobody_there_is_said_and_was_not_carried_out(tmp_path: Path) -> None:
    """Else a caller does not know whether its write may have landed."""
    with pytest.raises(Unreachable) as nobody:
        BalancerClient(tmp_path, 1.0).set_weights(GREEN, expected_revision=None, token="t")
    assert not nobody.value.may_have_applied
