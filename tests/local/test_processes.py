"""Instances as processes: found whoever started them, never mistaken for anybody else's, gone when stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from providers.base import Invalid
from providers.local.records import Record
from tests.local.instance_kit import Fleet, environment, open_fleet, wait_until

ROOT = Path(__file__).resolve().parents[2]
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
time.sleep(600)
"""
TALKATIVE = "import time; print('x' * 3_000_000, flush=True); print('end', flush=True); time.sleep(600)"
KILLED_STARTER = """
import json, os, pathlib, signal, sys
from providers.base import Context, Service
from providers.local import adapter, processes
from tests.local.instance_kit import RealClock
folder, options = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
processes._limit = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # spawned, not yet on record
service = Service("shop", options)
adapter.build(Context(folder / "state", folder, RealClock())).compute.scale(service, "blue", 2, "more")
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Instances have half a second to stop."""
    with open_fleet(tmp_path, stop_timeout_s=0.5) as opened:
        opened.image("base-1")
        yield opened


def test_an_instance_runs_and_says_what_it_runs(fleet: Fleet) -> None:
    """Otherwise the proven image is only what a record claims."""
    service = fleet.up(capacity=2)
    wait_until(lambda: fleet.all_running(service, 2), "the two never ran")
    assert {instance.image for instance in fleet.instances(service)} == {fleet.digest("base-1")}
    assert len({instance.address for instance in fleet.instances(service)}) == 2


def test_an_instance_outlives_its_starter(fleet: Fleet) -> None:
    """Otherwise the end of a command is the end of the service."""
    service = fleet.up()
    wait_until(lambda: fleet.all_running(service, 1), "it never ran")
    process = psutil.Process(fleet.record(service, fleet.instances(service)[0])["pid"])
    assert os.getsid(process.pid) == process.pid != os.getsid(0)


def test_an_app_that_exits_at_once_says_why(fleet: Fleet) -> None:
    """Otherwise a broken image looks like a slow one."""
    fleet.image("base-1", app="print('no database'); raise SystemExit(3)")
    service = fleet.up()
    wait_until(lambda: fleet.instances(service)[0].state == "failed", "it was never seen to fail")
    assert "code 3" in fleet.instances(service)[0].reason and "no database" in fleet.instances(service)[0].reason


def test_a_failed_instance_is_started_again_only_by_another_write(fleet: Fleet) -> None:
    """Otherwise a crash loop hides behind retries, or nothing ever comes back."""
    fleet.image("base-1", app="raise SystemExit(3)")
    service = fleet.up()
    wait_until(lambda: fleet.instances(service)[0].state == "failed", "it was never seen to fail")
    first = fleet.instances(service)[0].id
    fleet.up(token="up-1")
    assert fleet.instances(service)[0].id == first
    fleet.provider.compute.scale(service, "blue", 1, "again")
    assert [instance.id == first for instance in fleet.instances(service)] == [False]


def test_an_app_that_never_listens_is_starting(fleet: Fleet) -> None:
    """Otherwise traffic is sent to a port where nobody is."""
    fleet.image("base-1", app="print('up', flush=True); import time; time.sleep(600)")
    service = fleet.up()
    log = fleet.root / "services" / "shop" / "instances"
    wait_until(lambda: any(path.read_text() == "up\n" for path in log.glob("*.log")), "it never ran")
    assert [instance.state for instance in fleet.instances(service)] == ["starting"]


def test_a_missing_command_is_a_failed_instance(fleet: Fleet) -> None:
    """Otherwise a typing error in a command stops the engine instead of the rollout."""
    fleet.image("base-1", command=("/no/such/program", "{image}", "{port}"))
    (failed,) = fleet.instances(fleet.up())
    assert failed.state == "failed"
    assert "No such file" in failed.reason and "/no/such/program" in failed.reason


def test_no_free_port_names_the_range(fleet: Fleet) -> None:
    """Otherwise nobody knows what to widen."""
    first = int(fleet.options["ports"].split("-")[0])
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", first))
        taken.listen()
        with pytest.raises(Invalid, match=f"no free port in {first}-{first + 1}"):
            fleet.up(capacity=2, ports=f"{first}-{first + 1}")


def test_a_starter_killed_before_the_record_is_found(fleet: Fleet) -> None:
    """Otherwise a crash at the wrong moment leaves an orphan, and one instance too many."""
    service = fleet.up()
    arguments = [sys.executable, "-c", KILLED_STARTER, str(fleet.context.fleet_dir), json.dumps(dict(service.options))]
    child = subprocess.run(arguments, cwd=ROOT, env=environment(PYTHONPATH=str(ROOT)), check=False)
    assert child.returncode == -signal.SIGKILL
    wait_until(lambda: fleet.all_running(service, 2), "the second one was never found")
    before = {instance.id for instance in fleet.instances(service)}
    fleet.provider.compute.scale(service, "blue", 2, "more")
    assert {instance.id for instance in fleet.instances(service)} == before
    fleet.provider.compute.park(service, "blue", "park")
    assert fleet.instances(service) == []


def test_a_start_interrupted_before_the_process_is_repeated(fleet: Fleet) -> None:
    """Otherwise a record without a process counts as an instance for ever."""
    service = fleet.up()
    home = fleet.root / "services" / "shop" / "instances"
    record = json.loads(next(home.glob("*.json")).read_text())
    never = {**record, "id": "shop-blue-never", "pid": None, "start": None, "boot_id": None, "port": 1}
    (home / "shop-blue-never.json").write_text(json.dumps(never))
    assert "interrupted" in next(i for i in fleet.instances(service) if i.id == never["id"]).reason
    fleet.provider.compute.scale(service, "blue", 2, "more")
    wait_until(lambda: fleet.all_running(service, 2), "it was not started")


