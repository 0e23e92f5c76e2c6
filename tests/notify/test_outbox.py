from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.news import NewsKind
from rollout.notify.outbox import CLAIM_S, KEPT_S, Delivery, Outbox
from rollout.notify.schedule import DAY_S, HOURLY_S, Outcome
from rollout.notify.target import Target
from rollout.store import Store
from tests.notify.kit import ROLLOUT, Desk, hook

FAILED = Outcome("it answered 500")
SENT = Outcome()
HOOK, CI = hook("https://one/", "hook"), hook("https://two/", "ci", on=("rolled_back",))


def claimed(desk: Desk, *targets: Target) -> list[Delivery]:
    """What is due to these targets now, as a deliverer would take it."""
    desk.outbox.tidy(targets, desk.clock.now())
    return desk.outbox.claim({target.name for target in targets}, desk.clock.now())


def test_news_goes_once_to_each_target_that_wants_its_kind(desk: Desk) -> None:
    """Somebody is told twice, or of what he did not ask for."""
    desk.happens()
    (delivery,) = claimed(desk, HOOK, CI)
    assert (delivery.target, delivery.news.kind, delivery.tries) == ("hook", "halted", 1)
    desk.outbox.note(delivery, SENT, desk.clock.now())
    assert claimed(desk, HOOK, CI) == []
    assert desk.count("deliveries") == 1


def test_news_that_nobody_wants_is_not_kept(desk: Desk) -> None:
    """A target that is added tomorrow is flooded with what nobody wanted today."""
    desk.happens()
    assert claimed(desk, CI) == []
    assert desk.count("news") == 0


def test_news_from_before_there_was_a_target_is_dropped_after_a_day(desk: Desk) -> None:
    """A target that was configured today gets all of last week."""
    desk.happens()
    desk.clock.sleep(DAY_S + 1)
    desk.happens("warned", about="failing", reason="now")
    (delivery,) = claimed(desk, HOOK)
    assert (delivery.news.kind, desk.count("news"), desk.failures) == ("failing_while_warm", 1, [])


def test_without_targets_nothing_piles_up(desk: Desk) -> None:
    """A fleet that nobody wants to hear of fills its store with news."""
    desk.happens()
    desk.outbox.tidy([], desk.clock.now())
    assert desk.count("news") == 1
    desk.clock.sleep(DAY_S + 1)
    desk.outbox.tidy([], desk.clock.now())
    assert desk.count("news") == 0


def test_the_oldest_comes_first_and_one_at_a_time_for_each_target(desk: Desk) -> None:
    """People read the end of a story before its beginning."""
    desk.happens("waiting", "approval", deadline_at=None)
    desk.happens()
    both = hook("https://three/", "both")
    found = claimed(desk, HOOK, both)
    assert [(each.target, each.news.kind) for each in found] == [
        ("both", "approval_wanted"),
        ("hook", "approval_wanted"),
    ]
    assert [each.news.kind for each in claimed(desk, HOOK, both)] == ["halted", "halted"]
    assert claimed(desk, HOOK, both) == []


def test_what_is_claimed_is_not_claimed_by_another_process(desk: Desk) -> None:
    """`rollout serve` and a command that ends at the same time both page somebody."""
    desk.happens()
    other = Store(desk.path)
    desk.outbox.tidy([HOOK], desk.clock.now())
    Outbox(other.db).tidy([HOOK], desk.clock.now())
    assert len(desk.outbox.claim({"hook"}, desk.clock.now())) == 1
    assert Outbox(other.db).claim({"hook"}, desk.clock.now()) == []
    other.close()


def test_a_crash_between_claim_and_answer_sends_again(desk: Desk) -> None:
    """A page is lost because the machine died at the wrong moment."""
    desk.happens()
    (first,) = claimed(desk, HOOK)
    desk.clock.sleep(CLAIM_S - 1)
    assert claimed(desk, HOOK) == []
    desk.clock.sleep(1)
    (again,) = claimed(desk, HOOK)
    assert (again.news, again.tries) == (first.news, 2)


def test_a_late_failure_does_not_overwrite_what_another_process_knows(desk: Desk) -> None:
    """A process that was stopped for a minute puts a running try off, or ends it."""
    desk.happens()
    (slow,) = claimed(desk, HOOK)
    desk.clock.sleep(CLAIM_S)
    (fast,) = claimed(desk, HOOK)
    desk.outbox.note(slow, Outcome("gone", most_tries=0), desk.clock.now())
    assert desk.failures == []
    desk.outbox.note(fast, SENT, desk.clock.now())
    desk.outbox.note(slow, FAILED, desk.clock.now())
    assert desk.outbox.pending() == []


def test_failures_follow_the_schedule_and_are_there_to_be_read(desk: Desk) -> None:
    """Nobody can see why no page came."""
    desk.happens()
    (delivery,) = claimed(desk, HOOK)
    desk.outbox.note(delivery, FAILED, desk.clock.now())
    (pending,) = desk.outbox.pending()
    assert (pending.target, pending.kind, pending.service, pending.tries) == ("hook", "halted", "shop", 1)
    assert (pending.problem, pending.due_at) == ("it answered 500", desk.clock.now() + 10)


def test_given_up_is_journalled_once_and_never_tried_again(desk: Desk) -> None:
    """A page that never arrived leaves no trace."""
    desk.happens()
    (delivery,) = claimed(desk, HOOK)
    desk.outbox.note(delivery, Outcome("it answered 410", most_tries=0), desk.clock.now())
    (entry,) = desk.failures
    assert entry.step == "shop"
    assert entry.data == {
        "target": "hook",
        "about": "halted",
        "rollout": ROLLOUT,
        "at": delivery.news.at,
        "tries": 1,
        "problem": "it answered 410",
    }
    desk.clock.sleep(DAY_S + HOURLY_S)
    assert claimed(desk, HOOK) == [] and len(desk.failures) == 1


