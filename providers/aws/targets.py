"""What the balancers say of a slot's targets, read for many slots at a time."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from providers.aws.cloud import Cloud
from providers.aws.judging import Listed, health, registered
from providers.base import NotFound, ProviderError

__all__ = ["Listed", "health", "health_of", "read_health", "registered"]
AT_ONCE = 8


def read_health(cloud: Cloud, target_groups: Iterable[str]) -> dict[str, Listed | ProviderError]:
    """By target group, one call each (AWS takes no more); what it could not be read for, in its place."""
    asked = list(dict.fromkeys(target_groups))

    def ask(arn: str) -> Listed | ProviderError:
        try:
            answer = cloud.read("elbv2", "describe_target_health", TargetGroupArn=arn)
        except ProviderError as error:
            return NotFound(f"{arn} does not exist") if isinstance(error, NotFound) else error
        return list(answer["TargetHealthDescriptions"])

    if len(asked) < 2:
        return {arn: ask(arn) for arn in asked}
    with ThreadPoolExecutor(min(AT_ONCE, len(asked))) as pool:
        # Each thread is told how long there is time, where this is part of a write.
        answers = [pool.submit(copy_context().run, ask, arn) for arn in asked]
        return {arn: answer.result() for arn, answer in zip(asked, answers, strict=True)}


def health_of(cloud: Cloud, target_groups: Iterable[str]) -> dict[str, Listed]:
    """The same; raises what could not be read."""
    found: dict[str, Listed] = {}
    for arn, listed in read_health(cloud, target_groups).items():
        if isinstance(listed, ProviderError):
            raise listed
        found[arn] = listed
    return found
