"""Starting, finding and stopping the balancer's processes."""

from __future__ import annotations

import json
import os
import resource
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from providers.local.balancer import launcher
from providers.local.balancer.identity import Identity, recorded
from providers.local.balancer.launcher import LaunchError
from providers.local.balancer.log import MAX_BYTES, log_to
from tests.local.balancer_kit import PATIENCE_S, ROOT, Kit, wait_until


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    """A balancer that is stopped again, whatever happens."""
    kit = Kit(tmp_path / "b")
    try:
        yield kit
    finally:
        kit.close()


def processes_of(directory: Path) -> list[int]:
    """The live processes of a balancer: their working directory is its folder."""
    found = []
    for process in psutil.process_iter(["cwd", "status"]):
        if process.info["cwd"] == str(directory) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


def test_stop_leaves_no_process_and_no_socket(kit: Kit) -> None:
    """Else tests, demos and retired services leave programs behind."""
    kit.start([kit.target("b1")], [])
    assert len(processes_of(kit.directory)) == 2
    launcher.stop(kit.directory, PATIENCE_S)
    assert processes_of(kit.directory) == []
    assert not {"control.sock", "parent.json", "worker.json"} & {path.name for path in kit.directory.iterdir()}
    with pytest.raises(ConnectionRefusedError), kit.connected():
        pass
    launcher.stop(kit.directory, PATIENCE_S)
    launcher.stop(kit.directory / "never", PATIENCE_S)


def test_a_process_with_thousands_of_files_starts_one(kit: Kit) -> None:
    """A server of many services has more than 1,024 files open, and can never start a balancer that died."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, most[1]), most[1]))
    with ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, most)
        for _ in range(1100):
            opened.enter_context(Path(os.devnull).open("rb"))
        kit.start([kit.target("b1")], [])
    assert len(processes_of(kit.directory)) == 2


def test_stopping_lets_what_is_in_flight_finish(kit: Kit) -> None:
    """Else stopping a balancer breaks off answers that were nearly done."""
    kit.start([kit.target("b1")], [], drain_s=10.0)
    with kit.connected() as client, ThreadPoolExecutor(1) as pool:
        client.sendall(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: kit.client.state()["counters"]["blue"]["in_flight"] == 1, "it is in flight")
        stopping = pool.submit(launcher.stop, kit.directory, PATIENCE_S)
        wait_until(lambda: not listening(kit.listen), "the port is closed")
        kit.ask("/release", at=kit.targets[0].address)
        assert b"b1" in client.recv(65536)
        stopping.result()


def listening(address: str) -> bool:
    """Whether new connections are taken."""
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_two_commands_at_once_start_one_balancer(kit: Kit) -> None:
    """Else two balancers fight for a port and a state."""
    kit.start([kit.target("b1")], [])
    launcher.stop(kit.directory, PATIENCE_S)
    call = f"from pathlib import Path; from providers.local.balancer.launcher import ensure_running; \
ensure_running(Path({str(kit.directory)!r}), {PATIENCE_S})"
    commands = [subprocess.Popen([sys.executable, "-c", call], cwd=ROOT) for _ in range(4)]
    assert [command.wait() for command in commands] == [0, 0, 0, 0]
    assert len(processes_of(kit.directory)) == 2
    parent = kit.pid("parent")
    launcher.ensure_running(kit.directory, PATIENCE_S)
    assert kit.pid("parent") == parent


def test_a_reused_pid_and_a_zombie_are_nobody_of_ours(kit: Kit) -> None:
    """Else a repair is skipped, or a stop ends a stranger's program."""
    kit.start([kit.target("b1")], [])
    launcher.stop(kit.directory, PATIENCE_S)
    stranger = Identity.of(kit.targets[0].process.pid)
    assert stranger is not None
    file = kit.directory / "parent.json"
    for wrong in ({"start": stranger.start + 1}, {"boot_id": "another"}):
        file.write_text(json.dumps({**vars(stranger), **wrong}))
        assert recorded(file) is None
    launcher.stop(kit.directory, PATIENCE_S)
    assert kit.targets[0].process.poll() is None
    file.write_text(json.dumps({**vars(stranger), "boot_id": "another"}))
    launcher.ensure_running(kit.directory, PATIENCE_S)
    assert kit.ask().body == b"b1"
    os.kill(stranger.pid, 9)
    wait_until(lambda: psutil.Process(stranger.pid).status() == psutil.STATUS_ZOMBIE, "it is a zombie")
    assert not stranger.alive


