"""History, report and explain of a real rollout, with an emergency rollback and a hold, as a user runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.kit import open_fleet
from tests.tell.kit import Shape

pytestmark = pytest.mark.e2e


def test_what_really_happened_can_be_told(tmp_path: Path) -> None:
    """The commands work on made-up journals, and not on those that real rollouts write."""
    with open_fleet(tmp_path / "fleet") as fleet:
        fleet.up()
        began = fleet.promoted()
        warm = fleet.rollout("explain", "shop")
        assert warm.code == 0 and "green serves, and blue stays warm" in warm.out and "read now" in warm.out, warm
        assert fleet.rollout("hold", "shop", "--reason", "deploy \x1b[31m7").code == 0
        assert fleet.rollout("rollback", "shop", "--reason", "slow <b>pages</b>").code == 0
        closed = fleet.rollout("explain", "shop", "--json").last
        assert (closed["situation"], closed["active_slot"], closed["traffic_read"]) == (
            "closed_rolled_back",
            "blue",
            "live",
        )
        assert closed["hold"]["reason"] == "deploy \x1b[31m7"  # data is data; words are cleaned
        assert "\x1b" not in fleet.rollout("explain", "shop").out

        events = fleet.rollout("history", "--json").last["events"]
        rollout = next(event for event in events if event["kind"] == "rollout")
        assert {"held", "stood_up"} <= {event["kind"] for event in events}
        assert rollout["outcome"] == "rolled_back" and rollout["turned_back_because"] == "slow <b>pages</b>"
        assert 0 < rollout["back_s"] < 30 and rollout["back_within"]
        text = fleet.rollout("history").out
        assert "slow <b>pages</b>" in text and "\x1b" not in text

        page = tmp_path / "report.html"
        made = fleet.rollout("report", "shop", "--out", str(page))
        assert made.code == 0 and f"wrote {page}" in made.err, made
        shape = Shape(page.read_text())
        assert began["id"] in shape.text and "slow <b>pages</b>" in shape.text and len(shape.paths) == 2
        data = fleet.rollout("report", "shop", "--json").last
        assert data["integrity"]["state"] == "whole" and len(data["traffic"]["swaps"]) == 3
        assert all(swap["write_s"] > 0 for swap in data["traffic"]["swaps"])
