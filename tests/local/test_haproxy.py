"""The real HAProxy, driven as the built-in balancer is: swaps, targets, edits by people, kills and freezes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from providers.local.balancer import store
from providers.local.balancer.client import Conflict, Refused, Unreachable
from providers.local.haproxy import launcher
from providers.local.haproxy.cli import Cli
from providers.local.haproxy.kind import Haproxy
from providers.local.haproxy.stats import parse
from providers.local.haproxy.weights import KEY, MAP, Entry
from tests.local.balancer_kit import PATIENCE_S, ROOT, Load, serving, swap_ten_times_under_load, wait_until
from tests.local.haproxy_kit import NEEDS_HAPROXY, HaproxyKit, sides

pytestmark = NEEDS_HAPROXY
BLUE, HALF, GREEN = {"blue": 100, "green": 0}, {"blue": 50, "green": 50}, {"blue": 0, "green": 100}
# A command that swaps, and is killed with HAProxy right before or after it has written the map's file.
KILLED = """
import os, signal, sys
from pathlib import Path
from providers.local.balancer import store
from providers.local.haproxy.client import HaproxyClient
from providers.local.haproxy.weights import MAP
directory, haproxy, when = sys.argv[1:]
real = store.write_atomic
def write(path, content):
    if path.name == MAP:
        if when == "after the file":
            real(path, content)
        os.kill(int(haproxy), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    real(path, content)
store.write_atomic = write
HaproxyClient(Path(directory), 10.0).set_weights({"blue": 0, "green": 100}, expected_revision=1, token="swap")
"""


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[HaproxyKit]:
    """HAProxy with two targets a side, ended again, whatever happens."""
    with serving(HaproxyKit(tmp_path / "shop" / "balancer")) as kit:
        yield kit


# Swaps


def test_ten_swaps_under_load_lose_nothing_and_never_mix(kit: HaproxyKit) -> None:
    """Else clients notice a swap, or see the old side after the new one."""
    swap_ten_times_under_load(kit)


def test_requests_and_failures_add_up(kit: HaproxyKit) -> None:
    """Else a gate judges a patch by wrong figures."""
    kit.weigh(50, 50, "half")
    with Load(kit.listen).running() as load:
        load.wait_for(300)
    wait_until(lambda: not any(c["in_flight"] for c in kit.client.state()["counters"].values()), "all is done")
    for slot, counters in kit.client.state()["counters"].items():
        served = sum(sent.by == slot for sent in load.sent)
        assert counters["requests"] == counters["responses"]["2xx"] == served > 0
        assert counters["failed"] == 0


def test_the_map_is_on_disk_before_haproxy_follows(kit: HaproxyKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a kill right after a swap brings the old side back without a word."""
    seen: list[tuple[str, int]] = []

    def commit(cli: Cli, version: str, entry: Entry) -> None:
        seen.append(((kit.directory / MAP).read_text(), store.load(kit.directory)[0].revision))
        assert cli.entry() == Entry("0:1")
        raise OSError("killed here")

    monkeypatch.setattr(Cli, "commit", commit)
    with pytest.raises(Unreachable) as error:
        kit.client.set_weights(GREEN, expected_revision=1, token="t")
    assert error.value.may_have_applied and seen == [(f"{KEY} 100:2\n", 2)]
    monkeypatch.undo()
    # The next look finishes it, and says the same whichever way it is asked.
    assert kit.client.state()["weights"] == GREEN
    assert kit.client.set_weights(GREEN, expected_revision=1, token="t")["revision"] == 2
    assert sides(kit) == {"green"}


def test_killed_in_the_middle_of_a_swap_haproxy_comes_back_with_what_was_declared(kit: HaproxyKit) -> None:
    """Else after kill -9 traffic is silently on the old side."""
    with Load(kit.listen).running() as load:
        load.wait_for(100)
        kit.weigh(0, 100, "swap")
        kit.kill()
        launcher.ensure_running(kit.directory, PATIENCE_S)
        began = time.monotonic()
        load.wait_for(200)
    state = kit.client.state()
    assert (state["weights"], state["token"], state["revision"]) == (GREEN, "swap", 2)
    assert {sent.by for sent in load.sent if sent.began > began} == {"green"}
    assert not [sent for sent in load.failed() if sent.began > began]


@pytest.mark.parametrize("when", ["before the file", "after the file"])
def test_killed_beside_its_writer_haproxy_serves_by_the_map(kit: HaproxyKit, when: str) -> None:
    """Else one kill -9 of both, in the instant between file and runtime call, silently brings the old side back."""
    ended = subprocess.run([sys.executable, "-c", KILLED, str(kit.directory), str(kit.pid()), when], cwd=ROOT)
    assert ended.returncode == -signal.SIGKILL
    kit.wait_for_death(kit.pid())
    assert (kit.directory / MAP).read_text() == (f"{KEY} 0:1\n" if when == "before the file" else f"{KEY} 100:2\n")
    assert Haproxy().on_file(kit.directory) == GREEN, "declared before either: the state is on disk first"
    launcher.ensure_running(kit.directory, PATIENCE_S)
    assert (kit.directory / MAP).read_text() == f"{KEY} 100:2\n"
    assert kit.tell(f"show map {MAP}").endswith(f"{KEY} 100:2"), "before anybody asks for the state"
    assert sides(kit) == {"green"}
    state = kit.client.state()
    assert (state["weights"], state["token"], state["revision"]) == (GREEN, "swap", 2)
    assert kit.client.set_weights(GREEN, expected_revision=1, token="swap")["revision"] == 2, "a repeat is no conflict"


# Compare-and-set, tokens


def test_a_stale_writer_and_a_repeat_change_nothing(kit: HaproxyKit) -> None:
    """Else two commands overwrite each other, or a retry counts twice."""
    first = kit.client.set_weights(HALF, expected_revision=1, token="t")
    assert kit.client.set_weights(HALF, expected_revision=1, token="t")["revision"] == first["revision"] == 2
    with pytest.raises(Conflict) as error:
        kit.client.set_weights(GREEN, expected_revision=1, token="other")
    assert error.value.state["weights"] == HALF and sides(kit) == {"blue", "green"}


def test_what_makes_no_sense_is_refused(kit: HaproxyKit) -> None:
    """Else a typing error empties the route."""
    wrong: list[tuple[dict[str, int], int]] = [({"blue": 0, "green": 0}, 400), ({"blue": 100}, 400)]
    for weights, status in wrong:
        with pytest.raises(Refused) as error:
            kit.client.set_weights(weights, expected_revision=None, token="t")
        assert error.value.status == status
    with pytest.raises(Refused, match="is the balancer itself"):
        kit.client.set_targets("green", [kit.listen], expected_revision=None, token="t")
    with pytest.raises(Refused) as error:
        kit.client.set_targets("blue", [], expected_revision=None, token="t")
    assert error.value.status == 422
    assert kit.client.state()["revision"] == 1


def test_many_writers_at_once_are_one_after_the_other(kit: HaproxyKit) -> None:
    """Else two commands leave state, file and HAProxy saying different things."""

    def write(number: int) -> int:
        return kit.client.set_weights(HALF, expected_revision=None, token=f"t{number}")["revision"]

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(write, range(12))) == list(range(2, 14))
    assert (kit.directory / MAP).read_text() == f"{KEY} 50:13\n"
    assert kit.client.state()["revision"] == 13


