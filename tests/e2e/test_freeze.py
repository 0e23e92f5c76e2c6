"""A freeze with real processes: said in one place, it holds in another within seconds, and never keeps anybody back."""

from __future__ import annotations

import json
import time

import pytest

from tests.e2e.kit import SERVICE, Fleet, wait_until
from tests.e2e.test_serve import handed_over, serve, stopped

pytestmark = pytest.mark.e2e
SHORT = {"traffic": {"steps": [10, 50, 100], "soak": "4s"}}
SECONDS = 10.0


def test_a_freeze_is_heeded_by_a_server_elsewhere_and_a_rollback_goes_through(fleet: Fleet) -> None:
    """One command was to stop everything, and the server moves traffic on; or the way back is frozen, too."""
    fleet.change(**SHORT)
    server = serve(fleet)
    rollout = handed_over(fleet)
    wait_until(lambda: fleet.weights["green"] == 10, "the first step")
    done = fleet.rollout("freeze", "on", "--reason", "customers are down", "--json")
    assert done.code == 0 and done.last["standing_still"] == [rollout], done

    def stands_still() -> bool:
        return "customers are down" in str(fleet.status()["waits_for"])

    wait_until(stands_still, "it stands still", patience_s=SECONDS + 5)
    weights, since = fleet.weights, time.monotonic()
    why = json.loads(fleet.rollout("why-not-now", SERVICE, "--json").out)
    assert [each["kind"] for each in why["reasons"]][:2] == ["freeze", "open_rollout"]
    assert fleet.rollout("start", SERVICE, "--image", "base-2").code == 6
    while time.monotonic() - since < SECONDS:  # the next step would have been due twice
        assert fleet.weights == weights
        time.sleep(0.5)
    back = fleet.rollout("rollback", SERVICE, "--reason", "now", "--json")
    assert back.code == 0 and fleet.weights == {"blue": 100, "green": 0}, back
    wait_until(lambda: fleet.status()["closed_at"], "it is over, though it is frozen")
    assert fleet.rollout("freeze", "off", "--json").last["lifted"] is True
    stopped(server)


def test_lifted_it_goes_on_at_once(fleet: Fleet) -> None:
    """After an incident everything has to be started again by hand."""
    fleet.change(**SHORT)
    server = serve(fleet)
    assert fleet.rollout("freeze", "on", SERVICE, "--reason", "x", "--until", "1h").code == 0
    refused = fleet.rollout("start", SERVICE, "--image", "base-2", "--no-wait")
    assert refused.code == 6 and f"frozen (service:{SERVICE})" in refused.err
    assert fleet.rollout("freeze", "off", SERVICE).code == 0
    handed_over(fleet)
    wait_until(lambda: fleet.weights["green"] == 10, "the first step")
    assert fleet.rollout("freeze", "on", "--reason", "x").code == 0
    wait_until(lambda: "frozen by" in str(fleet.status()["waits_for"]), "it stands still")
    assert fleet.rollout("freeze", "off").code == 0
    wait_until(lambda: fleet.weights["green"] == 50, "it goes on", patience_s=5)
    stopped(server)
