"""Who is on record for what a CI job did: the system's user, and beside it what the job says of itself."""

from __future__ import annotations

import pytest

from rollout.actor import this_person
from tests.begin.test_actor import GITHUB
from tests.e2e.kit import SERVICE, Fleet

pytestmark = pytest.mark.e2e
CLAIM = f"{this_person()} for github:acme/shop@refs/heads/main run 123 by mona"


def test_a_pipeline_is_on_record_with_its_run(fleet: Fleet) -> None:
    """Every rollout of CI is by `runner@host`, and nobody finds the run that made it."""
    done = fleet.begin("start", SERVICE, "--image", "base-2", "--json", **GITHUB).wait()
    assert done.code == 0, done
    done = fleet.begin("rollback", SERVICE, "--json", **GITHUB).wait()
    assert done.code == 0, done
    said = {kind: data.get("actor") for _, kind, _, data in fleet.entries() if data.get("actor")}
    assert (said["opened"], said["roll_back_decided"]) == (CLAIM, CLAIM)
