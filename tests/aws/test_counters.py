"""Counters from CloudWatch."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

import pytest

from providers.aws import counters
from providers.aws.cloud import Place
from providers.aws.counters import QUERIES_A_CALL, Counting, Pair, _by_call, pair
from providers.aws.options import Options, RouteOptions
from providers.aws.routes import Seen
from providers.base import Counters, Denied, Slot, Transient
from providers.memory.clock import VirtualClock

ARN = "arn:aws:elasticloadbalancing:eu-central-1:123456789012"
NOON = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC).timestamp()


def service(name: str, kind: str = "app", blue: int = 100) -> Seen:
    """A service as it was seen."""
    listener = f"{ARN}:listener/{kind}/front/1111/2222"
    one = RouteOptions(listener, f"{ARN}:targetgroup/{name}-blue/b1", f"{ARN}:targetgroup/{name}-green/g1")
    entries = [{"TargetGroupArn": one.blue, "Weight": blue}, {"TargetGroupArn": one.green, "Weight": 100 - blue}]
    actions = [{"Type": "forward", "ForwardConfig": {"TargetGroups": entries}}]
    return Seen(Options("eu-central-1", f"{name}-blue", f"{name}-green", (one,)), {listener: actions}, {})


class Watch:
    """Only what `counters` asks of a Cloud. `values`: by metric and target group's name."""

    def __init__(self, values: Mapping[tuple[str, str], list[float]] | None = None) -> None:
        self.clock, self.place = VirtualClock(NOON), Place("eu-central-1")
        self.values, self.state, self.asked = dict(values or {}), "Complete", list[dict[str, Any]]()
        self.pages = 1

    def read(self, api: str, operation: str, **asked: Any) -> dict[str, Any]:
        """One page of figures."""
        assert (api, operation) == ("cloudwatch", "get_metric_data")
        self.asked.append(asked)
        page, last = len(self.asked), len(self.asked) == self.pages
        results = []
        for query in asked["MetricDataQueries"]:
            metric = query["MetricStat"]["Metric"]
            name = metric["Dimensions"][0]["Value"].split("/")[1]
            key = (metric["MetricName"] + ("/min" if query["MetricStat"]["Period"] == 60 else ""), name)
            values = self.values.get(key, [])[page - 1 : page] if self.pages > 1 else self.values.get(key, [])
            state = self.state if last or self.pages == 1 else "PartialData"
            results.append({"Id": query["Id"], "Values": values, "StatusCode": state})
        more = {"NextToken": "more"} if page < self.pages else {}
        return {"MetricDataResults": results, **more}

    def count(self, seen: Seen, counting: Counting | None = None) -> dict[Slot, Counters]:
        """The counters of this one service."""
        counting = counting or Counting(self.clock)
        return counting.read(self, {"shop": seen})[1]["shop"]  # type: ignore[arg-type]


def test_names_are_as_cloudwatch_has_them() -> None:
    """Otherwise every figure is missing, and missing looks like nobody came."""
    found = pair(f"{ARN}:targetgroup/shop-blue/b1", f"{ARN}:listener/app/front/1111/2222")
    assert (found.target_group, found.balancer) == ("targetgroup/shop-blue/b1", "app/front/1111")
    query = found.counted[0].query(3)
    assert query["Id"] == "q3" and query["MetricStat"]["Period"] == 86_400
    assert query["MetricStat"]["Metric"] == {
        "Namespace": "AWS/ApplicationELB",
        "MetricName": "RequestCount",
        "Dimensions": [
            {"Name": "TargetGroup", "Value": "targetgroup/shop-blue/b1"},
            {"Name": "LoadBalancer", "Value": "app/front/1111"},
        ],
    }


def test_requests_are_told_by_class() -> None:
    """Otherwise the live gate has no error rate to judge."""
    told = {"RequestCount": 100, "HTTPCode_Target_2XX_Count": 90, "HTTPCode_Target_5XX_Count": 7}
    watch = Watch({(name, "shop-blue"): [float(value)] for name, value in told.items()})
    watch.values["TargetConnectionErrorCount", "shop-blue"] = [3.0]
    assert watch.count(service("shop"))["blue"] == Counters(100, {"2xx": 90, "3xx": 0, "4xx": 0, "5xx": 7}, 3, 0)


