"""The simulated cloud: each switch does what it says, because every simulation's verdict rests on that."""

from __future__ import annotations

import pytest

from providers.base import (
    Conflict,
    Denied,
    HoldMark,
    Invalid,
    NotFound,
    ProviderError,
    Service,
    Throttled,
    Transient,
)
from providers.memory.model import Settings
from providers.memory.switches import ERRORS, ErrorKind
from tests.providers.memory_world import SETTINGS, World, rollout

MARK = HoldMark("rollout-1", 3, "blue", "ana", 1_767_225_600.0)


@pytest.fixture
def world() -> World:
    """Three instances on blue."""
    return World()


# ---- calls that go wrong ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ERRORS)
def test_a_failing_call_applies_nothing(world: World, kind: ErrorKind) -> None:
    """Otherwise error handling is never really tested."""
    before = world.cloud.snapshot("shop")
    world.cloud.switches.fail["compute.scale"] = kind
    with pytest.raises(ERRORS[kind]):
        world.compute.scale(world.shop, "blue", 5, "t")
    assert world.cloud.snapshot("shop") == before and world.cloud.mutations == []
    world.cloud.switches.fail.clear()
    world.compute.scale(world.shop, "blue", 5, "t")
    assert world.cloud.snapshot("shop")["slots"]["blue"]["capacity"] == 5


@pytest.mark.parametrize("key, fails", [("reads", True), ("*", True), ("writes", False)])
def test_a_switch_reaches_the_calls_of_its_kind(world: World, key: str, fails: bool) -> None:
    """Otherwise a simulated outage of reads leaves some readable."""
    world.cloud.switches.fail[key] = "denied"
    if fails:
        with pytest.raises(Denied):
            world.traffic.route(world.shop)
    else:
        assert world.traffic.route(world.shop).active == "blue"


def test_a_fault_strikes_as_often_as_said(world: World) -> None:
    """Otherwise a fault cannot be placed at one call."""
    world.cloud.switches.fail["traffic.route"] = "transient"
    world.cloud.switches.times["traffic.route"] = 2
    for _ in range(2):
        with pytest.raises(Transient):
            world.traffic.route(world.shop)
    assert world.traffic.route(world.shop).active == "blue"


def test_the_first_calls_are_throttled(world: World) -> None:
    """Otherwise back-off is never tested."""
    world.cloud.switches.throttle["compute.describe"] = 2
    for _ in range(2):
        with pytest.raises(Throttled):
            world.compute.describe(world.shop)
    assert world.compute.describe(world.shop)["blue"].capacity == 3
    assert world.cloud.calls.reads["compute.describe"] == 3


def test_a_silent_success_does_nothing(world: World) -> None:
    """Otherwise nothing proves that the engine reads back."""
    world.mirror()
    world.cloud.switches.silent["traffic.set_weights"] = True
    expected = world.traffic.route(world.shop)
    said = world.traffic.set_weights(world.shop, {"blue": 50, "green": 50}, expected, "t")
    assert said.weights == {"blue": 50, "green": 50}
    assert world.traffic.route(world.shop).weights == {"blue": 100, "green": 0}


def test_a_lost_reply_was_applied_once(world: World) -> None:
    """Otherwise a retry after a lost reply is never tested."""
    world.mirror()
    expected = world.traffic.route(world.shop)
    world.cloud.switches.lost_reply["traffic.set_weights"] = True
    with pytest.raises(Transient):
        world.traffic.set_weights(world.shop, {"blue": 90, "green": 10}, expected, "t")
    world.cloud.switches.lost_reply.clear()
    done = len(world.cloud.mutations)
    assert world.traffic.set_weights(world.shop, {"blue": 90, "green": 10}, expected, "t").share("green") == 10
    assert len(world.cloud.mutations) == done


