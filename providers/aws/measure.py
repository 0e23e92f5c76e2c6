"""One figure of CloudWatch for both slots, over one time, in one call."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from math import ceil, floor
from typing import Any

from providers.aws.alarms import short_name
from providers.aws.cloud import Cloud
from providers.aws.options import Options
from providers.aws.target_limits import balancer_of
from providers.base import SLOTS, Denied, Invalid, Metric, Slot, Transient

STEP_S = 60
LONGEST_S = 86400
_PLACE = re.compile(r"\{([^{}]*)\}")


def measure(cloud: Cloud, options: Options, metric: Metric, start: float, end: float) -> dict[Slot, float | None]:
    """None where there is no datapoint. With several routes sums are added up; else the largest counts (or smallest,
    of a Minimum)."""
    begins, ends = floor(start / STEP_S) * STEP_S, ceil(end / STEP_S) * STEP_S
    period = max(STEP_S, ends - begins)
    if end < start or period > LONGEST_S:
        raise Invalid(f"{metric.name}: from {start:.0f} to {end:.0f} is no time of at most a day")
    asked = {
        f"{slot}{number}": (slot, dimensions)
        for slot in SLOTS
        for number, dimensions in enumerate(_dimensions(options, slot, metric))
    }
    queries = [
        {
            "Id": id,
            "ReturnData": True,
            "MetricStat": {
                "Metric": {
                    "Namespace": metric.namespace,
                    "MetricName": metric.name,
                    "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions],
                },
                "Period": period,
                "Stat": metric.statistic,
            },
        }
        for id, (_, dimensions) in asked.items()
    ]
    results = cloud.pages(
        "cloudwatch",
        "get_metric_data",
        "MetricDataResults",
        MetricDataQueries=queries,
        StartTime=datetime.fromtimestamp(begins, UTC),
        EndTime=datetime.fromtimestamp(begins + period, UTC),
    )
    values: dict[Slot, list[float]] = {slot: [] for slot in SLOTS}
    for id, told in _last(results, metric).items():
        values[asked[id][0]] += told
    return {slot: _together(metric.statistic, found) for slot, found in values.items()}


def _last(results: list[dict[str, Any]], metric: Metric) -> dict[str, list[float]]:
    """All values of each query; a query that several pages tell of is complete when the last of them says so."""
    found, status = dict[str, list[float]](), dict[str, str]()
    for one in results:
        found.setdefault(one["Id"], []).extend(float(value) for value in one.get("Values", ()))
        status[one["Id"]] = str(one.get("StatusCode", ""))
    for code in status.values():
        if code == "Forbidden":
            raise Denied(f"CloudWatch forbids to read {metric.namespace} {metric.name}")
        if code != "Complete":
            raise Transient(f"CloudWatch has not all of {metric.namespace} {metric.name} ({code or 'no status'})")
    return found


def _dimensions(options: Options, slot: Slot, metric: Metric) -> Iterator[tuple[tuple[str, str], ...]]:
    """The metric's dimensions as the slot has them, each set once: the routes may have several."""
    found = dict[tuple[tuple[str, str], ...], None]()
    for route in options.routes:
        names = {
            "group": options.group(slot),
            "target_group": short_name(route.target_group(slot)),
            "balancer": short_name(balancer_of(route.listener)),
        }
        found[tuple((key, _filled(value, names)) for key, value in metric.dimensions.items())] = None
    return iter(found)


def _filled(value: str, names: Mapping[str, str]) -> str:
    for name in _PLACE.findall(value):
        if name not in names:
            raise Invalid(f"dimension {value!r}: {{{name}}} stands for nothing; there are {{{'}, {'.join(names)}}}")
    return _PLACE.sub(lambda match: names[match[1]], value)


def _together(statistic: str, values: list[float]) -> float | None:
    if not values:
        return None
    if statistic in ("Sum", "SampleCount"):
        return sum(values)
    return min(values) if statistic == "Minimum" else max(values)
