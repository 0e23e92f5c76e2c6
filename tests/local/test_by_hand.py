"""The lines on the break-glass sheet, typed into a shell, put traffic back: they are run here as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from providers.base import Slot
from providers.local.by_hand import by_hand
from providers.local.haproxy import launcher
from tests.local.balancer_kit import Kit, wait_until
from tests.local.haproxy_kit import NEEDS_HAPROXY, HaproxyKit
from tests.local.switch_kit import open_switched

BACK: dict[Slot, int] = {"blue": 100, "green": 0}
SOCAT = f"""#!{sys.executable}
import socket, sys
assert sys.argv[1] == "stdio"
channel = socket.socket(socket.AF_UNIX)
channel.connect(sys.argv[2].removeprefix("unix-connect:"))
channel.sendall(sys.stdin.buffer.read())
while part := channel.recv(65536):
    sys.stdout.buffer.write(part)
"""
"""socat, as far as the sheet uses it, where it is not installed."""


def typed(lines: Sequence[str], folder: Path) -> str:
    """What a shell says to these lines, one after the other."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "socat").write_text(SOCAT)
    (tools / "socat").chmod(0o755)
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:{tools}"}
    script = "\n".join(["set -eu", *lines])
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout


def target(kit: Kit) -> dict[str, str]:
    """What a rollback card holds of it."""
    return {"provider": "local", "service": "shop", "dir": str(kit.directory)}


@pytest.fixture(params=["short", "d" * 100 + "/" + "e" * 40])
def kit(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kit]:
    """The built-in balancer, also where its socket's path is longer than the kernel takes."""
    made = Kit(tmp_path / request.param / "shop")
    yield made
    made.close()


def test_the_built_in_balancer(kit: Kit, tmp_path: Path) -> None:
    """The lines for the worst night were never run by anybody."""
    kit.start([kit.target("b-1")], [kit.target("g-1")])
    kit.client.set_weights({"blue": 0, "green": 100}, expected_revision=None, token="t")
    said = typed(by_hand(target(kit), BACK), tmp_path)
    assert kit.client.state()["weights"] == BACK and '"weights": {"blue": 100, "green": 0}' in said
    kit.client.set_weights({"blue": 50, "green": 50}, expected_revision=None, token="late")
    typed(by_hand(target(kit), BACK), tmp_path)
    assert kit.client.state()["weights"] == BACK, "the same lines again"


@NEEDS_HAPROXY
def test_haproxy(tmp_path: Path) -> None:
    """HAProxy is told something that it does not understand; or forgets it when it is started again."""
    kit = HaproxyKit(tmp_path / "shop")
    try:
        kit.start([kit.target("b-1")], [kit.target("g-1")])
        kit.client.set_weights({"blue": 0, "green": 100}, expected_revision=None, token="t")
        said = typed(by_hand(target(kit), BACK), tmp_path)
        assert "green_pct 0" in said
        assert kit.client.state()["weights"] == BACK
        kit.kill()
        wait_until(lambda: not kit.processes(), "HAProxy is gone")
        launcher.ensure_running(kit.directory, 30.0)
        assert kit.client.state()["weights"] == BACK, "also after a new start"
    finally:
        kit.close()


def test_the_owners_commands(tmp_path: Path) -> None:
    """A queue has no balancer, and its sheet says nothing."""
    with open_switched(tmp_path) as switched:
        switched.mirror()
        switched.move("green")
        assert switched.queue.enabled == {"green"}
        known = {"provider": "local", "service": "shop", "dir": str(switched.folder)}
        lines = by_hand(known, BACK)
        assert " disable " in lines[1] and " green" in lines[1] and " enable " in lines[2], "never both at once"
        assert typed(lines, tmp_path).split()[-2:] == ["disabled", "enabled"]
        assert switched.queue.enabled == {"blue"}
        switched.queue.assert_never_both()


def test_a_folder_that_is_gone_is_an_error_and_no_nonsense(tmp_path: Path) -> None:
    """The sheet has commands for a balancer that was never there."""
    with pytest.raises(KeyError):
        by_hand({}, BACK)
