"""Scaling policies, scheduled actions and lifecycle hooks belong to a group."""

from __future__ import annotations

from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeScalingPolicy, FakeScheduledAction
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult
from moto.moto_api._internal import mock_random

from tests.aws.truer import Correcting


def policies_of_two_groups_may_share_a_name(correcting: Correcting) -> None:
    """AWS: a policy is known by its group and name (or its ARN, which
    putting it tells); all are enabled unless they say otherwise."""

    def put(original: Any, self: AutoScalingBackend, name: str, *args: Any, **given: Any) -> FakeScalingPolicy:
        key = f"{given['as_name']}/{name}"
        others = self.policies
        self.policies = {}
        try:
            policy: FakeScalingPolicy = original(self, name, *args, **given)
        finally:
            self.policies = others
        policy.enabled = True  # type: ignore[attr-defined]
        if key in others:
            policy.uid = others[key].uid  # type: ignore[attr-defined]
        self.policies[key] = policy
        return policy

    def put_answer(original: Any, self: AutoScalingResponse) -> Any:
        original(self)
        group, name = self._get_param("AutoScalingGroupName"), self._get_param("PolicyName")
        policy: Any = self.autoscaling_backend.policies[f"{group}/{name}"]
        policy.enabled = self._get_bool_param("Enabled", True)
        return ActionResult({"PolicyARN": policy.arn})

    def delete(self: AutoScalingResponse) -> Any:
        del self.autoscaling_backend.policies[_key_of_policy(self)]
        return EmptyResult()

    def execute(self: AutoScalingResponse) -> Any:
        self.autoscaling_backend.policies[_key_of_policy(self)].execute()
        return EmptyResult()

    def describe(
        self: AutoScalingBackend,
        autoscaling_group_name: str | None = None,
        policy_names: list[str] | None = None,
        policy_types: list[str] | None = None,
    ) -> list[FakeScalingPolicy]:
        return [
            policy
            for policy in self.policies.values()
            if (not autoscaling_group_name or policy.auto_scaling_group_name == autoscaling_group_name)
            and (not policy_names or policy.name in policy_names or policy.arn in policy_names)
            and (not policy_types or policy.policy_type in policy_types)
        ]

    correcting.around(AutoScalingBackend, "put_scaling_policy", put)
    correcting.around(AutoScalingResponse, "put_scaling_policy", put_answer)
    correcting.replace(AutoScalingResponse, "delete_policy", delete)
    correcting.replace(AutoScalingResponse, "execute_policy", execute)
    correcting.replace(AutoScalingBackend, "describe_policies", describe)


def _key_of_policy(answer: AutoScalingResponse) -> str:
    group, asked = answer._get_param("AutoScalingGroupName"), answer._get_param("PolicyName")
    for key, policy in answer.autoscaling_backend.policies.items():
        if policy.arn == asked or key == f"{group}/{asked}":
            return key
    raise ValidationError(f"PolicyName not found: {asked} of group {group}")


def policy_arns_differ(correcting: Correcting) -> None:
    """AWS: each policy has an ARN of its own, which stays when the policy is put again."""

    def made(original: Any, self: FakeScalingPolicy, name: str, *args: Any, **given: Any) -> None:
        original(self, name, *args, **given)
        self.uid = str(mock_random.uuid4())  # type: ignore[attr-defined]

    plain_arn: Any = FakeScalingPolicy.arn

    def arn(self: FakeScalingPolicy) -> str:
        return str(plain_arn.fget(self)).replace("c322761b-3172-4d56-9a21-0ed9d6161d67", self.uid)  # type: ignore[attr-defined]

    correcting.around(FakeScalingPolicy, "__init__", made)
    correcting.replace(FakeScalingPolicy, "arn", property(arn))
    correcting.replace(FakeScalingPolicy, "policy_arn", property(arn))


def actions_of_two_groups_may_share_a_name(correcting: Correcting) -> None:
    """AWS: a scheduled action is known by its group and name, and has an ARN."""

    def put(original: Any, self: AutoScalingBackend, **given: Any) -> FakeScheduledAction:
        others = self.scheduled_actions
        self.scheduled_actions = {}
        try:
            action: FakeScheduledAction = original(self, **given)
        finally:
            self.scheduled_actions = others
        group, name = given["name"], given["scheduled_action_name"]
        action.scheduled_action_arn = (  # type: ignore[attr-defined]
            f"arn:aws:autoscaling:{self.region_name}:{self.account_id}:scheduledUpdateGroupAction:"
            f"{mock_random.uuid4()}:autoScalingGroupName/{group}:scheduledActionName/{name}"
        )
        self.scheduled_actions[f"{group}/{name}"] = action
        return action

    def delete(self: AutoScalingBackend, auto_scaling_group_name: str, scheduled_action_name: str) -> None:
        if self.scheduled_actions.pop(f"{auto_scaling_group_name}/{scheduled_action_name}", None) is None:
            raise ValidationError("Scheduled action name not found")

    correcting.around(AutoScalingBackend, "put_scheduled_update_group_action", put)
    correcting.replace(AutoScalingBackend, "delete_scheduled_action", delete)


def hooks_keep_what_they_were_given(correcting: Correcting) -> None:
    """AWS: a hook has the role, target and metadata that it was given, and none that it was not."""
    names = ("RoleARN", "NotificationTargetARN", "NotificationMetadata")

    def put(original: Any, self: AutoScalingResponse) -> Any:
        answer = original(self)
        group, name = self._get_param("AutoScalingGroupName"), self._get_param("LifecycleHookName")
        hook: Any = self.autoscaling_backend.lifecycle_hooks[f"{group}_{name}"]
        hook.role_arn, hook.notification_target_arn, hook.notification_metadata = map(self._get_param, names)
        return answer

    def inline(original: Any, self: AutoScalingResponse) -> Any:
        answer = original(self)
        for given in self._get_param("LifecycleHookSpecificationList", []):
            name = f"{self._get_param('AutoScalingGroupName')}_{given['LifecycleHookName']}"
            hook: Any = self.autoscaling_backend.lifecycle_hooks[name]
            hook.role_arn, hook.notification_target_arn, hook.notification_metadata = map(given.get, names)
        return answer

    correcting.around(AutoScalingResponse, "put_lifecycle_hook", put)
    correcting.around(AutoScalingResponse, "create_auto_scaling_group", inline)


CORRECTIONS = (
    policies_of_two_groups_may_share_a_name,
    policy_arns_differ,
    actions_of_two_groups_may_share_a_name,
    hooks_keep_what_they_were_given,
)
