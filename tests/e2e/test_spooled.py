"""A decision that the store could not take: from the night in which it was made to the journal that has it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.kit import PROGRAM, SERVICE, Done, Fleet, Running, environment, open_fleet
from tests.e2e.test_second_user import ALICE, GROUP, as_alice

pytestmark = pytest.mark.e2e
BACK = {"blue": 100, "green": 0}
FORWARD = {"blue": 0, "green": 100}
NEARLY_FULL = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # room for a note, none for a page of the store
os.execv(sys.argv[1], sys.argv[1:])
"""
BECOMES_ALICE = pytest.mark.skipif(os.getuid() != 0, reason="acting as a second user of the system needs root")


def on_a_nearly_full_disk(fleet: Fleet, *arguments: str) -> Done:
    """The command meets what it meets where a few kilobytes are left."""
    command = [sys.executable, "-c", NEARLY_FULL, *PROGRAM, *arguments, "--config", str(fleet.config)]
    fleet.children.append(Running(command, fleet.folder, environment(fleet.folder)))
    return fleet.children[-1].wait()


def spooled(fleet: Fleet) -> list[dict[str, Any]]:
    """What lies beside the cards."""
    return [json.loads(path.read_text()) for path in (fleet.state / "spool").glob("*.json")]


def decisions(fleet: Fleet) -> list[dict[str, Any]]:
    """As the journal has them."""
    return [data for _, kind, _, data in fleet.entries() if kind == "roll_back_decided"]


def served_to_its_end(fleet: Fleet) -> str:
    """The store works again and `rollout serve` begins: what it said until the rollout was over."""
    serving = fleet.begin("serve")
    fleet.wait_reached("closed", "", serving)
    serving.signal(signal.SIGTERM)
    done = serving.wait()
    assert done.code == 0 and "Traceback" not in done.err, done
    status = fleet.status()
    assert status["outcome"] == "rolled_back" and fleet.weights == BACK, status
    assert fleet.instances("green") == [] and fleet.healthy("blue") == 1
    assert fleet.rollout("journal", "verify").code == 0
    return done.err


def test_a_full_disk(fleet: Fleet) -> None:
    """Who put traffic back, why, and under which ticket is lost with the disk that was full at that moment."""
    fleet.promoted()
    words = ("--reason", "checkout fails", "--ref", "INC-7")
    with fleet.load() as load:
        done = on_a_nearly_full_disk(fleet, "rollback", SERVICE, *words)
        assert done.code == 0 and "Traceback" not in done.err, done
        assert "full" in done.err and "the decision is kept beside the cards" in done.err, done
        assert "all new traffic is on blue, marked and read back" in done.err, done
        assert fleet.weights == BACK and decisions(fleet) == []
        (kept,) = spooled(fleet)
        said = served_to_its_end(fleet)
    assert load.failures == []
    (decided,) = decisions(fleet)
    assert (decided["spooled"], decided["by_person"], decided["forced"]) == (True, True, False)
    assert (decided["reason"], decided["ref"], decided["kind"]) == ("checkout fails", "INC-7", "rollback")
    assert {name: decided[name] for name in kept if name != "rollout"} == {
        name: value for name, value in kept.items() if name != "rollout"
    }
    assert "merged the rollback that" in said and spooled(fleet) == []
    assert fleet.rollout("rollback", SERVICE).code == 0, "said once more, it is nothing to do"


@pytest.fixture
def shared() -> Iterator[Fleet]:
    """Promoted by root in a state folder of a group; of that group, alice may reach the balancer as root may."""
    place = Path(tempfile.mkdtemp(prefix="rollout-spooled-"))
    place.chmod(0o755)
    try:
        with open_fleet(place) as made:
            made.state.mkdir()
            os.chown(made.state, 0, GROUP)
            made.state.chmod(0o2770)
            made.up()
            made.promoted()
            for path in [made.state / "local", *(made.state / "local").rglob("*")]:
                os.chown(path, ALICE, GROUP, follow_symlinks=False)
            yield made
    finally:
        shutil.rmtree(place, ignore_errors=True)


def rolled_back_by_alice(fleet: Fleet) -> str:
    """What she was told."""
    done = as_alice(fleet, "rollback", SERVICE, "--reason", "checkout fails")
    assert done.returncode == 0 and "Traceback" not in done.stderr, done
    assert "the store cannot be used" in done.stderr and "readonly database" in done.stderr, done
    assert "all new traffic is on blue, marked and read back" in done.stderr, done
    assert fleet.weights == BACK and decisions(fleet) == []
    return done.stderr


@BECOMES_ALICE
def test_a_store_that_another_user_may_only_read(shared: Fleet) -> None:
    """A colleague who may not write the store cannot put traffic back; or nobody learns that it was her."""
    (shared.state / "rollout.db").chmod(0o640)
    rolled_back_by_alice(shared)
    (kept,) = spooled(shared)
    assert kept["actor"].startswith(f"uid {ALICE}@")
    (shared.state / "rollout.db").chmod(0o660)
    served_to_its_end(shared)
    (decided,) = decisions(shared)
    assert decided["spooled"] is True and decided["actor"] == kept["actor"]
    assert decided["reason"] == "checkout fails" and spooled(shared) == []


@BECOMES_ALICE
def test_a_folder_that_another_user_may_only_read(shared: Fleet) -> None:
    """Neither store nor spool can be written, and the server moves traffic forward again, for nobody told it."""
    (shared.state / "rollout.db").chmod(0o640)
    for folder in (shared.state, shared.state / "cards"):
        folder.chmod(0o2750)
    said = rolled_back_by_alice(shared)
    assert "nor can it be kept beside the cards" in said and "only the mark with the traffic says so" in said
    assert spooled(shared) == []
    served_to_its_end(shared)
    (decided,) = decisions(shared)
    assert decided["kind"] == "mark" and decided["actor"].startswith(f"uid {ALICE}@")
    assert "checkout fails" in decided["reason"] and "spooled" not in decided
