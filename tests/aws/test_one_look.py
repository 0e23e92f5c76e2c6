"""What a job has read a moment ago serves it again; what it writes by is read for that write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from threading import Thread

import pytest

from providers.aws.cloud import Cloud, Clouds, Place, at_one_look
from providers.base import Conflict, Context, Service, Transient
from providers.memory.clock import VirtualClock
from tests.aws.account import REGION, Account, in_process
from tests.aws.wire import Line, wire

WITHIN_S = 2.0


class Settable(VirtualClock):
    """A clock that somebody sets."""

    def set_back(self, seconds: float) -> None:
        """By so much."""
        self._now -= seconds


Scene = tuple[Account, Clouds, Settable, Line]
Write = Callable[[Account, Clouds, Service], None]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """An account, the way to it, its clock, and its line."""
    clock = Settable()
    with in_process() as account, wire(account) as line:
        yield account, Clouds(Context(tmp_path, tmp_path, clock)), clock, line


def ask(cloud: Cloud) -> None:
    """One read, always the same."""
    cloud.read("elbv2", "describe_load_balancers")


def tags(account: Account) -> dict[str, object]:
    """What one write says."""
    return {"ResourceArns": [account.balancer], "Tags": [{"Key": "k", "Value": "v"}]}


def test_what_was_read_a_moment_ago_is_not_read_again_but_later_it_is(scene: Scene) -> None:
    """Each guard of a job takes two calls of the ten that AWS allows in a second; or one trusts what is long past."""
    _, clouds, clock, line = scene
    cloud = clouds.at(Place(REGION))
    with at_one_look(WITHIN_S):
        ask(cloud)
        clock.sleep(WITHIN_S)
        ask(cloud)
        assert line.count("DescribeLoadBalancers") == 1
        clock.sleep(0.1)
        ask(cloud)
        assert line.count("DescribeLoadBalancers") == 2


def test_a_clock_that_was_set_back_makes_nothing_new(scene: Scene) -> None:
    """What was read an hour ago decides, for by that clock it was read a moment ago."""
    _, clouds, clock, line = scene
    cloud = clouds.at(Place(REGION))
    with at_one_look(WITHIN_S):
        ask(cloud)
        clock.set_back(1.0)
        ask(cloud)
        assert line.count("DescribeLoadBalancers") == 2


def by_itself(account: Account, clouds: Clouds, service: Service) -> None:
    """One call."""
    clouds.at(Place(REGION)).writing().call("elbv2", "add_tags", **tags(account))


def by_a_contract(account: Account, clouds: Clouds, service: Service) -> None:
    """As the adapter does it."""
    with clouds.writing(service) as (writing, _):
        writing.call("elbv2", "add_tags", **tags(account))


def by_another_thread(account: Account, clouds: Clouds, service: Service) -> None:
    """Of the same job."""
    other = Thread(target=copy_context().run, args=(by_itself, account, clouds, service))
    other.start()
    other.join()


def in_vain(account: Account, clouds: Clouds, service: Service) -> None:
    """The service is not as the write wants it."""
    with pytest.raises(Conflict), clouds.writing(service):
        raise Conflict("somebody was faster")


@pytest.mark.parametrize("write", [by_itself, by_a_contract, by_another_thread, in_vain])
def test_after_a_write_all_is_read_again(scene: Scene, write: Write) -> None:
    """The guard of the next step sees what was there before this one wrote."""
    account, clouds, _, line = scene
    cloud, service = clouds.at(Place(REGION)), account.service()
    line.clear()
    with at_one_look(WITHIN_S):
        ask(cloud)
        write(account, clouds, service)
        ask(cloud)
    assert line.count("DescribeLoadBalancers") == 2


def test_after_a_write_whose_answer_was_lost_all_is_read_again(scene: Scene) -> None:
    """It may have landed, and what follows does not see it."""
    account, clouds, _, line = scene
    cloud = clouds.at(Place(REGION))
    with at_one_look(WITHIN_S):
        ask(cloud)
        line.lose("AddTags")
        with pytest.raises(Transient):
            by_itself(account, clouds, Service("shop", {}))
        ask(cloud)
    assert line.count("DescribeLoadBalancers") == 2


def test_a_write_reads_for_itself_and_what_it_saw_last_serves_who_reads_back(scene: Scene) -> None:
    """A write is decided by what was seen before it began; or what it has just seen is asked for once more."""
    account, clouds, _, line = scene
    cloud, service = clouds.at(Place(REGION)), account.service()
    line.clear()
    with at_one_look(WITHIN_S):
        ask(cloud)
        with clouds.writing(service) as (writing, _):
            ask(writing.cloud)
            assert line.count("DescribeLoadBalancers") == 2
            writing.call("elbv2", "add_tags", **tags(account))
            ask(writing.cloud)
            assert line.count("DescribeLoadBalancers") == 3
        ask(cloud)
        assert line.count("DescribeLoadBalancers") == 3


def test_a_look_inside_of_a_look_begins_anew_for_both(scene: Scene) -> None:
    """A second try, or a look that is to see for itself, is answered by what the first one saw."""
    _, clouds, _, line = scene
    cloud = clouds.at(Place(REGION))
    with at_one_look(WITHIN_S):
        ask(cloud)
        with at_one_look(WITHIN_S):
            ask(cloud)
            ask(cloud)
        assert line.count("DescribeLoadBalancers") == 2
        ask(cloud)
        assert line.count("DescribeLoadBalancers") == 2, "what the inner one saw is newer still"
    ask(cloud)
    assert line.count("DescribeLoadBalancers") == 3
