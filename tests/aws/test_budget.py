"""The call budget: never more than AWS allows, a part kept for rollbacks, nobody forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.aws.budget import RECOVERS_S, Bucket, Budgets, sent_before, urgent
from providers.aws.cloud import BEGIN_WITHIN_S, Clouds, Place
from providers.aws.quotas import OTHERWISE, TABLE, Limit, bucket_of, is_read, is_urgent
from providers.base import Context, Service, Throttled, Transient
from providers.memory.clock import VirtualClock
from tests.aws.account import Account, in_process
from tests.aws.wire import wire

HERE = Place("eu-central-1")


@pytest.fixture
def account() -> Iterator[Account]:
    """A small account."""
    with in_process() as made:
        yield made


@pytest.fixture
def service(account: Account) -> Service:
    """A service in it."""
    return account.service()


LIMITS = st.builds(Limit, st.integers(2, 60).map(float), st.floats(0.5, 50).map(lambda value: round(value, 2)))
STEPS = st.lists(
    st.one_of(
        st.floats(0, 20).map(lambda seconds: ("wait", round(seconds, 3))),
        st.sampled_from([("take", "ordinary"), ("take", "urgent")]),
    ),
    max_size=120,
)


@settings(deadline=None)
@given(LIMITS, STEPS)
def test_never_more_than_the_bucket_and_its_refill(limit: Limit, steps: list[tuple[str, object]]) -> None:
    """AWS throttles the whole account, and other tools in it fail, too."""
    clock = VirtualClock()
    bucket, taken = Bucket("x", limit, clock), list[float]()
    for kind, value in steps:
        if kind == "wait":
            clock.sleep(float(value))  # type: ignore[arg-type]
            continue
        try:
            bucket.take(urgent=value == "urgent", patience=0.5)
            taken.append(clock.now())
        except Throttled:
            pass
    for first, begin in enumerate(taken):
        for last in range(first, len(taken)):
            calls = last - first + 1
            assert calls <= limit.size + limit.refill * (taken[last] - begin) + 0.01


@settings(deadline=None)
@given(LIMITS, STEPS)
def test_the_reserve_is_touched_by_nobody_else(limit: Limit, steps: list[tuple[str, object]]) -> None:
    """A rollback waits, because a thousand polls have drunk the bucket."""
    clock = VirtualClock()
    bucket, kept = Bucket("x", limit, clock), min(limit.reserve, limit.size)
    for kind, value in steps:
        if kind == "wait":
            clock.sleep(float(value))  # type: ignore[arg-type]
        elif value == "ordinary":
            before = bucket.level
            try:
                bucket.take(urgent=False, patience=0.5)
                assert bucket.level >= min(kept, limit.size - 1) - 0.001
            except Throttled:
                assert bucket.level >= min(before, kept) - 0.001


def test_a_rollback_goes_at_once_where_polls_wait() -> None:
    """The way back is as slow as everything else."""
    clock = VirtualClock()
    bucket = Bucket("elbv2.reads", Limit(40, 10), clock)
    began = clock.now()
    while clock.now() == began:
        bucket.take(urgent=False, patience=1.0)
    polls_wait_at = clock.now()
    for _ in range(10):
        bucket.take(urgent=True, patience=0.0)
    assert clock.now() == polls_wait_at


def test_what_waits_too_long_is_throttled_and_takes_nothing() -> None:
    """A write hangs, loses its right to act, and acts all the same."""
    clock = VirtualClock()
    bucket = Bucket("x", Limit(4, 0.5), clock)
    for _ in range(3):
        bucket.take(urgent=False, patience=0.0)
    before, level = clock.now(), bucket.level
    with pytest.raises(Throttled, match="not sent"):
        bucket.take(urgent=False, patience=1.0)
    assert (clock.now(), bucket.level) == (before, level)


class Patient(VirtualClock):
    """Sleepers wake in the order in which their time comes, as threads do."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Condition()
        self.sleepers = 0

    def sleep(self, seconds: float) -> None:
        """Until others have let so much time pass."""
        with self.changed:
            until = self._now + seconds
            self.sleepers += 1
            self.changed.notify_all()
            self.changed.wait_for(lambda: self._now >= until - 1e-9, timeout=20)
            self.sleepers -= 1

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        with self.changed:
            self._now += seconds
            self.changed.notify_all()


