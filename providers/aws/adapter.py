"""`provider: aws`: Auto Scaling groups behind Application and Network Load Balancers.

boto3 is imported when something is first asked of AWS: a fleet file is read, and local services run, without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from providers.aws.needed import boto3_needed
from providers.aws.options import Options
from providers.aws.place import place_of, shares_images
from providers.base import Context, Provider, Service, Usage

__all__ = ["Options", "bake", "build", "diagnose", "place_of", "shares_images"]


def build(context: Context) -> Provider:
    """Raises Invalid where boto3 is not installed."""
    with boto3_needed():
        from providers.aws import way_back
        from providers.aws.cloud import WRITE_S, Clouds, at_one_look
        from providers.aws.compute import AwsCompute
        from providers.aws.insight import AwsInsight
        from providers.aws.inventory import AwsInventory
        from providers.aws.patcher import AwsPatcher
        from providers.aws.traffic import AwsTraffic
    clouds = Clouds(context)

    def caller(service: Service) -> str:
        cloud, _ = clouds.of(service)
        return cloud.caller()["Arn"]

    compute = AwsCompute(clouds)
    return Provider(
        name="aws",
        compute=compute,
        traffic=AwsTraffic(clouds),
        patcher=AwsPatcher(clouds, compute),
        inventory=AwsInventory(clouds),
        write_timeout_s=WRITE_S,
        caller=caller,
        insight=AwsInsight(clouds),
        way_back_lacks=lambda service, slot, image: way_back.lacks(*clouds.of(service), slot, image),
        at_one_look=at_one_look,
        usage=lambda: Usage(clouds.calls, clouds.throttled),
    )


def diagnose(context: Context, service: Service) -> list[tuple[str, str, str]]:
    """What is wrong with a service at AWS: see providers/aws/diagnose.py."""
    with boto3_needed():
        from providers.aws import diagnose as looking
    return looking.diagnose(context, service)


def bake(
    context: Context,
    service: Service,
    reference: str = "active",
    *,
    fresh: str = "",
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Make an image with today's patches: see providers/aws/bake.py."""
    with boto3_needed():
        from providers.aws import bake as baking
    return baking.bake(context, service, reference, fresh=fresh, say=say)