def test_a_slow_call_takes_its_time(world: World) -> None:
    """Otherwise no deadline is ever missed."""
    world.cloud.switches.slow["compute.scale"] = 3
    began = world.clock.now()
    world.compute.scale(world.shop, "blue", 4, "t")
    assert world.clock.now() == began + 3


def test_a_call_slower_than_the_time_out_is_applied_all_the_same(world: World) -> None:
    """Otherwise a time-out looks as if nothing had happened."""
    world.cloud.switches.slow["compute.scale"] = 60
    began = world.clock.now()
    with pytest.raises(Transient):
        world.compute.scale(world.shop, "blue", 4, "t")
    assert world.clock.now() == began + world.provider.write_timeout_s
    assert world.cloud.snapshot("shop")["slots"]["blue"]["capacity"] == 4


def test_a_slow_read_gives_up(world: World) -> None:
    """Otherwise a hung read hangs a simulation instead of failing."""
    world.cloud.switches.slow["reads"] = 60
    with pytest.raises(Transient):
        world.traffic.route(world.shop)


def test_a_late_write_lands_within_the_time_out(world: World) -> None:
    """Otherwise nothing proves that whoever took over waits for writes in flight."""
    world.mirror()
    world.cloud.switches.late["traffic.set_weights"] = 60
    with pytest.raises(Transient):
        world.move(10)
    assert world.declared["green"] == 0
    world.passes(4.9)
    assert world.declared["green"] == 0
    world.passes(0.1)
    assert world.declared["green"] == 10


def test_a_late_write_loses_against_a_later_one(world: World) -> None:
    """Otherwise compare-and-set would not protect anybody."""
    world.mirror()
    world.cloud.switches.late["traffic.set_weights"] = 4
    with pytest.raises(Transient):
        world.move(10)
    world.cloud.edit_by_hand("shop", weights={"blue": 70, "green": 30})
    world.passes(5)
    assert world.declared["green"] == 30


def test_without_compare_and_set_a_late_write_wins(world: World) -> None:
    """Otherwise platforms without compare-and-set are simulated too kindly."""
    world = World(cas=False)
    world.mirror()
    world.cloud.switches.late["traffic.set_weights"] = 4
    with pytest.raises(Transient):
        world.move(10)
    world.cloud.edit_by_hand("shop", weights={"blue": 70, "green": 30})
    world.passes(5)
    assert world.declared["green"] == 10


def test_stale_reads_end(world: World) -> None:
    """Otherwise nothing proves that the engine does not act on old news."""
    world.mirror()
    assert world.traffic.route(world.shop).share("green") == 0
    world.cloud.switches.stale["traffic.route"] = 30
    world.cloud.edit_by_hand("shop", weights={"blue": 50, "green": 50})
    assert world.traffic.route(world.shop).share("green") == 0
    assert world.cloud.snapshot("shop")["weights"]["green"] == 50
    world.passes(30)
    assert world.traffic.route(world.shop).share("green") == 50


# ---- tokens -------------------------------------------------------------------------------------------------------


def test_a_token_answers_what_it_answered(world: World) -> None:
    """Otherwise a write that arrives twice, hours apart, takes effect twice."""
    world.compute.scale(world.shop, "blue", 5, "t1")
    world.compute.scale(world.shop, "blue", 4, "t2")
    world.compute.scale(world.shop, "blue", 5, "t1")
    assert world.compute.describe(world.shop)["blue"].capacity == 4
    assert [mutation.token for mutation in world.cloud.mutations] == ["t1", "t2"]


def test_a_token_with_other_arguments_is_refused(world: World) -> None:
    """Otherwise two different writes share a token, and one of them never happens."""
    world.compute.scale(world.shop, "blue", 5, "t1")
    with pytest.raises(Invalid, match="IdempotentParameterMismatch"):
        world.compute.scale(world.shop, "blue", 6, "t1")


def test_a_write_without_a_token_is_refused(world: World) -> None:
    """Otherwise a forgotten token goes unnoticed."""
    with pytest.raises(Invalid, match="token"):
        world.compute.scale(world.shop, "blue", 5, "")


