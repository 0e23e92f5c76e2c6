"""What every command ends with: how a rollout stands, in one object."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.base import Patch
from rollout.summary import summarise
from tests.core.scene import World, a_plan

DIGEST = "sha256:" + "f5ae" * 16


@pytest.mark.parametrize(
    ("patch", "told"),
    [
        (Patch("base-2", {"local": DIGEST}, {"name": "v2"}), "base-2"),
        (Patch(DIGEST, {"local": DIGEST}, {"name": "v2"}), "v2"),
        (Patch(DIGEST, {"local": DIGEST}, {}), DIGEST),
    ],
    ids=["asked-by-name", "pinned-with-a-name", "pinned-without"],
)
def test_a_patch_is_told_by_a_name_that_people_know(tmp_path: Path, patch: Patch, told: str) -> None:
    """Of a campaign's rollouts, people see 64 digits twice and no name."""
    world = World(tmp_path, a_plan(patch=patch))
    entries = world.store.entries(world.row.id)
    assert summarise(world.row, entries, now=world.clock.now())["patch"] == told