def test_a_reused_pid_is_nobody_of_ours(fleet: Fleet) -> None:
    """Otherwise stopping an instance kills somebody else's process."""
    service = fleet.up()
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        (instance,) = fleet.instances(service)
        path = fleet.root / "services" / "shop" / "instances" / f"{instance.id}.json"
        for start in (1, _start(bystander.pid)):  # another start time; the same one, without our tag
            record = replace(Record.from_json(fleet.record(service, instance)), pid=bystander.pid, start=start)
            path.write_text(json.dumps(record.__dict__))
            assert fleet.instances(service)[0].state == "failed"
        fleet.provider.compute.park(service, "blue", "park")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def _start(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_what_ignores_the_request_is_killed_with_its_children(fleet: Fleet) -> None:
    """Otherwise a parked slot goes on running."""
    fleet.image("base-1", app=STUBBORN)
    service = fleet.up()
    wait_until(lambda: len(_instances(fleet)) == 2, "parent and child never ran")
    fleet.provider.compute.park(service, "blue", "park")
    assert _instances(fleet) == []


def test_children_of_a_dead_instance_are_stopped_too(fleet: Fleet) -> None:
    """Otherwise what a crashed instance leaves behind keeps its port."""
    fleet.image("base-1", app=STUBBORN)
    service = fleet.up()
    wait_until(lambda: len(_instances(fleet)) == 2, "parent and child never ran")
    psutil.Process(fleet.record(service, fleet.instances(service)[0])["pid"]).kill()
    wait_until(lambda: len(_instances(fleet)) == 1, "the parent never died")
    fleet.provider.compute.park(service, "blue", "park")
    assert _instances(fleet) == []


def _instances(fleet: Fleet) -> list[psutil.Process]:
    return [process for process in fleet.processes() if "--dir" not in process.cmdline()]


def test_a_killed_instance_says_how_it_ended(fleet: Fleet) -> None:
    """Otherwise memory shortage and a broken image look alike."""
    service = fleet.up()
    wait_until(lambda: fleet.all_running(service, 1), "it never ran")
    psutil.Process(fleet.record(service, fleet.instances(service)[0])["pid"]).kill()
    wait_until(lambda: fleet.instances(service)[0].state == "failed", "its death was never seen")
    assert "SIGKILL" in fleet.instances(service)[0].reason


@pytest.mark.parametrize(
    "app, blamed",
    [
        ("import sys; print('no database'); sys.exit(3)", True),
        ("import sys; sys.exit(0)", False),
        ("import os; os.kill(os.getpid(), 9)", False),
        ("import sys; sys.exit(137)", False),
        ("import socket; s, t = socket.socket(), socket.socket(); s.bind(('', 0)); t.bind(s.getsockname())", False),
        ("import sys; print('Error: listen EADDRINUSE'); print('\\n' * 50); sys.exit(1)", False),
        ("import sys; print('Port 8000 is in use by another program.'); sys.exit(1)", False),
    ],
    ids=["its own code", "an end in peace", "a signal", "a signal below a shell", "a taken port", "node", "flask"],
)
def test_only_an_instances_own_end_is_its_own_fault(fleet: Fleet, app: str, blamed: bool) -> None:
    """Otherwise a good patch is denied because memory was short, or another program took the port first."""
    fleet.image("base-1", app=app)
    service = fleet.up()
    wait_until(lambda: fleet.instances(service)[0].state == "failed", "it was never seen to fail")
    assert fleet.instances(service)[0].own_fault is blamed, fleet.instances(service)[0].reason


def test_what_could_not_be_started_is_nobodys_own_fault(fleet: Fleet) -> None:
    """Otherwise a machine that is out of processes or files denies the patch that it could not start."""
    fleet.image("base-1", command=("/no/such/program", "{image}", "{port}"))
    (failed,) = fleet.instances(fleet.up())
    assert failed.state == "failed" and not failed.own_fault


def test_a_log_is_bounded(fleet: Fleet) -> None:
    """Otherwise a talkative instance fills the disk."""
    fleet.image("base-1", app=TALKATIVE)
    service = fleet.up()
    folder = fleet.root / "services" / "shop" / "instances"

    def written() -> bool:
        fleet.instances(service)
        return any(path.read_bytes().endswith(b"end\n") for path in folder.glob("*.log.1"))

    wait_until(written, "the log was never cut")
    assert sum(path.stat().st_size for path in folder.glob("*.log*")) < 1_500_000


def test_secrets_are_in_no_file(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a backup of the state folder gives them away."""
    monkeypatch.setenv("SHOP_KEY", "tiger-lily-4711")
    service = fleet.up(environment={"KEY": {"env": "SHOP_KEY"}, "MODE": "fast"})
    wait_until(lambda: fleet.all_running(service, 1), "it never ran")
    process = psutil.Process(fleet.record(service, fleet.instances(service)[0])["pid"])
    assert process.environ()["KEY"] == "tiger-lily-4711"
    blue = fleet.provider.compute.describe(service)["blue"]
    assert blue.fingerprint["environment.KEY"] == "from env SHOP_KEY"
    fleet.provider.compute.mirror(service, "blue", "green", fleet.digest("base-1"), "r1", "mirror")
    files = [path for path in fleet.context.state_dir.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in files if b"tiger-lily-4711" in path.read_bytes()] == []
