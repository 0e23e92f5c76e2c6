"""`provider: aws` as users meet it: the program as a process, the cloud behind HTTP."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.aws.account import Account
from tests.aws.server import server
from tests.aws.wire import Line, wire
from tests.e2e.aws_kit import AwsFleet, open_aws_fleet
from tests.e2e.kit import ROOT, Running, environment, wait_until
from tests.ports import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("aws-server")]
BACK = {"blue": 100, "green": 0}
FORWARD = {"blue": 0, "green": 100}
LONG = {"steps": [50, 100], "soak": "60s", "interval": "300ms", "drain_limit": "1s"}
Open = Callable[..., AwsFleet]


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One for all: each test has a service of its own in it."""
    with server() as served:
        yield served.account()


@pytest.fixture
def line(account: Account) -> Iterator[Line]:
    """Between the program and the account."""
    with wire(account, time.sleep) as opened:
        yield opened


@pytest.fixture
def opened(account: Account, line: Line, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Makes a fleet whose service is called like the test."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:24].strip("-")
    with ExitStack() as stack:
        yield lambda **more: stack.enter_context(open_aws_fleet(account, line, tmp_path / "fleet", name, **more))


def test_forward_and_every_command(opened: Open) -> None:
    """A newcomer's first rollout breaks, or a command tells something else than what the account shows."""
    fleet = opened(on_demand=False)
    new = fleet.rollout("status", fleet.name)
    assert new.code == 0 and "no rollout yet" in new.out and "2 healthy on blue" in new.out, new
    assert "never been rolled out; begin with: rollout plan" in fleet.rollout("explain", fleet.name).err
    plan = fleet.rollout("plan", fleet.name, "--image", fleet.image("base-2"))
    assert plan.code == 0 and fleet.account.images["base-2"] in plan.out, plan
    assert "blue stays ready for 1h" in plan.out and fleet.weights == BACK
    done = fleet.rollout("start", fleet.name, "--image", fleet.image("base-2"), "--json")
    assert done.code == 0 and done.last["outcome"] == "promoted", done
    assert any(each.get("event") for each in done.objects)
    assert fleet.weights == FORWARD
    assert fleet.hosts == {"blue": ["base-1"] * 2, "green": ["base-2"] * 2}
    status = fleet.status()
    assert (status["traffic"], status["traffic_read"]) == (FORWARD, "live")
    assert "arn:aws:sts::123456789012" in status["actor"], "who AWS says that it was is on record"
    told = {
        ("doctor",): f"{fleet.name}: calls as arn:aws:sts::123456789012",
        ("explain", fleet.name): f"rollout rollback {fleet.name}",
        ("history", fleet.name): status["id"],
        ("report", status["id"], "--format", "markdown"): "aws elbv2 modify-listener",
        ("repair",): f"left: {status['id']} is warm, and nobody drives it",
        ("rollback", fleet.name, "--drill"): "all but the change itself worked",
        ("up", fleet.name, "--image", "base-1"): "stands already on blue and green",
    }
    running = {command: fleet.begin(*command) for command in told}
    for command, text in told.items():
        ended = running[command].wait()
        assert text in ended.out + ended.err and "Traceback" not in ended.err, (command, ended)
    assert fleet.weights == FORWARD


def test_rollback_while_it_runs(opened: Open) -> None:
    """The driver of `start` would move traffic forward again, or leave what it had created."""
    fleet = opened(traffic=LONG)
    running = fleet.begin("start", fleet.name, "--image", fleet.image("base-2"))
    fleet.wait_reached("waiting", "live:1:50", running)
    assert fleet.weights == {"blue": 50, "green": 50}
    done = fleet.rollout("rollback", fleet.name, "--reason", "odd")
    driver = running.wait()
    assert (done.code, driver.code) == (0, 4), (done, driver)
    assert "odd" in driver.out
    assert fleet.weights == BACK
    assert fleet.hosts == {"blue": ["base-1"] * 2}, "what was created for it is gone"


def test_killed_and_resumed(opened: Open) -> None:
    """The machine that drives it dies, and somebody has to find out by hand what was created already."""
    fleet = opened()
    started = ("start", fleet.name, "--image", fleet.image("base-2"))
    running = fleet.begin(*started)
    for kind, step in (("waiting", "running"), ("waiting", "healthy"), ("waiting", "live:1:50")):
        fleet.wait_reached(kind, step, running)
        running.signal(signal.SIGKILL)
        running.wait()
        status = fleet.status()
        assert (status["outcome"], status["driven_by"]) == ("running", None)
        assert status["next"] == f"rollout resume {status['id']}"
        if status["traffic"] is not None:
            assert status["traffic"] == fleet.weights
        running = fleet.begin("resume", fleet.name, "--json")
    done = running.wait()
    assert done.code == 0 and done.last["outcome"] == "promoted", done
    assert fleet.weights == FORWARD
    assert fleet.hosts == {"blue": ["base-1"] * 2, "green": ["base-2"] * 2}
    assert fleet.line.count("CreateAutoScalingGroup") == 1
    assert fleet.rollout("journal", "verify").code == 0


def test_expired_credentials(opened: Open) -> None:
    """Somebody's login ends at lunch time and takes the rollout with it, or nobody is told why it stands still."""
    fleet = opened()
    running = fleet.begin("start", fleet.name, "--image", fleet.image("base-2"))
    fleet.wait_reached("waiting", "healthy", running)
    fleet.line.expire()
    running.wait_for("log in again")
    assert running.process.poll() is None, "it waits"
    status = fleet.status()
    assert status["outcome"] == "running" and status["traffic_read"] != "live"
    fleet.line.login()
    done = running.wait()
    assert done.code == 0, done
    assert fleet.weights == FORWARD


def test_denied(opened: Open) -> None:
    """A permission that is missing leaves half a rollout, or a message that does not name it."""
    fleet = opened()
    fleet.line.deny("ModifyListener", after=1)  # to name the standby at weight 0 is still allowed
    done = fleet.rollout("start", fleet.name, "--image", fleet.image("base-2"))
    assert done.code == 5 and "halted" in done.out, done
    assert "modify_listener" in done.out and "AccessDenied" in done.out, done
    assert f"rollout resume {fleet.status()['id']}" in done.out
    assert fleet.weights == BACK
    fleet.line.clear()
    resumed = fleet.rollout("resume", fleet.name, "--json")
    assert resumed.code == 4 and resumed.last["outcome"] == "rolled_back", resumed
    assert fleet.weights == BACK
    assert fleet.hosts == {"blue": ["base-1"] * 2}


def test_at_night(opened: Open) -> None:
    """Whoever has the program without its library, or lacks a permission, has nothing to hand to somebody else."""
    fleet = opened()
    fleet.promoted()
    local = {"images": "images", "listen": f"127.0.0.1:{free_port()}", "ports": "20000-20009", "instances": 1}
    fleet.document["services"]["web"] = {"provider": "local", "coexist": "safe", "options": local}
    fleet.write()
    absent, install = fleet.without_boto3(), "pip install 'rollout-manager[aws]'"
    plan = fleet.rollout("plan", fleet.name, "--image", "ami-00000000", **absent)
    assert plan.code == 2 and install in plan.err and "Traceback" not in plan.err, plan
    doctor = fleet.rollout("doctor", **absent)
    assert f"{fleet.name}: " in doctor.out and install in doctor.out, doctor
    web = fleet.rollout("status", "web", **absent)
    assert "boto3" not in web.err and "rollout up web" in web.err, "a local service is looked at as ever"
    listed = fleet.rollout("status", **absent)
    assert listed.code == 0 and "as last journalled" in listed.out, listed
    missing = fleet.rollout("rollback", fleet.name, **absent)
    fleet.line.deny("ModifyListener")
    denied = fleet.rollout("rollback", fleet.name)
    assert install in missing.err and "AccessDenied" in denied.err
    for ended in (missing, denied):
        assert ended.code == 5 and "Traceback" not in ended.err, ended
        (text,) = [each for each in ended.err.splitlines() if "modify-listener" in each]
        words = shlex.split(text)
        assert words[words.index("--listener-arn") + 1] == fleet.options.routes[0].listener
        assert fleet.options.routes[0].blue in words[words.index("--default-actions") + 1]
    assert fleet.weights == FORWARD
    fleet.line.clear()
    done = fleet.rollout("rollback", fleet.name, "--no-wait")
    assert done.code == 0 and "all new traffic is on blue" in done.err, done
    assert "0 requests" not in done.err, "AWS does not tell that at once"
    assert fleet.weights == BACK


def test_the_playground(tmp_path: Path) -> None:
    """A newcomer's first quarter of an hour ends at the first command; or something of it stays on his machine."""
    folder = tmp_path / "try"
    command = [sys.executable, str(ROOT / "scripts" / "playgrounds" / "aws.py"), str(folder)]
    playing = Running(command, tmp_path, environment(tmp_path))
    try:
        playing.wait_for("Ctrl-C ends the account")
        told: Any = subprocess.run(
            ["bash", "-c", f"source {folder}/env && rollout doctor && rollout plan shop && rollout plan till"],
            env={**environment(tmp_path), "AWS_PROFILE": "prod", "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told
        assert "0 problems" in told.stdout and "3 × blue into green" in told.stdout
        playing.signal(signal.SIGINT)
        done = playing.wait()
    finally:
        playing.kill()
    assert done.code == 0 and "Traceback" not in done.err, done
    wait_until(lambda: not folder.exists(), "the folder is gone")
