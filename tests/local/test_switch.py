"""A service without a balancer: its owner's commands are the traffic. Real workers on a real queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from providers.base import Conflict, Invalid, Transient
from providers.local import rollback
from tests.local.instance_kit import wait_until
from tests.local.switch_kit import Switched, open_switched


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Switched]:
    """Workers on both sides; blue is enabled."""
    with open_switched(tmp_path) as switched:
        switched.mirror()
        yield switched


def test_the_first_side_is_enabled_and_the_mirror_is_not(shop: Switched) -> None:
    """A new service takes no work, or two sides take it at once."""
    assert shop.queue.enabled == {"blue"}
    route = shop.traffic.route(shop.service)
    assert (route.weights, route.active) == ({"blue": 100, "green": 0}, "blue")
    reading = shop.traffic.observe([shop.service])["shop"]
    assert (reading.targets["blue"].healthy, reading.targets["green"].healthy) == (1, 1)


def test_a_swap_disables_first_and_says_how_long_nobody_worked(shop: Switched) -> None:
    """Both sides take the same work, or a person does not know what a swap costs."""
    shop.queue.put(30)
    moved = shop.move("green")
    assert moved.weights == {"blue": 0, "green": 100}
    assert "no side took new work for" in moved.note
    assert shop.queue.switches()[-2:] == [("disable", "blue"), ("enable", "green")]
    wait_until(lambda: shop.queue.left == 0, "the queue was never empty")
    shop.queue.assert_each_done_once()
    shop.queue.assert_never_both()
    assert not shop.half_done


def test_the_counters_are_those_of_the_queue(shop: Switched) -> None:
    """A live gate judges a queue by numbers that are not its own."""
    shop.queue.put(7)
    wait_until(lambda: shop.queue.left == 0, "the queue was never empty")
    counters = shop.traffic.observe([shop.service])["shop"].counters
    assert (counters["blue"].requests, counters["blue"].responses, counters["blue"].in_flight) == (7, {"2xx": 7}, 0)
    assert counters["green"].requests == 0


@pytest.mark.parametrize("blue", [90, 50, 1])
def test_there_is_nothing_between_none_and_all(shop: Switched, blue: int) -> None:
    """A share that nobody can give is taken for one that was given."""
    route = shop.traffic.route(shop.service)
    with pytest.raises(Invalid, match="one side has 100 and the other has 0"):
        shop.traffic.set_weights(shop.service, {"blue": blue, "green": 100 - blue}, route, shop.token())
    assert shop.queue.enabled == {"blue"}


def test_there_is_no_test_route(shop: Switched) -> None:
    """A check asks a side over a way that does not exist, and nobody says which checks there are."""
    with pytest.raises(Invalid, match="use command, listening, fidelity and balancer"):
        shop.traffic.test_route(shop.service, "green")


# Faults


def test_an_enable_that_fails_goes_back(shop: Switched) -> None:
    """After a failed swap nobody takes work."""
    shop.queue.breaks("enable", "green", "fail")
    with pytest.raises(Invalid, match=r"green could not be enabled: .*exit code 1.* blue is enabled, as before"):
        shop.move("green")
    assert shop.queue.enabled == {"blue"}
    assert shop.traffic.route(shop.service).weights == {"blue": 100, "green": 0}
    assert not shop.half_done
    shop.queue.breaks("enable", "green", "")
    assert shop.move("green").active == "green"
    shop.queue.assert_never_both()


@pytest.mark.parametrize("how", ["hang", "half"])
def test_a_disable_that_hangs_is_killed_and_read_back(tmp_path: Path, how: str) -> None:
    """A command that never ends holds the queue, or what it did is guessed."""
    with open_switched(tmp_path, timeout_s=1.5) as shop:
        shop.mirror()
        shop.queue.breaks("disable", "blue", how)
        if how == "hang":
            with pytest.raises(Invalid, match=r"blue could not be disabled: .*did not end within 1.5 s and was killed"):
                shop.move("green")
            assert shop.queue.enabled == {"blue"}
        else:  # it had done its work before it hung, and the status says so
            shop.move("green")
            assert shop.queue.enabled == {"green"}
        assert [
            p
            for p in psutil.process_iter(["cmdline"])
            if "disable" in (p.info["cmdline"] or []) and str(tmp_path) in p.info["cmdline"]
        ] == []
        shop.queue.assert_never_both()


def test_a_command_that_lies_is_found_out(shop: Switched) -> None:
    """An exit code of 0 is taken for a side that is off, and both take work."""
    shop.queue.breaks("disable", "blue", "lie")
    with pytest.raises(Invalid, match="blue could not be disabled: its status is enabled"):
        shop.move("green")
    assert shop.queue.enabled == {"blue"}


@pytest.mark.parametrize("how", ["garbage", "fail", "hang"])
def test_a_status_that_says_nothing_blocks(tmp_path: Path, how: str) -> None:
    """What nobody knows passes for good."""
    with open_switched(tmp_path, timeout_s=1.5) as shop:
        shop.mirror()
        shop.queue.breaks("status", "green", how)
        with pytest.raises(Transient, match=r"the status command of green .*Nothing was switched"):
            shop.move("green")
        assert shop.queue.enabled == {"blue"}
        reading = shop.traffic.observe([shop.service])["shop"]
        assert reading.route.weights == {}, "a route that nobody saw was observed"
        assert (reading.targets["green"].healthy, reading.targets["green"].unknown) == (0, 1)
        assert "status command of green" in reading.route.note


def test_an_owners_command_that_was_removed(tmp_path: Path) -> None:
    """A missing script leaves the queue without anybody who works."""
    with open_switched(tmp_path) as shop:
        shop.mirror()
        gone = {**shop.service.options["switch"], "enable": [str(tmp_path / "gone"), "{slot}"]}
        shop.service = type(shop.service)("shop", {**shop.service.options, "switch": gone})
        with pytest.raises(Transient, match=r"cannot be started.*NEITHER SIDE"):
            shop.move("green")
        assert shop.half_done, "nobody can see that a switch did not end"
        shop.service = shop.fleet.service()
        assert shop.move("green").active == "green"
        shop.queue.assert_never_both()


def test_an_instance_that_dies_while_it_is_enabled(shop: Switched) -> None:
    """A dead side keeps the queue, and the way back waits for it."""
    shop.move("green")
    (dead,) = shop.fleet.running(shop.service, "green")
    psutil.Process(shop.fleet.record(shop.service, dead)["pid"]).kill()
    wait_until(lambda: not shop.fleet.running(shop.service, "green"), "it never died")
    reading = shop.traffic.observe([shop.service])["shop"]
    assert (reading.targets["green"].unhealthy, reading.targets["blue"].healthy) == (1, 1)
    assert reading.route.weights == {"blue": 0, "green": 100}, "a death is taken for somebody's hand"
    assert shop.move("blue").active == "blue"
    shop.queue.put(3)
    wait_until(lambda: shop.queue.left == 0, "blue takes no work")


# People


@pytest.mark.parametrize("by_hand, found", [("enable green", (100, 100)), ("disable blue", (0, 0))])
def test_a_persons_hand_is_seen(shop: Switched, by_hand: str, found: tuple[int, int]) -> None:
    """The engine works against somebody who knows better."""
    before = shop.traffic.route(shop.service)
    shop.queue.ask(*by_hand.split())
    after = shop.traffic.route(shop.service)
    assert (after.weights["blue"], after.weights["green"]) == found
    assert after.revision != before.revision
    with pytest.raises(Conflict):
        shop.traffic.set_weights(shop.service, {"blue": 0, "green": 100}, before, shop.token())


# The emergency path


def test_the_thin_rollback_runs_the_same_commands(shop: Switched) -> None:
    """At night nothing but the engine can put a queue back."""
    target = shop.traffic.card_target(shop.service)
    shop.move("green")
    assert rollback.read(target)["weights"] == {"blue": 0, "green": 100}
    seen = rollback.put_back(target, {"blue": 100, "green": 0}, "night")
    assert seen["weights"] == {"blue": 100, "green": 0}
    assert shop.queue.enabled == {"blue"}
    shop.queue.assert_never_both()


@pytest.mark.parametrize("slot, how", [("green", "garbage"), ("blue", "fail")])
def test_at_night_an_exit_code_is_enough(shop: Switched, slot: str, how: str) -> None:
    """A broken status command keeps the on-call engineer from going back."""
    target = shop.traffic.card_target(shop.service)
    shop.move("green")
    shop.queue.breaks("status", slot, how)  # type: ignore[arg-type]
    rollback.put_back(target, {"blue": 100, "green": 0}, "night")
    assert shop.queue.enabled == {"blue"}
    shop.queue.assert_never_both()


def test_at_night_never_both_all_the_same(shop: Switched) -> None:
    """A rollback that cannot take one side off enables the other beside it."""
    target = shop.traffic.card_target(shop.service)
    shop.move("green")
    shop.queue.breaks("status", "green", "fail")
    shop.queue.breaks("disable", "green", "fail")
    with pytest.raises(Transient, match="never may both be"):
        rollback.put_back(target, {"blue": 100, "green": 0}, "night")
    assert shop.queue.enabled == {"green"}
    (stuck,) = shop.fleet.running(shop.service, "green")
    psutil.Process(shop.fleet.record(shop.service, stuck)["pid"]).kill()
    wait_until(lambda: not shop.fleet.running(shop.service, "green"), "it never died")
    rollback.put_back(target, {"blue": 100, "green": 0}, "night-2")
    assert "blue" in shop.queue.enabled
