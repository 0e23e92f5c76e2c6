"""`rollout start`: what it does with images that are good, bad, missing or denied, and with a service that is busy."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from tests.e2e.kit import SERVICE, Done, Fleet

pytestmark = pytest.mark.e2e
ENDS_WITH = {"id", "service", "phase", "outcome", "active_slot", "image", "exit_code"}


def start(fleet: Fleet, *arguments: str) -> Done:
    """`rollout start shop …`"""
    return fleet.rollout("start", SERVICE, *arguments)


def assert_put_back(fleet: Fleet, done: Done, reason: str) -> dict[str, Any]:
    """Exit 4, the reason, where traffic is, and nothing left of the bad side."""
    assert done.code == 4, done
    assert "Traceback" not in done.err
    status = fleet.status()
    assert status["outcome"] == "rolled_back"
    assert status["reason"].startswith(reason), status["reason"]
    assert reason in done.out, "the reason is told"
    assert "blue 100 %, green 0 %" in done.out.splitlines()[-1], "where traffic is comes last"
    assert fleet.weights == {"blue": 100, "green": 0}
    assert fleet.instances("green") == []
    assert len(fleet.instances("blue")) == 1
    return status


def test_promoted(fleet: Fleet) -> None:
    """The main job: a patch under load, with no failed request, and JSON for whoever waits for it."""
    with fleet.load() as load:
        done = start(fleet, "--image", "base-2", "--json")
    assert done.code == 0, done
    assert load.failures == []
    assert set(done.last) >= ENDS_WITH
    digest = json.loads(fleet.rollout("plan", SERVICE, "--image", "base-2", "--json").out)["plan"]["patch"]["images"]
    assert done.last["outcome"] == "promoted"
    assert done.last["active_slot"] == "green"
    assert done.last["image"] in digest.values()
    assert done.last["exit_code"] == 0
    assert [each["seq"] for each in done.objects if "seq" in each] == [seq for seq, *_ in fleet.entries()]
    assert all("event" in each for each in done.objects[:-1])
    assert len(fleet.instances("blue")) == 1, "the original is kept warm"


def test_two_in_a_row(fleet: Fleet) -> None:
    """The second patch goes to the other slot; a program that takes blue for `the old one` would break it."""
    fleet.promoted("base-2")
    with fleet.load() as load:
        done = start(fleet, "--image", "base-3", "--end-warm", "--json")
    assert done.code == 0, done
    assert load.failures == []
    assert done.last["active_slot"] == "blue"
    assert fleet.weights == {"blue": 100, "green": 0}


def test_never_healthy(fleet: Fleet) -> None:
    """A patch that does not come up would be waited for for ever, or get traffic."""
    fleet.change(deadlines={"healthy": "1s"})
    fleet.image("sick", behaves="sick")
    with fleet.load() as load:
        done = start(fleet, "--image", "sick")
    assert_put_back(fleet, done, "healthy: ")
    assert "503" in done.out
    assert load.failures == []
    assert load.served["green"] == 0


def test_exits_at_once(fleet: Fleet) -> None:
    """Nobody would learn why the patched application does not start."""
    fleet.image("dead", behaves="exits")
    status = assert_put_back(fleet, start(fleet, "--image", "dead"), "running: ")
    assert "the license file is missing" in status["reason"]


def test_a_command_that_is_not_there(fleet: Fleet) -> None:
    """An image with a wrong path would be a riddle, or a traceback."""
    fleet.image("wrong", command=["/no/such/program", "{image}", "{port}"])
    done = start(fleet, "--image", "wrong")
    status = assert_put_back(fleet, done, "running: ")
    assert "/no/such/program" in status["reason"]


def test_only_real_traffic_shows_the_fault(fleet: Fleet) -> None:
    """Health checks pass, customers get errors: without the live gate a broken patch would be promoted."""
    fleet.change(checks={"live": ["balancer", {"failed_responses": {"min_requests": 10}}]})
    fleet.image("faulty", behaves="faulty")
    with fleet.load() as load:
        done = start(fleet, "--image", "faulty")
    assert_put_back(fleet, done, "live:1:50: ")
    assert "failed_responses" in done.out
    assert load.served["green"] > 0
    again = start(fleet, "--image", "faulty")
    assert again.code == 2, again
    assert "denied" in again.err
    assert f"rollout deny {SERVICE} faulty --lift" in again.err


def test_slow_is_found_where_it_is_asked_for(fleet: Fleet) -> None:
    """A patch that makes everything slow would be promoted although the fleet file says how fast it has to be."""
    fleet.change(checks={"replacement": [{"http": {"path": "/items", "max_latency_s": 0.2}}, "balancer"]})
    fleet.image("slow", behaves="slow")
    assert_put_back(fleet, start(fleet, "--image", "slow"), "proof: ")


def test_no_traffic_to_judge_is_not_good(fleet: Fleet) -> None:
    """Too few requests would pass for no errors."""
    fleet.change(
        checks={"live": [{"failed_responses": {"min_requests": 10}}]}, gates={"live": {"unknown_limit": "500ms"}}
    )
    done = start(fleet, "--image", "base-2")
    status = assert_put_back(fleet, done, "live:1:50: ")
    assert "unknown" in status["reason"]
    assert fleet.rollout("deny", SERVICE, "--json").last["denied"] == {}, "unknown proves nothing of an image"


def test_unknown_service(fleet: Fleet) -> None:
    """A slip of the finger would be answered with a riddle."""
    done = fleet.rollout("start", "shpo")
    assert done.code == 2, done
    assert "did you mean shop?" in done.err
    assert "Known: shop" in done.err


def test_unknown_image(fleet: Fleet) -> None:
    """A slip of the finger would be answered with a riddle, after the mirror was made."""
    done = start(fleet, "--image", "base-22")
    assert done.code == 2, done
    assert "base-22" in done.err
    assert done.err.index("base-2 ") < done.err.index("base-1 "), "the nearest name comes first"
    assert "nothing was changed" in done.err
    assert fleet.entries() == []


def test_no_image(fleet: Fleet) -> None:
    """Without a default the program would have to guess what to roll out."""
    done = start(fleet)
    assert done.code == 2, done
    assert "--image" in done.err
    assert "services.shop.patch.image" in done.err


def test_port_in_use(written: Fleet) -> None:
    """Another program on the balancer's port would look like a broken installation."""
    import socket

    with socket.create_server(("127.0.0.1", written.port)):
        done = written.rollout("up", SERVICE, "--image", "base-1")
    assert done.code == 5, done
    assert "Traceback" not in done.err
    assert str(written.port) in done.err
    assert "in use" in done.err
    assert f"rollout down {SERVICE} --yes {SERVICE}" in done.err
    assert written.rollout("down", SERVICE, "--yes", SERVICE).code == 0


