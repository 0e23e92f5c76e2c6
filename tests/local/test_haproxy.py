"""The real HAProxy, driven as the built-in balancer is: swaps, targets, edits by people, kills and freezes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from providers.base import Weights
from providers.local import rollback
from providers.local.balancer import store
from providers.local.balancer.client import SOCKET, Conflict, Refused, Unreachable
from providers.local.balancer.launcher import LaunchError
from providers.local.haproxy import launcher, program
from providers.local.haproxy.cli import Cli, Overtaken
from providers.local.haproxy.client import HaproxyClient
from providers.local.haproxy.kind import Haproxy
from providers.local.haproxy.stats import parse
from providers.local.haproxy.weights import KEY, MAP, Entry
from tests.local.balancer_kit import PATIENCE_S, ROOT, Load, wait_until
from tests.local.haproxy_kit import NEEDS_HAPROXY, HaproxyKit

pytestmark = NEEDS_HAPROXY
BLUE: Weights = {"blue": 100, "green": 0}
HALF: Weights = {"blue": 50, "green": 50}
GREEN: Weights = {"blue": 0, "green": 100}


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[HaproxyKit]:
    """HAProxy with two targets a side, ended again, whatever happens."""
    kit = HaproxyKit(tmp_path / "shop" / "balancer")
    try:
        kit.start([kit.target("b1"), kit.target("b2")], [kit.target("g1"), kit.target("g2")])
        yield kit
    finally:
        kit.close()


def card(kit: HaproxyKit) -> dict[str, str]:
    """What a rollback card holds of it."""
    return {"provider": "local", "service": "shop", "dir": str(kit.directory)}


def sides(kit: HaproxyKit, count: int = 40) -> set[str]:
    """Which sides answer clients now."""
    return {str(kit.ask().headers["X-Rollout-Served-By"]) for _ in range(count)}


# Swaps


def test_ten_swaps_under_load_lose_nothing_and_never_mix(kit: HaproxyKit) -> None:
    """Else clients notice a swap, or see the old side after the new one."""
    swaps: list[tuple[float, float, str]] = []
    with Load(kit.listen).running() as load:
        load.wait_for(50)
        for number in range(10):
            slot = "blue" if number % 2 else "green"
            asked = time.monotonic()
            kit.weigh(*((100, 0) if slot == "blue" else (0, 100)), token=f"swap-{number}")
            swaps.append((asked, time.monotonic(), slot))
            load.wait_for(50)
    assert load.failed() == []
    for (_, since, slot), (until, _, _) in zip(swaps, [*swaps[1:], (time.monotonic(), 0.0, "")], strict=True):
        by = {sent.by for sent in load.sent if sent.began > since and sent.ended < until}
        assert by == {slot}


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
    state = kit.client.state()
    assert state["weights"] == GREEN and state["counters"]["green"]["failed"] == len(load.failed())
    for target in kit.targets[:2]:
        target.kill()
    wait_until(lambda: not any(kit.health().values()), "all are known to be dead")
    before = kit.client.state()["counters"]["green"]["failed"]
    assert kit.ask().status == 503
    assert kit.client.state()["counters"]["green"]["failed"] == before + 1, "the side that was meant answers for it"


def test_one_dead_target_of_two_fails_nobody(kit: HaproxyKit) -> None:
    """Else an instance that crashes fails clients until it is noticed, POST as well."""
    with Load(kit.listen).running() as load:
        load.wait_for(50)
        kit.targets[0].kill()
        load.wait_for(300)
    # What was in flight on it cannot be asked again; what never got a connection is.
    assert len(load.failed()) <= load.connections
    assert kit.client.state()["counters"]["blue"]["failed"] == len(load.failed())


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
    assert counters["responses"] == {"1xx": 0, "2xx": 10, "3xx": 0, "4xx": 1, "5xx": 1}
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


# People at the map


def test_an_edit_over_the_socket_is_seen_and_kept(kit: HaproxyKit) -> None:
    """Else a person's edit is overwritten without a word."""
    kit.tell(f"set map {MAP} {KEY} 50")
    seen = kit.client.state()
    assert (seen["weights"], seen["token"]) == (HALF, None) and seen["revision"] != 1
    assert kit.client.state()["revision"] == seen["revision"], "looking again finds the same"
    with pytest.raises(Conflict):
        kit.client.set_weights(GREEN, expected_revision=1, token="engine")
    assert sides(kit) == {"blue", "green"}
    assert Haproxy().on_file(kit.directory) == HALF
    # Targets may change beside it; whoever has seen it may go on from it.
    green = [kit.targets[2].address]
    after = kit.client.set_targets("green", green, expected_revision=seen["revision"], token="attach")
    assert after["weights"] == HALF and sides(kit) == {"blue", "green"}
    assert kit.client.set_weights(GREEN, expected_revision=after["revision"], token="t")["weights"] == GREEN


