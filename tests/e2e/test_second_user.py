"""Two users of one machine: one starts, the other approves. Needs root, for only root can be two users."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.kit import Fleet, open_fleet, wait_until

GROUP, ALICE = 64_123, 64_124

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.getuid() != 0, reason="acting as a second user of the system needs root"),
]


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """In a place that other users can reach, with a state folder that was made for a group."""
    place = Path(tempfile.mkdtemp(prefix="rollout-two-users-"))
    place.chmod(0o755)
    try:
        with open_fleet(place, approval="required") as made:
            made.state.mkdir()
            os.chown(made.state, 0, GROUP)
            made.state.chmod(0o2770)
            yield made
    finally:
        shutil.rmtree(place, ignore_errors=True)


BECOME = """
import encodings.utf_8_sig, encodings.idna, importlib, os, pkgutil, sys, tempfile
import healthchecks, providers, rollout
for package in (rollout, providers, healthchecks):  # the other user may not be able to read where these lie
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            try:
                importlib.import_module(found.name)
            except ImportError:
                pass  # a provider whose extra is not installed
import rollout.entry
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[2])); os.umask(0o022)
sys.exit(rollout.entry.run(sys.argv[3:]))
"""


def as_alice(fleet: Fleet, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Another user of the group, whose environment claims to be root still."""
    return subprocess.run(
        [sys.executable, "-c", BECOME, str(GROUP), str(ALICE), *arguments, "--config", str(fleet.config)],
        env={"PATH": os.environ["PATH"], "USER": "root", "LOGNAME": "root", "HOME": "/nonexistent"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_second_user_of_the_group_approves_and_the_first_cannot(fleet: Fleet) -> None:
    """Approval by a second person works on paper only: nobody but the requester can open the store."""
    fleet.up()
    serving = fleet.begin("serve")
    serving.wait_for("serving")
    assert fleet.rollout("start", "shop", "--image", "base-2", "--no-wait").code == 0
    wait_until(lambda: fleet.status()["outcome"] == "waiting_approval", "it waits for approval")
    own = fleet.rollout("approve", "shop")
    assert own.code == 2 and "somebody else" in own.err
    approved = as_alice(fleet, "approve", "shop")
    assert approved.returncode == 0, approved.stderr
    wait_until(lambda: fleet.status()["outcome"] == "promoted", "it is promoted")
    (who,) = [data["by"] for _, kind, _, data in fleet.entries() if kind == "approved"]
    assert who.startswith(f"uid {ALICE}@")
