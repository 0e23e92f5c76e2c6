"""What a service has done at AWS besides the story of a rollout, each deed to its end, however often it is repeated."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from providers.aws import adapter
from providers.base import Context, HoldMark, Instance, Metric, Patch, Provider, Service, Slot, Transient
from providers.memory.clock import VirtualClock
from tests.aws.account import HOST, Account, in_process, open_provider
from tests.aws.compute_kit import OWNER
from tests.aws.insight_kit import SPOT, STANDARD
from tests.aws.neighbour import Neighbour
from tests.aws.patch_agent import OF_GROUP, Agents
from tests.aws.test_diagnose import simulated
from tests.aws.wire import Line, wire

ROLE = "arn:aws:iam::123456789012:role/rollout"
ASSUMED = "sts.AssumeRole"
"""Asked with the credentials of whoever may assume the role, before anything is asked as that role."""
GOLDEN = "/golden/web"
DRY = ("ec2.CreateLaunchTemplateVersion", "ec2.RunInstances", "ec2.CreateTags")
"""What doctor asks for as dry runs."""
PATIENCE = 60
T = TypeVar("T")
POOL = {"MinSize": 0, "PoolState": "Stopped", "MaxGroupPreparedCapacity": 4}
LATENCY = Metric("AWS/ApplicationELB", "TargetResponseTime", "p99", {"TargetGroup": "{target_group}"})
LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:ops"
TRACKING = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}, "TargetValue": 50.0}


class Hours(VirtualClock):
    """While somebody waits, agents go on with what they were told; `counts` is what is then found on their hosts."""

    def __init__(self, agents: Agents) -> None:
        super().__init__(datetime.now(UTC).timestamp())
        self.agents, self.counts = agents, dict[str, Any]()

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.agents.finish(**self.counts)


@dataclass
class Shop:
    """`shop`, asked for as `ROLE`."""

    account: Account
    folder: Path
    line: Line
    agents: Agents
    clock: Hours
    service: Service = field(init=False)
    provider: Provider = field(init=False)

    def has(self, **more: Any) -> None:
        """The service that the deed is about."""
        self.service = self.account.service(account="123456789012", role=ROLE, **more)
        self.provider = open_provider(self.folder, self.clock)

    @property
    def context(self) -> Context:
        return Context(self.folder, self.folder, self.clock)

    @property
    def autoscaling(self) -> Any:
        return self.account.client("autoscaling")

    def again(self, step: Callable[[], T]) -> T:
        """As the engine does it: again, where it is to be repeated."""
        for _ in range(PATIENCE):
            try:
                return step()
            except Transient as error:
                last = error
                self.clock.sleep(10)
        raise AssertionError(f"not done after {PATIENCE} tries: {last}")

    def hosts(self, slot: Slot) -> list[Instance]:
        return [one for one in self.provider.compute.observe([self.service])["shop"] if one.slot == slot]

    def left(self) -> dict[str, Any]:
        """What is in the account, as a person counts it."""
        ec2, found = self.account.client("ec2"), dict[str, Any]()
        hosts = [host for each in ec2.describe_instances()["Reservations"] for host in each["Instances"]]
        found["hosts"] = Counter(host["State"]["Name"] for host in hosts)
        found["images"] = len(ec2.describe_images(Owners=["self"])["Images"])
        for one in ec2.describe_launch_templates()["LaunchTemplates"]:
            found[one["LaunchTemplateName"]] = one["LatestVersionNumber"]
        groups = self.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]
        found["groups"] = sorted(one["AutoScalingGroupName"] for one in groups)
        found["commands"] = len(self.agents.sent)
        return found

    @property
    def applied(self) -> Counter[str]:
        """Writes that reached AWS, refused ones too."""
        return Counter(call.name for call in self.line.writes if call.name != ASSUMED)


@contextmanager
def shop(folder: Path) -> Iterator[Shop]:
    """An account of its own, and the line to it."""
    with in_process() as account, wire(account) as line:
        agents = Agents(account)
        yield Shop(account, folder, line, agents, Hours(agents))


Deed = Callable[[], Any]


def bake(shop: Shop) -> Deed:
    """An image of what a parameter names is made and found, by the baseline of a patch group."""
    shop.has()
    group = {"ResourceId": "shop-blue", "ResourceType": "auto-scaling-group", "PropagateAtLaunch": True}
    shop.autoscaling.create_or_update_tags(Tags=[{**group, "Key": "PatchGroup", "Value": "web"}])
    shop.clock.counts["BaselineId"] = OF_GROUP
    shop.account.client("ssm").put_parameter(Name=GOLDEN, Type="String", Value=shop.account.images["base-2"])

    def deed() -> Any:
        made = shop.again(lambda: adapter.bake(shop.context, shop.service, f"ssm:{GOLDEN}"))
        found = shop.again(lambda: shop.provider.patcher.resolve(shop.service, str(made["reference"])))
        assert made["image"] == found.image
        return None

    return deed


def in_place(shop: Shop) -> Deed:
    """The hosts of a permanent standby are patched, proven and rebooted, and the side is parked."""
    shop.has(on_demand=False)
    shop.clock.counts["InstalledPendingRebootCount"] = 1
    compute, patcher, service = shop.provider.compute, shop.provider.patcher, shop.service

    def deed() -> Any:
        patch = shop.again(lambda: patcher.resolve(service, "in-place"))
        shop.again(lambda: compute.mirror(service, "blue", "green", patch.image, OWNER, "mirror-1"))
        applied = shop.again(lambda: patcher.apply(service, "green", patch, "patch-1"))
        shop.again(lambda: patcher.reboot(service, "green", "reboot-1"))
        shop.again(lambda: compute.park(service, "green", "park-1"))
        return applied.reboot_needed

    return deed


def copied(shop: Shop) -> Deed:
    """A standby on demand is made as the other side is, made anew when that has changed, and deleted."""
    shop.has()
    auto, blue, service = shop.autoscaling, {"AutoScalingGroupName": "shop-blue"}, shop.service
    auto.put_scaling_policy(
        **blue, PolicyName="cpu", PolicyType="TargetTrackingScaling", TargetTrackingConfiguration=TRACKING
    )
    auto.put_scheduled_update_group_action(**blue, ScheduledActionName="day", Recurrence="0 8 * * *", MinSize=2)
    auto.put_lifecycle_hook(**blue, LifecycleHookName="warm", LifecycleTransition=LAUNCHING)
    kinds = {"NotificationTypes": ["autoscaling:TEST_NOTIFICATION"]}
    auto.put_notification_configuration(**blue, TopicARN=TOPIC, **kinds)
    auto.enable_metrics_collection(**blue, Granularity="1Minute", Metrics=["GroupMinSize"])
    auto.suspend_processes(**blue, ScalingProcesses=["AZRebalance"])
    auto.put_warm_pool(**blue, **POOL)

    def bare() -> None:
        auto.delete_policy(**blue, PolicyName="cpu")
        auto.delete_scheduled_action(**blue, ScheduledActionName="day")
        auto.delete_lifecycle_hook(**blue, LifecycleHookName="warm")
        auto.delete_notification_configuration(**blue, TopicARN=TOPIC)
        auto.disable_metrics_collection(**blue, Metrics=["GroupMinSize"])
        auto.resume_processes(**blue, ScalingProcesses=["AZRebalance"])
        auto.delete_warm_pool(**blue, ForceDelete=True)
        auto.delete_tags(Tags=[{"ResourceId": "shop-blue", "ResourceType": "auto-scaling-group", "Key": "team"}])

    def deed() -> Any:
        compute, image = shop.provider.compute, shop.account.images["base-2"]
        shop.again(lambda: compute.mirror(service, "blue", "green", image, OWNER, "mirror-1"))
        bare()
        shop.clock.sleep(60)
        shop.again(lambda: compute.mirror(service, "blue", "green", image, OWNER, "mirror-2"))
        slots = shop.again(lambda: compute.describe(service))
        assert slots["green"].fingerprint == slots["blue"].fingerprint
        assert shop.again(lambda: compute.delete_if_owned(service, "green", OWNER, "delete-1"))
        return None

    return deed


def routed(shop: Shop) -> Deed:
    """Traffic that a rule sends is moved and marked, and a side that was cut off comes back."""
    shop.has(on_demand=False, ruled=[HOST])
    service, traffic, compute = shop.service, shop.provider.traffic, shop.provider.compute
    image = shop.account.images["base-2"]

    def to(green: int, token: str) -> None:
        wanted: dict[Slot, int] = {"blue": 100 - green, "green": green}
        shop.again(lambda: traffic.set_weights(service, wanted, traffic.route(service), token))

    def deed() -> Any:
        shop.again(lambda: compute.mirror(service, "blue", "green", image, OWNER, "mirror-1"))
        shop.again(lambda: compute.scale(service, "green", 2, "scale-1"))
        shop.again(lambda: traffic.attach(service, "green", shop.hosts("green"), "attach-1"))
        to(50, "half-1")
        shop.again(lambda: traffic.mark(service, HoldMark("shop-1", 1, "blue", "oncall", 1.0), "mark-1"))
        to(0, "none-1")
        shop.again(lambda: traffic.mark(service, None, "mark-2"))
        shop.again(lambda: traffic.cut(service, "green", "cut-1"))
        shop.again(lambda: traffic.attach(service, "green", shop.hosts("green"), "attach-2"))
        to(100, "all-1")
        ids = [one.id for one in shop.hosts("blue")]
        shop.autoscaling.set_instance_protection(
            AutoScalingGroupName="shop-blue", InstanceIds=ids, ProtectedFromScaleIn=True
        )
        shop.again(lambda: traffic.detach(service, "blue", "detach-1"))
        shop.again(lambda: compute.park(service, "blue", "park-1"))
        return dict(traffic.route(service).weights)

    return deed


def looked(shop: Shop) -> Deed:
    """What a console shows of a service whose hosts are not well: sides, traffic, hosts, alarms, figures, packages."""
    shop.has(on_demand=False)
    shop.account.client("cloudwatch").put_metric_alarm(
        AlarmName="errors", Namespace="n", MetricName="m", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    ids = [one.id for one in shop.hosts("blue")]
    well = {"InstanceState": {"Code": 16, "Name": "running"}, "InstanceStatus": {"Status": "ok"}}
    status = [{"InstanceId": one, **well, "SystemStatus": {"Status": "impaired"}} for one in ids]
    shop.account.answers.give("ec2", "DescribeInstanceStatus", {"InstanceStatuses": status})
    shop.account.answers.give("ec2", "GetConsoleOutput", {"Output": base64.b64encode(b"Kernel panic").decode()})
    shop.account.answers.inventory |= {one: {"bash": "5.2.15-1.amzn2023"} for one in ids}
    shop.provider = open_provider(shop.folder, shop.clock)
    shop.line.calls.clear()

    def deed() -> Any:
        provider, service = shop.provider, shop.service
        insight, now = provider.insight, shop.clock.now()
        assert insight is not None and provider.caller is not None and provider.way_back_lacks is not None
        image = shop.account.images["base-1"]
        return [
            provider.caller(service),
            *[str(one.image) for one in provider.compute.describe(service).values()],
            provider.compute.sizes(service),
            provider.compute.observe([service])["shop"],
            provider.traffic.observe([service])["shop"].targets,
            provider.traffic.card_target(service),
            insight.examine(service, "blue"),
            insight.alarms(service, ["errors"]),
            insight.measure(service, LATENCY, now - 600, now),
            [one.packages for one in provider.inventory.read(service, "blue")],
            provider.way_back_lacks(service, "blue", image),
        ]

    return deed


def planned(shop: Shop) -> Deed:
    """What is asked before a rollout of a neighbour's encrypted image: the patch, and what is in its way."""
    shop.has(on_demand=False)
    shop.account.answers.quotas |= {STANDARD: 100.0, SPOT: 100.0}
    image = Neighbour(shop.account).encrypted()
    shop.account.client("ssm").put_parameter(Name=GOLDEN, Type="String", Value=image)

    def deed() -> Any:
        provider = open_provider(shop.folder, shop.clock)  # one that remembers nothing
        assert provider.insight is not None
        patch: Patch = provider.patcher.resolve(shop.service, f"ssm:{GOLDEN}")
        return [patch.image, *provider.insight.foresee(shop.service, "blue", patch, 2, shop.clock.now() + 3600)]

    return deed


def diagnosed(shop: Shop) -> Deed:
    """Doctor looks at a service that is in order."""
    shop.account.answers.give("iam", "SimulatePrincipalPolicy", simulated())
    shop.has(on_demand=False)
    shop.account.test_rules(shop.service)
    return lambda: [each[:2] for each in adapter.diagnose(shop.context, shop.service) if "until" not in each[1]]
