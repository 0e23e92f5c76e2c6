"""Compute, traffic, inventory and the emergency path of the local provider, where they are more than the contract."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from providers.base import HoldMark, Invalid, NotFound, Service, Transient, plain
from providers.local import adapter, rollback
from providers.local.processes import Processes
from tests.local.instance_kit import SERVING, Fleet, open_fleet, wait_until

ROOT = Path(__file__).resolve().parents[2]
MARK = HoldMark("rollout-1", 3, "blue", "ana", 1_767_225_600.0, "errors")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """With one image, `base-1`."""
    with open_fleet(tmp_path, stop_timeout_s=0.5) as opened:
        opened.image("base-1")
        yield opened


def _serving(fleet: Fleet, capacity: int = 1) -> Service:
    service = fleet.up(capacity=capacity)
    wait_until(lambda: fleet.all_running(service, capacity), "it never ran")
    wait_until(lambda: _healthy(fleet, service) == capacity, "it never became healthy")
    return service


def _healthy(fleet: Fleet, service: Service) -> int:
    return fleet.provider.traffic.observe([service])[service.name].targets["blue"].healthy


def _ask(fleet: Fleet) -> int:
    try:
        with urllib.request.urlopen(f"http://{fleet.options['listen']}/", timeout=10) as answer:
            return int(answer.status)
    except (urllib.error.URLError, OSError):
        return 0


def _balancer(fleet: Fleet) -> list[psutil.Process]:
    """Parent first: killing it must not let it respawn a worker."""
    folder = fleet.root / "services" / "shop" / "balancer"
    found = [process for process in psutil.process_iter() if _cwd(process) == str(folder)]
    return sorted(found, key=lambda process: "worker" in " ".join(process.cmdline()))


def _cwd(process: psutil.Process) -> str:
    try:
        return process.cwd()
    except psutil.Error:
        return ""


def test_stand_up_serves(fleet: Fleet) -> None:
    """Otherwise the first command of a new user ends in an error page."""
    service = _serving(fleet, capacity=2)
    assert _ask(fleet) == 200
    assert fleet.provider.traffic.route(service).active == "blue"


def test_stand_up_twice_is_refused(fleet: Fleet) -> None:
    """Otherwise a second start replaces what is serving."""
    service = _serving(fleet)
    with pytest.raises(Invalid, match="stands already"):
        fleet.provider.compute.stand_up(service, "green", fleet.digest("base-1"), 1, "other")
    with pytest.raises(Invalid, match="another write"):
        fleet.provider.compute.stand_up(service, "blue", fleet.digest("base-1"), 2, "up-1")


def test_tear_down_leaves_nothing(fleet: Fleet) -> None:
    """Otherwise a demo leaves processes, ports or files behind."""
    _serving(fleet, capacity=2)
    adapter.tear_down(fleet.context, Service("shop"))
    assert fleet.processes() == [] and _ask(fleet) == 0
    assert not fleet.root.exists()
    adapter.tear_down(fleet.context, Service("shop"))


def test_tear_down_spares_the_other_service(fleet: Fleet, tmp_path: Path) -> None:
    """Otherwise ending one service ends another."""
    service = _serving(fleet)
    with open_fleet(tmp_path / "till") as other:
        other.image("base-1")
        other.up()
        adapter.tear_down(other.context, Service("shop"))
    assert _healthy(fleet, service) == 1 and _ask(fleet) == 200


def test_a_killed_balancer_is_started_by_the_next_read(fleet: Fleet) -> None:
    """Otherwise one dead process takes the service down until a person comes."""
    service = _serving(fleet)
    for process in _balancer(fleet):
        process.kill()
    assert fleet.provider.traffic.route(service).weights == {"blue": 100, "green": 0}
    wait_until(lambda: _ask(fleet) == 200, "clients were never served again")


def test_a_frozen_balancer_is_transient(fleet: Fleet) -> None:
    """Otherwise a write hangs for longer than the engine allows for."""
    service = _serving(fleet)
    route, clock = fleet.provider.traffic.route(service), fleet.context.clock
    frozen = _balancer(fleet)
    for process in frozen:
        process.suspend()
    began = clock.now()
    try:
        with pytest.raises(Transient):
            fleet.provider.traffic.set_weights(service, {"blue": 100, "green": 0}, route, "again")
        assert clock.now() - began < fleet.provider.write_timeout_s
    finally:
        for process in frozen:
            process.resume()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_the_emergency_path_needs_no_living_balancer(fleet: Fleet, how: signal.Signals) -> None:
    """Otherwise the one command that must work at night waits for the one thing that is broken."""
    service = _serving(fleet)
    compute, traffic = fleet.provider.compute, fleet.provider.traffic
    compute.mirror(service, "blue", "green", fleet.digest("base-1"), "r1", "mirror")
    compute.scale(service, "green", 1, "scale")
    wait_until(lambda: fleet.running(service, "green"), "green never ran")
    traffic.attach(service, "green", fleet.running(service, "green"), "attach")
    traffic.set_weights(service, {"blue": 0, "green": 100}, traffic.route(service), "swap")
    target = dict(traffic.card_target(service))
    for process in _balancer(fleet):
        process.send_signal(how)
    assert rollback.put_back(target, {"blue": 100, "green": 0}, "night")["weights"] == {"blue": 100, "green": 0}
    rollback.set_mark(target, plain(MARK), "night")
    assert traffic.route(service).active == "blue" and traffic.route(service).mark == MARK
    wait_until(lambda: _ask(fleet) == 200, "clients were never served again")


def test_a_slow_original_is_seen_to_be_healthy_after_a_restart(fleet: Fleet) -> None:
    """Otherwise the way back is refused at night, because the balancer had to be started for it a moment ago."""
    slow = SERVING.replace("def do_GET(self):", "def do_GET(self):\n        import time; time.sleep(0.3)")
    fleet.image("base-1", app=slow)
    fleet.image("base-2")
    service = _serving(fleet)
    compute, traffic = fleet.provider.compute, fleet.provider.traffic
    patch = fleet.provider.patcher.resolve(service, "base-2")
    compute.mirror(service, "blue", "green", patch.image, "r1", "mirror")
    fleet.provider.patcher.apply(service, "green", patch, "apply")
    compute.scale(service, "green", 1, "scale")
    wait_until(lambda: fleet.running(service, "green"), "green never ran")
    traffic.attach(service, "green", fleet.running(service, "green"), "attach")
    traffic.set_weights(service, {"blue": 0, "green": 100}, traffic.route(service), "swap")
    for process in _balancer(fleet):
        process.kill()
    seen = rollback.read(dict(traffic.card_target(service)))
    assert seen["healthy"] == {"blue": 1, "green": 1}


def test_the_emergency_path_tells_silent_from_not_judged_yet(fleet: Fleet) -> None:
    """Otherwise a person at night takes a target that was not judged yet for a dead one."""
    service = _serving(fleet)
    target = dict(fleet.provider.traffic.card_target(service))
    process = psutil.Process(fleet.record(service, fleet.instances(service)[0])["pid"])
    process.suspend()
    try:
        for each in _balancer(fleet):
            each.kill()
        seen = rollback.read(target)
        assert (seen["healthy"]["blue"], seen["unhealthy"]["blue"], seen["unknown"]["blue"]) == (0, 0, 1)
        wait_until(lambda: rollback.read(target)["unhealthy"]["blue"] == 1, "it was never judged")
    finally:
        process.resume()


def test_without_a_balancer_the_ports_are_asked(fleet: Fleet) -> None:
    """Otherwise nobody knows at night who could serve, because the balancer cannot be started."""
    service = _serving(fleet)
    target = dict(fleet.provider.traffic.card_target(service))
    for each in _balancer(fleet):
        each.kill()
    (Path(target["dir"]) / "config.json").write_text("{")
    seen = rollback.read(target)
    assert (seen["healthy"]["blue"], seen["unhealthy"]["blue"], seen["unknown"]["blue"]) == (1, 0, 0)
    assert seen["unproven"].startswith("the balancer does not run: ") and "config.json" in seen["unproven"]
    assert seen["in_flight"] == {"blue": None, "green": None}, "nobody counts"
    process = psutil.Process(fleet.record(service, fleet.instances(service)[0])["pid"])
    process.kill()
    wait_until(lambda: rollback.read(target)["unhealthy"]["blue"] == 1, "its death was never seen")


def test_the_emergency_path_is_standard_library_only() -> None:
    """Otherwise a rollback at night waits for imports, or fails with one of them."""
    code = (
        "import sys; import providers.local.rollback; "
        "print([m for m in ('psutil', 'yaml', 'aiohttp', 'pydantic', 'packageurl') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_attach_keeps_the_revision(fleet: Fleet) -> None:
    """Otherwise a rollout that replaces a dead target conflicts with itself."""
    service = _serving(fleet)
    traffic, seen = fleet.provider.traffic, fleet.provider.traffic.route(service)
    fleet.provider.compute.scale(service, "blue", 2, "more")
    wait_until(lambda: fleet.all_running(service, 2), "it never ran")
    traffic.attach(service, "blue", fleet.running(service), "attach")
    assert traffic.route(service) == seen
    assert traffic.set_weights(service, {"blue": 100, "green": 0}, seen, "same").active == "blue"


def test_a_late_repeat_does_not_undo_a_later_write(fleet: Fleet) -> None:
    """Otherwise a reply that was lost comes back as instances that nobody asked for."""
    service = _serving(fleet)
    scale = fleet.provider.compute.scale
    scale(service, "blue", 3, "grow")
    scale(service, "blue", 1, "shrink")
    scale(service, "blue", 3, "grow")
    assert fleet.provider.compute.describe(service)["blue"].capacity == 1
    assert len(fleet.instances(service)) == 1


def test_two_writers_start_no_instance_too_many(fleet: Fleet) -> None:
    """Otherwise two engines that believe to be alone double the service."""
    service = _serving(fleet)

    def grow(number: int) -> None:
        provider = adapter.build(fleet.context)
        wait_until(lambda: _done(lambda: provider.compute.scale(service, "blue", 3, f"grow-{number}")), "busy")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(grow, range(4)))
    assert len(fleet.instances(service)) == 3


def _done(act: object) -> bool:
    try:
        act()  # type: ignore[operator]  # a thunk
    except Transient:
        return False
    return True


def test_a_changed_live_environment_shows(fleet: Fleet) -> None:
    """Otherwise the mirror is compared with what was once written down, not with what runs."""
    service = fleet.up(environment={"MODE": "fast"})
    wait_until(lambda: fleet.all_running(service, 1), "it never ran")
    path = fleet.root / "services" / "shop" / "slots" / "blue.json"
    path.write_text(path.read_text().replace('"fast"', '"slow"'))
    shown = fleet.provider.compute.describe(service)["blue"].fingerprint["environment.MODE"]
    assert "slow" in shown and "fast" in shown


def test_an_environment_changed_under_a_process_is_unknown(fleet: Fleet) -> None:
    """Otherwise packages that were replaced on disk count as running."""
    service = _serving(fleet)
    (packages,) = fleet.root.glob("images/*/env/lib/python*/site-packages")
    (host,) = fleet.provider.inventory.read(service, "blue")
    assert host.packages == () and host.image == fleet.digest("base-1")
    later = fleet.context.clock.now() + 60
    os.utime(packages, (later, later))
    (host,) = fleet.provider.inventory.read(service, "blue")
    assert host.packages is None and "changed after" in host.problem


def test_a_dead_host_has_no_inventory(fleet: Fleet) -> None:
    """Otherwise a host that runs nothing counts as patched."""
    fleet.image("base-1", app="raise SystemExit(3)")
    service = fleet.up()
    wait_until(lambda: fleet.instances(service)[0].state == "failed", "it was never seen to fail")
    (host,) = fleet.provider.inventory.read(service, "blue")
    assert host.packages is None and "code 3" in host.problem


def test_scale_without_the_image_says_what_to_do(fleet: Fleet) -> None:
    """Otherwise a start takes minutes inside of a write that must end in seconds."""
    service = _serving(fleet)
    fleet.image("base-2", lock="# other\n")
    fleet.provider.compute.mirror(service, "blue", "green", fleet.digest("base-2"), "r1", "mirror")
    with pytest.raises(Invalid, match="apply the patch"):
        fleet.provider.compute.scale(service, "green", 1, "scale")


@pytest.mark.parametrize("name", ["../shop", "", "a b", ".hidden"])
def test_a_services_name_is_no_path(fleet: Fleet, name: str) -> None:
    """Otherwise a name in a file decides where we write and delete."""
    with pytest.raises((Invalid, NotFound)):
        adapter.tear_down(fleet.context, Service(name))


def test_a_side_that_was_made_anew_meanwhile_is_not_removed(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion that waited for slow instances removes the side on which the next rollout has begun."""
    service = _serving(fleet)
    compute = fleet.provider.compute
    image = compute.describe(service)["blue"].image or ""
    compute.mirror(service, "blue", "green", image, "us/shop/1", "first")
    real = Processes.wait_or_kill

    def made_anew(self: Processes, *arguments: Any) -> None:
        real(self, *arguments)
        monkeypatch.setattr(Processes, "wait_or_kill", real)
        compute.mirror(service, "blue", "green", image, "us/shop/1", "second")
        compute.set_floor(service, "green", 1, "third")

    monkeypatch.setattr(Processes, "wait_or_kill", made_anew)
    assert not compute.delete_if_owned(service, "green", "us/shop/1", "delete")
    assert compute.describe(service)["green"].capacity == 1
    assert not compute.delete_if_owned(service, "green", "us/shop/1", "delete"), "repeated, it does nothing"
    assert compute.delete_if_owned(service, "green", "us/shop/1", "delete once more")
