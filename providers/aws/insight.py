"""What AWS knows beyond hosts and traffic: room and disturbances ahead, host status, alarms, metrics. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from providers.aws import foresee
from providers.aws.alarms import read_alarms
from providers.aws.cloud import Clouds
from providers.aws.examine import examine
from providers.aws.measure import measure
from providers.aws.whole import Whole
from providers.base import Alarm, Concern, HostStatus, Metric, Patch, Service, Slot


class AwsInsight:
    """One place for each question; what is asked of AWS for it is in the module of that name."""

    def __init__(self, clouds: Clouds) -> None:
        self._clouds, self._whole = clouds, Whole(clouds.context.clock)

    def foresee(self, service: Service, original: Slot, patch: Patch, capacity: int, until: float) -> Sequence[Concern]:
        """Every image needs the same room; what was patched in place has manners of its own."""
        cloud, options = self._clouds.of(service)
        image = next(iter(patch.images.values()), "")
        return foresee.concerns(cloud, self._whole, options, original, image, capacity, until)

    def examine(self, service: Service, slot: Slot) -> Sequence[HostStatus]:
        cloud, options = self._clouds.of(service)
        return examine(cloud, options.group(slot))

    def alarms(self, service: Service, names: Sequence[str]) -> Mapping[str, Alarm]:
        cloud, _ = self._clouds.of(service)
        return read_alarms(cloud, names)

    def measure(self, service: Service, metric: Metric, start: float, end: float) -> Mapping[Slot, float | None]:
        cloud, options = self._clouds.of(service)
        return measure(cloud, options, metric, start, end)