def test_a_refused_write_may_come_again(world: World) -> None:
    """Otherwise a retry repeats an error that has long gone."""
    world.compute.set_floor(world.shop, "blue", 3, "t1")
    with pytest.raises(Invalid):
        world.compute.scale(world.shop, "blue", 2, "t2")
    world.compute.set_floor(world.shop, "blue", 0, "t3")
    world.compute.scale(world.shop, "blue", 2, "t2")
    assert world.compute.describe(world.shop)["blue"].capacity == 2


# ---- instances and their health -----------------------------------------------------------------------------------


def test_instances_live_step_by_step(world: World) -> None:
    """Otherwise waiting for capacity and waiting for health are the same thing in simulations."""
    world.compute.mirror(world.shop, "blue", "green", "base-2", "rollout-1", "t1")
    world.compute.scale(world.shop, "green", 1, "t2")
    world.attach()
    assert world.targets("green").unknown == 1
    world.passes(30)
    assert [i.state for i in world.compute.observe([world.shop])["shop"] if i.slot == "green"] == ["running"]
    assert world.targets("green").unknown == 1
    world.passes(10)
    assert world.targets("green").healthy == 1


def test_an_image_that_does_not_start(world: World) -> None:
    """Otherwise a broken image looks like a slow one for ever."""
    world.mirror(world.behaves(starts=False))
    failed = [i for i in world.compute.observe([world.shop])["shop"] if i.slot == "green"]
    assert {(i.state, i.reason) for i in failed} == {("failed", "odd: exited with status 1 while starting")}
    assert all(i.own_fault for i in failed), "or a bad image is tried again on every service"
    assert world.targets("green").unhealthy == 3


def test_an_image_that_is_never_healthy(world: World) -> None:
    """Otherwise nothing tests that health is waited for."""
    world.mirror(world.behaves(healthy=False))
    assert world.targets("green").unhealthy == 3
    assert world.targets("green").reasons == ("health check answered 503",)


def test_an_image_that_fails_under_traffic_and_recovers(world: World) -> None:
    """Otherwise a side that only breaks when it serves is never simulated."""
    world.mirror(world.behaves(fails_health_under_traffic=True))
    assert world.targets("green").healthy == 3
    world.move(10)
    world.passes(12)
    assert world.targets("green").unhealthy == 3
    assert world.cloud.client_outage("shop")
    world.move(0)
    world.passes(12)
    assert world.targets("green").healthy == 3


def test_an_image_that_flaps(world: World) -> None:
    """Otherwise a gate that passes on one lucky reading goes unnoticed."""
    world.mirror(world.behaves(flaps_every_s=60))
    seen = set()
    for _ in range(30):
        world.passes(10)
        seen.add(world.targets("green").healthy)
    assert seen == {0, 3}


def test_a_lost_instance_is_noticed_and_replaced(world: World) -> None:
    """Otherwise loss of capacity in the middle of a rollout is never simulated."""
    world.cloud.kill("shop", "blue", 2, after_s=60)
    world.passes(59)
    assert world.cloud.healthy("shop")["blue"] == 3
    world.passes(1)
    assert world.cloud.healthy("shop")["blue"] == 1
    assert world.targets("blue").healthy == 3, "the balancer has not noticed yet"
    world.passes(10)
    assert world.targets("blue").healthy == 1
    world.passes(41)
    assert world.targets("blue").healthy == 3


def test_without_self_healing_what_is_lost_stays_lost() -> None:
    """Otherwise a fleet that nobody repairs is never simulated."""
    world = World(settings=Settings(self_healing=False))
    world.cloud.kill("shop", "blue")
    world.passes(3600)
    assert world.cloud.serving_capacity("shop") == {"blue": 2}
    assert world.targets("blue").reasons == ("terminated: its host was lost",)


