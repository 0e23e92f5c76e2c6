"""Who is a target, and how healthy the balancer calls it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup
from moto.autoscaling.responses import AutoScalingResponse
from moto.elbv2.exceptions import ELBClientError
from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeTargetGroup

from tests.aws.truer import Correcting


def users_of(backend: ELBv2Backend, target_group: str) -> list[str]:
    """The balancers, each once, whose listeners or rules name this target group."""
    return [
        balancer.arn
        for balancer in backend.load_balancers.values()
        if any(
            target_group in backend._get_target_group_arns_from(action.data)
            for listener in balancer.listeners.values()
            for rule in listener.rules.values()
            for action in rule.actions
        )
    ]


def every_use(backend: ELBv2Backend) -> dict[str, set[str]]:
    """The same of all target groups, in one pass: there may be a thousand."""
    found: dict[str, set[str]] = {}
    for balancer in backend.load_balancers.values():
        for listener in balancer.listeners.values():
            for rule in listener.rules.values():
                for action in rule.actions:
                    for target_group in backend._get_target_group_arns_from(action.data):
                        found.setdefault(target_group, set()).add(balancer.arn)
    return found


def targets_take_their_time(correcting: Correcting) -> None:
    """AWS: a target is `unused` while no listener or rule names its target group, then `initial` until its checks have
    passed."""
    from moto.elbv2.models import elbv2_backends

    def health(original: Any, self: FakeTargetGroup, target: dict[str, Any], ec2_backend: Any) -> FakeHealthStatus:
        found: FakeHealthStatus = original(self, target, ec2_backend)
        key = (self.arn, found.instance_id)
        if found.status != "healthy":
            correcting.manner.forget(key)
            return found
        if not users_of(elbv2_backends[self.account_id][self.region_name], self.arn):
            correcting.manner.forget(key)
            found.status, found.reason = "unused", "Target.NotInUse"
            found.description = "Target group is not configured to receive traffic from the load balancer"
        elif correcting.manner.is_fresh(key, correcting.manner.fresh_for):
            found.status, found.reason = "initial", "Elb.RegistrationInProgress"
            found.description = "Target registration is in progress"
        return found

    def leave(original: Any, self: FakeTargetGroup, targets: list[dict[str, Any]]) -> None:
        for target in targets:
            correcting.manner.forget((self.arn, target["Id"]))
        original(self, targets)

    correcting.around(FakeTargetGroup, "health_for", health)
    correcting.around(FakeTargetGroup, "deregister", leave)


def who_leaves_drains(correcting: Correcting) -> None:
    """AWS: a deregistered target is `draining` until the target group's deregistration delay is over. Only where there
    is a clock: so many looks would be too many."""
    since: dict[tuple[str, str], float] = {}

    def leave(original: Any, self: FakeTargetGroup, targets: list[dict[str, Any]]) -> None:
        original(self, targets)
        if correcting.manner.now is not None:
            since.update({(self.arn, target["Id"]): correcting.manner.now() for target in targets})

    def tell(original: Any, self: ELBv2Backend, arn: str, targets: list[dict[str, Any]]) -> list[FakeHealthStatus]:
        found: list[FakeHealthStatus] = original(self, arn, targets)
        if correcting.manner.now is None or targets:
            return found
        group = self.target_groups[arn]
        until = correcting.manner.now() - float(str(group.attributes["deregistration_delay.timeout_seconds"]))
        found += [
            FakeHealthStatus(
                *(host, group.port, group.health_check_port),
                *("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress"),
            )
            for (left, host), at in since.items()
            if left == arn and at > until and host not in group.targets and _lives(self, host)
        ]
        return found

    correcting.around(FakeTargetGroup, "deregister", leave)
    correcting.around(ELBv2Backend, "describe_target_health", tell)


def _lives(backend: ELBv2Backend, host: str) -> bool:
    found = backend.ec2_backend.get_instance_by_id(host)
    return found is not None and found.state not in ("shutting-down", "terminated")


def balancers_of_a_target_group_are_those_that_use_it(correcting: Correcting) -> None:
    """AWS: LoadBalancerArns are the balancers whose listeners or rules name the target group now."""

    def describe(original: Any, self: ELBv2Backend, *args: Any, **given: Any) -> Any:
        for target_group in self.target_groups.values():
            target_group.load_balancer_arns = users_of(self, target_group.arn)
        return original(self, *args, **given)

    correcting.around(ELBv2Backend, "describe_target_groups", describe)


def a_target_that_is_gone_can_be_deregistered(correcting: Correcting) -> None:
    """AWS: deregistering what is not registered succeeds."""

    def leave(original: Any, self: FakeTargetGroup, targets: list[dict[str, Any]]) -> None:
        original(self, [target for target in targets if target["Id"] in self.targets])

    correcting.around(FakeTargetGroup, "deregister", leave)


def groups_register_newcomers_only(correcting: Correcting) -> None:
    """AWS: a group registers an instance once, when it is launched or the target group attached (not while
    AddToLoadBalancer is suspended); replacements, too."""

    def update(self: AutoScalingBackend, group_name: str) -> None:
        group: Any = self.autoscaling_groups[group_name]
        known: dict[str, set[str]] = group.__dict__.setdefault("known_targets", {})
        suspended = "AddToLoadBalancer" in group._suspended_processes
        for arn in group.target_group_arns:
            target_group = self.elbv2_backend.target_groups.get(arn)
            seen = known.setdefault(arn, set())
            new = [one.instance.id for one in group.instance_states if one.instance.id not in seen]
            seen.update(new)
            if target_group is not None and new and not suspended:
                target_group.register([{"Id": one, "Port": target_group.port} for one in new])

    def detach(original: Any, self: AutoScalingBackend, group_name: str, target_group_arns: list[str]) -> None:
        group: Any = self.autoscaling_groups[group_name]
        if set(target_group_arns) - set(group.target_group_arns):
            raise ValidationError("Trying to remove Target Groups that are not part of the group")
        original(self, group_name, target_group_arns)
        for arn in target_group_arns:
            group.__dict__.setdefault("known_targets", {}).pop(arn, None)

    def terminated(original: Any, self: AutoScalingBackend, instance_ids: list[str]) -> None:
        original(self, instance_ids)
        for name in self.autoscaling_groups:
            self.update_attached_target_groups(name)

    correcting.replace(AutoScalingBackend, "update_attached_target_groups", update)
    correcting.around(AutoScalingBackend, "detach_load_balancer_target_groups", detach)
    correcting.around(AutoScalingBackend, "notify_terminate_instances", terminated)


def who_leaves_a_group_leaves_its_target_groups(correcting: Correcting) -> None:
    """AWS: scaled-in instances are deregistered."""

    def desire(original: Any, self: FakeAutoScalingGroup, new_capacity: int | None) -> None:
        before = {state.instance.id for state in self.instance_states}
        original(self, new_capacity)
        gone = before - {state.instance.id for state in self.instance_states}
        for arn in self.target_group_arns:
            target_group = self.autoscaling_backend.elbv2_backend.target_groups.get(arn)
            if target_group is not None:
                target_group.deregister_terminated_instances(list(gone))

    correcting.around(FakeAutoScalingGroup, "set_desired_capacity", desire)


def unknown_target_groups_are_not_attached(correcting: Correcting) -> None:
    """AWS: a group is not made with, or attached to, a target group that does not exist."""

    def check(original: Callable[..., Any], self: AutoScalingResponse) -> Any:
        known = self.autoscaling_backend.elbv2_backend.target_groups
        if any(arn not in known for arn in self._get_param("TargetGroupARNs", [])):
            raise ValidationError("Provided Target Groups may not be valid. Please ensure they exist and try again.")
        return original(self)

    correcting.around(AutoScalingResponse, "attach_load_balancer_target_groups", check)
    correcting.around(AutoScalingResponse, "create_auto_scaling_group", check)


def a_target_group_serves_one_balancer(correcting: Correcting) -> None:
    """AWS: a target group is used by one balancer at a time: TargetGroupAssociationLimit."""

    def guarded(original: Any, self: ELBv2Backend, *args: Any, **given: Any) -> Any:
        answer = original(self, *args, **given)
        for target_group, users in every_use(self).items():
            if len(users) > 1:
                if answer.arn.count("listener-rule"):
                    self.delete_rule(answer.arn)
                else:
                    self.delete_listener(answer.arn)
                raise ELBClientError(
                    "TargetGroupAssociationLimit", f"{target_group} cannot be associated with more than one balancer"
                )
        return answer

    correcting.around(ELBv2Backend, "create_listener", guarded)
    correcting.around(ELBv2Backend, "create_rule", guarded)


CORRECTIONS = (
    a_target_that_is_gone_can_be_deregistered,
    targets_take_their_time,
    who_leaves_drains,
    balancers_of_a_target_group_are_those_that_use_it,
    groups_register_newcomers_only,
    who_leaves_a_group_leaves_its_target_groups,
    unknown_target_groups_are_not_attached,
    a_target_group_serves_one_balancer,
)
