"""One campaign over local services and services in an AWS account, from one fleet file, carried out by one server."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.aws.account import CREDENTIALS, Account
from tests.aws.server import server
from tests.aws.wire import Line, wire
from tests.e2e.aws_kit import AwsFleet
from tests.e2e.kit import PROGRAM, SERVICE, Done, Fleet, Running, environment, open_fleet, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("aws-server")]
IMAGE = {"local": "base-2", "aws": "name:self/base-2"}
FORWARD, BACK = {"blue": 0, "green": 100}, {"blue": 100, "green": 0}
PATIENCE_S = 180.0


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """One for all: each test has services of its own in it."""
    with server() as served:
        yield served.account()


@pytest.fixture
def line(account: Account) -> Iterator[Line]:
    """Between the program and the account."""
    with wire(account, time.sleep) as opened:
        yield opened


class Mixed:
    """The local service of the kit, and services at AWS, in one file with one campaign over all of them."""

    def __init__(self, local: Fleet, account: Account, line: Line, names: tuple[str, ...], **campaign: Any) -> None:
        self.local, self.line = local, line
        self.aws = {
            name: AwsFleet(account, line, local.folder / name, account.service(name, 2, on_demand=True))
            for name in names
        }
        for each in self.aws.values():
            local.document["services"] |= each.document["services"]
        waves = [
            {"name": "canary", "select": {"provider": ["local"]}, "soak": "1s"},
            {"name": "cloud", "select": {"provider": ["aws"], "account": ["123456789012"]}, "max_parallel": 1},
        ]
        local.document["campaigns"] = {"monthly": {"image": IMAGE, "waves": waves, **campaign}}
        local.config.write_text(json.dumps(local.document))

    def begin(self, *arguments: str) -> Running:
        """The program with credentials for the account."""
        own = {**environment(self.local.folder), **CREDENTIALS}
        running = Running([*PROGRAM, *arguments, "--config", str(self.local.config)], self.local.folder, own)
        self.local.children.append(running)
        return running

    def rollout(self, *arguments: str, timeout_s: float = PATIENCE_S) -> Done:
        """The same, waited for."""
        return self.begin(*arguments).wait(timeout_s)

    @contextmanager
    def served(self) -> Iterator[Running]:
        """A serving process, until it is told to end."""
        running = self.begin("serve")
        running.wait_for("serving")
        yield running
        running.signal(signal.SIGTERM)
        done = running.wait()
        assert done.code == 0 and "Traceback" not in done.err, done

    def standing(self) -> dict[str, Any]:
        """How the campaign stands; empty before its first run."""
        done = self.rollout("wave", "status", "monthly", "--json")
        return done.last if done.code != 2 else {}


@contextmanager
def mixed(folder: Path, account: Account, line: Line, *names: str, **campaign: Any) -> Iterator[Mixed]:
    """The local service stands already."""
    with open_fleet(folder) as local:
        fleet = Mixed(local, account, line, names, **campaign)
        done = fleet.rollout("up", SERVICE, "--image", "base-1")
        assert done.code == 0, done
        yield fleet
    line.clear()


def test_one_campaign_patches_local_services_and_those_at_aws(tmp_path: Path, account: Account, line: Line) -> None:
    """Whoever runs a part of the fleet in the cloud has to describe, start and watch a patch twice."""
    with mixed(tmp_path, account, line, "pay", "mail") as fleet:
        plan = fleet.rollout("wave", "plan", "monthly", "--json", "--detailed-exitcode")
        assert plan.code == 10 and plan.last["totals"]["services"] == 3, plan
        assert plan.last["totals"]["added_instances"] == 1 + 2 + 2 and plan.last["totals"]["instance_hours"] >= 5
        images = plan.last["images"]
        assert account.images["base-2"] in images.values() and any(
            each.startswith("sha256:") for each in images.values()
        )
        with fleet.served():
            done = fleet.rollout("wave", "start", "monthly", "--reason", "patch day", "--wait", "--json")
            assert done.code == 0, done
            assert (done.last["state"], done.last["outcome"], done.last["counts"]["accepted"]) == ("ended", "ended", 3)
        assert done.last["images"] == images, "what was planned is what was pinned"
        assert fleet.local.weights == fleet.aws["pay"].weights == fleet.aws["mail"].weights == FORWARD
        assert fleet.aws["pay"].hosts["green"] == fleet.aws["mail"].hosts["green"] == ["base-2"] * 2
        opened = {
            row["service"]: fleet.rollout("status", row["rollout"], "--json").last for row in done.last["services"]
        }
        assert opened["pay"]["opened_at"] > opened[SERVICE]["opened_at"] + 1, "the local wave proved it first"
        assert fleet.rollout("wave", "plan", "monthly", "--json", "--detailed-exitcode").code == 0, "nothing is left"
        text = fleet.rollout("wave", "status", "monthly").out
        assert "3 patched" in text and "local=base-2 aws=name:self/base-2" in text, text


def test_a_wave_that_fails_at_aws_stops_there(tmp_path: Path, account: Account, line: Line) -> None:
    """A patch whose hosts do not come up in the cloud is given to every service there."""
    with mixed(tmp_path, account, line, "one", "two") as fleet, fleet.served():
        line.fail("CreateAutoScalingGroup", code="ValidationError", times=100, text="the template is not allowed")
        done = fleet.rollout("wave", "start", "monthly", "--wait", "--json")
        assert done.last["state"] == "stopped" and "wave cloud: 1 failed" in done.last["said"], done
        assert done.code in (4, 5), done
        assert {each["service"]: bool(each["rollout"]) for each in done.last["services"]} == {
            SERVICE: True,
            "one": True,
            "two": False,
        }
        assert fleet.local.weights == FORWARD, "what was proven stays"
        assert fleet.aws["one"].weights == fleet.aws["two"].weights == BACK
        assert fleet.aws["two"].hosts == {"blue": ["base-1"] * 2}
        line.clear()
        why = fleet.rollout("why-not-now", "two")
        assert "campaign monthly, wave cloud: the campaign is stopped: wave cloud: 1 failed" in why.out, why
        aborted = fleet.rollout("wave", "abort", "monthly", "--reason", "not in the cloud", "--wait", "--json")
        assert aborted.last["state"] == "aborted", aborted


@pytest.mark.timeout(400)
def test_a_campaign_over_both_starts_by_its_schedule(tmp_path: Path, account: Account, line: Line) -> None:
    """What was described to run every month never runs, unless somebody remembers to start it."""
    campaign = {"schedule": "* * * * *", "ref": "CHG-1", "windows": [{"opens": "* * * * *", "lasts": "2h"}]}
    with mixed(tmp_path, account, line, "post", **campaign) as fleet:
        told = fleet.rollout("schedule", "--days", "1")
        assert "campaign monthly starts with local=base-2 aws=name:self/base-2" in told.out, told
        with fleet.served():

            def patched() -> bool:
                time.sleep(0.5)  # each look asks the account
                return fleet.local.weights == fleet.aws["post"].weights == FORWARD

            wait_until(patched, lambda: str(fleet.standing()), 2 * PATIENCE_S)
            first = fleet.standing()
        assert (first["actor"], first["ref"]) == ("schedule", "CHG-1") and first["reason"].startswith("scheduled for")
        assert fleet.local.weights == fleet.aws["post"].weights == FORWARD
        rows = fleet.rollout("history", "--json")
        assert rows.code == 0, rows
