"""What the steps of a job read once: the provider is told when a look begins, and when what was read is old."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from providers.base import Transient
from rollout.flow import Halt, NotYet
from rollout.means import Act
from rollout.one_look import WITHIN_S, look_anew
from rollout.run import ATTEMPTS
from tests.core.scene import World


class Looks:
    """What a job tells the provider: looks that began, and how many are open at each."""

    def __init__(self, world: World) -> None:
        self.began: list[float] = []
        self.open = 0
        world.means = replace(world.means, provider=replace(world.provider, at_one_look=self.at_one_look))

    @contextmanager
    def at_one_look(self, *within_s: float) -> Iterator[None]:
        """As a provider has it."""
        self.began.extend(within_s)
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1


def test_a_job_is_one_look_and_it_ends_with_it(world: World) -> None:
    """Every step reads the route anew; or the next job is answered by what this one has read."""
    looks = Looks(world)
    world.job()
    assert looks.began[0] == WITHIN_S and looks.open == 0


def test_a_second_try_sees_for_itself(world: World) -> None:
    """What a try failed for is still there at the next one, for it is shown what the first one saw."""
    run, looks, tries = world.past_capture(), Looks(world), []

    def do(intent: Any) -> None:
        tries.append(len(looks.began))
        raise Transient("not yet")

    run.provider = world.means.provider
    with pytest.raises(NotYet):
        run.once(Act("later", "set", do))
    assert tries == list(range(ATTEMPTS)), "between two tries all is made old"
    assert set(looks.began) == {WITHIN_S} and looks.open == 0


def test_what_a_look_showed_in_passing_is_read_again_before_a_halt(world: World) -> None:
    """A rollout halts for what AWS showed once, and not a moment later."""
    run, looks = world.past_capture(), Looks(world)
    run.provider = world.means.provider
    world.mirror_stands()
    world.edit(30)
    with pytest.raises(Halt):
        run.heed_route(world.provider.traffic.route(world.plan.service))
    assert looks.began == [WITHIN_S]


def test_a_platform_that_reads_everything_anew_needs_not_know(world: World) -> None:
    """A provider without looks breaks every job."""
    look_anew(world.provider)
    assert world.drive().outcome == "promoted"


def test_who_begins_to_rest_looks_when_the_first_while_has_passed(world: World) -> None:
    """Two calls for each rest tell what the step before it has just read; or a mark is never seen."""
    run, read = world.past_capture(), []
    traffic = world.provider.traffic
    route = traffic.route

    def counted(service: Any) -> Any:
        read.append(service.name)
        return route(service)

    run.provider = replace(world.provider, traffic=_With(traffic, counted))
    until = world.clock.now() + 100
    with pytest.raises(NotYet):
        run.rest("settle", until)
    assert read == []
    with pytest.raises(NotYet):
        run.rest("settle", until)
    assert read == ["shop"]


class _With:
    """A traffic whose `route` is another."""

    def __init__(self, traffic: Any, route: Any) -> None:
        self._traffic, self.route = traffic, route

    def __getattr__(self, name: str) -> Any:
        return getattr(self._traffic, name)