def test_not_standing_yet(written: Fleet) -> None:
    """Who forgets `up` would get an internal error."""
    done = start(written, "--image", "base-2")
    assert done.code == 2, done
    assert "Traceback" not in done.err
    assert f"rollout up {SERVICE}" in done.err


def test_second_start_while_one_is_open(fleet: Fleet) -> None:
    """Two people patching at once would fight over the same slots."""
    fleet.change(traffic={"soak": "60s"})
    running = fleet.begin("start", SERVICE, "--image", "base-2")
    fleet.wait_reached("entered", "mirroring", running)
    before = len(fleet.started())
    done = start(fleet, "--image", "base-3")
    rollout = fleet.status()["id"]
    assert done.code == 6, done
    assert rollout in done.err
    assert f"rollout status {rollout}" in done.err
    assert f"rollout resume {rollout}" in done.err
    assert len(fleet.started()) <= before + 1
    assert fleet.rollout("abort", SERVICE, "--reason", "test").code == 0
    running.wait()


def test_start_on_a_warm_service(fleet: Fleet) -> None:
    """The way back of yesterday's patch would be given up without a word."""
    first = fleet.promoted("base-2")
    done = start(fleet, "--image", "base-3")
    assert done.code == 6, done
    assert first["id"] in done.err
    assert f"rollout start {SERVICE} --end-warm" in done.err
    assert fleet.status()["way_back"] == f"rollout rollback {SERVICE}"
    done = start(fleet, "--image", "base-3", "--end-warm")
    assert done.code == 0, done
    assert "giving up its way back to blue" in done.err
    assert fleet.status(first["id"])["phase"] == "retired"


def test_the_same_key_is_the_same_rollout(fleet: Fleet) -> None:
    """A CI job that is run again would roll out twice, or hang until the way back closes."""
    first = start(fleet, "--image", "base-2", "--key", "build-7", "--json")
    assert first.code == 0, first
    entries, instances = fleet.entries(), fleet.started()
    again = fleet.rollout("start", SERVICE, "--image", "base-2", "--key", "build-7", "--json", timeout_s=10)
    assert again.code == 0, again
    assert again.last["id"] == first.last["id"]
    assert again.last["outcome"] == "promoted"
    assert fleet.started() == instances
    assert [each for each in fleet.entries()[len(entries) :] if each[1] == "intended"] == []
    assert fleet.rollout("rollback", SERVICE).code == 0
    after = start(fleet, "--image", "base-2", "--key", "build-7", "--json")
    assert after.code == 4, "what became of it is told again"
    assert after.last["id"] == first.last["id"]
    assert fleet.weights == {"blue": 100, "green": 0}