# Targets


def test_targets_come_and_go_without_a_restart_and_without_a_failure(kit: HaproxyKit) -> None:
    """Else attaching a mirror or retiring a side costs clients their requests."""
    process, blue = kit.pid(), [target.address for target in kit.targets[:2]]
    more = kit.target("b3")
    with Load(kit.listen).running() as load:
        load.wait_for(100)
        kit.client.set_targets("blue", [*blue, more.address], expected_revision=None, token="more")
        wait_until(lambda: kit.health().get(more.address), "the new one is healthy")
        load.wait_for(100)
        counted = kit.client.state()["counters"]["blue"]
        kit.client.set_targets("blue", [more.address], expected_revision=None, token="fewer")
        left = parse(kit.tell("show stat")).of("blue").items()
        assert all(row["status"] == "MAINT" for name, row in left if name != more.address)
        load.wait_for(100)
        after = kit.client.state()["counters"]["blue"]
    assert load.failed() == [] and kit.pid() == process
    assert after["responses"]["2xx"] >= counted["responses"]["2xx"] + 100, "removed servers keep what they counted"
    assert kit.ask().body == b"b3"
    kit.client.set_targets("green", [], expected_revision=None, token="none")
    assert list(parse(kit.tell("show stat")).of("blue")) == [more.address], "nothing is left of the others"


