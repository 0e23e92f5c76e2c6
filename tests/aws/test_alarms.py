"""The user's CloudWatch alarms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.aws.insight_kit import Scene, scene
from tests.aws.wire import wire


def alarm(seen: Scene, name: str, dimensions: dict[str, str] | None = None, **more: Any) -> None:
    """An alarm on a count of errors."""
    seen.account.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="AWS/ApplicationELB",
        MetricName="HTTPCode_Target_5XX_Count",
        Dimensions=[{"Name": key, "Value": value} for key, value in (dimensions or {}).items()],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        **more,
    )


def short(seen: Scene, slot: str) -> str:
    """A target group as dimensions have it."""
    return seen.target_group(slot).split(":", 5)[5]


@pytest.mark.parametrize(("said", "state"), [("OK", "ok"), ("ALARM", "alarm"), ("INSUFFICIENT_DATA", "unknown")])
def test_an_alarm_says_what_it_says(said: Any, state: str, tmp_path: Path) -> None:
    """Otherwise an alarm that rings is not heard, or one without data is taken for quiet."""
    with scene(tmp_path) as seen:
        alarm(seen, "errors")
        seen.account.client("cloudwatch").set_alarm_state(
            AlarmName="errors", StateValue=said, StateReason="  so\n it is"
        )
        found = seen.insight.alarms(seen.service, ["errors", "nobody"])
        assert set(found) == {"errors"}
        assert (found["errors"].state, found["errors"].reason) == (state, "so it is")
        assert found["errors"].since is not None


def test_composite_alarms_are_alarms_too(tmp_path: Path) -> None:
    """Otherwise the one alarm that a team looks at does not exist for us."""
    both = {
        "MetricAlarms": [{"AlarmName": "single", "StateValue": "OK", "StateReason": "fine"}],
        "CompositeAlarms": [{"AlarmName": "all", "AlarmRule": "ALARM(single)", "StateValue": "ALARM"}],
    }
    with scene(tmp_path) as seen, wire(seen.account) as line:
        seen.account.answers.give("cloudwatch", "DescribeAlarms", both)
        found = seen.insight.alarms(seen.service, ["single", "all"])
        assert {name: one.state for name, one in found.items()} == {"single": "ok", "all": "alarm"}
        (call,) = line.calls
        assert call.parameters["AlarmTypes"] == ["MetricAlarm", "CompositeAlarm"]


def test_many_names_are_asked_for_a_hundred_at_a_time(tmp_path: Path) -> None:
    """Otherwise CloudWatch refuses the question, or half of the alarms are not asked about."""
    asked = list[list[str]]()

    def made(parameters: Any) -> Any:
        """Each answer has one page more."""
        names = parameters["AlarmNames"]
        asked.append(names)
        start = int(parameters.get("NextToken") or 0)
        told = [{"AlarmName": name, "StateValue": "OK"} for name in names[start : start + 60]]
        return {"MetricAlarms": told} | ({"NextToken": "60"} if start == 0 and len(names) > 60 else {})

    names = [f"a-{number}" for number in range(150)]
    with scene(tmp_path) as seen:
        seen.account.answers.give("cloudwatch", "DescribeAlarms", made)
        assert set(seen.insight.alarms(seen.service, names)) == set(names)
        assert [len(part) for part in asked] == [100, 100, 50]


def test_an_alarm_for_one_slot_only_is_told(tmp_path: Path) -> None:
    """Otherwise the alarm of the old side stays green while the new side burns."""
    with scene(tmp_path) as seen:
        alarm(seen, "blue-alone", {"TargetGroup": short(seen, "blue")})
        alarm(seen, "of-the-balancer", {"LoadBalancer": "app/front/1"})
        (text,) = seen.texts("notice")
        assert "shop-blue" in text and "blue-alone" in text and "of-the-balancer" not in text


def test_twins_are_not_told(tmp_path: Path) -> None:
    """Otherwise those who did it right read the same notice at each rollout."""
    with scene(tmp_path) as seen:
        for slot in ("blue", "green"):
            alarm(seen, f"{slot}-errors", {"TargetGroup": short(seen, slot), "LoadBalancer": "app/front/1"})
        assert seen.texts("notice") == []


def test_an_alarm_that_scales_one_slot_is_told(tmp_path: Path) -> None:
    """Otherwise a queue's alarm scales the side that serves nothing any more."""
    policy = (
        "arn:aws:autoscaling:eu-central-1:123456789012:scalingPolicy:1:autoScalingGroupName/shop-blue:policyName/up"
    )
    with scene(tmp_path) as seen:
        alarm(seen, "queue", AlarmActions=[policy])
        alarm(seen, "TargetTracking-shop-blue-AlarmHigh-1", {"AutoScalingGroupName": "shop-blue"})
        (text,) = seen.texts("notice")
        assert "queue" in text and "TargetTracking" not in text
