"""What the balancers counted, from CloudWatch: today's sums, which only grow from one midnight (UTC) to the next.

CloudWatch moves by the minute, is asked for money, and says nothing at all where nothing happened: missing data are no
requests. Figures of an Application Load Balancer are for each target group. A Network Load Balancer reports its flows
for the balancer as a whole only: a slot behind one is not counted, so that nobody takes it for idle.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from providers.aws.cloud import Cloud, Place
from providers.aws.routes import Seen
from providers.base import SLOTS, Clock, Counters, Denied, Slot, Transient

QUERIES_A_CALL = 500
FRESH_S = 20.0
DAY_S, MINUTE_S = 86_400, 60
LATELY_MIN = 2
"""So many full minutes are looked at for what is still on a slot: the last one may not have been reported yet."""
ALB = "AWS/ApplicationELB"
CLASSES = {f"{digit}xx": f"HTTPCode_Target_{digit}XX_Count" for digit in "2345"}
NEVER = 1e12
"""More than any clock that was set back."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one target group: today's sum, or the most of the last minutes (`lately`)."""

    name: str
    target_group: str
    balancer: str
    lately: bool = False

    def query(self, number: int) -> dict[str, Any]:
        dimensions = {"TargetGroup": self.target_group, "LoadBalancer": self.balancer}
        return {
            "Id": f"q{number}",
            "ReturnData": True,
            "MetricStat": {
                "Metric": {
                    "Namespace": ALB,
                    "MetricName": self.name,
                    "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
                },
                "Period": MINUTE_S if self.lately else DAY_S,
                "Stat": "Sum",
            },
        }


@dataclass(frozen=True, slots=True)
class Pair:
    """A target group behind a balancer, as CloudWatch names them."""

    target_group: str
    balancer: str

    @property
    def is_flows(self) -> bool:
        """Is it a Network Load Balancer's?"""
        return self.balancer.startswith("net/")

    def figure(self, name: str, *, lately: bool = False) -> Figure:
        return Figure(name, self.target_group, self.balancer, lately)

    @property
    def counted(self) -> list[Figure]:
        return [self.figure(name) for name in ("RequestCount", "TargetConnectionErrorCount", *CLASSES.values())]

    @property
    def present(self) -> Figure:
        """What is on the target group now, as nearly as it can be told."""
        return self.figure("RequestCount", lately=True)


def pair(target_group: str, listener: str) -> Pair:
    """From ARNs: `targetgroup/name/id` and `app/name/id`."""
    return Pair(target_group.rpartition(":")[2], "/".join(listener.partition(":listener/")[2].split("/")[:3]))