@pytest.mark.parametrize("command", [f"clear map {MAP}", f"del map {MAP} {KEY}", f"set map {MAP} {KEY} banana"])
def test_a_map_that_was_emptied_or_spoilt_shows(kit: HaproxyKit, command: str) -> None:
    """Else traffic is on another side than the one that is shown."""
    kit.weigh(0, 100, "swap")
    kit.tell(command)
    seen = kit.client.state()
    assert seen["weights"] == BLUE and seen["revision"] != 2
    assert sides(kit) == {"blue"}
    assert rollback.put_back(card(kit), GREEN, "emergency")["weights"] == GREEN
    assert sides(kit) == {"green"}


def test_an_edited_file_is_seen_and_counts_from_the_next_start(kit: HaproxyKit) -> None:
    """Else a person's edit on disk is lost, or takes effect with nobody knowing why."""
    (kit.directory / MAP).write_text(f"# back to half, ana\n{KEY} 50\n")
    seen = kit.client.state()
    assert seen["weights"] == BLUE and seen["revision"] != 1 and sides(kit) == {"blue"}
    with pytest.raises(Conflict):
        kit.client.set_weights(GREEN, expected_revision=1, token="engine")
    kit.kill()
    assert Haproxy().on_file(kit.directory) == HALF
    launcher.ensure_running(kit.directory, PATIENCE_S)
    assert kit.client.state()["weights"] == HALF and sides(kit) == {"blue", "green"}


@pytest.mark.parametrize("content", ["", "green_pct", "green_pct 1\0", "\x7fELF", f"{KEY} 100"])
def test_a_torn_file_never_moves_traffic(kit: HaproxyKit, content: str) -> None:
    """Else a full disk empties the route, or swaps it."""
    kit.kill()
    (kit.directory / MAP).write_text(content)
    launcher.ensure_running(kit.directory, PATIENCE_S)
    state = kit.client.state()
    assert state["weights"] == (GREEN if content.endswith("100") else BLUE)
    assert (state["revision"] == 1) == (not content.endswith("100"))


def test_the_emergency_path_goes_over_an_edit(kit: HaproxyKit) -> None:
    """Else a half-done repair by hand stops the rollback."""
    kit.tell(f"set map {MAP} {KEY} 70")
    (kit.directory / MAP).write_text(f"{KEY} 30\n")
    before = rollback.read(card(kit))
    assert before["weights"] == {"blue": 30, "green": 70}
    after = rollback.put_back(card(kit), BLUE, "emergency")
    assert (after["weights"], after["revision"]) == (BLUE, "r2")
    assert (kit.directory / MAP).read_text() == f"{KEY} 0:2\n" and sides(kit) == {"blue"}


def test_a_server_that_a_person_took_out_stays_out(kit: HaproxyKit) -> None:
    """Else somebody's repair is undone while they work on it."""
    address = kit.targets[0].address
    kit.tell(f"set server blue/{address} state maint")
    blue = [target.address for target in kit.targets[:2]]
    kit.client.set_targets("green", [], expected_revision=None, token="t")
    kit.client.set_weights(BLUE, expected_revision=None, token="u")
    (taken,) = [t for t in kit.client.state()["targets"]["blue"] if t["address"] == blue[0]]
    assert (taken["healthy"], taken["reason"]) == (False, "somebody set it to MAINT")
    assert {kit.ask().body for _ in range(8)} == {b"b2"}


# Processes


def test_it_is_a_daemon_that_outlives_its_command_and_is_found_again(kit: HaproxyKit) -> None:
    """Else closing a terminal ends the traffic, or a second one is started beside it."""
    pid = kit.pid()
    assert os.getsid(pid) != os.getsid(0)
    (kit.directory / "parent.json").unlink()  # as if its starter had been killed before writing it
    call = f"from pathlib import Path; from providers.local.haproxy.launcher import ensure_running; \
ensure_running(Path({str(kit.directory)!r}), {PATIENCE_S})"
    commands = [subprocess.Popen([sys.executable, "-c", call], cwd=ROOT) for _ in range(3)]
    assert [command.wait() for command in commands] == [0, 0, 0]
    assert [process.pid for process in kit.processes()] == [kit.pid()] == [pid]


def test_counters_begin_anew_with_each_haproxy(kit: HaproxyKit) -> None:
    """Else a gate reads a restart as negative requests."""
    kit.ask()
    before = kit.client.state()
    assert before["counters"]["blue"]["requests"] == 1
    kit.kill()
    launcher.ensure_running(kit.directory, PATIENCE_S)
    after = kit.client.state()
    assert after["counters"]["blue"]["requests"] == 0 and after["counters_id"] != before["counters_id"]


def test_a_lost_socket_is_repaired_without_losing_a_request(kit: HaproxyKit) -> None:
    """Else a HAProxy that nobody can reach any more routes as it did for ever."""
    kit.weigh(0, 100, "swap")
    pid = kit.pid()
    with Load(kit.listen).running() as load:
        load.wait_for(100)
        (kit.directory / SOCKET).unlink()
        launcher.ensure_running(kit.directory, PATIENCE_S)
        load.wait_for(200)
    assert load.failed() == []
    assert kit.pid() != pid and kit.client.state()["weights"] == GREEN
    wait_until(lambda: [process.pid for process in kit.processes()] == [kit.pid()], "the one before has ended")