def test_a_port_in_use_is_named(kit: Kit) -> None:
    """Else a person has to guess which program stands in the way."""
    target = kit.target("b1")
    port = target.address.split(":")[1]
    with pytest.raises(LaunchError, match=rf"listen: port {port} .* in use"):
        kit.start([target], [], listen=target.address)
    wait_until(lambda: processes_of(kit.directory) == [], "what was started has ended")


def test_a_state_that_cannot_be_used_is_named(kit: Kit) -> None:
    """Else the balancer seems to hang, or serves nothing."""
    kit.configure()
    with pytest.raises(LaunchError, match=r"state\.json.*missing"):
        launcher.ensure_running(kit.directory, PATIENCE_S)
    (kit.directory / "config.json").unlink()
    with pytest.raises(LaunchError, match=r"config\.json"):
        launcher.ensure_running(kit.directory, PATIENCE_S)
    with pytest.raises(LaunchError, match="never set up"):
        launcher.ensure_running(kit.directory / "none", PATIENCE_S)


def test_a_corrupt_state_is_replaced_by_the_one_before_and_said(kit: Kit) -> None:
    """Else a torn file is an outage, or the old route comes back unnoticed."""
    kit.start([kit.target("b1")], [kit.target("g1")])
    kit.weigh(0, 100, "swap")
    launcher.stop(kit.directory, PATIENCE_S)
    (kit.directory / "state.json").write_text("{")
    launcher.ensure_running(kit.directory, PATIENCE_S)
    state = kit.client.state()
    assert state["notice"] is not None and "fell back" in state["notice"]
    assert state["weights"] == {"blue": 100, "green": 0}
    assert "fell back" in (kit.directory / "balancer.log").read_text()
    assert kit.ask().body == b"b1"


def test_a_long_folder_name_works(tmp_path: Path) -> None:
    """Else the balancer fails for whoever has a deep home directory."""
    kit = Kit(tmp_path / ("long-" * 20) / ("deep-" * 20))
    try:
        kit.start([kit.target("b1")], [])
        assert len(str(kit.directory)) > 200
        kit.client.set_weights({"blue": 7, "green": 0}, expected_revision=None, token="t")
        assert kit.ask().body == b"b1"
    finally:
        kit.close()
    assert processes_of(kit.directory) == []


def test_nobody_else_may_reach_the_control_socket(kit: Kit) -> None:
    """Else any user of the machine can move traffic."""
    kit.start([kit.target("b1")], [])
    assert stat.S_IMODE(kit.directory.stat().st_mode) == 0o700
    for name in ("control.sock", "state.json", "balancer.log", "parent.json"):
        assert stat.S_IMODE((kit.directory / name).stat().st_mode) & 0o077 == 0, name


def test_the_client_is_cheap_to_import() -> None:
    """Else the way back at night starts slowly."""
    call = "import sys, providers.local.balancer.client as c; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", call], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"aiohttp", "asyncio", "pydantic", "typing_extensions"} & set(loaded.stdout.split())


def test_the_log_is_bounded(tmp_path: Path) -> None:
    """Else a flapping target fills the disk."""
    handler = log_to(tmp_path)
    for _ in range(3 * MAX_BYTES // 10_000):
        handler.info("x" * 10_000)
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) <= MAX_BYTES