def test_what_a_dead_process_had_claimed_is_given_up_after_a_day(desk: Desk) -> None:
    """A page that kills its process is tried for ever, and no one ever learns of it."""
    desk.happens()
    claimed(desk, HOOK)
    desk.clock.sleep(DAY_S + 1)
    assert claimed(desk, HOOK) == []
    assert [entry.data["problem"] for entry in desk.failures] == ["no answer to it is on record"]


def test_what_was_never_tried_is_told_late_rather_than_never(desk: Desk) -> None:
    """The host was off over the weekend, and nobody learns that the rollout halted."""
    desk.happens()
    desk.outbox.tidy([HOOK], desk.clock.now())
    desk.clock.sleep(2 * DAY_S)
    (delivery,) = claimed(desk, HOOK)
    desk.outbox.note(delivery, FAILED, desk.clock.now())
    assert [entry.data["problem"] for entry in desk.failures] == ["it answered 500"]


def test_a_target_that_is_gone_from_the_settings_does_not_wait_for_ever(desk: Desk) -> None:
    """Its deliveries stay due for all time."""
    desk.happens()
    claimed(desk, HOOK)
    desk.clock.sleep(DAY_S + 1)
    assert claimed(desk, CI) == []
    assert [entry.data["problem"] for entry in desk.failures] == ["it is no longer among the receivers"]
    assert desk.outbox.pending() == []


def test_old_news_is_removed_and_what_is_due_is_not(desk: Desk) -> None:
    """The store grows for ever, or forgets what was never told."""
    desk.happens()
    (delivery,) = claimed(desk, HOOK)
    desk.outbox.note(delivery, SENT, desk.clock.now())
    desk.clock.sleep(KEPT_S - 1)
    desk.happens()
    desk.outbox.tidy([HOOK], desk.clock.now())
    assert desk.count("news") == 2
    desk.clock.sleep(1)
    desk.outbox.tidy([HOOK], desk.clock.now())
    assert (desk.count("news"), desk.count("deliveries")) == (1, 1)


def test_a_clock_that_was_set_back_silences_nobody(desk: Desk) -> None:
    """After a wrong time was put right, pages wait until that wrong time has come."""
    desk.happens()
    (delivery,) = claimed(desk, HOOK)
    desk.outbox.note(delivery, FAILED, desk.clock.now())
    desk.clock._now -= 5 * HOURLY_S
    assert len(claimed(desk, HOOK)) == 1


def test_what_the_journal_said_then_is_told_at_every_try(desk: Desk) -> None:
    """The second try of a page says something else under the same id."""
    desk.happens("done", "swap:1:10", value={"weights": {"blue": 90, "green": 10}})
    desk.happens("roll_back_decided", reason="too slow", kind="gate", actor="rollout", readiness="ready")
    desk.happens("done", "back:swap", value={"weights": {"blue": 100, "green": 0}})
    desk.happens("closed", "rolled_back", outcome="rolled_back")
    (first,) = claimed(desk, HOOK)
    assert (first.news.reason, first.news.step, first.news.patch) == ("too slow", "rolled_back", "base-2")
    assert first.news.traffic == {"blue": 100, "green": 0}
    desk.happens("done", "later", value={"weights": {"blue": 0, "green": 100}})
    desk.clock.sleep(CLAIM_S)
    (again,) = claimed(desk, HOOK)
    assert again.news == first.news


def test_news_of_a_rollout_that_is_no_more_can_be_told(desk: Desk) -> None:
    """Pruned journals stop all pages."""
    desk.happens()
    with desk.store.db.transaction() as db:
        db.execute("DELETE FROM journal")
    (delivery,) = claimed(desk, HOOK)
    assert (delivery.news.traffic, delivery.news.reason, delivery.news.step) == (None, "", "")


KINDS: tuple[NewsKind, ...] = ("halted", "rolled_back")
ACTS = st.lists(
    st.sampled_from(["happens", "tick", "crash", "fail", "refuse"]) | st.floats(1, DAY_S), min_size=5, max_size=25
)


@pytest.mark.parametrize("targets", [(HOOK,), (HOOK, CI)])
@settings(max_examples=25, deadline=None)
@given(acts=ACTS)
def test_everything_ends_as_sent_or_on_record(
    targets: Sequence[Target], acts: list[str | float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In some order of crashes and failures a page is neither delivered nor given up, or is delivered twice."""
    desk = Desk(Path(tmp_path_factory.mktemp("outbox")) / "rollout.db")
    happened, sent = 0, list[tuple[int, str]]()
    for act in [*acts, *["tick"] * len(acts), 2 * DAY_S, "tick", *["tick"] * len(acts)]:
        if isinstance(act, float):
            desk.clock.sleep(act)
        elif act == "happens":
            desk.happens()
            desk.outbox.tidy(targets, desk.clock.now())
            happened += 1
        else:
            for delivery in claimed(desk, *targets):
                outcome = {"fail": FAILED, "refuse": Outcome("no", most_tries=2)}.get(act, SENT)
                if act != "crash":
                    desk.outbox.note(delivery, outcome, desk.clock.now())
                if act == "tick":
                    sent.append((delivery.news.id, delivery.target))
    assert desk.outbox.pending() == []
    assert len(sent) == len(set(sent))
    assert len(sent) + len(desk.failures) == happened
    desk.store.close()
