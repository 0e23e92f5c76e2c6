"""Which balancer a service stands behind: chosen once, and then told, repaired and ended by the same calls."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from providers.base import Invalid
from providers.local import adapter, balancers, rollback
from providers.local.haproxy import program
from tests.local.haproxy_kit import NEEDS_HAPROXY, PROGRAM
from tests.local.instance_kit import Fleet, open_fleet, wait_until


def test_builtin_is_what_nobody_chose(tmp_path: Path) -> None:
    """Else a new release puts everybody behind another balancer."""
    assert balancers.written("builtin") == {}
    for content in (None, "{", "[]", '{"listen": "127.0.0.1:1"}'):
        if content is not None:
            (tmp_path / "config.json").write_text(content)
        assert balancers.of(tmp_path).name == "builtin"
    (tmp_path / "haproxy.cfg").touch()
    (tmp_path / "config.json").write_text("{")
    assert balancers.of(tmp_path).name == "haproxy", "a damaged file does not start the other one on its ports"


def test_without_haproxy_auto_is_builtin_and_haproxy_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else `auto` fails on a machine without HAProxy, or `haproxy` quietly means something else."""
    monkeypatch.setattr(program, "find", lambda: None)
    assert balancers.written("auto") == {}
    with pytest.raises(balancers.Unavailable, match="not installed here; install it, or choose builtin or auto"):
        balancers.written("haproxy")


def test_a_haproxy_that_is_too_old_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else targets cannot be added, in the middle of a rollout."""
    old = tmp_path / "haproxy"
    old.write_text("#!/bin/sh\necho HAProxy version 2.2.9\n")
    old.chmod(0o700)
    monkeypatch.setattr(program, "find", lambda: str(old))
    assert balancers.written("auto") == {}
    with pytest.raises(balancers.Unavailable, match=r"version 2\.2; 2\.6 or newer is needed"):
        balancers.written("haproxy")


def test_standing_up_behind_a_haproxy_that_is_not_there_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `rollout up` fails later, for a reason that nobody can see."""
    monkeypatch.setattr(program, "find", lambda: None)
    with open_fleet(tmp_path, balancer="haproxy") as fleet:
        fleet.image("base-1")
        with pytest.raises(Invalid, match="service shop: balancer: haproxy: HAProxy is not installed here"):
            fleet.up()
        assert not (balancer_of(fleet) / "config.json").exists()
        # Chosen again, the same command goes on.
        fleet.up(balancer="builtin")


def balancer_of(fleet: Fleet) -> Path:
    """The folder of the shop's balancer."""
    return fleet.root / "services" / "shop" / "balancer"


@NEEDS_HAPROXY
def test_the_choice_is_written_down_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else installing or removing a package changes the balancer under a running service."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # an ordinary user's, without the folder that HAProxy is in
    with open_fleet(tmp_path, balancer="auto") as fleet:
        fleet.image("base-1")
        service = fleet.up()
        kept = json.loads((balancer_of(fleet) / "config.json").read_text())
        assert (kept["kind"], kept["program"]) == ("haproxy", PROGRAM)
        assert balancers.of(balancer_of(fleet)).name == "haproxy"
        monkeypatch.setattr(program, "find", lambda: None)
        other = fleet.service(balancer="builtin")
        assert adapter.build(fleet.context).traffic.route(other) == fleet.provider.traffic.route(service)
        assert balancers.of(balancer_of(fleet)).name == "haproxy"


@NEEDS_HAPROXY
def test_dead_or_frozen_it_is_diagnosed_and_repaired(tmp_path: Path) -> None:
    """Else `doctor` and `repair` know only the other balancer."""
    with open_fleet(tmp_path, balancer="haproxy") as fleet:
        fleet.image("base-1")
        service = fleet.up()
        wait_until(lambda: fleet.all_running(service, 1), "it runs")
        assert adapter.repair(fleet.context, service) == []
        assert not [text for _, text, _ in adapter.diagnose(fleet.context, service) if "balancer" in text]
        changed = adapter.diagnose(fleet.context, fleet.service(balancer="builtin"))
        assert "it stands behind the balancer haproxy, and the fleet file says builtin" in [f[1] for f in changed]
        pid = json.loads((balancer_of(fleet) / "parent.json").read_text())["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), "it is dead")
        said = [text for _, text, _ in adapter.diagnose(fleet.context, service)]
        assert "its balancer is dead, and nobody is served" in said
        assert adapter.repair(fleet.context, service) == ["its balancer was dead and runs again"]
        assert adapter.relaunch(fleet.context, service) == []
        pid = json.loads((balancer_of(fleet) / "parent.json").read_text())["pid"]
        os.kill(pid, signal.SIGSTOP)
        (problem,) = [text for _, text, _ in adapter.diagnose(fleet.context, service) if "does not answer" in text]
        assert problem.startswith("its balancer runs and does not answer")


@NEEDS_HAPROXY
def test_the_card_needs_nothing_but_the_folder(tmp_path: Path) -> None:
    """Else a card that was written before an upgrade puts nothing back."""
    with open_fleet(tmp_path, balancer="haproxy") as fleet:
        fleet.image("base-1")
        service = fleet.up()
        card = fleet.provider.traffic.card_target(service)
        assert set(card) == {"provider", "service", "dir"}
        os.kill(json.loads((balancer_of(fleet) / "parent.json").read_text())["pid"], signal.SIGKILL)
        after = rollback.put_back(card, {"blue": 100, "green": 0}, "emergency")
        assert after["weights"] == fleet.provider.traffic.route(service).weights == {"blue": 100, "green": 0}
