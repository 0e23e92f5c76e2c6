"""`provider: aws`: Auto Scaling groups behind Application and Network Load Balancers."""

from __future__ import annotations

from providers.aws.bake import bake
from providers.aws.cloud import WRITE_S, Clouds
from providers.aws.compute import AwsCompute
from providers.aws.diagnose import diagnose
from providers.aws.insight import AwsInsight
from providers.aws.inventory import AwsInventory
from providers.aws.options import Options
from providers.aws.patcher import AwsPatcher
from providers.aws.traffic import AwsTraffic
from providers.base import Context, Provider, Service

__all__ = ["Options", "bake", "build", "diagnose"]


def build(context: Context) -> Provider:
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
    )
