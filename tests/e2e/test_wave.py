"""A campaign with real processes: two local services, a server that carries it out, commands that say how it is."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from providers.base import Context, Service
from providers.local import adapter
from tests.e2e.kit import PORTS, SERVICE, Fleet, _Clock
from tests.ports import free_port, free_row

OTHER = "cart"
WAVES = [
    {"name": "canary", "select": {"services": [SERVICE]}, "soak": "1s"},
    {"name": "rest", "select": {"rest": True}, "soak": "0s"},
]


class TwoServices(Fleet):
    """The kit's service and one more of its kind, in one campaign."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        other = deepcopy(self.document["services"][SERVICE])
        first = free_row()
        other["options"] |= {
            "listen": f"127.0.0.1:{free_port()}",
            "test_listen": f"127.0.0.1:{free_port()}",
            "ports": f"{first}-{first + PORTS - 1}",
        }
        self.document["services"][OTHER] = other
        self.document["campaigns"] = {"monthly": {"image": "base-2", "waves": WAVES}}
        text = yaml.safe_dump(json.loads(json.dumps(self.document)), sort_keys=False)
        self.config.write_text(text)

    def close(self) -> None:
        """Nothing of either is left."""
        for child in self.children:
            child.kill()
        adapter.tear_down(Context(self.state, self.folder, _Clock()), Service(OTHER))
        super().close()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[TwoServices]:
    """Two services that do not stand yet."""
    made = TwoServices(tmp_path)
    try:
        yield made
    finally:
        made.close()


def images(fleet: TwoServices) -> dict[str, str]:
    """Which image each service runs, by its newest rollout."""
    return {name: str(fleet.status(name)["patch"]) for name in (SERVICE, OTHER)}


def told(text: str, kind: str) -> list[dict[str, Any]]:
    """The events of one kind."""
    return [event for event in map(json.loads, text.splitlines()) if event.get("event") == kind]


def test_a_campaign_patches_two_services_one_after_the_other(fleet: TwoServices) -> None:
    """What was described once is never carried out, or the pipeline that waits for it is told something else."""
    for name in (SERVICE, OTHER):
        done = fleet.rollout("up", name, "--image", "base-1")
        assert done.code == 0, done
    plan = fleet.rollout("wave", "plan", "monthly", "--json", "--detailed-exitcode")
    assert plan.code == 10 and plan.last["totals"]["services"] == 2, plan
    assert plan.last["totals"]["added_instances"] == 2

    alone = fleet.rollout("wave", "start", "monthly")
    assert alone.code == 2 and "rollout serve" in alone.err, "nobody would carry it out"

    server = fleet.begin("serve")
    server.wait_for("serving")
    done = fleet.rollout("wave", "start", "monthly", "--key", "build-7", "--wait", "--json", timeout_s=120)
    assert done.code == 0, done
    assert (done.last["state"], done.last["outcome"]) == ("ended", "ended")
    accepted = [event["service"] for event in told(done.out, "member") if event["progress"] == "accepted"]
    assert accepted == [SERVICE, OTHER]
    assert [event["state"] for event in told(done.out, "wave") if event["wave"] == "canary"][-1] in ("done", "soaking")
    first, second = fleet.status(SERVICE), fleet.status(OTHER)
    assert (first["outcome"], second["outcome"]) == ("promoted", "promoted")
    assert first["active_slot"] == second["active_slot"] == "green"
    assert second["opened_at"] >= first["opened_at"] + 1

    again = fleet.rollout("wave", "start", "monthly", "--key", "build-7", "--json")
    assert again.code == 0 and again.last["id"] == done.last["id"], "the same key is the same run"
    status = fleet.rollout("wave", "status", "monthly")
    assert status.code == 0 and SERVICE in status.out and "2 patched" in status.out, status
    plan = fleet.rollout("wave", "plan", "monthly", "--json", "--detailed-exitcode")
    assert plan.code == 0 and plan.last["totals"]["services"] == 0, plan
    server.signal(signal.SIGTERM)
    assert server.wait().code == 0


def test_a_campaign_stops_at_a_patch_that_breaks_and_survives_its_server(fleet: TwoServices) -> None:
    """The server is killed in the middle of a bad patch, and the one after it gives the patch to the rest."""
    fleet.image("sick", behaves="sick")
    for name in (SERVICE, OTHER):
        assert fleet.rollout("up", name, "--image", "base-1").code == 0
    server = fleet.begin("serve")
    server.wait_for("serving")
    started = fleet.rollout("wave", "start", "monthly", "--image", "sick", "--reason", "CVE", "--json")
    assert started.code == 0 and started.last["exit_code"] == 0, started
    fleet.wait_reached("entered", "preparing", server)
    server.kill()
    server = fleet.begin("serve")
    done = fleet.rollout("wave", "status", "monthly", "--watch", "--json", timeout_s=180)
    assert done.code == 4 and done.last["state"] == "stopped", done
    assert "wave canary: 1 failed" in done.last["said"]
    assert [each["service"] for each in done.last["services"] if each["rollout"]] == [SERVICE]
    assert fleet.weights == {"blue": 100, "green": 0}
    aborted = fleet.rollout("wave", "abort", "monthly", "--reason", "bad image", "--wait", "--json")
    assert aborted.code == 0 and aborted.last["state"] == "aborted", aborted
    server.signal(signal.SIGTERM)
    assert server.wait().code == 0