def test_launches_stall_and_resume(world: World) -> None:
    """Otherwise a zone without capacity is never simulated."""
    world.cloud.switches.launch_limit["shop/green"] = 1
    world.mirror()
    stalled = [i for i in world.compute.observe([world.shop])["shop"] if i.state == "starting"]
    assert len(stalled) == 2 and all("InsufficientInstanceCapacity" in i.reason for i in stalled)
    assert not any(i.own_fault for i in stalled)
    world.cloud.switches.launch_limit.clear()
    world.passes(60)
    assert world.targets("green").healthy == 3


@pytest.mark.parametrize("lie", ["healthy", "unhealthy", "unknown"])
def test_a_balancer_that_lies(world: World, lie: str) -> None:
    """Otherwise everything rests on the balancer's word, and nobody notices."""
    world.mirror(world.behaves(healthy=False))
    world.cloud.switches.health_lies["shop/green"] = lie  # type: ignore[assignment]
    assert getattr(world.targets("green"), lie) == 3
    assert world.targets("blue").healthy == 3
    assert world.cloud.healthy("shop") == {"blue": 3, "green": 0}


def test_a_mirror_that_drifts(world: World) -> None:
    """Otherwise the fidelity check has never seen an unfaithful mirror."""
    world.cloud.switches.mirror_drift["firewall"] = "open"
    world.mirror()
    slots = world.compute.describe(world.shop)
    assert slots["green"].fingerprint != slots["blue"].fingerprint


def test_a_host_whose_inventory_cannot_be_read(world: World) -> None:
    """Otherwise "no data" is never simulated, and could pass."""
    world.cloud.add_image("mute", packages=None)
    world.mirror("mute")
    hosts = world.provider.inventory.read(world.shop, "green")
    assert [host.packages for host in hosts] == [None] * 3 and all(host.problem for host in hosts)


def test_a_reboot_takes_targets_out(world: World) -> None:
    """Otherwise a patch that needs a reboot costs nothing in simulations."""
    world.mirror()
    world.provider.patcher.reboot(world.shop, "green", "t")
    assert world.targets("green").unknown == 3
    world.passes(40)
    assert world.targets("green").healthy == 3


# ---- traffic ------------------------------------------------------------------------------------------------------


def test_clients_follow_with_a_lag(world: World) -> None:
    """Otherwise declared and observed weights are the same in simulations."""
    world.mirror()
    world.move(50)
    assert world.traffic.route(world.shop).share("green") == 50
    assert world.traffic.observe([world.shop])["shop"].route.share("green") == 0
    world.passes(2)
    assert world.traffic.observe([world.shop])["shop"].route == world.traffic.route(world.shop)


def test_a_frozen_balancer(world: World) -> None:
    """Otherwise a balancer that stands still for hours is never simulated."""
    world.mirror()
    world.cloud.switches.balancer_lag_s = 7200
    world.move(50)
    world.passes(3600)
    assert world.traffic.observe([world.shop])["shop"].route.share("green") == 0
    world.passes(3600)
    assert world.traffic.observe([world.shop])["shop"].route.share("green") == 50


def test_requests_are_counted_where_clients_were(world: World) -> None:
    """Otherwise error rates in simulations mean nothing."""
    world.mirror(world.behaves(error_share_live=0.25, failed_share_live=0.1))
    world.move(50)
    world.passes(2)
    before = world.traffic.observe([world.shop])["shop"].counters
    world.passes(100)
    after = world.traffic.observe([world.shop])["shop"].counters
    green = after["green"]
    assert after["blue"].requests - before["blue"].requests == 5000
    assert (green.requests, green.responses["5xx"], green.failed) == (5000, 1250, 500)
    assert green.responses["2xx"] + green.responses["5xx"] + green.failed == green.requests


def test_a_side_with_nothing_healthy_fails_all_of_its_share(world: World) -> None:
    """Otherwise an outage leaves no trace in the counters."""
    world.mirror(world.behaves(healthy=False))
    world.move(20)
    world.passes(2)
    assert world.cloud.client_outage("shop")
    world.passes(10)
    assert world.traffic.observe([world.shop])["shop"].counters["green"].failed == 200


