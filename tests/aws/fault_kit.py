"""A whole rollout on AWS where something goes wrong, and what is left of the account at its end, read directly."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import create_loader

from healthchecks import balancer
from healthchecks.base import Subject, Verdict
from providers.aws.groups import OURS
from providers.aws.options import Options, RouteOptions
from providers.base import SLOTS, Concern, Provider, Service, Slot, other
from providers.memory.clock import VirtualClock
from rollout.card import Card, CardFolder
from rollout.decide import Readiness, decide_roll_back
from rollout.engine.job import advance
from rollout.gate import GateRule
from rollout.journal import Journal, first_broken_link
from rollout.lease import Holder, this_process
from rollout.means import Means
from rollout.plan import DEADLINES, GATES, CheckSpec, Gate, Plan
from rollout.rows import Row
from rollout.store import NEVER, Store
from tests.aws.account import Account, in_process, open_provider
from tests.aws.calls import Answer, Call
from tests.aws.wire import Apply, Cut, Line, wire
from tests.core.scene import Answers, a_plan

ROLLOUT = "shop-1"
HOSTS = 2
QUICK = GateRule(passes=1, failures=2, interval_s=1.0, deadline_s=120.0, unknown_limit_s=60.0, soak_s=0.0)
SLOW = replace(QUICK, passes=2)
"""Each gate waits once, so that a job ends in its phase."""
WITHIN = {"observed": 20.0, "drained": 60.0, "preflight": 30.0, "patch": 60.0, "running": 60.0, "healthy": 60.0}
GONE = ("shutting-down", "terminated")


def by_balancer(spec: CheckSpec, subject: Subject) -> Verdict:
    """What the balancer says of the targets, as the shipped check asks it."""
    return balancer.ask(balancer.Options(), subject)


class Killed(BaseException):
    """The process that drives the rollout ends here."""


class Story:
    """`shop` with two hosts on blue, a plan for `base-2`, and whoever drives it."""

    def __init__(
        self,
        account: Account,
        folder: Path,
        standby: str,
        line: Line,
        patched: pytest.MonkeyPatch,
        rule: GateRule,
        routes: int,
    ) -> None:
        self.account, self.folder, self.standby, self.line = account, folder, standby, line
        self.clock = VirtualClock()
        manner = account.manner
        manner.now, manner.sleep = self.clock.now, self.clock.sleep
        manner.fresh_for = manner.starting_for = manner.deleting_for = 1
        line.sleep = self.clock.sleep
        self.client = cache(account.client)
        self.service = account.service("shop", HOSTS, on_demand=standby == "on_demand")
        if routes > 1:
            self._route_more(routes - 1)
        self.capacity = HOSTS
        """In the units of its groups."""
        self.ask: Answers = by_balancer
        self.patched, self.rule = patched, rule
        self.processes = 0
        self.begin_process()
        self.before = self.state()
        line.clear()

    # ---- who drives -------------------------------------------------------------------------------------------

    def begin_process(self) -> None:
        """Another process, which knows nothing but what is on disk; the one before it is dead."""
        self.processes += 1
        here = this_process()
        self.holder = Holder(socket.gethostname(), here.boot, 4_200_000 + self.processes, "1")
        self.provider: Provider = open_provider(self.folder, self.clock)
        self.store = Store(self.folder / "rollout.db")
        self.cards = CardFolder(self.folder / "cards")

    def plan(self, image: str = "base-2", **changes: Any) -> Plan:
        """From what serves now to this image."""
        active = self.provider.traffic.route(self.service).active
        assert active is not None
        was = self.provider.compute.describe(self.service)[active]
        assert was.image is not None
        gates = {name: Gate(self.rule, (CheckSpec("balancer", "balancer"),)) for name in GATES}
        made = a_plan(
            service=self.service,
            provider="aws",
            patch=self.provider.patcher.resolve(self.service, self.account.images[image]),
            original=active,
            original_image=was.image,
            original_fingerprint=was.fingerprint,
            app_version=was.app_version,
            gates=gates,
            capacity=self.capacity,
            keep_warm_s=20.0,
            deadlines={**DEADLINES, **WITHIN},
        )
        return replace(made, **changes)

    def plan_of(self, rollout: str = ROLLOUT) -> Plan:
        """As it is kept."""
        return Plan.from_json(self.store.rollout(rollout).plan)

    def open(self, image: str = "base-2", rollout: str = ROLLOUT, **changes: Any) -> None:
        plan = self.plan(image, **changes)
        self.store.open_rollout(
            rollout, "shop", plan.to_json(), plan.hash, at=self.clock.now(), actor="tester", reason="because"
        )

    def drive(
        self, until: Callable[[Row], bool] = lambda row: False, rollout: str = ROLLOUT, watched: bool = True
    ) -> Row:
        """Jobs as they fall due, until closed, stuck, or `until`. After every write somebody serves the traffic, unless
        the test itself took them away (`watched` False)."""
        for _ in range(400):
            row = self.store.rollout(rollout)
            if row.closed_at is not None or row.due_at >= NEVER or until(row):
                return row
            self.clock.sleep(max(0.0, row.due_at - self.clock.now()))
            written = len(self.line.writes)
            means = Means(self.store, self.provider, self.clock, self.cards, self.ask)
            try:
                advance(rollout, means, self.holder)
            except Killed:
                self.begin_process()
                self.clock.sleep(1)
            if watched and len(self.line.writes) != written:
                self.raise_if_unserved()
        raise AssertionError(f"still {row.phase}:\n{self.told}")

    def until_phase(self, phase: str) -> Row:
        """The rollout, with the phase that it has entered."""
        row = self.drive(lambda row: self.journal().phase == phase)
        assert self.journal().phase == phase, self.told
        return row

    def roll_back(self, **more: Any) -> Readiness:
        """A person says so: `rollout rollback` with a store that works, or `rollout abort`."""
        now = self.clock.now()
        return decide_roll_back(
            self.store, self.provider, ROLLOUT, kind="rollback", reason="by hand", actor="oncall", at=now, **more
        )

    def concerns(self) -> Sequence[Concern]:
        """What blocks the next rollout."""
        plan, insight = self.plan(), self.provider.insight
        assert insight is not None
        found = insight.foresee(self.service, plan.original, plan.patch, self.capacity, self.clock.now() + 3600)
        return [one for one in found if one.kind == "blocks"]

    def journal(self, rollout: str = ROLLOUT) -> Journal:
        return Journal(self.store.entries(rollout))

    @property
    def told(self) -> str:
        """What a person reads of what went wrong, in the order in which it did."""
        words = ("reason", "readiness", "seen")
        lines = [
            f"{entry.kind} {entry.step}: " + " | ".join(str(entry.data[word]) for word in words if word in entry.data)
            for entry in self.journal().entries
            if "reason" in entry.data
        ]
        return "\n".join(lines)

    def card(self) -> Card:
        card = self.cards.read("shop")
        assert card is not None
        return card

    # ---- what can happen to a process -------------------------------------------------------------------------

    def kill(self, *numbers: int, applied: bool, operation: str = "*") -> None:
        """The process ends at the writes of these numbers (from 0): before they are sent, or after AWS has done them.
        A write that is sent again counts again."""
        count = iter(range(10_000))

        def die(call: Call, apply: Apply) -> Answer:
            if call.reads or next(count) not in numbers:
                return apply()
            if applied:
                apply()
            raise Killed(call.name)

        self.line.plan(operation, die, 1_000_000)

    def lose(self, number: int) -> None:
        """AWS does the write of this number, and its answer is lost."""
        count = iter(range(10_000))

        def lost(call: Call, apply: Apply) -> Answer:
            answer = apply()
            if not call.reads and next(count) == number:
                raise Cut(call.name)
            return answer

        self.line.plan("*", lost, 1_000_000)

    # ---- what there is, asked of the account itself ------------------------------------------------------------

    def group(self, slot: Slot) -> dict[str, Any]:
        """Empty where there is none; one that is being deleted is none."""
        found = self.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[f"shop-{slot}"])
        return next((dict(one) for one in found["AutoScalingGroups"] if not one.get("Status")), {})

    def listed(self) -> set[str]:
        """All groups of the account that are not being deleted."""
        found = self.client("autoscaling").get_paginator("describe_auto_scaling_groups").paginate()
        groups = [one for page in found for one in page["AutoScalingGroups"]]
        return {one["AutoScalingGroupName"] for one in groups if not one.get("Status")}

    def templates(self) -> dict[str, list[str]]:
        """The image of each version, oldest first, by the template's name."""
        ec2, found = self.client("ec2"), dict[str, list[str]]()
        for one in ec2.describe_launch_templates()["LaunchTemplates"]:
            versions = ec2.describe_launch_template_versions(LaunchTemplateId=one["LaunchTemplateId"])
            listed = sorted(versions["LaunchTemplateVersions"], key=lambda each: int(each["VersionNumber"]))
            found[one["LaunchTemplateName"]] = [each["LaunchTemplateData"]["ImageId"] for each in listed]
        return found

    def machines(self) -> dict[str, dict[str, Any]]:
        """Every host that ever was."""
        found = self.client("ec2").describe_instances()["Reservations"]
        return {one["InstanceId"]: one for each in found for one in each["Instances"]}

    def targets(self, arn: str) -> dict[str, str]:
        """Host → health."""
        found = self.client("elbv2").describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return {one["Target"]["Id"]: one["TargetHealth"]["State"] for one in found}

    @property
    def routes(self) -> tuple[RouteOptions, ...]:
        return tuple(Options.of(self.service).routes)

    def weights(self, number: int = 0) -> dict[str, int]:
        """Of one route, by target group, as it is written there."""
        listener = self.routes[number].listener
        (found,) = self.client("elbv2").describe_listeners(ListenerArns=[listener])["Listeners"]
        (action,) = found["DefaultActions"]
        return {one["TargetGroupArn"]: one["Weight"] for one in action["ForwardConfig"]["TargetGroups"]}

    def shares(self, number: int = 0) -> dict[Slot, int]:
        found = self.weights(number)
        return {slot: found.get(self.routes[number].target_group(slot), 0) for slot in SLOTS}

    def edit(self, blue: int, number: int = 0) -> None:
        """A person moves traffic by hand."""
        one = self.routes[number]
        groups = [
            {"TargetGroupArn": one.blue, "Weight": blue},
            {"TargetGroupArn": one.green, "Weight": 100 - blue},
        ]
        actions = [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]
        self.client("elbv2").modify_listener(ListenerArn=one.listener, DefaultActions=actions)

    def mark_left(self) -> bool:
        found = self.client("elbv2").describe_tags(ResourceArns=[self.routes[-1].listener])["TagDescriptions"]
        return any(tag["Key"].startswith(f"{OURS}mark") for one in found for tag in one["Tags"])

    def state(self) -> dict[str, Any]:
        """Everything of the user's that a rollout may touch."""
        kept = ("MinSize", "MaxSize", "DesiredCapacity", "LaunchTemplate", "SuspendedProcesses")
        groups = {
            slot: {
                **{key: group.get(key) for key in kept},
                "targets": sorted(group["TargetGroupARNs"]),
                "hosts": sorted(one["InstanceId"] for one in group["Instances"]),
            }
            for slot in SLOTS
            if (group := self.group(slot))
        }
        routes = [{arn: weight for arn, weight in self.weights(at).items() if weight} for at in range(len(self.routes))]
        targets = {arn: sorted(self.targets(arn)) for one in self.routes for arn in (one.blue, one.green)}
        return {"groups": groups, "templates": self.templates(), "routes": routes, "targets": targets}

    # ---- what has to hold ---------------------------------------------------------------------------------------

    def raise_if_unserved(self) -> None:
        """Every target group that has traffic has all the hosts that it needs, and they are healthy."""
        for number in range(len(self.routes)):
            for arn, weight in self.weights(number).items():
                healthy = [host for host, state in self.targets(arn).items() if state == "healthy"]
                assert not weight or len(healthy) >= HOSTS, f"{arn} has {weight} % and {healthy}\n{self.told}"

    def raise_if_not_promoted(self, into: Slot = "green", image: str = "base-2", rollout: str = ROLLOUT) -> None:
        """Ended well: all traffic on healthy hosts of the new image, nothing twice, nothing left over."""
        row = self.store.rollout(rollout)
        assert (row.phase, row.outcome) == ("retired", "promoted"), self.told
        wanted = self.account.images[image]
        for number in range(len(self.routes)):
            assert self.shares(number) == {into: 100, other(into): 0}
        self.raise_if_unserved()
        machines, group = self.machines(), self.group(into)
        running = [one["InstanceId"] for one in group["Instances"]]
        assert [machines[host]["ImageId"] for host in running] == [wanted] * HOSTS
        assert (group["MinSize"], group["DesiredCapacity"]) == (1, self.capacity)
        assert not self.group(other(into)).get("Instances")
        assert not self.mark_left()
        assert first_broken_link(self.journal(rollout).entries) == ""

    def raise_if_anything_twice(self) -> None:
        """After one rollout of `base-2`: hosts, versions, groups and templates as one clean run makes them."""
        one, two = self.account.images["base-1"], self.account.images["base-2"]
        images = sorted(machine["ImageId"] for machine in self.machines().values())
        assert images == sorted([one, one, two, two]), "a host was launched twice"
        green = [two] if self.standby == "on_demand" else [one, two]
        assert self.templates() == {"shop-blue": [one], "shop-green": green}
        assert self.listed() == {"shop-blue", "shop-green"}

    def raise_if_not_as_before(self) -> None:
        """Turned back: the user's are as they were, but for what the way out wrote into a permanent standby."""
        after = self.state()
        if self.standby == "permanent":
            green = after["groups"]["green"]
            assert (green["MinSize"], green["DesiredCapacity"], green["hosts"], green["targets"]) == (0, 0, [], [])
            after["groups"]["green"] = self.before["groups"]["green"]
            after["templates"]["shop-green"] = self.before["templates"]["shop-green"]
        assert after == self.before, self.told
        assert not self.mark_left()
        assert not [host for host in self._alive() if host not in self.before["groups"]["blue"]["hosts"]]
        self.raise_if_unserved()

    def raise_if_not_rolled_back(self) -> None:
        row = self.store.rollout(ROLLOUT)
        assert (row.phase, row.outcome) == ("rolled_back", "rolled_back"), self.told
        assert first_broken_link(self.journal().entries) == ""
        self.raise_if_not_as_before()

    def _alive(self) -> list[str]:
        return [host for host, machine in self.machines().items() if machine["State"]["Name"] not in GONE]

    def _route_more(self, more: int) -> None:
        made = []
        for number in range(more):
            blue, green = (self.account.target_group(f"shop-{slot}-{number + 2}") for slot in SLOTS)
            made.append({"blue": blue, "green": green, "listener": self.account.listener([(blue, 100)])})
        blues = [one["blue"] for one in made]
        self.client("autoscaling").attach_load_balancer_target_groups(
            AutoScalingGroupName="shop-blue", TargetGroupARNs=blues
        )
        for arn in blues:
            self.account.until_healthy(arn, HOSTS)
        options = {**self.service.options, "routes": [*self.service.options["routes"], *made]}
        self.service = Service("shop", options)
        self.account.services["shop"] = self.service


@contextmanager
def story(folder: Path, standby: str = "on_demand", *, rule: GateRule = SLOW, routes: int = 1) -> Iterator[Story]:
    """One service in an account of its own; `line` is the way to it."""
    with pytest.MonkeyPatch.context() as patched:
        # Only time: thousands of images that nobody asks for, and the SDK's descriptions for each process anew.
        patched.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        patched.setattr("botocore.session.create_loader", _loader)
        with in_process() as account, wire(account) as line, pytest.MonkeyPatch.context() as inner:
            yield Story(account, folder, standby, line, inner, rule, routes)


@cache
def _loader(search_path: str | None = None) -> Any:
    return create_loader(search_path)
