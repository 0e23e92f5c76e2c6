"""Figures of CloudWatch."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from providers.base import Denied, Invalid, Metric, Service, Transient
from tests.aws.insight_kit import Scene, scene
from tests.aws.wire import wire

AT = 1_800_000_000.0
LATENCY = Metric(
    "AWS/ApplicationELB",
    "TargetResponseTime",
    "p99",
    {"TargetGroup": "{target_group}", "LoadBalancer": "{balancer}", "AutoScalingGroupName": "{group}"},
)


def told(seen: Scene, values: dict[str, list[float]], code: str = "Complete") -> list[Any]:
    """Have CloudWatch answer these values by query; what it is asked."""
    asked = list[Any]()

    def made(parameters: Any) -> Any:
        """One result a query."""
        asked.append(parameters)
        results = [
            {"Id": query["Id"], "StatusCode": code, "Values": values.get(query["Id"], [])}
            for query in parameters["MetricDataQueries"]
        ]
        return {"MetricDataResults": results}

    seen.account.answers.give("cloudwatch", "GetMetricData", made)
    return asked


def test_each_slot_is_asked_about_under_its_own_names(tmp_path: Path) -> None:
    """Otherwise the figure of one side is taken for the other's, or nothing is found under a wrong name."""
    with scene(tmp_path) as seen:
        asked = told(seen, {"blue0": [0.25], "green0": [0.5]})
        assert seen.insight.measure(seen.service, LATENCY, AT + 30, AT + 330) == {"blue": 0.25, "green": 0.5}
        (parameters,) = asked
        first = parameters["MetricDataQueries"][0]["MetricStat"]
        names = {one["Name"]: one["Value"] for one in first["Metric"]["Dimensions"]}
        assert names["TargetGroup"].startswith("targetgroup/shop-blue/")
        assert names["LoadBalancer"] == seen.account.balancer.partition(":loadbalancer/")[2]
        assert names["AutoScalingGroupName"] == "shop-blue"
        assert (first["Stat"], first["Period"]) == ("p99", 360)


def test_one_period_covers_the_time(tmp_path: Path) -> None:
    """Otherwise a percentile is put together from parts, which it cannot be."""
    with scene(tmp_path) as seen:
        asked = told(seen, {})
        seen.insight.measure(seen.service, LATENCY, AT + 59, AT + 61)
        times = [datetime.fromtimestamp(AT + offset, UTC) for offset in (0, 120)]
        assert [asked[0][key].timestamp() for key in ("StartTime", "EndTime")] == [each.timestamp() for each in times]


def test_no_data_is_none_and_not_zero(tmp_path: Path) -> None:
    """Otherwise a side that says nothing is taken for one without errors."""
    with scene(tmp_path) as seen:
        told(seen, {"blue0": [0.0]})
        assert seen.insight.measure(seen.service, LATENCY, AT, AT + 60) == {"blue": 0.0, "green": None}


def test_moto_and_we_agree_on_a_sum(tmp_path: Path) -> None:
    """Otherwise only our own made answers are understood."""
    metric = Metric("shop", "Orders", "Sum", {"Group": "{group}"})
    with scene(tmp_path) as seen:
        for number in (1, 2):
            seen.account.client("cloudwatch").put_metric_data(
                Namespace="shop",
                MetricData=[
                    {
                        "MetricName": "Orders",
                        "Dimensions": [{"Name": "Group", "Value": "shop-blue"}],
                        "Timestamp": datetime.fromtimestamp(AT + 20 * number, UTC),
                        "Value": 3.0 * number,
                    }
                ],
            )
        assert seen.insight.measure(seen.service, metric, AT, AT + 120) == {"blue": 9.0, "green": None}


@pytest.mark.parametrize(
    ("code", "error"), [("InternalError", Transient), ("PartialData", Transient), ("Forbidden", Denied)]
)
def test_half_an_answer_is_no_answer(code: str, error: type[Exception], tmp_path: Path) -> None:
    """Otherwise a part of the requests is judged as if it were all."""
    with scene(tmp_path) as seen:
        told(seen, {"blue0": [1.0], "green0": [1.0]}, code)
        with pytest.raises(error, match="TargetResponseTime"):
            seen.insight.measure(seen.service, LATENCY, AT, AT + 60)


@pytest.mark.parametrize(
    ("statistic", "expected"), [("Sum", 4.0), ("SampleCount", 4.0), ("Minimum", 1.0), ("Maximum", 3.0), ("p99", 3.0)]
)
def test_several_routes_are_one_figure(statistic: str, expected: float, tmp_path: Path) -> None:
    """Otherwise only the first of two listeners is watched."""
    with scene(tmp_path) as seen:
        route = seen.service.options["routes"][0]
        second = {**route, "blue": seen.account.target_group("b2"), "green": seen.account.target_group("g2")}
        second["listener"] = seen.account.listener([(second["blue"], 100)])
        service = Service("shop", {**seen.service.options, "routes": (route, second)})
        told(seen, {"blue0": [1.0], "blue1": [3.0]})
        metric = Metric("AWS/ApplicationELB", "x", statistic, {"TargetGroup": "{target_group}"})
        assert seen.insight.measure(service, metric, AT, AT + 60)["blue"] == expected


def test_a_name_that_stands_for_nothing_is_refused_before_asking(tmp_path: Path) -> None:
    """Otherwise a slip in a fleet file reads as no data, for ever."""
    metric = Metric("shop", "x", "Sum", {"Group": "{grop}"})
    with scene(tmp_path) as seen, wire(seen.account) as line:
        with pytest.raises(Invalid, match=r"\{grop\} stands for nothing; there are \{group\}"):
            seen.insight.measure(seen.service, metric, AT, AT + 60)
        with pytest.raises(Invalid, match="at most a day"):
            seen.insight.measure(seen.service, LATENCY, AT, AT + 90_000)
        assert line.calls == []
