"""Real accounts page: who reads the first page only sees a part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult
from moto.ec2.responses.amis import AmisResponse
from moto.ec2.responses.launch_templates import LaunchTemplates
from moto.elbv2.responses import ELBV2Response

from tests.aws.truer import Correcting


@dataclass(frozen=True)
class Paged:
    """One operation: which list is paged, and how the tokens and the size are named."""

    owner: Any
    operation: str
    items: str
    token: str
    next_token: str
    size: str
    largest: int


PAGED = (
    *(
        Paged(ELBV2Response, f"describe_{words}", items, "Marker", "NextMarker", "PageSize", 400)
        for words, items in (
            ("target_groups", "TargetGroups"),
            ("listeners", "Listeners"),
            ("rules", "Rules"),
            ("load_balancers", "LoadBalancers"),
        )
    ),
    *(
        Paged(AutoScalingResponse, f"describe_{words}", items, "NextToken", "NextToken", "MaxRecords", 100)
        for words, items in (
            ("auto_scaling_groups", "AutoScalingGroups"),
            ("policies", "ScalingPolicies"),
            ("scheduled_actions", "ScheduledUpdateGroupActions"),
            ("tags", "Tags"),
            ("load_balancer_target_groups", "LoadBalancerTargetGroups"),
            ("auto_scaling_instances", "AutoScalingInstances"),
        )
    ),
    Paged(AmisResponse, "describe_images", "Images", "NextToken", "NextToken", "MaxResults", 1000),
    Paged(LaunchTemplates, "describe_launch_templates", "LaunchTemplates", "NextToken", "NextToken", "MaxResults", 200),
    Paged(
        LaunchTemplates,
        "describe_launch_template_versions",
        "LaunchTemplateVersions",
        "NextToken",
        "NextToken",
        "MaxResults",
        200,
    ),
)


def lists_come_in_pages(correcting: Correcting) -> None:
    """AWS: a list is cut after so many items, with a token for the next ones."""
    for paged in PAGED:
        if hasattr(paged.owner, paged.operation):
            correcting.around(paged.owner, paged.operation, _page(correcting, paged))


def _page(correcting: Correcting, paged: Paged) -> Any:
    def answer(original: Any, self: Any) -> Any:
        start = int(self._get_param(paged.token) or 0)
        asked = self._get_int_param(paged.size, paged.largest)
        whole = {name: value for name, value in self.params.items() if name not in (paged.token, paged.size)}
        whole[paged.size] = 1_000_000 if paged.owner is not AutoScalingResponse else 100
        self.params = whole
        result = original(self)
        if not isinstance(result, ActionResult) or not isinstance(result.result, dict):
            return result
        items = list(result.result[paged.items])
        end = start + min(asked, correcting.manner.page_size)
        token = str(end) if end < len(items) else None
        return ActionResult({**result.result, paged.items: items[start:end], paged.next_token: token})

    return answer


CORRECTIONS = (lists_come_in_pages,)
