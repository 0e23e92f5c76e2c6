"""How many calls a whole rollout makes where nothing goes wrong, and which of them it may not save."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from providers.base import HoldMark
from tests.aws.calls import Answer, Call
from tests.aws.fault_kit import Story, story
from tests.aws.wire import Apply

AT_MOST = {"DescribeListeners": 28, "DescribeTags": 24, "DescribeAutoScalingGroups": 20, "DescribeInstances": 6}
"""Gates look twice, and a side stays warm for a while. When each step read for itself it was 47, 40, 26 and 7."""


def rolled_out(folder: Path, standby: str) -> Story:
    """Promoted, and the old side given up."""
    with story(folder, standby) as shop:
        shop.open()
        shop.line.clear()
        shop.drive()
        shop.raise_if_not_promoted()
        return shop


def ends_hosts(call: Call) -> bool:
    """Or takes a side down."""
    parked = call.operation == "UpdateAutoScalingGroup" and call.parameters.get("DesiredCapacity") == 0
    return parked or call.operation == "DeleteAutoScalingGroup"


def test_what_a_step_has_read_the_next_one_does_not_read_again(tmp_path: Path) -> None:
    """AWS allows ten such reads a second for a whole account: a wave takes as long as its reads are many."""
    made = Counter(call.operation for call in rolled_out(tmp_path, "permanent").line.calls)
    assert {name: made[name] for name in AT_MOST if made[name] > AT_MOST[name]} == {}


@pytest.mark.parametrize("standby", ["permanent", "on_demand"])
def test_what_moves_traffic_or_ends_hosts_reads_the_route_for_itself(tmp_path: Path, standby: str) -> None:
    """Somebody edits a listener, and it is overwritten, or hosts that serve are ended, by what was read before."""
    read, decided = False, 0
    for call in rolled_out(tmp_path, standby).line.calls:
        if call.operation == "DescribeListeners":
            read = True
        if call.operation == "ModifyListener" or ends_hosts(call):
            assert read, f"{call.operation} was decided by nothing that was read after the write before it"
            read, decided = False, decided + 1
    assert decided >= 5, "attached, moved twice at least, detached, given up"


def test_a_mark_that_comes_between_the_guard_and_the_move_stops_it(tmp_path: Path) -> None:
    """A person puts traffic back while a step is under way, and the step takes it away again."""
    with story(tmp_path, "permanent") as shop:
        shop.open()
        listed = {"so far": 0}

        def marked(call: Call, apply: Apply) -> Answer:
            """Before the first swap the hosts of green are looked up once more: between guard and write."""
            (arn,) = [call.parameters["TargetGroupArn"]]
            row = shop.store.rollout("shop-1")
            if arn == shop.routes[-1].green and shop.journal().phase == "shifting" and not listed["so far"]:
                listed["so far"] += 1
                mark = HoldMark(row.id, 1, "blue", "ana", shop.clock.now(), "by hand")
                shop.provider.traffic.mark(shop.service, mark, "t")
            return apply()

        shop.line.plan("DescribeTargetHealth", marked, 1_000_000)
        shop.drive()
        assert listed["so far"] == 1 and "hold mark of ana" in shop.told, shop.told
        assert shop.shares() == {"blue": 100, "green": 0} or shop.weights() == {shop.routes[0].blue: 100}
        assert not [entry for entry in shop.journal().entries if entry.kind == "done" and entry.step.startswith("swap")]