def asleep(clock: Patient, count: int) -> bool:
    """Do so many wait?"""
    return clock.sleepers >= count


def test_nobody_starves_however_many_come() -> None:
    """One rollout's polls never get a token, because another's are always first."""
    clock = Patient()
    bucket, served = Bucket("x", Limit(4, 2), clock), list[int]()
    for _ in range(3):
        bucket.take(urgent=False, patience=0.0)

    def poll(number: int) -> None:
        bucket.take(urgent=False, patience=60.0)
        served.append(number)

    threads = list[threading.Thread]()
    for number in range(8):  # one after the other, each waiting before the next comes
        threads.append(threading.Thread(target=poll, args=(number,), daemon=True))
        threads[-1].start()
        with clock.changed:
            assert clock.changed.wait_for(partial(asleep, clock, number + 1), timeout=20)
    for _ in range(400):
        clock.pass_by(0.1)
        for thread in threads:
            thread.join(0.002)
        if not any(thread.is_alive() for thread in threads):
            break
    assert served[:3] == [0, 1, 2] and sorted(served) == list(range(8))


def test_nobody_sleeps_while_holding_the_lock() -> None:
    """One call that waits stops every other of the account, a rollback's first."""

    class Prying(VirtualClock):
        free: bool | None = None

        def sleep(self, seconds: float) -> None:
            self.free = bucket._lock.acquire(blocking=False)
            if self.free:
                bucket._lock.release()
            super().sleep(seconds)

    clock = Prying()
    bucket = Bucket("x", Limit(4, 2), clock)
    for _ in range(4):
        bucket.take(urgent=False, patience=2.0)
    assert clock.free is True


def test_what_aws_throttles_empties_the_bucket_and_slows_it_for_a_while() -> None:
    """Others call in the account, too, and we hammer on."""
    clock = VirtualClock()
    bucket = Bucket("x", Limit(40, 10), clock)
    bucket.throttled()
    assert bucket.level == 0
    clock.sleep(1)
    assert bucket.level == pytest.approx(7.0)
    for _ in range(20):
        bucket.throttled()
    clock.sleep(1)
    assert bucket.level == pytest.approx(2.0), "never slower than a fifth"
    for _ in range(10):
        clock.sleep(RECOVERS_S)
        bucket.level  # noqa: B018 - looking is what lets it recover
    bucket.take(urgent=True, patience=0)
    clock.sleep(0.05)
    assert bucket.level == pytest.approx(39.5)


def test_a_clock_that_is_set_back_grants_nothing_and_hangs_nothing() -> None:
    """After a correction of the time, nobody may call for an hour."""
    clock = VirtualClock()
    bucket = Bucket("x", Limit(4, 2), clock)
    bucket.take(urgent=True, patience=0)
    clock._now -= 3600
    assert bucket.level == pytest.approx(3)
    for _ in range(4):
        bucket.take(urgent=True, patience=1.0)


def test_every_row_of_the_table_can_keep_a_reserve() -> None:
    """A bucket without a reserve is one in which rollbacks stand in line."""
    rows = [row for rows in TABLE.values() for row in rows] + [OTHERWISE]
    for pattern, name, limit, source in rows:
        assert limit.size >= limit.reserve + 1 and limit.refill > 0, (pattern, name)
        assert source