def test_a_frozen_haproxy_is_read_from_its_files_and_replaced_only_by_the_way_back(
    kit: HaproxyKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the one command that must work at night waits for a process that never answers."""
    monkeypatch.setattr(rollback, "CALL_S", 0.3)
    monkeypatch.setattr(rollback, "START_S", 0.5)
    kit.weigh(0, 100, "swap")
    pid = kit.freeze()
    with pytest.raises(LaunchError):
        launcher.ensure_running(kit.directory, 0.3)
    with pytest.raises(Unreachable):
        HaproxyClient(kit.directory, 0.3).set_weights(BLUE, expected_revision=None, token="t")
    seen = rollback.read(card(kit))
    assert (seen["weights"], seen["revision"]) == (GREEN, "r2")
    assert seen["healthy"] == {"blue": 2, "green": 2} and kit.pid() == pid
    monkeypatch.setattr(rollback, "START_S", PATIENCE_S)
    assert rollback.put_back(card(kit), BLUE, "emergency")["weights"] == BLUE
    assert kit.pid() != pid and sides(kit) == {"blue"}


def test_a_frozen_command_cannot_undo_the_way_back(kit: HaproxyKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a forward write that was stopped half-way lands an hour later, over the rollback."""
    emergency: list[dict[str, object]] = []
    monkeypatch.setattr(rollback, "CALL_S", 0.2)
    monkeypatch.setattr(rollback, "STOP_S", 0.2)
    real = store.write_atomic

    def write(path: Path, content: bytes) -> None:
        real(path, content)
        if path.name == MAP and not emergency:
            # Frozen here, with the lock, its state saved and its file written; meanwhile somebody rolls back.
            emergency.append({})
            emergency[0] = rollback.put_back(card(kit), BLUE, "emergency")

    monkeypatch.setattr(store, "write_atomic", write)
    with pytest.raises(Conflict):
        kit.client.set_weights(GREEN, expected_revision=1, token="forward")
    assert emergency[0]["weights"] == BLUE
    state = kit.client.state()
    assert (state["weights"], state["token"]) == (BLUE, "emergency") and sides(kit) == {"blue"}


def test_haproxy_itself_refuses_who_was_overtaken(kit: HaproxyKit) -> None:
    """Else nothing but luck keeps a late write from landing."""
    early, late = (Cli(kit.directory, time.monotonic() + PATIENCE_S) for _ in range(2))
    first, second = early.begin()[0], late.begin()[0]
    late.commit(second, Entry("50:9"))
    with pytest.raises(Overtaken):
        early.commit(first, Entry("100:8"))
    assert late.entry() == Entry("50:9")


def test_a_port_in_use_and_a_missing_program_are_named(kit: HaproxyKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a person has to guess what stands in the way; two services that share a port would share its requests."""
    other = HaproxyKit(kit.directory.parent / "other")
    target = other.target("x")
    try:
        with pytest.raises(LaunchError, match=rf"listen: port {kit.listen.split(':')[1]} .* in use"):
            other.start([target], [], listen=kit.listen)
        monkeypatch.setattr(program, "find", lambda: None)
        with pytest.raises(LaunchError, match=r"HAProxy is not installed here any more .*/gone/haproxy"):
            other.start([target], [], program="/gone/haproxy")
        monkeypatch.undo()
        (other.directory / "config.json").unlink()
        with pytest.raises(LaunchError, match=r"config\.json"):
            launcher.ensure_running(other.directory, PATIENCE_S)
        with pytest.raises(LaunchError, match="never set up"):
            launcher.ensure_running(other.directory / "none", PATIENCE_S)
    finally:
        other.close()


def test_stopping_waits_for_what_is_in_flight_and_leaves_nothing(kit: HaproxyKit) -> None:
    """Else stopping breaks off answers that were nearly done, or leaves programs behind."""
    with kit.connected() as client, ThreadPoolExecutor(1) as pool:
        client.sendall(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: kit.client.state()["counters"]["blue"]["in_flight"] == 1, "it is in flight")
        stopping = pool.submit(launcher.stop, kit.directory, PATIENCE_S)
        for target in kit.targets[:2]:
            kit.ask("/release", at=target.address)
        assert b"200" in client.recv(65536)
        stopping.result()
    assert kit.processes() == [] and not (kit.directory / SOCKET).exists()
    launcher.stop(kit.directory / "never", PATIENCE_S)
    launcher.ensure_running(kit.directory, PATIENCE_S)
    os.kill(kit.pid(), signal.SIGSTOP)
    launcher.stop(kit.directory, 0.2)
    assert kit.processes() == []


def test_a_long_folder_name_works(tmp_path: Path) -> None:
    """Else the balancer fails for whoever has a deep home directory."""
    kit = HaproxyKit(tmp_path / ("long 'one' " * 15) / ("deep-" * 20))
    try:
        kit.start([kit.target("b1")], [])
        assert len(str(kit.directory)) > 200
        assert kit.ask().body == b"b1"
        assert (kit.directory / SOCKET).stat().st_mode & 0o077 == 0
        assert kit.directory.stat().st_mode & 0o077 == 0
    finally:
        kit.close()
