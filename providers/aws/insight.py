from __future__ import annotations

from providers.aws.cloud import Clouds


class AwsInsight:
    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds
