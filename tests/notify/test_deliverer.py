from __future__ import annotations

import threading
from pathlib import Path

import pytest
import standardwebhooks

from rollout.database import StoreError
from rollout.notify import deliverer, sending
from rollout.notify.message import Message
from rollout.notify.outbox import CLAIM_S
from rollout.notify.schedule import DAY_S, HOURLY_S, Outcome
from rollout.notify.sending import Parcel, Sender
from rollout.store import Store
from tests.healthchecks.servers import Servers
from tests.notify.kit import KEY, SECRET_ENV, Desk, a_message, chat, hook
from tests.notify.receivers import Receivers


def test_both_ways_are_told_of_what_happened(desk: Desk, receivers: Receivers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollout halts at night and nobody learns of it."""
    hooked, chatted = receivers.start(), receivers.start()
    monkeypatch.setenv("CHAT_URL", f"json://127.0.0.1:{chatted.port}/")
    desk.happens(reason="both sides are sick")
    assert desk.deliverer(hook(hooked.url), chat()).tick() == 2
    (request,) = hooked.received
    told = standardwebhooks.Webhook(KEY).verify(request.body, dict(request.headers))
    assert told["data"]["reason"] == "both sides are sick"
    assert "rollout rollback shop" in chatted.received[0].json["message"]
    assert desk.deliverer(hook(hooked.url), chat()).tick() == 0


def test_a_failing_target_is_told_when_it_is_back_under_the_same_id(desk: Desk, receivers: Receivers) -> None:
    """A receiver that restarts misses its page, or takes its second try for a second page."""
    receiver = receivers.start(500, 503, 200)
    deliverer = desk.deliverer(hook(receiver.url))
    desk.happens()
    assert deliverer.tick() == 0
    desk.clock.sleep(9)
    assert (deliverer.tick(), len(receiver.received)) == (0, 1)
    desk.clock.sleep(1)
    assert (deliverer.tick(), len(receiver.received)) == (0, 2)
    desk.clock.sleep(60)
    assert (deliverer.tick(), len(receiver.received)) == (1, 3)
    assert len(set(receiver.ids)) == 1
    assert len({request.body for request in receiver.received}) == 1
    assert len({request.headers["webhook-signature"] for request in receiver.received}) == 3
    for request in receiver.received:
        standardwebhooks.Webhook(KEY).verify(request.body, dict(request.headers))


def test_each_delivery_has_an_id_of_its_own(desk: Desk, receivers: Receivers) -> None:
    """A receiver drops the second page as one that it had already."""
    one, two = receivers.start(), receivers.start()
    desk.happens()
    desk.happens()
    assert desk.deliverer(hook(one.url, "one"), hook(two.url, "two")).tick() == 4
    assert len({*one.ids, *two.ids}) == 4


def test_given_up_after_a_day_and_on_record(desk: Desk, receivers: Receivers) -> None:
    """A dead receiver is called for ever, or nobody can find out that it was dead."""
    receiver = receivers.start(500)
    deliverer = desk.deliverer(hook(receiver.url))
    desk.happens()
    for _ in range(60):
        assert deliverer.tick() == 0
        desk.clock.sleep(HOURLY_S)
    (entry,) = desk.failures
    assert (entry.data["target"], entry.data["problem"]) == ("hook", "it answered 500")
    assert 20 <= len(receiver.received) == entry.data["tries"] <= 28
    assert entry.at - desk.store.entries("shop-1")[-1].at <= DAY_S


@pytest.mark.parametrize(("status", "tries"), [(410, 1), (403, 5)])
def test_a_definite_no_is_believed(desk: Desk, receivers: Receivers, status: int, tries: int) -> None:
    """A receiver that was taken down is called all day."""
    receiver = receivers.start(status)
    deliverer = desk.deliverer(hook(receiver.url))
    desk.happens()
    for _ in range(10):
        deliverer.tick()
        desk.clock.sleep(HOURLY_S)
    assert len(receiver.received) == tries and len(desk.failures) == 1


def test_a_hanging_target_delays_nobody_else(desk: Desk, servers: Servers, receivers: Receivers) -> None:
    """The first target in the file is down, and so nobody at all is told."""
    receiver = receivers.start()
    dead = hook(f"{servers.silent().url}/", "dead")
    desk.happens()
    desk.happens()
    assert desk.deliverer(dead, hook(receiver.url, "well")).flush(0.5) == 1
    assert len(receiver.received) == 1
    assert desk.deliverer(dead, hook(receiver.url, "well")).flush(0.5) == 1
    assert [each.problem for each in desk.outbox.pending()] == ["no answer in time"] * 2


def test_a_tick_is_bounded_however_much_is_due(desk: Desk, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred pages to a dead receiver keep whoever delivers busy for an hour."""
    monkeypatch.setattr(deliverer, "TOTAL_S", 0.2)
    silent = servers.silent()
    delivering = desk.deliverer(hook(f"{silent.url}/"))
    for _ in range(5):
        desk.happens()
    assert delivering.tick() == delivering.tick() == 0
    assert len(silent.requests) == 1
    desk.clock.sleep(10)
    delivering.tick()
    assert len(silent.requests) == 2


def test_a_refused_address_is_a_failed_delivery_and_no_more(desk: Desk, receivers: Receivers) -> None:
    """A bad address in the settings stops whoever delivers."""
    receiver = receivers.start()
    desk.happens()
    inner = hook(receiver.url, "inner", private=False)
    assert desk.deliverer(inner, hook(receiver.url)).tick() == 1
    (pending,) = desk.outbox.pending()
    assert pending.target == "inner" and "private: true" in pending.problem


def test_a_secret_that_is_missing_here_may_be_there_in_the_next_process(
    desk: Desk, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person's shell has no secret, and so `rollout serve`, which has it, waits for an hour."""
    receiver = receivers.start()
    desk.happens()
    monkeypatch.delenv(SECRET_ENV)
    for _ in range(20):
        assert desk.deliverer(hook(receiver.url)).tick() == 0
        desk.clock.sleep(60)
    monkeypatch.setenv(SECRET_ENV, KEY)
    assert desk.deliverer(hook(receiver.url)).tick() == 1


def test_two_processes_tell_once(desk: Desk, receivers: Receivers) -> None:
    """`rollout serve` and a command that follows a rollout both page somebody."""
    receiver = receivers.start()
    for _ in range(12):
        desk.happens()
    other = Store(desk.path)
    both = [desk.deliverer(hook(receiver.url)), desk.deliverer(hook(receiver.url), store=other)]
    sent = dict[int, int]()
    threads = [threading.Thread(target=lambda n=n: sent.update({n: both[n].tick()})) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    other.close()
    assert sum(sent.values()) == 12
    assert len(receiver.ids) == len(set(receiver.ids)) == 12


def test_a_process_that_died_over_a_page_is_followed_by_one_that_sends_it(desk: Desk, receivers: Receivers) -> None:
    """A page is lost because its process was killed."""
    receiver = receivers.start()
    desk.happens()

    def killed(*_: object) -> Message:
        raise SystemExit(137)

    dying = desk.deliverer(hook(receiver.url))
    dying._describe = killed
    with pytest.raises(SystemExit):
        dying.tick()
    assert desk.deliverer(hook(receiver.url)).tick() == 0
    desk.clock.sleep(CLAIM_S)
    assert desk.deliverer(hook(receiver.url)).tick() == 1


def test_a_store_that_cannot_be_used_is_said(desk: Desk, receivers: Receivers) -> None:
    """Pages stop and nobody is told that the store is the reason."""
    delivering = desk.deliverer(hook(receivers.start().url))
    desk.store.close()
    with pytest.raises(StoreError):
        delivering.tick()
    desk.store = Store(desk.path)


PASSWORD = "hunter2-in-the-address"


def test_no_secret_is_kept_logged_or_printed(
    desk: Desk,
    receivers: Receivers,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    root_log: list[str],
) -> None:
    """A token is in the journal, where it can never be taken out again."""
    gone, dead = receivers.start(410), f"me:{PASSWORD}@{Servers.nobody()}"
    targets = [hook(gone.url)]
    for number, address in enumerate([f"json://{dead}/{PASSWORD}", f"slack://{PASSWORD}", f"mailtos://{dead}"]):
        monkeypatch.setenv(f"CHAT_{number}", address)
        targets.append(chat(f"chat-{number}", f"CHAT_{number}"))
    targets.append(hook(f"https://me:{PASSWORD}@8.8.8.8/", "login"))
    desk.happens()
    deliverer = desk.deliverer(*targets)
    for _ in range(27):
        deliverer.tick()
        desk.clock.sleep(HOURLY_S)
    assert len(desk.failures) == len(targets)
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    said = "".join(capfd.readouterr()) + "".join(root_log) + repr(targets[:-1]) + repr(desk.failures)
    for secret in (PASSWORD, KEY, KEY.removeprefix("whsec_")):
        assert secret.encode() not in kept and secret not in said


# Sender


def test_a_target_never_has_two_tries_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each retry to a plugin that hangs leaves one more thread behind."""
    let_go, begun = threading.Event(), list[str]()

    def hangs(parcel: Parcel, now: float, within_s: float) -> Outcome:
        begun.append(parcel.target.name)
        let_go.wait(30)
        return Outcome()

    monkeypatch.setattr(sending, "try_once", hangs)
    monkeypatch.setattr(sending, "_GRACE_S", 0.0)
    sender, parcels = Sender(desk.clock), [Parcel(chat(), a_message(), "msg_1")]
    assert sender.send(parcels, 0.1) == [Outcome("no answer within 0.1 s")]
    assert sender.send(parcels, 0.1) == [Outcome("the try before this one still hangs")]
    let_go.set()
    for thread in sender._hanging.values():
        thread.join(10)
    assert sender.send(parcels, 5.0) == [Outcome()]
    assert begun == ["chat", "chat"]


def test_a_host_without_a_thread_left_is_an_outcome(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever delivers dies at the one moment when the host is in trouble, and nothing is told ever after."""

    def refuses(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuses)
    (outcome,) = Sender(desk.clock).send([Parcel(chat(), a_message(), "msg_1")], 5.0)
    assert outcome.problem == "no thread could be started for it"


def test_the_fault_of_a_plugin_is_an_outcome_without_its_words(
    monkeypatch: pytest.MonkeyPatch, desk: Desk, capfd: pytest.CaptureFixture[str]
) -> None:
    """A plugin that raises takes the whole process with it, or prints the address in its exception."""

    def fails(*_: object) -> Outcome:
        raise RuntimeError(PASSWORD)

    monkeypatch.setenv("CHAT_URL", "json://127.0.0.1")
    monkeypatch.setattr("rollout.notify.by_apprise.send_apprise", fails)
    (outcome,) = Sender(desk.clock).send([Parcel(chat(), a_message(), "msg_1")], 5.0)
    assert outcome == Outcome("trying it ended in RuntimeError")
    assert PASSWORD not in "".join(capfd.readouterr())