def test_a_target_that_was_never_healthy_gets_no_traffic(kit: HaproxyKit) -> None:
    """Else clients meet an instance that answers its checks with errors."""
    sick = kit.target("sick")
    kit.ask("/health/500", at=sick.address)
    blue = [target.address for target in kit.targets[:2]]
    kit.client.set_targets("blue", [*blue, sick.address], expected_revision=None, token="more")
    assert {kit.ask().body for _ in range(30)} <= {b"b1", b"b2"}
    wait_until(lambda: kit.health()[sick.address] is False, "it is known to be sick")
    state = kit.client.state()
    assert [t["reason"] for t in state["targets"]["blue"] if not t["healthy"]] == ["check answered 500"]
    kit.ask("/health/200", at=sick.address)
    wait_until(lambda: kit.ask().body == b"sick", "it serves once it is well")


def test_a_write_of_targets_that_was_broken_off_is_finished(kit: HaproxyKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a command that was killed leaves a side half attached for ever."""
    more = kit.target("g3")
    killed: list[str] = []

    def ask(cli: Cli, command: str) -> str:
        if command.startswith("add server") and not killed:
            killed.append(command)
            raise Unreachable("killed here", may_have_applied=True)
        return real(cli, command)

    real = Cli.ask
    monkeypatch.setattr(Cli, "ask", ask)
    with pytest.raises(Unreachable):
        kit.client.set_targets("green", [more.address], expected_revision=1, token="t")
    wait_until(lambda: kit.client.state()["targets"]["green"][0]["healthy"], "the look has finished it")
    green = {"X-Rollout-Slot": "green"}
    assert {kit.ask(headers=green, at=kit.test_listen).body for _ in range(6)} == {b"g3"}


def without_answer(kit: HaproxyKit, slot: str) -> int:
    """Requests of a side that no target answered, by whichever count shows it."""
    counters = kit.client.state()["counters"][slot]
    return counters["requests"] - sum(counters["responses"].values())


def test_a_dead_side_is_served_by_the_other(kit: HaproxyKit) -> None:
    """Else a replacement that dies after the swap takes the service down with it."""
    kit.weigh(0, 100, "swap")
    with Load(kit.listen).running() as load:
        load.wait_for(100)
        for target in kit.targets[2:]:
            target.kill()
        load.wait_for(300)
    assert len(load.failed()) <= 4 * load.connections
    assert sides(kit) == {"blue"}
    assert kit.client.state()["weights"] == GREEN and without_answer(kit, "green") >= len(load.failed())
    for target in kit.targets[:2]:
        target.kill()
    wait_until(lambda: not any(kit.health().values()), "all are known to be dead")
    before = kit.client.state()["counters"]["green"]["failed"]
    assert kit.ask().status == 503
    assert kit.client.state()["counters"]["green"]["failed"] == before + 1, "the side that was meant answers for it"


def test_one_dead_target_of_two_fails_at_most_what_was_on_it(kit: HaproxyKit) -> None:
    """Else an instance that crashes fails clients until it is noticed, POST as well."""
    with Load(kit.listen).running() as load:
        load.wait_for(50)
        kit.targets[0].kill()
        load.wait_for(300)
    # What it had taken in cannot be asked again, and it may take in one more each while it dies; what never got a
    # connection is asked elsewhere.
    assert len(load.failed()) <= 2 * load.connections
    assert without_answer(kit, "blue") >= len(load.failed())


# What requests see


def test_the_test_route_reaches_only_its_slot_and_counts_apart(kit: HaproxyKit) -> None:
    """Else the replacement passes its checks with the original's answers, or checks count as traffic."""
    green = {"X-Rollout-Slot": " GREEN "}
    assert {kit.ask(headers=green, at=kit.test_listen).body for _ in range(6)} == {b"g1", b"g2"}
    assert kit.ask(headers=green).body in (b"b1", b"b2")
    for headers in ({}, {"X-Rollout-Slot": "red"}):
        answer = kit.ask(headers=headers, at=kit.test_listen)
        assert answer.status == 400 and b"X-Rollout-Slot: blue or green" in answer.body
    state = kit.client.state()
    assert (state["counters"]["green"]["requests"], state["test_counters"]["green"]["requests"]) == (0, 6)
    for target in kit.targets[2:]:
        target.kill()
    assert kit.ask(headers=green, at=kit.test_listen).status == 503


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_no_request_is_ever_sent_twice(kit: HaproxyKit, method: str) -> None:
    """Else an order is placed twice because a connection broke."""
    assert kit.ask("/break", method, None if method == "GET" else b"order").status == 502
    seen = [json.loads(kit.ask("/seen", at=target.address).body) for target in kit.targets[:2]]
    assert sum(each.get(f"{method} /break", 0) for each in seen) == 1
    counters = kit.client.state()["counters"]["blue"]
    assert (counters["failed"], sum(counters["responses"].values())) == (1, 0)


def test_answers_errors_and_broken_answers_are_told_apart(kit: HaproxyKit) -> None:
    """Else the application's own error counts as an outage, or half an answer as a whole one."""
    assert kit.ask("/status/503").status == 503
    assert kit.ask("/status/404").status == 404
    for method in ("GET", "POST") * 5:
        assert kit.ask("/close", method).body == b"closed", "a target may close after each answer"
    with kit.connected() as client:
        client.sendall(b"GET /half HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = 0
        while part := client.recv(65536):
            received += len(part)
    assert received < 1_000_000
    counters = kit.client.state()["counters"]["blue"]
    assert counters["responses"] == {"1xx": 0, "2xx": 11, "3xx": 0, "4xx": 1, "5xx": 1}
    assert (counters["requests"], counters["failed"]) == (13, 1)


def test_a_client_that_leaves_is_not_the_targets_failure(kit: HaproxyKit) -> None:
    """Else impatient clients roll a good patch back."""
    with kit.connected() as client:
        client.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(65536)
    with kit.connected() as client:
        client.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 200_000)
        wait_until(lambda: kit.client.state()["counters"]["blue"]["in_flight"] > 0, "it is under way")
    for target in kit.targets[:2]:
        kit.ask("/release", at=target.address)
    wait_until(lambda: kit.client.state()["counters"]["blue"]["in_flight"] == 0, "nothing is in flight")
    counters = kit.client.state()["counters"]["blue"]
    assert counters["failed"] == 0 and counters["client_gone"] >= 1


def test_bodies_streams_and_headers_pass_as_they_are(kit: HaproxyKit) -> None:
    """Else uploads are truncated, and applications see wrong hosts or clients."""
    for size in (0, 1, 65_536, 3_000_000):
        body = bytes(range(256)) * (size // 256 + 1)
        assert kit.ask("/echo", "POST", body[:size]).body == body[:size]
    sent = {"X-A": "2", "X-Rollout-Slot": "green", "X-Forwarded-Proto": "https"}
    headers = {name.lower(): value for name, value in json.loads(kit.ask("/headers", headers=sent).body)["headers"]}
    assert headers["x-a"] == "2" and "x-rollout-slot" not in headers
    assert headers["host"] == headers["x-forwarded-host"] == kit.listen
    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("127.0.0.1", "http")


def test_a_cut_breaks_off_what_is_in_flight(kit: HaproxyKit) -> None:
    """Else `on_rollback: cut` leaves clients on a side that was called bad."""
    with kit.connected() as client, kit.connected(kit.test_listen) as tested:
        client.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        tested.sendall(b"GET /hold HTTP/1.1\r\nHost: x\r\nX-Rollout-Slot: blue\r\n\r\n")
        assert b"first" in client.recv(65536)
        wait_until(lambda: kit.client.state()["test_counters"]["blue"]["in_flight"] == 1, "both are in flight")
        assert (kit.client.cut("green"), kit.client.cut("blue")) == (0, 2)
        assert b"last" not in client.recv(65536)
        assert b"502" in tested.recv(65536)
    wait_until(lambda: kit.client.state()["counters"]["blue"]["in_flight"] == 0, "nothing is in flight")