def test_connections_drain(world: World) -> None:
    """Otherwise nothing proves that a rollout waits for what is still open."""
    world.mirror()
    world.move(100)
    world.passes(2)
    assert world.traffic.observe([world.shop])["shop"].counters["blue"].in_flight == 50
    world.passes(10)
    assert world.traffic.observe([world.shop])["shop"].counters["blue"].in_flight == 25
    assert world.traffic.cut(world.shop, "blue", "t-cut") == 25
    assert world.traffic.observe([world.shop])["shop"].counters["blue"].in_flight == 0


def test_connections_that_never_end() -> None:
    """Otherwise WebSockets, which stay until they are cut, are never simulated."""
    world = World(settings=Settings(drain_s=float("inf"), requests_per_s=0))
    world.mirror()
    world.move(100)
    world.passes(86_400)
    assert world.traffic.observe([world.shop])["shop"].counters["blue"].in_flight == 50
    world.traffic.detach(world.shop, "blue", "t-detach")
    assert world.traffic.observe([world.shop])["shop"].counters["blue"].failed == 50


def test_a_restarted_balancer_counts_anew(world: World) -> None:
    """Otherwise counters that go backwards are never simulated."""
    world.passes(10)
    before = world.traffic.observe([world.shop])["shop"]
    world.cloud.restart_balancer("shop")
    after = world.traffic.observe([world.shop])["shop"]
    assert (before.counters["blue"].requests, after.counters["blue"].requests) == (1000, 0)
    assert before.counters_id != after.counters_id


# ---- people, watchers, determinism --------------------------------------------------------------------------------


def test_a_person_edits_everything(world: World) -> None:
    """Otherwise a person in the middle of a rollout is never simulated."""
    world.mirror()
    seen = world.traffic.route(world.shop)
    world.compute.set_floor(world.shop, "green", 3, "t-floor")
    world.cloud.edit_by_hand("shop", weights={"blue": 60, "green": 40}, capacity={"green": 1}, mark=MARK)
    world.cloud.edit_by_hand("shop", app_version={"blue": "1.1"}, fingerprint={"blue": {"flavour": "big"}})
    blue, green = world.compute.describe(world.shop).values()
    assert (blue.app_version, blue.fingerprint["flavour"], green.capacity) == ("1.1", "big", 1)
    assert world.traffic.route(world.shop).mark == MARK
    with pytest.raises(Conflict):
        world.traffic.set_weights(world.shop, {"blue": 0, "green": 100}, seen, "t-w")
    assert [m.call for m in world.cloud.mutations][-2:] == ["by_hand", "by_hand"]


def test_even_a_person_cannot_empty_the_route(world: World) -> None:
    """Otherwise simulations report outages that no platform allows."""
    with pytest.raises(Invalid):
        world.cloud.edit_by_hand("shop", weights={"blue": 0, "green": 0})
    with pytest.raises(Invalid):
        world.cloud.edit_by_hand("shop", weights={"blue": 0, "green": 100})


def test_watchers_see_each_event_at_its_instant(world: World) -> None:
    """Otherwise an invariant that is broken for a moment goes unnoticed."""
    seen: list[tuple[float, int]] = []
    start = world.clock.now()
    world.cloud.watchers.append(lambda at: seen.append((at - start, world.cloud.healthy("shop")["blue"])))
    world.cloud.kill("shop", "blue", after_s=5)
    world.clock.sleep(3600)
    world.cloud.catch_up()
    # dies · judged unhealthy and replaced · the new one boots · it is judged healthy
    assert seen == [(5, 2), (15, 2), (15, 2), (45, 2), (55, 3)]


