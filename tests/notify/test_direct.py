from __future__ import annotations

import threading

import pytest
import standardwebhooks

from providers.memory.clock import VirtualClock
from rollout.notify.direct import AGAIN_S, StoreTrouble, send_test, tell_directly
from tests.healthchecks.servers import Servers
from tests.notify.kit import KEY, Desk, chat, hook
from tests.notify.receivers import Receiver, Receivers


@pytest.fixture
def clock(desk: Desk) -> VirtualClock:
    """Time that only tests move."""
    return desk.clock


def titles(receiver: Receiver) -> list[str]:
    """What was told, by its first line."""
    return [request.json["data"]["text"].split(":")[0] for request in receiver.received]


def test_a_target_is_told_without_a_store(receivers: Receivers, clock: VirtualClock) -> None:
    """The disk is full, nothing can be recorded, and for that reason nobody is told."""
    receiver, other = receivers.start(), receivers.start()
    targets = [hook(receiver.url), hook(other.url, "ci", on=("halted",))]
    assert tell_directly(targets, "store_trouble", "disk\nfull", clock) == []
    (request,) = receiver.received
    told = standardwebhooks.Webhook(KEY).verify(request.body, dict(request.headers))
    assert (told["type"], told["data"]["text"]) == ("rollout.store_trouble", "disk full")
    assert told["data"]["next"] == "rollout doctor"
    assert other.received == []


def test_problems_are_sentences_and_stop_nobody(receivers: Receivers, clock: VirtualClock) -> None:
    """The first target is down, and so the second is not told of it."""
    receiver = receivers.start()
    dead = hook(f"http://{Servers.nobody()}/", "dead")
    assert tell_directly([dead, hook(receiver.url)], "store_trouble", "disk full", clock) == [
        "dead could not be told: it takes no connection"
    ]
    assert len(receiver.received) == 1


def test_a_test_goes_to_every_target_whatever_it_is_told_of(
    receivers: Receivers, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody learns that his page does not work when it should have come."""
    receiver, refusing = receivers.start(), receivers.start(403)
    monkeypatch.delenv("CHAT_URL", raising=False)
    targets = [hook(receiver.url, "one", on=("halted",)), hook(refusing.url, "two"), chat("three")]
    assert send_test(targets, clock) == [
        ("one", ""),
        ("two", "it answered 403"),
        ("three", "the variable CHAT_URL is not set"),
    ]
    assert receiver.received[0].json["type"] == "rollout.test"
    assert "is told of: halted." in receiver.received[0].json["data"]["text"]


def test_trouble_is_told_at_once_and_again_after_ten_minutes(receivers: Receivers, clock: VirtualClock) -> None:
    """A page a second, or one page for a night without a store."""
    receiver = receivers.start()
    trouble = StoreTrouble([hook(receiver.url)], clock)
    for _ in range(int(2 * AGAIN_S)):
        assert trouble.seen("disk full") == []
        clock.sleep(1)
    assert len(receiver.received) == 2
    assert "disk full" in receiver.received[0].json["data"]["text"]


def test_the_end_is_told_once_to_those_who_were_told_of_the_beginning(
    receivers: Receivers, clock: VirtualClock
) -> None:
    """Somebody gets up for trouble that is over, or is told that no trouble ended."""
    receiver = receivers.start()
    trouble = StoreTrouble([hook(receiver.url)], clock)
    trouble.over()
    assert receiver.received == []
    trouble.seen("disk full")
    trouble.over()
    trouble.over()
    assert titles(receiver)[1:] == ["The store can be used again; rollouts go on"]


def test_trouble_that_comes_and_goes_is_not_told_each_time(receivers: Receivers, clock: VirtualClock) -> None:
    """A store at the edge of a full disk pages a hundred times a minute."""
    receiver = receivers.start()
    trouble = StoreTrouble([hook(receiver.url)], clock)
    for _ in range(100):
        trouble.seen("disk full")
        clock.sleep(1)
        trouble.over()
    assert len(receiver.received) == 2


def test_two_threads_that_meet_the_same_trouble_tell_it_once(receivers: Receivers, clock: VirtualClock) -> None:
    """Each part of a serving process pages for itself."""
    receiver = receivers.start()
    trouble = StoreTrouble([hook(receiver.url)], clock)
    threads = [threading.Thread(target=trouble.seen, args=("disk full",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(receiver.received) == 1


def test_what_cannot_be_told_is_returned(clock: VirtualClock, receivers: Receivers) -> None:
    """Neither the store works nor the pages, and the screen says nothing."""
    trouble = StoreTrouble([hook(receivers.start(500).url)], clock)
    assert trouble.seen("disk full") == ["hook could not be told: it answered 500"]
    assert trouble.over() == ["hook could not be told: it answered 500"]
