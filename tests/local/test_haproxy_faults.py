"""The real HAProxy with people at its map, killed, frozen, unreachable; and the way back through all of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from providers.local import rollback
from providers.local.balancer import store
from providers.local.balancer.client import SOCKET, Conflict, Unreachable
from providers.local.balancer.launcher import LaunchError
from providers.local.haproxy import launcher, program
from providers.local.haproxy.cli import Cli, Overtaken
from providers.local.haproxy.client import HaproxyClient
from providers.local.haproxy.kind import Haproxy
from providers.local.haproxy.weights import KEY, MAP, Entry
from tests.local.balancer_kit import PATIENCE_S, ROOT, Load, serving, wait_until
from tests.local.haproxy_kit import NEEDS_HAPROXY, HaproxyKit, card, put_back, sides

pytestmark = NEEDS_HAPROXY
BLUE, HALF, GREEN = {"blue": 100, "green": 0}, {"blue": 50, "green": 50}, {"blue": 0, "green": 100}


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[HaproxyKit]:
    """HAProxy with two targets a side, ended again, whatever happens."""
    with serving(HaproxyKit(tmp_path / "shop" / "balancer")) as kit:
        yield kit


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
    assert put_back(kit, GREEN)["weights"] == GREEN
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
    after = put_back(kit, BLUE)
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
    assert put_back(kit, BLUE)["weights"] == BLUE
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
            emergency[0] = put_back(kit, BLUE)

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
