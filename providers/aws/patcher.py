from __future__ import annotations

from providers.aws.cloud import Clouds
from providers.aws.compute import AwsCompute


class AwsPatcher:
    def __init__(self, clouds: Clouds, compute: AwsCompute) -> None:
        self._clouds = clouds
