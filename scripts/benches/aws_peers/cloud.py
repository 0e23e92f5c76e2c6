"""The test cloud as a process of its own, for the bench: prints its URL, then serves until its input ends.

Its metrics say that every target group that is asked about answers requests, and that nothing is left over.
"""

import json
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from moto.cloudwatch.models import CloudWatchBackend

from tests.aws.server import server

ANSWERED = {"RequestCount", "HTTPCode_Target_2XX_Count"}
EACH = 1000
DAY_S = 86_400
looks = count(1)


def figures(self: CloudWatchBackend, queries: list[dict[str, Any]], *_: Any, **__: Any) -> list[dict[str, Any]]:
    """So many more requests at each look, all well; of the last minutes, none."""
    seen = next(looks) * EACH
    return [
        {
            "id": query["Id"],
            "label": query["MetricStat"]["Metric"]["MetricName"],
            "values": [float(seen if is_sum_of_answers(query["MetricStat"]) else 0)],
            "timestamps": [datetime.now(UTC)],
            "status_code": "Complete",
        }
        for query in queries
    ]


def is_sum_of_answers(asked: dict[str, Any]) -> bool:
    return int(asked["Period"]) == DAY_S and asked["Metric"]["MetricName"] in ANSWERED


CloudWatchBackend.get_metric_data = figures  # type: ignore[method-assign]
with server() as served:
    print(json.dumps({"url": served.url}), flush=True)
    sys.stdin.read()
