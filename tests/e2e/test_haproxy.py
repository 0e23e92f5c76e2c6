"""Behind HAProxy: a rollout and its way back under load, an edit by hand, kill -9, and long requests that are cut."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from providers.local.haproxy.weights import KEY, MAP
from tests.e2e.kit import PATIENCE_S, SERVICE, Fleet, Running, open_fleet, wait_until
from tests.local.haproxy_kit import NEEDS_HAPROXY, tell

pytestmark = [pytest.mark.e2e, NEEDS_HAPROXY]
BACK, FORWARD = {"blue": 100, "green": 0}, {"blue": 0, "green": 100}
BEGUN = b"POST /items HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: 10\r\n\r\nfirst"
REST = b" last"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """The service runs base-1 on blue, behind HAProxy."""
    with open_fleet(tmp_path / "fleet", "haproxy") as fleet:
        fleet.up()
        assert haproxies(fleet) == [fleet.pid_of("parent")]
        yield fleet


def haproxies(fleet: Fleet) -> list[int]:
    """The process ids of all that run for it."""
    return [process.pid for process in fleet.processes() if process.name() == "haproxy"]


def half_way(fleet: Fleet, soak: str) -> Running:
    """A rollout that watches half of the traffic on the replacement."""
    fleet.change(traffic={"soak": soak})
    running = fleet.begin("start", SERVICE, "--image", "base-2")
    fleet.wait_reached("waiting", "live:1:50", running)
    return running


def test_promoted_and_put_back_under_load(fleet: Fleet) -> None:
    """A patch or a rollback would cost the clients of everybody who has HAProxy their requests."""
    judged = ["balancer", {"failed_responses": {"min_requests": 5}}]
    fleet.change(traffic={"steps": [10, 50, 100]}, checks={"live": judged})
    before = haproxies(fleet)
    with fleet.load(clients=4) as load:
        fleet.promoted()
        assert fleet.weights == FORWARD
        promoted = dict(load.served)
        done = fleet.rollout("rollback", SERVICE, "--reason", "checkout looks odd")
        assert fleet.weights == BACK
        at_the_end = load.requests
        wait_until(lambda: load.requests > at_the_end + 20, "requests are answered")
        served = load.served["blue"]
        wait_until(lambda: load.served["blue"] > served + 20, "blue serves")
    assert load.failures == []
    assert promoted["blue"] > 0 and promoted["green"] > 0
    swaps = [step for _, kind, step, _ in fleet.entries() if kind == "done" and step.startswith("swap:")]
    assert swaps == ["swap:1:10", "swap:2:50", "swap:3:100"]
    assert done.code == 0, done
    assert "all new traffic is on blue" in done.err
    assert fleet.status()["outcome"] == "rolled_back"
    assert fleet.instances("green") == []
    assert haproxies(fleet) == before, "it was told, not started anew"


def test_an_edit_over_its_socket_is_told_and_not_overwritten(fleet: Fleet) -> None:
    """Who drains a side with HAProxy's own means would be undone by the program a second later."""
    running = half_way(fleet, "2s")
    tell(fleet.balancer, f"set map {MAP} {KEY} 20")
    done = running.wait()
    assert done.code == 5, done
    assert "someone else changed the route" in done.err
    assert "found blue 80 %, green 20 %" in done.err
    assert fleet.weights == {"blue": 80, "green": 20}
    assert tell(fleet.balancer, f"show map {MAP}").endswith(f"{KEY} 20"), "as it was typed"
    status = fleet.status()
    assert (status["outcome"], status["exit_code"]) == ("halted", 5)
    assert f"rollout resume {status['id']}" in done.out
    put_right = fleet.rollout("rollback", SERVICE)
    assert put_right.code == 0, put_right
    assert fleet.weights == BACK


def test_killed_in_a_soak_another_takes_its_place(fleet: Fleet) -> None:
    """One kill -9 would leave the service without a balancer, or two of them with one port."""
    running = half_way(fleet, "1s")
    with fleet.load(pause_s=0.02) as load:
        wait_until(lambda: load.requests > 10, "requests are answered")
        killed, at = fleet.pid_of("parent"), time.time()
        os.kill(killed, signal.SIGKILL)
        done = running.wait()
        seen = load.served["green"]
        wait_until(lambda: load.served["green"] > seen + 10, "the replacement serves")
    assert done.code == 0, done
    assert fleet.weights == FORWARD and fleet.healthy("green") == 1
    assert haproxies(fleet) == [fleet.pid_of("parent")] != [killed]
    # Nobody listens until the next look of the driver starts another.
    assert all(failed < at + 5 for failed, _ in load.failures), load.failures
    down = fleet.rollout("down", SERVICE, "--yes", SERVICE)
    assert down.code == 0, down
    assert fleet.processes() == [], "nothing of it is left running"


def test_a_rollback_cuts_long_requests_and_counts_them(fleet: Fleet) -> None:
    """`on_rollback: cut` would keep clients on a bad side, break off the good side's, or tell a wrong number."""
    fleet.change(traffic={"on_rollback": "cut"})
    running = half_way(fleet, "60s")
    with ExitStack() as stack:
        uploads = begin_uploads(fleet, stack)
        on_green = in_flight(fleet)["green"]
        done = fleet.rollout("rollback", SERVICE, "--reason", "odd")
        driver = running.wait()
        assert (done.code, driver.code) == (0, 4), (done, driver)
        ended, _, _ = select.select(uploads, [], [], 0)
        assert not any(b" 200 " in all_of(upload) for upload in ended)
        assert len(ended) == on_green, "all of the side that was given up"
        for upload in set(uploads) - set(ended):
            upload.sendall(REST)
            assert b" 200 " in all_of(upload), "what is on the other side goes on"
    (cut,) = [data for _, kind, step, data in fleet.entries() if (kind, step) == ("done", "back:cut")]
    assert cut["value"] == {"closed": on_green}
    assert fleet.weights == BACK and fleet.instances("green") == []


def begin_uploads(fleet: Fleet, stack: ExitStack) -> list[socket.socket]:
    """Requests whose end was not sent yet, at least two of them on each side."""
    uploads: list[socket.socket] = []
    while min(in_flight(fleet).values()) < 2:
        assert len(uploads) < 50, "half of the traffic is on each side"
        upload = stack.enter_context(socket.create_connection(("127.0.0.1", fleet.port), PATIENCE_S))
        upload.sendall(BEGUN)
        uploads.append(upload)
        wait_until(lambda: sum(in_flight(fleet).values()) == len(uploads), "it is under way")
    return uploads


def in_flight(fleet: Fleet) -> dict[str, int]:
    """Requests on each side that have not ended."""
    return {slot: counted["in_flight"] for slot, counted in fleet.client.state()["counters"].items()}


def all_of(client: socket.socket) -> bytes:
    """Until the other side has closed it, or broken it off."""
    answer = b""
    try:
        while part := client.recv(65536):
            answer += part
    except ConnectionResetError:
        pass
    return answer