def test_nothing_reported_is_nothing_counted() -> None:
    """Otherwise a service without errors, which AWS does not mention, is unreadable."""
    found = Watch().count(service("shop"))
    assert found["green"] == Counters(0, {"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0}, 0, 0)


def test_counters_are_of_one_day() -> None:
    """Otherwise counters run backwards at midnight, and a gate fails for it."""
    watch = Watch()
    counting = Counting(watch.clock)
    first, _ = counting.read(watch, {"shop": service("shop")})  # type: ignore[arg-type]
    midnight = datetime(2026, 1, 1, tzinfo=UTC)
    assert (watch.asked[0]["StartTime"], watch.asked[0]["EndTime"]) == (midnight, midnight + timedelta(days=1))
    watch.clock.sleep(12 * 3600)
    second, _ = counting.read(watch, {"shop": service("shop")})  # type: ignore[arg-type]
    assert (first, second) == ("cloudwatch:2026-01-01", "cloudwatch:2026-01-02")


def test_what_still_arrives_is_looked_for_only_without_weight() -> None:
    """Otherwise the requests of a minute look like a queue on the serving side, or a drained side is not."""
    watch = Watch({("RequestCount/min", "shop-blue"): [500.0], ("RequestCount/min", "shop-green"): [0.0, 4.0]})
    found = watch.count(service("shop"))
    assert (found["blue"].in_flight, found["green"].in_flight) == (0, 4)
    lately = watch.asked[-1]
    assert lately["EndTime"] == datetime(2026, 1, 1, 12, 0, tzinfo=UTC), "full minutes only"
    assert lately["EndTime"] - lately["StartTime"] == timedelta(minutes=2)
    both = watch.count(service("shop", blue=50))
    assert (both["blue"].in_flight, both["green"].in_flight) == (0, 0)


def test_a_slot_behind_a_network_load_balancer_is_not_counted() -> None:
    """Otherwise no data, for there are none by target group, pass for a side that nobody is on any more."""
    watch = Watch()
    assert watch.count(service("shop", "net", blue=50)) == {}
    assert watch.asked == [], "nothing is paid for that cannot be told"


def test_answers_are_kept_for_a_while() -> None:
    """Otherwise every look at every service is paid for, though figures move by the minute."""
    watch = Watch({("RequestCount", "shop-blue"): [1.0]})
    counting, seen = Counting(watch.clock), service("shop")
    first, asked = watch.count(seen, counting), len(watch.asked)
    watch.clock.sleep(19)
    assert watch.count(seen, counting) == first and len(watch.asked) == asked
    watch.clock.sleep(2)
    watch.count(seen, counting)
    assert len(watch.asked) > asked


def test_many_services_are_one_call() -> None:
    """Otherwise a fleet asks CloudWatch service by service, and is throttled."""
    watch = Watch()
    fleet = {f"s{number}": service(f"s{number}") for number in range(60)}
    Counting(watch.clock).read(watch, fleet)  # type: ignore[arg-type]
    sizes = [len(asked["MetricDataQueries"]) for asked in watch.asked]
    assert max(sizes) <= counters.QUERIES_A_CALL and sum(sizes) == 60 * (2 * 6 + 1)
    assert len(sizes) == 3
    for asked in watch.asked:
        ids = [query["Id"] for query in asked["MetricDataQueries"]]
        assert len(set(ids)) == len(ids)


def test_pages_are_put_together() -> None:
    """Otherwise half of the requests are missing, without a word."""
    watch = Watch({("RequestCount", "shop-blue"): [1.0, 2.0, 3.0]})
    watch.pages = 3
    assert watch.count(service("shop", blue=50))["blue"].requests == 6
    assert [asked.get("NextToken") for asked in watch.asked] == [None, "more", "more"]


@pytest.mark.parametrize(
    "state, kind", [("PartialData", Transient), ("InternalError", Transient), ("Forbidden", Denied)]
)
def test_half_an_answer_is_none(state: str, kind: type[Exception]) -> None:
    """Otherwise a gate judges by figures that CloudWatch itself calls incomplete."""
    watch = Watch()
    watch.state = state
    with pytest.raises(kind, match=state):
        watch.count(service("shop"))


def test_what_is_compared_with_each_other_is_of_one_call() -> None:
    """In a wave, one call tells requests, a later one answers: a sound patch is put back for the rest."""
    figures = [figure for number in range(100) for figure in Pair(f"targetgroup/{number}/x", "app/front/y").counted]
    parts = _by_call(random.Random(7).sample(figures, len(figures)))
    assert all(0 < len(part) <= QUERIES_A_CALL for part in parts) and len(parts) == ceil(len(figures) / QUERIES_A_CALL)
    told = [{figure.target_group for figure in part} for part in parts]
    assert sum(len(each) for each in told) == 100, "none is in two"
    assert sorted(map(str, figures)) == sorted(str(figure) for part in parts for figure in part)
    assert _by_call([]) == []