def test_each_api_has_its_buckets_as_aws_has_them() -> None:
    """Polling one thing uses up the budget of another, or of nothing at all."""
    assert bucket_of("ec2", "DescribeInstances")[0] != bucket_of("ec2", "DescribeImages")[0]
    assert bucket_of("elbv2", "DescribeRules")[0] == bucket_of("elbv2", "DescribeTargetHealth")[0]
    assert bucket_of("elbv2", "DescribeRules")[1] == Limit(40, 10)
    assert bucket_of("elbv2", "ModifyRule")[0] != bucket_of("elbv2", "DescribeRules")[0]
    assert bucket_of("autoscaling", "DescribePolicies")[0] == bucket_of("autoscaling", "SetDesiredCapacity")[0]
    assert bucket_of("unheard-of", "DoIt")[1] == Limit(5, 1)
    assert is_urgent("elbv2", "ModifyRule") and not is_urgent("elbv2", "DescribeRules")
    assert is_read("DescribeRules") and not is_read("ModifyRule")


def test_places_do_not_share_a_budget_and_roles_of_one_account_do() -> None:
    """An account is throttled because two roles count for themselves, or one region waits for another."""
    budgets = Budgets(VirtualClock())
    one = Place("eu-central-1", "123456789012", role="a")
    other = Place("eu-central-1", "123456789012", role="b")
    elsewhere = Place("us-east-1", "123456789012", role="a")
    assert budgets.bucket("sts", "X", one) is budgets.bucket("sts", "X", other)
    assert budgets.bucket("sts", "X", one) is not budgets.bucket("sts", "X", elsewhere)


def test_urgency_ends_with_its_block() -> None:
    """After one rollback everything draws from the reserve."""
    clock = VirtualClock()
    budgets = Budgets(clock)
    for _ in range(30):
        budgets.spend("elbv2", "DescribeRules", HERE)
    with urgent():
        budgets.spend("elbv2", "DescribeRules", HERE)
    assert clock.now() == VirtualClock().now()
    budgets.spend("elbv2", "DescribeRules", HERE)
    assert clock.now() > VirtualClock().now()


def test_a_call_that_would_be_late_does_not_wait() -> None:
    """A write lands after its time-out, when somebody else already went on."""
    clock = VirtualClock()
    budgets = Budgets(clock)
    for _ in range(3):
        budgets.spend("x", "Describe", HERE)
    with sent_before(clock.now() + 0.1), pytest.raises(Throttled):
        budgets.spend("x", "Describe", HERE)
    assert clock.now() == VirtualClock().now()


def test_calls_and_throttles_are_counted_and_throttles_slow_down(
    account: Account, service: Service, tmp_path: Path
) -> None:
    """Nobody can tell whether the account is at its limit."""
    clouds = Clouds(Context(tmp_path, tmp_path, VirtualClock()))
    cloud, _ = clouds.of(service)
    with wire(account) as line:
        line.fail("DescribeListeners", code="Throttling", times=1)
        with pytest.raises(Throttled):
            cloud.read("elbv2", "describe_listeners", LoadBalancerArn=account.balancer)
    assert clouds.throttled == {"elbv2.DescribeListeners": 1}
    assert clouds.calls == {"elbv2.DescribeListeners": 1}
    assert clouds._budgets.bucket("elbv2", "DescribeRules", cloud.place).level == 0


def test_what_waited_too_long_for_its_credentials_is_not_sent(
    account: Account, service: Service, tmp_path: Path
) -> None:
    """New credentials took seconds, and the write lands after its time-out."""
    clock = VirtualClock()
    cloud, options = Clouds(Context(tmp_path, tmp_path, clock)).of(service)
    writing = cloud.writing()
    client = cloud._client("elbv2")
    client.meta.events.register("request-created", lambda **_: clock.sleep(BEGIN_WITHIN_S + 1))
    with wire(account) as line:
        with pytest.raises(Transient, match="not sent"):
            writing.call("elbv2", "add_tags", ResourceArns=[options.routes[0].listener], Tags=[{"Key": "a"}])
        assert line.count("AddTags") == 0
