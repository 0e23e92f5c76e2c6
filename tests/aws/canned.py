"""Thousands of services in flight, for counting: each read that a poll tick makes is answered at once, as AWS would.

Every service has a host on each side, both in its route. Whatever takes more names than AWS does is refused.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from providers.aws.cloud import Cloud, Clouds, Place
from providers.aws.options import Options
from providers.base import SLOTS, Clock, Context, Service, plain

REGION, ARN = "eu-central-1", "arn:aws:elasticloadbalancing:eu-central-1:123456789012"
MOST = {
    "describe_listeners": ("ListenerArns", 20),
    "describe_tags": ("ResourceArns", 20),
    "describe_auto_scaling_groups": ("AutoScalingGroupNames", 100),
    "get_metric_data": ("MetricDataQueries", 500),
}


def services(count: int) -> list[Service]:
    found = []
    for name in (f"s{number}" for number in range(count)):
        targets: dict[str, Any] = {slot: f"{ARN}:targetgroup/{name}-{slot}/1" for slot in SLOTS}
        route = {"listener": f"{ARN}:listener/app/{name}/1/1", **targets}
        groups: dict[str, Any] = {slot: f"{name}-{slot}" for slot in SLOTS}
        options = {"region": REGION, "routes": [route], **groups}
        found.append(Service(name, plain(Options.of(Service(name, options)))))
    return found


class CannedClouds(Clouds):
    """One place for all; `made` counts calls by operation."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        super().__init__(Context(folder, folder, clock))
        self.made = Counter[str]()

    def at(self, place: Place) -> Cloud:
        return _Canned(self, place)


class _Canned(Cloud):
    def __init__(self, clouds: CannedClouds, place: Place) -> None:
        super().__init__(place, clouds.context.clock, clouds._budgets, clouds._opening)
        self._made = clouds.made

    def read(self, api: str, operation: str, **arguments: Any) -> dict[str, Any]:
        argument, most = MOST.get(operation, ("", 0))
        if len(arguments.get(argument, ())) > most:
            raise ValueError(f"{operation}: {len(arguments[argument])} {argument}, {most} at most")
        self._made[f"{api}.{operation}"] += 1
        answer: dict[str, Any] = globals()[operation](**arguments)
        return answer

    def pages(self, api: str, operation: str, key: str, **arguments: Any) -> list[Any]:
        return list(self.read(api, operation, **arguments)[key])


def describe_listeners(ListenerArns: list[str], **_: Any) -> dict[str, Any]:
    def forward(arn: str) -> dict[str, Any]:
        name = arn.split("/")[2]
        sides = [{"TargetGroupArn": f"{ARN}:targetgroup/{name}-{slot}/1", "Weight": 50} for slot in SLOTS]
        return {"Type": "forward", "ForwardConfig": {"TargetGroups": sides}}

    return {"Listeners": [{"ListenerArn": arn, "DefaultActions": [forward(arn)]} for arn in ListenerArns]}


def describe_tags(ResourceArns: list[str], **_: Any) -> dict[str, Any]:
    return {"TagDescriptions": [{"ResourceArn": arn, "Tags": []} for arn in ResourceArns]}


def describe_auto_scaling_groups(AutoScalingGroupNames: list[str], **_: Any) -> dict[str, Any]:
    def group(name: str) -> dict[str, Any]:
        host = {"InstanceId": f"i-{name}", "LifecycleState": "InService", "HealthStatus": "Healthy"}
        return {"AutoScalingGroupName": name, "DesiredCapacity": 1, "Instances": [host]}

    return {"AutoScalingGroups": [group(name) for name in AutoScalingGroupNames]}


def describe_target_health(TargetGroupArn: str) -> dict[str, Any]:
    host = TargetGroupArn.split("/")[1]
    return {"TargetHealthDescriptions": [{"Target": {"Id": f"i-{host}"}, "TargetHealth": {"State": "healthy"}}]}


def describe_instances(Filters: list[dict[str, Any]], **_: Any) -> dict[str, Any]:
    ids = Filters[0]["Values"]
    if len(ids) > 200:
        raise ValueError(f"describe_instances: {len(ids)} values of a filter, 200 at most")
    return {
        "Reservations": [
            {"Instances": [{"InstanceId": host, "State": {"Name": "running"}, "ImageId": "ami-1"}]} for host in ids
        ]
    }


def get_metric_data(**_: Any) -> dict[str, Any]:
    return {"MetricDataResults": []}