class Counting:
    """Answers are kept for `FRESH_S`. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[tuple[Place, str, Figure], tuple[float, int]] = {}

    def read(
        self, cloud: Cloud, named: Mapping[str, Seen], slots: Sequence[Slot] = SLOTS
    ) -> tuple[str, dict[str, dict[Slot, Counters]]]:
        """counters_id, and for each service those of the slots that can be counted. Transient while CloudWatch has only
        a part of it, Denied."""
        now = self._clock.now()
        today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        counted = {name: [slot for slot in slots if _is_counted(seen, slot)] for name, seen in named.items()}
        wanted = {figure for name, each in counted.items() for slot in each for figure in _figures(named[name], slot)}
        values = self._values(cloud, wanted, today, now)
        found = {name: {slot: _counters(named[name], slot, values) for slot in each} for name, each in counted.items()}
        return f"cloudwatch:{today:%Y-%m-%d}", found

    def _values(self, cloud: Cloud, wanted: Iterable[Figure], today: datetime, now: float) -> dict[Figure, int]:
        place, day = cloud.place, f"{today:%Y-%m-%d}"
        found, missing = dict[Figure, int](), list[Figure]()
        with self._lock:
            for figure in wanted:
                at, value = self._known.get((place, day, figure), (-NEVER, 0))
                if 0 <= now - at < FRESH_S:
                    found[figure] = value
                else:
                    missing.append(figure)
        minute = datetime.fromtimestamp(now // MINUTE_S * MINUTE_S, UTC)
        sums = [figure for figure in missing if not figure.lately]
        lately = [figure for figure in missing if figure.lately]
        asked = {
            **_ask(cloud, sums, today, today + timedelta(days=1)),
            **_ask(cloud, lately, minute - timedelta(minutes=LATELY_MIN), minute),
        }
        with self._lock:
            kept = {key: known for key, known in self._known.items() if 0 <= now - known[0] < FRESH_S}
            self._known = kept | {(place, day, figure): (now, value) for figure, value in asked.items()}
        return found | asked


def _pairs(seen: Seen, slot: Slot) -> list[Pair]:
    """Each once: two routes of one balancer may lead to the same target group."""
    return list(dict.fromkeys(pair(one.target_group(slot), one.listener) for one in seen.options.routes))


def _is_counted(seen: Seen, slot: Slot) -> bool:
    """A slot that is counted in part only would look idle while it is not."""
    return not any(each.is_flows for each in _pairs(seen, slot))


def _figures(seen: Seen, slot: Slot) -> list[Figure]:
    pairs = _pairs(seen, slot)
    counted = [figure for each in pairs for figure in each.counted]
    return [*counted, *(each.present for each in pairs if _tells_presence(seen, slot))]


def _tells_presence(seen: Seen, slot: Slot) -> bool:
    """Requests of the last minute are no queue: under weight they would look like one. Without weight they are what
    still comes by stickiness and by connections that were kept."""
    return not seen.share(slot)


def _counters(seen: Seen, slot: Slot, values: Mapping[Figure, int]) -> Counters:
    requests = failed = in_flight = 0
    responses: dict[str, int] = {}
    for each in _pairs(seen, slot):
        if _tells_presence(seen, slot):
            in_flight += values[each.present]
        requests += values[each.figure("RequestCount")]
        failed += values[each.figure("TargetConnectionErrorCount")]
        for kind, name in CLASSES.items():
            responses[kind] = responses.get(kind, 0) + values[each.figure(name)]
    return Counters(requests, responses, failed, in_flight)


def _ask(cloud: Cloud, figures: Sequence[Figure], start: datetime, end: datetime) -> dict[Figure, int]:
    found: dict[Figure, int] = {}
    for part in _by_call(figures):
        queries = [figure.query(number) for number, figure in enumerate(part)]
        values = _data(cloud, MetricDataQueries=queries, StartTime=start, EndTime=end)
        for number, figure in enumerate(part):
            told = values.get(f"q{number}", [])
            found[figure] = round(max(told, default=0) if figure.lately else sum(told))
    return found


def _by_call(figures: Iterable[Figure]) -> list[list[Figure]]:
    """As many as a call takes, and never those of one target group in two: they are compared with each other, and
    have to be of one moment."""
    parts: list[list[Figure]] = []
    for _, same in groupby(sorted(figures, key=_whose), _whose):
        each = list(same)
        if not parts or len(parts[-1]) + len(each) > QUERIES_A_CALL:
            parts.append([])
        parts[-1] += each
    return parts


def _whose(figure: Figure) -> tuple[str, str]:
    return figure.target_group, figure.balancer


def _data(cloud: Cloud, **asked: Any) -> dict[str, list[float]]:
    """All values by query. A result that is partial on one page goes on on the next."""
    values, states = dict[str, list[float]](), dict[str, str]()
    more: dict[str, str] = {}
    while True:
        answer = cloud.read("cloudwatch", "get_metric_data", **asked, **more)
        for result in answer["MetricDataResults"]:
            values.setdefault(result["Id"], []).extend(result.get("Values", ()))
            states[result["Id"]] = result.get("StatusCode", "Complete")
        if not answer.get("NextToken"):
            break
        more = {"NextToken": answer["NextToken"]}
    for state in states.values():
        if state == "Forbidden":
            raise Denied(f"cloudwatch get_metric_data in {cloud.place.region}: {state} ({cloud.place.who})")
        if state != "Complete":
            raise Transient(f"cloudwatch get_metric_data in {cloud.place.region}: {state}")
    return values