def test_nothing_to_do(fleet: Fleet) -> None:
    """A nightly job would roll the same image out again each night."""
    done = start(fleet, "--image", "base-1")
    assert done.code == 0, done
    assert "runs base-1 already on blue" in done.err + done.out
    assert fleet.entries() == []
    asked = start(fleet, "--image", "base-1", "--json")
    assert asked.code == 0
    assert asked.last["exit_code"] == 0


def test_denied_image(fleet: Fleet) -> None:
    """An image known to be bad would be rolled out again by the next nightly job."""
    done = fleet.rollout("deny", SERVICE, "base-2", "--reason", "CVE in libfoo", "--json")
    assert done.code == 0, done
    assert list(done.last["denied"].values()) == ["CVE in libfoo"]
    refused = start(fleet, "--image", "base-2")
    assert refused.code == 2, refused
    assert "CVE in libfoo" in refused.err
    assert f"rollout deny {SERVICE} base-2 --lift" in refused.err
    assert fleet.entries() == []
    lifted = fleet.rollout("deny", SERVICE, "base-2", "--lift", "--json")
    assert lifted.last["denied"] == {}
    assert start(fleet, "--image", "base-2").code == 0


def test_no_wait_is_refused(fleet: Fleet) -> None:
    """Nobody would drive it, and the caller would believe that somebody does."""
    done = start(fleet, "--image", "base-2", "--no-wait")
    assert done.code == 2, done
    assert "nothing would drive it" in done.err
    assert fleet.entries() == []


def test_time_out_leaves_it_running(fleet: Fleet) -> None:
    """A CI job with a time limit would not know that the rollout is still open, nor how to go on."""
    fleet.change(traffic={"soak": "2s"})
    done = start(fleet, "--image", "base-2", "--timeout", "2")
    assert done.code == 7, done
    assert f"rollout resume {fleet.status()['id']}" in done.out
    assert fleet.rollout("resume", SERVICE).code == 0
    assert fleet.weights == {"blue": 0, "green": 100}


def test_approval(fleet: Fleet) -> None:
    """Traffic would move before a second person said yes, one person would say it twice, or nobody would hear it."""
    fleet.change(approval="required")
    done = start(fleet, "--image", "base-2", "--timeout", "6")
    rollout = fleet.status()["id"]
    assert done.code == 3, done
    assert f"rollout approve {rollout}" in done.out
    assert fleet.weights == {"blue": 100, "green": 0}
    own = fleet.rollout("approve", rollout)
    assert own.code == 2, own
    assert "somebody else has to approve it" in own.err
    disguised = fleet.begin("approve", rollout, LOGNAME="another", USER="another").wait()
    assert disguised.code == 2, disguised
    assert "somebody else has to approve it" in disguised.err
    assert not fleet.reached("approved")
    with closing(sqlite3.connect(fleet.state / "rollout.db", timeout=10)) as db, db:
        db.execute("UPDATE rollouts SET actor = 'another@host'")  # as if somebody else had started it
    assert fleet.rollout("approve", rollout).code == 0
    assert fleet.rollout("resume", rollout).code == 0
    assert fleet.weights == {"blue": 0, "green": 100}


def test_abort_from_another_terminal(fleet: Fleet) -> None:
    """Who started it and who stops it would disagree about how it ended."""
    fleet.change(traffic={"soak": "60s"})
    with fleet.load() as load:
        running = fleet.begin("start", SERVICE, "--image", "base-2", "--json")
        fleet.wait_reached("waiting", "live:1:50", running)
        done = fleet.rollout("abort", SERVICE, "--reason", "wrong window", "--json")
        driver = running.wait()
    assert done.code == 0, done
    assert done.last["outcome"] == "aborted"
    assert driver.code == 4, driver
    assert driver.last["outcome"] == "aborted"
    assert driver.last["reason"] == "wrong window"
    assert fleet.weights == {"blue": 100, "green": 0}
    assert fleet.instances("green") == []
    assert load.failures == []
    again = fleet.rollout("abort", SERVICE, "--reason", "again")
    assert again.code == 2, again
    assert "closed already" in again.err
