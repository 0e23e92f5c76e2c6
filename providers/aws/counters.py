"""What the balancers counted, from CloudWatch: today's sums, which only grow from one midnight (UTC) to the next.

CloudWatch moves by the minute, is asked for money, and says nothing at all where nothing happened: missing data are no
requests. Figures of an Application Load Balancer are for each target group. A Network Load Balancer is asked in the
same way for its flows; where it reports them for the balancer as a whole only, nothing is counted here, and a gate has
too few requests to pass.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from providers.aws.cloud import Cloud, Place
from providers.aws.routes import Seen
from providers.base import SLOTS, Clock, Counters, Denied, Slot, Transient

QUERIES_A_CALL = 500
FRESH_S = 20.0
DAY_S, MINUTE_S = 86_400, 60
LATELY_MIN = 2
"""So many full minutes are looked at for what is still on a slot: the last one may not have been reported yet."""
ALB, NLB = "AWS/ApplicationELB", "AWS/NetworkELB"
CLASSES = {f"{digit}xx": f"HTTPCode_Target_{digit}XX_Count" for digit in "2345"}
NEVER = 1e12
"""More than any clock that was set back."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one target group: today's sum, or the most of the last minutes (`lately`)."""

    namespace: str
    name: str
    target_group: str
    balancer: str
    lately: bool = False

    def query(self, number: int) -> dict[str, Any]:
        dimensions = {"TargetGroup": self.target_group, "LoadBalancer": self.balancer}
        # A number of flows at a time has no sum; all others are counted in the minute.
        statistic = "Maximum" if self.name == "ActiveFlowCount" else "Sum"
        return {
            "Id": f"q{number}",
            "ReturnData": True,
            "MetricStat": {
                "Metric": {
                    "Namespace": self.namespace,
                    "MetricName": self.name,
                    "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
                },
                "Period": MINUTE_S if self.lately else DAY_S,
                "Stat": statistic,
            },
        }


@dataclass(frozen=True, slots=True)
class Pair:
    """A target group behind a balancer, as CloudWatch names them."""

    target_group: str
    balancer: str

    @property
    def is_flows(self) -> bool:
        return self.balancer.startswith("net/")

    def figure(self, name: str, *, lately: bool = False) -> Figure:
        return Figure(NLB if self.is_flows else ALB, name, self.target_group, self.balancer, lately)

    @property
    def counted(self) -> list[Figure]:
        names = (
            ["NewFlowCount", "TCP_Target_Reset_Count"]
            if self.is_flows
            else ["RequestCount", "TargetConnectionErrorCount", *CLASSES.values()]
        )
        return [self.figure(name) for name in names]

    @property
    def present(self) -> Figure:
        """What is on the target group now, as nearly as it can be told."""
        return self.figure("ActiveFlowCount" if self.is_flows else "RequestCount", lately=True)


def pair(target_group: str, listener: str) -> Pair:
    """From ARNs: `targetgroup/name/id` and `app/name/id`."""
    return Pair(target_group.rpartition(":")[2], "/".join(listener.partition(":listener/")[2].split("/")[:3]))


class Counting:
    """Answers are kept for `FRESH_S`. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[tuple[Place, str, Figure], tuple[float, int]] = {}

    def read(self, cloud: Cloud, named: Mapping[str, Seen]) -> tuple[str, dict[str, dict[Slot, Counters]]]:
        """counters_id, and for each service both slots. Transient while CloudWatch has only a part of it, Denied."""
        now = self._clock.now()
        today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        wanted = {figure for seen in named.values() for slot in SLOTS for figure in _figures(seen, slot)}
        values = self._values(cloud, wanted, today, now)
        counted = {name: {slot: _counters(seen, slot, values) for slot in SLOTS} for name, seen in named.items()}
        return f"cloudwatch:{today:%Y-%m-%d}", counted

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


def _figures(seen: Seen, slot: Slot) -> list[Figure]:
    pairs = _pairs(seen, slot)
    counted = [figure for each in pairs for figure in each.counted]
    return [*counted, *(each.present for each in pairs if _tells_presence(seen, slot, each))]


def _tells_presence(seen: Seen, slot: Slot, each: Pair) -> bool:
    """Requests of the last minute are no queue: under weight they would look like one. Without weight they are what
    still comes by stickiness and by connections that were kept."""
    return each.is_flows or not seen.share(slot)


def _counters(seen: Seen, slot: Slot, values: Mapping[Figure, int]) -> Counters:
    requests = failed = in_flight = 0
    responses: dict[str, int] = {}
    for each in _pairs(seen, slot):
        if _tells_presence(seen, slot, each):
            in_flight += values[each.present]
        if each.is_flows:
            began, reset = values[each.figure("NewFlowCount")], values[each.figure("TCP_Target_Reset_Count")]
            requests, failed = requests + began, failed + min(reset, began)
            responses["flows"] = responses.get("flows", 0) + max(0, began - reset)
        else:
            requests += values[each.figure("RequestCount")]
            failed += values[each.figure("TargetConnectionErrorCount")]
            for kind, name in CLASSES.items():
                responses[kind] = responses.get(kind, 0) + values[each.figure(name)]
    return Counters(requests, responses, failed, in_flight)


def _ask(cloud: Cloud, figures: Sequence[Figure], start: datetime, end: datetime) -> dict[Figure, int]:
    found: dict[Figure, int] = {}
    for at in range(0, len(figures), QUERIES_A_CALL):
        part = figures[at : at + QUERIES_A_CALL]
        queries = [figure.query(number) for number, figure in enumerate(part)]
        values = _data(cloud, MetricDataQueries=queries, StartTime=start, EndTime=end)
        for number, figure in enumerate(part):
            told = values.get(f"q{number}", [])
            found[figure] = round(max(told, default=0) if figure.lately else sum(told))
    return found


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
