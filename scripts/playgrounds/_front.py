"""What stands in for the applications of a made-up account: its instances are entries in a table and answer nothing.

One HTTP server a listener, on this machine only: the users' one splits by the weights that the account has now, the
test one by the header that chooses the slot. And the request figures that the balancer would report to CloudWatch.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from providers.aws.counters import ALB, pair
from providers.aws.options import Options
from providers.base import SLOTS, Service, Slot
from tests.aws.account import Account

LOCAL = "127.0.0.1"
FAULTY = "faulty"
FAULTY_SHARE = 0.3
REQUESTS_A_SECOND = 40


@dataclass
class Front:
    """The way in to one service. `weights` and `images` (of the slots that run hosts) are as last looked at."""

    name: str
    weights: Mapping[Slot, int] = field(default_factory=lambda: {"blue": 100, "green": 0})
    images: Mapping[Slot, str] = field(default_factory=dict)
    _left: dict[Slot, float] = field(default_factory=lambda: dict.fromkeys(SLOTS, 0.0))

    def __post_init__(self) -> None:
        self._numbers = itertools.count()
        self._servers = [ThreadingHTTPServer((LOCAL, 0), self._handler(tests)) for tests in (False, True)]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()

    @property
    def ports(self) -> tuple[int, int]:
        """The users' one, and that of tests."""
        users, tests = (int(server.server_address[1]) for server in self._servers)
        return users, tests

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def answer(self, slot: Slot | None, path: str) -> tuple[int, str]:
        """Status and text."""
        if slot is None:
            return 404, f"no slot was chosen: {Options.test_header}: blue or green\n"
        if slot not in self.images:
            return 503, f"{self.name}: {slot} has no hosts\n"
        image = self.images[slot]
        if image.startswith(FAULTY) and path != "/health" and random.random() < FAULTY_SHARE:  # noqa: S311
            return 500, f"{self.name}: {image} on {slot} fell over\n"
        return 200, f"{self.name}: {image} on {slot}\n"

    def figures(self, seconds: float) -> dict[tuple[Slot, str], int]:
        """By slot and metric, what so much time brings in; nothing at all where nobody came, as with AWS."""
        found: dict[tuple[Slot, str], int] = {}
        for slot in SLOTS:
            self._left[slot] += REQUESTS_A_SECOND * seconds * self.weights.get(slot, 0) / 100
            requests, self._left[slot] = int(self._left[slot]), self._left[slot] % 1
            bad = round(requests * FAULTY_SHARE) if self.images.get(slot, "").startswith(FAULTY) else 0
            found[slot, "HTTPCode_Target_2XX_Count"] = requests - bad
            found[slot, "HTTPCode_Target_5XX_Count"] = bad
            found[slot, "RequestCount"] = requests
        return {key: value for key, value in found.items() if value}

    def chosen(self) -> Slot:
        """The side of the next request of a user: the weights are kept exactly over every hundred."""
        return "blue" if next(self._numbers) * 61 % 100 < self.weights["blue"] else "green"

    def _handler(self, tests: bool) -> type[BaseHTTPRequestHandler]:
        front = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get(Options.test_header, "")
                slot = next((one for one in SLOTS if one == asked), None) if tests else front.chosen()
                status, text = front.answer(slot, self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *said: Any) -> None:
                pass

        return Handler


def look(account: Account, fronts: Mapping[str, Front]) -> None:
    """Bring the fronts up to what the account has now."""
    autoscaling, elbv2 = account.client("autoscaling"), account.client("elbv2")
    called = {image: name for name, image in account.images.items()}
    groups = {
        group["AutoScalingGroupName"]: group
        for group in autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    }
    for name, front in fronts.items():
        options = Options.of(account.services[name])
        (listener,) = elbv2.describe_listeners(ListenerArns=[options.routes[0].listener])["Listeners"]
        front.weights = _weights(listener, options)
        running = {slot: _image(account, groups.get(options.group(slot), {})) for slot in SLOTS}
        front.images = {slot: called.get(image, image) for slot, image in running.items() if image}


def report(account: Account, fronts: Mapping[str, Front], seconds: float) -> None:
    """What the balancer saw meanwhile goes to CloudWatch."""
    data = [
        {"MetricName": metric, "Value": count, "Dimensions": _dimensions(account.services[name], slot)}
        for name, front in fronts.items()
        for (slot, metric), count in front.figures(seconds).items()
    ]
    if data:
        account.client("cloudwatch").put_metric_data(Namespace=ALB, MetricData=data)


def _dimensions(service: Service, slot: Slot) -> list[dict[str, str]]:
    route = Options.of(service).routes[0]
    names = pair(route.target_group(slot), route.listener)
    return [{"Name": "TargetGroup", "Value": names.target_group}, {"Name": "LoadBalancer", "Value": names.balancer}]


def _weights(listener: Mapping[str, Any], options: Options) -> dict[Slot, int]:
    forward = listener["DefaultActions"][0].get("ForwardConfig", {}).get("TargetGroups", [])
    found = {each["TargetGroupArn"]: each.get("Weight", 1) for each in forward}
    route = options.routes[0]
    given = {slot: found.get(route.target_group(slot), 0) for slot in SLOTS}
    total = sum(given.values()) or 1
    return {slot: round(100 * weight / total) for slot, weight in given.items()}


def _image(account: Account, group: Mapping[str, Any]) -> str:
    ids = [one["InstanceId"] for one in group.get("Instances", ()) if one["LifecycleState"] == "InService"]
    if not ids:
        return ""
    found = account.client("ec2").describe_instances(InstanceIds=ids[:1])["Reservations"]
    return str(found[0]["Instances"][0]["ImageId"])
