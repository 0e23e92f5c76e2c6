from __future__ import annotations

from collections.abc import Sequence

import pytest

from healthchecks import listening
from healthchecks.base import Readings, Subject
from providers.base import Service
from providers.memory.adapter import provider_for
from providers.memory.clock import VirtualClock
from providers.memory.cloud import SimCloud


@pytest.mark.parametrize(
    ("opened", "answer"),
    [(["tcp/0.0.0.0:service"], "pass"), (["tcp/0.0.0.0:service", "tcp/0.0.0.0:4444"], "fail"), (None, "unknown")],
)
def test_simulated_hosts_say_where_they_listen(opened: Sequence[str] | None, answer: str) -> None:
    """A rehearsal on the simulated cloud never shows what a patch opens."""
    clock = VirtualClock()
    cloud = SimCloud(clock, seed=1)
    cloud.add_image("base-1")
    cloud.add_image("base-2", listening=opened)
    cloud.add_service("shop", image="base-1", capacity=2)
    provider, service = provider_for(cloud), Service("shop")
    patch = provider.patcher.resolve(service, "base-2")
    provider.compute.mirror(service, "blue", "green", patch.image, "r1", "mirror")
    provider.compute.scale(service, "green", 2, "scale")
    clock.sleep(300)
    subject = Subject("replacement", "green", "blue", Readings(provider, service), patch, 2, clock.now())
    verdict = listening.ask(listening.Options(), subject)
    assert verdict.answer == answer, verdict
