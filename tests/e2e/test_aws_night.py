"""`rollout rollback` on AWS in a bad night: the store is broken, the server hangs, the window is over."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.aws.account import Account
from tests.aws.server import server
from tests.aws.wire import wire
from tests.e2e import night_kit
from tests.e2e.aws_kit import AwsFleet, open_aws_fleet
from tests.e2e.kit import wait_until
from tests.e2e.night_kit import BACK, FORWARD, REASON, Broken, T, Warm

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("aws-server")]


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One for all: each test has a service of its own in it, or takes the promoted one."""
    with server() as served:
        yield served.account()


@pytest.fixture(scope="module")
def promoted(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """base-2 was promoted on green; blue is kept warm."""
    folder = tmp_path_factory.mktemp("night") / "fleet"
    with wire(account, time.sleep) as line, open_aws_fleet(account, line, folder, "shop") as fleet:
        yield Warm(fleet)


@pytest.fixture
def warm(promoted: Warm) -> Warm:
    """The same for every test."""
    promoted.again()
    return promoted


BROKEN: list[Any] = [
    pytest.param(night_kit.deleted, "there is no store at", id="deleted"),
    pytest.param(night_kit.corrupt, "file is not a database", id="corrupt"),
    pytest.param(night_kit.locked_for_writers, "database is locked", id="locked for writers"),
    pytest.param(night_kit.locked_for_all, "database is locked", id="locked for all"),
    pytest.param(night_kit.read_only, "readonly database", id="read-only"),
    pytest.param(night_kit.older, "it does not know", id="put back from before"),
]


@pytest.mark.parametrize(("broken", "said"), BROKEN)
def test_with_a_store_that_is_broken(warm: Warm, broken: Broken, said: str) -> None:
    """The disk that ails is the one that the way back needs; or traffic is back, and the pager's script hears of 1."""
    with broken(warm) as first:
        done = warm.rollback(first=first).wait()
    assert done.code == 0 and "Traceback" not in done.err, done
    assert "the store cannot be used" in done.err and said in done.err, done
    assert f"all new traffic is on blue, marked and read back for {T:.0f} s" in done.err, done
    assert "Traffic is back; the rest waits for the store" in done.err + done.out, done
    warm.assert_is_back()


def test_with_a_store_that_was_put_back_from_the_middle(warm: Warm) -> None:
    """What the store knows of the route is an hour old, and is believed more than the route itself."""
    with night_kit.a_little_older(warm):
        done = warm.rollback("--no-wait").wait()
    assert done.code == 0 and "Traceback" not in done.err, done
    assert "now blue 0 %, green 100 %" in done.err and "all new traffic is on blue, marked and read back" in done.err
    warm.assert_is_back()


def test_with_a_server_that_is_frozen(warm: Warm) -> None:
    """A server accepts and never answers, and keeps traffic on the bad side for as long as somebody waits for it."""
    serving = warm.fleet.begin("serve")
    wait_until((warm.fleet.state / "hotline.sock").exists, "the server listens")
    serving.signal(signal.SIGSTOP)
    began = time.monotonic()
    running = warm.rollback("--no-wait")
    wait_until(lambda: warm.fleet.weights == BACK, "traffic is back")
    took = time.monotonic() - began
    done = running.wait()
    assert done.code == 0 and "going on directly" in done.err, done
    assert "all new traffic is on blue, marked and read back" in done.err, done
    assert took < 10, "a second for the server, a moment for the store, and the machine's own load"
    warm.assert_is_back()


def test_with_a_server_frozen_and_the_store_gone(warm: Warm) -> None:
    """Two things are broken at once, and each is waited for until the other one works."""
    serving = warm.fleet.begin("serve")
    wait_until((warm.fleet.state / "hotline.sock").exists, "the server listens")
    serving.signal(signal.SIGSTOP)
    with night_kit.deleted(warm):
        done = warm.rollback("--no-wait", "--json").wait()
    assert done.code == 0 and len(done.objects) == 1, done
    assert (done.last["traffic"], done.last["active_slot"]) == (BACK, "blue")
    warm.assert_is_back()


@pytest.fixture
def fleet(account: Account, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[AwsFleet]:
    """A service of the test's own, called like it; nothing was rolled out yet."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:24].strip("-")
    with wire(account, time.sleep) as line, open_aws_fleet(account, line, tmp_path / "fleet", name) as opened:
        yield opened


def test_a_server_that_thaws(fleet: AwsFleet) -> None:
    """The server that drove goes on where it was frozen, and moves traffic forward again behind the engineer's back."""
    fleet.document["services"][fleet.name]["traffic"]["soak"] = "60s"
    fleet.write()
    serving = fleet.begin("serve")
    serving.wait_for("serving ")
    begun = fleet.rollout("start", fleet.name, "--image", fleet.image("base-2"), "--no-wait")
    assert begun.code == 0, begun
    fleet.wait_reached("waiting", "live:1:50", serving)
    serving.signal(signal.SIGSTOP)
    done = fleet.rollout("rollback", fleet.name, "--reason", REASON, "--no-wait")
    assert done.code == 0 and "going on directly" in done.err, done
    assert fleet.weights == BACK
    serving.signal(signal.SIGCONT)
    fleet.wait_reached("closed", "", serving)
    assert fleet.weights == BACK and fleet.hosts == {"blue": ["base-1"] * 2}
    assert not [step for _, kind, step, _ in fleet.entries() if kind == "intended" and step.startswith("swap:2")]
    status = fleet.status()
    assert (status["outcome"], status["reason"]) == ("rolled_back", REASON)
    serving.signal(signal.SIGTERM)
    assert serving.wait().code == 0


@pytest.mark.timeout(300)
def test_after_the_window(fleet: AwsFleet) -> None:
    """The old side is given up, and the only way back left would be to read the manual; or it leads nowhere."""
    fleet.document["services"][fleet.name]["keep_warm"] = "0s"
    fleet.write()
    fleet.promoted()
    retired = fleet.begin("resume", fleet.name).wait(120)
    assert retired.code == 0 and fleet.hosts == {"blue": [], "green": ["base-2"] * 2}, retired
    refused = fleet.rollout("rollback", fleet.name, "--no-cold")
    assert refused.code == 5 and "Traffic stays on green" in refused.err, refused
    assert fleet.weights == FORWARD
    told = fleet.rollout("rollback", fleet.name, "--json")
    command = told.last["next"].split()
    assert (told.code, command[:3], command[-1]) == (5, ["rollout", "start", fleet.name], "--cold"), told
    assert told.last["image"] == fleet.account.images["base-1"]
    cold = fleet.begin("rollback", fleet.name, "--reason", REASON).wait(120)
    assert cold.code == 0 and "Traceback" not in cold.err, cold
    assert f"going back cold: blue is stood up again from {fleet.account.images['base-1']}" in cold.err, cold
    assert "last time that took" in cold.err
    assert fleet.weights == BACK and fleet.hosts["blue"] == ["base-1"] * 2
    status = fleet.status()
    assert (status["outcome"], status["image"]) == ("promoted", fleet.account.images["base-1"])
    opened = next(data for _, kind, _, data in fleet.entries() if kind == "opened")
    assert opened["reason"] == REASON