def test_watchers_see_each_mutation(world: World) -> None:
    """Otherwise an invariant that a write breaks goes unnoticed until later."""
    seen: list[float] = []
    world.cloud.watchers.append(seen.append)
    world.compute.scale(world.shop, "blue", 4, "t")
    world.compute.delete_if_owned(world.shop, "blue", "rollout-1", "t")
    assert len(seen) == len(world.cloud.mutations) == 1


def test_an_invariant_that_breaks_in_a_watcher_is_reported(world: World) -> None:
    """Otherwise a violation is swallowed, and the cloud stands still afterwards."""

    def broken(at: float) -> None:
        raise AssertionError("floor")

    world.cloud.watchers.append(broken)
    world.cloud.kill("shop", "blue", after_s=5)
    with pytest.raises(AssertionError, match="floor"):
        world.passes(10)
    world.cloud.watchers.clear()
    world.passes(100)
    assert world.cloud.healthy("shop")["blue"] == 3


def test_the_cloud_stands_still_when_the_clock_goes_back(world: World) -> None:
    """Otherwise a clock jump makes counters shrink."""
    world.passes(10)
    before = world.traffic.observe([world.shop])["shop"]
    world.clock._now -= 3600
    assert world.traffic.observe([world.shop])["shop"] == before


def test_an_unknown_service_blinds_nobody(world: World) -> None:
    """Otherwise one deleted service stops the watch over all others."""
    found = world.traffic.observe([Service("gone"), world.shop])
    assert set(found) == {"shop"}
    with pytest.raises(NotFound, match="shop"):
        world.traffic.route(Service("gone"))


def test_the_snapshot_of_a_rollback_is_the_one_before(world: World) -> None:
    """Otherwise nothing proves that a rollback leaves no trace."""
    before = world.cloud.snapshot("shop")
    world.mirror()
    world.move(50)
    assert world.cloud.snapshot("shop") != before
    world.move(0)
    world.traffic.detach(world.shop, "green", "t-d")
    world.compute.delete_if_owned(world.shop, "green", "rollout-1", "t-x")
    assert world.cloud.snapshot("shop") == before


def test_the_same_seed_gives_the_same_cloud() -> None:
    """Otherwise a failed simulation cannot be repeated."""

    def run(seed: int) -> object:
        world = World(seed, settings=Settings(launch_jitter_s=20))
        world.mirror()
        world.cloud.kill("shop", "blue", 2)
        world.passes(45)
        return world.cloud.mutations, world.compute.observe([world.shop]), world.traffic.observe([world.shop])

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_a_whole_rollout_has_no_outage() -> None:
    """Otherwise the simulated cloud itself breaks what it is there to judge."""
    world = rollout()
    assert world.cloud.serving_capacity("shop") == {"green": 3}
    counters = world.traffic.observe([world.shop])["shop"].counters
    assert counters["blue"].failed == counters["green"].failed == 0
    assert world.cloud.calls.total < 80


def test_each_error_says_which_service(world: World) -> None:
    """Otherwise a person with a hundred services does not know where to look."""
    world.mirror()
    world.move(10)
    refused = (
        lambda: world.traffic.detach(world.shop, "green", "t-1"),
        lambda: world.compute.delete_if_owned(world.shop, "green", "rollout-1", "t-2"),
        lambda: world.compute.mirror(world.shop, "blue", "green", "base-2", "rollout-2", "t-3"),
        lambda: world.compute.stand_up(world.shop, "green", "base-2", 1, "t-4"),
    )
    for attempt in refused:
        with pytest.raises(ProviderError, match="shop"):
            attempt()


def test_settings_are_the_services_own() -> None:
    """Otherwise slow and fast services cannot be simulated side by side."""
    world = World()
    till = world.cloud.add_service("till", image="base-1", settings=Settings(requests_per_s=1))
    world.passes(10)
    found = world.traffic.observe([world.shop, till])
    assert [found[name].counters["blue"].requests for name in ("shop", "till")] == [1000, 10]
    assert SETTINGS.requests_per_s == 100
