"""A warm side is watched all the while: quietly when all is well, once when it is not; and its way back is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from healthchecks import failed_responses
from healthchecks.base import Subject, Verdict
from rollout.journal import first_broken_link
from rollout.plan import CheckSpec, Plan
from rollout.run import Run
from rollout.store import NEVER
from rollout.vigil import AGAIN_S, LOOK_S, QUIET_S, WARN_AGAIN_S, WINDOW_S
from tests.core.interrupting import dies_at
from tests.core.scene import FAST, HOLDER, RIVAL, ROLLOUT, SHOP, World, a_plan, phase_is

HOUR = 3600.0
NIGHT = a_plan(keep_warm_s=10 * HOUR, notice_s=0.0)


class Answers:
    """What the live check says from now on; everything else passes. `looks` counts how often it was asked."""

    def __init__(self) -> None:
        self.live, self.looks, self.subject = "pass", 0, None

    subject: Any

    def __call__(self, spec: CheckSpec, subject: Subject) -> Verdict:
        """The arranged answer about the replacement; the side beside it is always well."""
        if subject.role != "replacement":
            return Verdict.passed("good")
        self.looks, self.subject = self.looks + 1, subject
        return Verdict(self.live, f"it says {self.live}")  # type: ignore[arg-type]


def warm(folder: Path, plan: Plan = NIGHT, ask: Any = None, **cloud: Any) -> tuple[World, Any]:
    """A rollout that has just become warm."""
    answers = ask or Answers()
    world = World(folder, plan, ask=answers, **cloud)
    assert world.drive(watched).phase == "warm"
    return world, answers


def watched(world: World) -> bool:
    """The warm side was looked at for the first time."""
    wait = world.store.wait(ROLLOUT)
    return wait is not None and wait.step == "keep-warm" and "judged" in wait.state


def go_on(world: World, seconds: float, until: Callable[[World], bool] = lambda world: False) -> None:
    """Jobs as they are due for so long, as a server makes them."""
    ends_at = world.clock.now() + seconds
    while world.row.closed_at is None and min(world.row.due_at, NEVER) <= ends_at and not until(world):
        world.passes(max(0.0, world.row.due_at - world.clock.now()))
        world.job()


def since_warm(world: World) -> list[str]:
    """What was journalled since the rollout became warm."""
    kinds = world.kinds()
    return kinds[kinds.index("entered warm") + 1 :]


def told(world: World) -> list[tuple[str, str]]:
    """Warnings as they were given and taken back."""
    return [(e.kind, e.data["about"]) for e in world.journal.entries if e.kind in ("warned", "cleared")]


# Watching


def test_a_quiet_night_leaves_no_trace(tmp_path: Path) -> None:
    """A thousand entries that say nothing hide the one that matters, and the disk fills."""
    world, answers = warm(tmp_path)
    before, asked = len(world.journal.entries), answers.looks
    go_on(world, 9 * HOUR)
    assert len(world.journal.entries) == before
    assert answers.looks - asked == pytest.approx(9 * HOUR / LOOK_S, abs=2)


def test_a_failing_side_is_told_once_and_once_when_it_is_over_and_again(tmp_path: Path) -> None:
    """The promoted side breaks at night and nobody learns of it, or learns it every half minute."""
    world, answers = warm(tmp_path)
    for answer in ("fail", "pass", "fail"):
        answers.live = answer
        go_on(world, HOUR)
    assert told(world) == [("warned", "failing"), ("cleared", "failing"), ("warned", "failing")]
    warned = world.entries("warned")[0]
    assert "failed 2 times in a row" in warned.data["reason"] and "it says fail" in warned.data["reason"]
    assert world.row.outcome == "promoted" and world.weights == {"blue": 0, "green": 100}
    assert world.journal.decision is None


def test_one_failing_look_is_no_alarm(tmp_path: Path) -> None:
    """Somebody is woken for one slow answer."""
    world, answers = warm(tmp_path)
    answers.live = "fail"
    world.passes(LOOK_S)
    world.job()
    answers.live = "pass"
    go_on(world, HOUR)
    assert told(world) == []
    verdicts = [entry.data["answer"] for entry in world.entries("verdict_changed") if entry.data.get("check")][-2:]
    assert verdicts == ["fail", "pass"]


def test_one_good_look_is_no_recovery(tmp_path: Path) -> None:
    """A side that fails every other minute tells of trouble and of its end all night long."""
    world, answers = warm(tmp_path)
    answers.live = "fail"
    go_on(world, 4 * LOOK_S)
    for _ in range(20):
        answers.live = "pass"
        go_on(world, LOOK_S)
        answers.live = "fail"
        go_on(world, 2 * LOOK_S)
    assert told(world) == [("warned", "failing")]


DAY = 24 * HOUR


@pytest.mark.parametrize(("bad", "good"), [(1, 1), (2, 1), (2, 12), (3, 57)])
def test_a_check_that_flaps_all_day_wakes_nobody_twenty_times_an_hour(tmp_path: Path, bad: int, good: int) -> None:
    """The page that matters is the hundredth of that night, and nobody reads it; the journal is full of turns."""
    world, answers = warm(tmp_path, replace(NIGHT, keep_warm_s=2 * DAY))
    before, ends_at = len(world.journal.entries), world.clock.now() + DAY
    while world.clock.now() < ends_at:
        for answer, looks in (("fail", bad), ("pass", good)):
            answers.live = answer
            go_on(world, looks * LOOK_S)
    (news,) = world.store.db.all("SELECT count(*) FROM news")[0]
    assert len(world.journal.entries) - before < 120 and news < 60
    warned = [entry.at for entry in world.entries("warned")]
    assert all(later - sooner >= WARN_AGAIN_S for sooner, later in pairwise(warned))
    assert bad == 1 or warned, "it is told"


def test_what_flapped_and_then_stays_bad_is_told_again(tmp_path: Path) -> None:
    """After one false alarm the real one is never told."""
    world, answers = warm(tmp_path)
    answers.live = "fail"
    go_on(world, 3 * LOOK_S)
    answers.live = "pass"
    go_on(world, QUIET_S + 2 * LOOK_S)
    answers.live = "fail"
    began_at = world.clock.now()
    go_on(world, HOUR)
    assert told(world) == [("warned", "failing"), ("cleared", "failing"), ("warned", "failing")]
    first, again = world.entries("warned")
    assert again.at >= first.at + WARN_AGAIN_S and again.at - began_at < WARN_AGAIN_S
    assert "again: told 1 times before" in again.data["reason"]


@pytest.mark.parametrize("looks_off", [-2, 2])
def test_it_is_well_again_only_after_a_quiet_while(tmp_path: Path, looks_off: int) -> None:
    """People are told that it is over after a minute, and it is not."""
    world, answers = warm(tmp_path)
    answers.live = "fail"
    go_on(world, 4 * LOOK_S)
    answers.live = "pass"
    go_on(world, QUIET_S + looks_off * LOOK_S)
    assert ("cleared", "failing") in told(world) or looks_off < 0
    assert ("cleared", "failing") not in told(world) or looks_off > 0


def test_not_knowing_is_no_alarm_at_night(tmp_path: Path) -> None:
    """Too few requests to judge at three in the morning wake the on-call engineer."""
    world, answers = warm(tmp_path)
    answers.live = "unknown"
    before = len(world.journal.entries)
    go_on(world, 9 * HOUR)
    assert told(world) == [] and len(world.journal.entries) == before


def test_not_knowing_does_not_take_a_warning_back(tmp_path: Path) -> None:
    """A side that broke so badly that no requests end is called well again."""
    world, answers = warm(tmp_path)
    answers.live = "fail"
    go_on(world, 4 * LOOK_S)
    answers.live = "unknown"
    go_on(world, HOUR)
    assert told(world) == [("warned", "failing")]


def test_a_balancer_that_cannot_be_read_for_a_moment_ends_no_watch(tmp_path: Path) -> None:
    """One slow answer at night ends the watch, or is told as a failing patch."""
    world, answers = warm(tmp_path)
    world.cloud.switches.fail["traffic.observe"] = "transient"
    go_on(world, 10 * LOOK_S)
    world.cloud.switches.fail.clear()
    answers.live = "fail"
    go_on(world, 4 * LOOK_S)
    assert told(world) == [("warned", "failing")] and world.row.outcome == "promoted"


def test_hosts_that_cannot_be_listed_for_hours_end_no_watch(tmp_path: Path) -> None:
    """The platform's list of hosts is gone for a while, and a service that serves well is halted for it."""
    world, answers = warm(tmp_path)
    world.cloud.switches.fail["compute.observe"] = "transient"
    go_on(world, 2 * HOUR)
    assert world.row.outcome == "promoted"
    answers.live = "fail"
    go_on(world, 4 * LOOK_S)
    assert ("warned", "failing") in told(world)


def test_a_plan_may_ask_to_turn_back_while_warm(tmp_path: Path) -> None:
    """The owner asked to be put back by itself at night, and is only told."""
    world, answers = warm(tmp_path, replace(NIGHT, rollback_while_warm=True))
    go_on(world, HOUR)
    answers.live = "fail"
    assert world.drive().outcome == "rolled_back"
    assert world.weights == {"blue": 100, "green": 0}
    decision = world.journal.decision
    assert decision is not None and decision.data["kind"] == "gate" and decision.data["deny"] is True
    assert "base-2" in world.store.denials("shop")


def test_turning_back_while_warm_needs_an_original_that_serves(tmp_path: Path) -> None:
    """Traffic is sent by itself onto a warm side that died long ago."""
    world, answers = warm(tmp_path, replace(NIGHT, rollback_while_warm=True))
    world.cloud.switches.health_lies["shop/blue"] = "unhealthy"
    answers.live = "fail"
    row = world.drive()
    assert row.outcome == "halted" and world.weights == {"blue": 0, "green": 100}


def test_a_hold_mark_while_warm_still_turns_back(tmp_path: Path) -> None:
    """The on-call engineer puts traffic back at night, and the rollout stays promoted."""
    world, _ = warm(tmp_path)
    go_on(world, HOUR)
    world.edit(0)
    world.mark()
    assert world.drive().outcome == "rolled_back"
    assert world.cloud.snapshot("shop")["mark"] is None


def test_a_strangers_edit_while_warm_halts(tmp_path: Path) -> None:
    """Somebody moves traffic by hand, and the old side is deleted under it when the window ends."""
    world, _ = warm(tmp_path)
    world.edit(50)
    row = world.drive()
    assert row.outcome == "halted" and world.provider.compute.describe(SHOP)["blue"].exists


def test_the_warm_time_can_be_ended_early(tmp_path: Path) -> None:
    """The next patch waits a day for the window of the last."""
    world, _ = warm(tmp_path)
    now = world.clock.now()
    world.store.decide(ROLLOUT, world.journal.head, "warm_ended", {"by": "me"}, now)
    assert world.drive().phase == "retired"
    assert world.clock.now() - now < 120


def test_a_killed_server_goes_on_watching_where_it_was(tmp_path: Path) -> None:
    """Each restart of the server forgets what it has seen, and a failing side is never told."""
    world, answers = warm(tmp_path)
    answers.live = "fail"
    world.passes(LOOK_S)
    world.job(HOLDER)
    assert told(world) == []
    world.passes(LOOK_S)
    world.job(RIVAL)
    assert told(world) == [("warned", "failing")]


# Counting from a reading that is never old


def counting(spec: CheckSpec, subject: Subject) -> Verdict:
    """The real check of real traffic, a hundred requests a second."""
    return failed_responses.ask(failed_responses.Options(max_share=0.05), subject)


@pytest.mark.parametrize("good_s", [0.0, HOUR, 9 * HOUR])
def test_hours_of_good_traffic_do_not_hide_a_bad_minute(tmp_path: Path, good_s: float) -> None:
    """A service that breaks in the fourth hour has to fail for hours before anybody is told."""
    world, _ = warm(tmp_path)
    world.asking(counting)
    go_on(world, good_s)
    assert told(world) == []
    world.behaves("base-2", error_share_live=0.5)
    broken_at = world.clock.now()
    for instance in world.cloud.service(SHOP).slots["green"].instances:
        instance.image = world.cloud.images["base-2"]
    go_on(world, HOUR, until=lambda world: bool(told(world)))
    assert told(world) == [("warned", "failing")]
    assert world.clock.now() - broken_at <= WINDOW_S


def test_a_clock_that_was_set_back_does_not_widen_what_is_counted(tmp_path: Path) -> None:
    """After the clock is set back by an hour, a bad minute hides in an hour of good traffic."""
    ages = list[float]()

    def aged(spec: CheckSpec, subject: Subject) -> Verdict:
        since = subject.readings.since
        ages.append(abs(subject.readings.traffic().at - since.at) if since else 0.0)
        return Verdict.passed("good")

    world, _ = warm(tmp_path, ask=aged)
    go_on(world, HOUR)
    world.clock._now -= HOUR
    world.store.wake_all(world.clock.now())
    go_on(world, 100.0)
    ages.clear()
    go_on(world, 2 * HOUR)
    assert max(ages) <= 2 * (WINDOW_S + LOOK_S)


# The end of the way back


def ending(folder: Path, keep_warm_s: float, notice_s: float) -> list[float]:
    """How long before the end of the window it was told, each time."""
    world = World(folder, a_plan(keep_warm_s=keep_warm_s, notice_s=notice_s))
    world.drive(jobs=1000)
    until = world.journal.value("promote")["valid_until"]
    return [until - entry.at for entry in world.entries("warned") if entry.data["about"] == "way_back_ending"]


@pytest.mark.parametrize(("keep_warm_s", "notice_s"), [(4 * HOUR, 600.0), (HOUR, HOUR), (240.0, HOUR)])
def test_that_the_way_back_closes_is_told_once_and_in_time(tmp_path: Path, keep_warm_s: float, notice_s: float) -> None:
    """Nobody has the chance to look once more, or everybody is told all night."""
    (left_s,) = ending(tmp_path, keep_warm_s, notice_s)
    notice_s = min(notice_s, keep_warm_s / 4)
    assert notice_s - LOOK_S <= left_s <= notice_s


def test_no_window_has_no_end_to_tell_of(tmp_path: Path) -> None:
    """A rollout without a window warns of losing what it never had."""
    assert ending(tmp_path, 0.0, HOUR) == []


def test_a_server_that_comes_late_tells_still(tmp_path: Path) -> None:
    """The server was down when the notice was due, and the way back closes without a word."""
    world, _ = warm(tmp_path, a_plan(keep_warm_s=HOUR, notice_s=600.0))
    world.passes(HOUR - 60)
    world.job()
    (warned,) = world.entries("warned")
    assert warned.data["about"] == "way_back_ending" and 0 < warned.data["until"] - warned.at <= 60


# Keeping the way back


def alive(world: World, slot: str) -> int:
    """Hosts of a slot that run."""
    hosts = world.provider.compute.observe([SHOP])["shop"]
    return sum(each.slot == slot and each.state == "running" for each in hosts)


def lose(world: World, slot: Any = "blue", how_many: int = 1) -> None:
    """Hosts die for good: nobody but us launches them anew."""
    world.cloud.kill("shop", slot, how_many)
    world.cloud.service(SHOP).slots[slot].instances[:] = [
        each for each in world.cloud.service(SHOP).slots[slot].instances if each.state != "failed"
    ]


def unhealing(folder: Path, **plan: Any) -> tuple[World, Any]:
    """A warm rollout on a platform that replaces nothing by itself."""
    world = World(folder, replace(NIGHT, **plan), ask=Answers())
    world.cloud.service(SHOP).settings = replace(FAST, self_healing=False)
    world.drive(watched)
    return world, world.means.ask


def test_a_warm_host_that_died_is_launched_anew(tmp_path: Path) -> None:
    """The way back loses host after host during the night, and at seven nothing is left of it."""
    world, _ = unhealing(tmp_path)
    lose(world)
    assert alive(world, "blue") == 1
    go_on(world, 10 * LOOK_S)
    assert alive(world, "blue") == 2
    assert world.provider.traffic.observe([SHOP])["shop"].targets["blue"].healthy == 2
    card = world.cards.read("shop")
    assert card is not None and card.rollout == ROLLOUT and not card.closed
    until = world.journal.value("promote")["valid_until"]
    assert (card.capacity, card.valid_until) == (2, until), "written anew, and the window is the same"
    assert since_warm(world).count("done card:warm:1") == 1 and told(world) == []
    before = len(world.journal.entries)
    go_on(world, HOUR)
    assert len(world.journal.entries) == before, "put right once"


def test_each_loss_is_put_right(tmp_path: Path) -> None:
    """The first lost host of a night is replaced, and no other."""
    world, _ = unhealing(tmp_path)
    for number in (1, 2, 3):
        lose(world)
        go_on(world, 10 * LOOK_S)
        assert alive(world, "blue") == 2 and world.journal.record(f"card:warm:{number}") is not None
    assert first_broken_link(world.journal.entries) == ""
    assert world.drive(jobs=3000).phase == "retired"


def test_the_way_back_grows_with_what_serves(tmp_path: Path) -> None:
    """Traffic doubled since the promotion, and the way back ends in an overload."""
    world, _ = warm(tmp_path)
    world.cloud.edit_by_hand("shop", capacity={"green": 5})
    go_on(world, 10 * LOOK_S)
    blue = world.provider.compute.describe(SHOP)["blue"]
    card = world.cards.read("shop")
    assert (blue.capacity, blue.floor, alive(world, "blue")) == (5, 5, 5)
    assert card is not None and card.capacity == 5
    assert world.provider.traffic.observe([SHOP])["shop"].targets["blue"].healthy == 5


def test_a_rollback_after_the_way_back_grew_leaves_no_floor_behind(tmp_path: Path) -> None:
    """A service keeps a floor of five for ever because it was once rolled back."""
    world, _ = warm(tmp_path)
    world.cloud.edit_by_hand("shop", capacity={"green": 5})
    go_on(world, 10 * LOOK_S)
    world.edit(0)
    world.mark()
    assert world.drive().outcome == "rolled_back"
    assert world.provider.compute.describe(SHOP)["blue"].floor == 0


def test_an_older_story_is_not_tended(tmp_path: Path) -> None:
    """A rollout of the last release is driven by steps that its plan does not know."""
    world = World(tmp_path, replace(NIGHT, story=1), ask=Answers())
    world.cloud.service(SHOP).settings = replace(FAST, self_healing=False)
    world.drive(watched)
    lose(world)
    go_on(world, HOUR)
    assert alive(world, "blue") == 1
    assert not [kind for kind in since_warm(world) if ":warm:" in kind]


def test_a_way_back_that_cannot_be_put_right_is_told_once_and_the_watch_goes_on(tmp_path: Path) -> None:
    """A zone without capacity ends the watch for the night, fills the journal, or is kept from everybody."""
    world, answers = unhealing(tmp_path)
    world.cloud.switches.launch_limit["shop/blue"] = 1
    lose(world)
    before, asked = len(world.journal.entries), answers.looks
    go_on(world, 8 * HOUR)
    assert told(world) == [("warned", "way_back")]
    assert "1 of 2 running" in world.entries("warned")[0].data["reason"]
    assert len(world.journal.entries) - before < 100
    assert answers.looks - asked > 0.9 * 8 * HOUR / LOOK_S, "it was watched all the while"
    assert world.row.outcome == "promoted"
    world.cloud.switches.launch_limit.clear()
    go_on(world, AGAIN_S + HOUR / 2)
    assert told(world)[-1] == ("cleared", "way_back")
    assert world.provider.traffic.observe([SHOP])["shop"].targets["blue"].healthy == 2


def test_a_way_back_that_nobody_lets_us_put_right_is_tried_again_later(tmp_path: Path) -> None:
    """A quota that was used up at one moment halts a service that serves well, until somebody wakes up."""
    world, _ = unhealing(tmp_path)
    world.cloud.switches.fail["compute.scale"] = "denied"
    lose(world)
    go_on(world, HOUR / 2)
    assert told(world) == [("warned", "way_back")] and world.row.outcome == "promoted"
    assert len(world.entries("failed")) == 1
    world.cloud.switches.fail.clear()
    go_on(world, AGAIN_S)
    assert alive(world, "blue") == 2 and told(world)[-1] == ("cleared", "way_back")
    assert world.drive(jobs=3000).phase == "retired"


def test_tending_in_vain_never_turns_back_by_itself(tmp_path: Path) -> None:
    """A dead host of the old side sends traffic onto the old side, and a good patch is denied for it."""
    world, _ = unhealing(tmp_path, rollback_while_warm=True)
    world.behaves("base-1", starts=False)
    for each in world.cloud.service(SHOP).slots.values():
        if each.image and each.image.id == "base-1":
            each.image = world.cloud.images["base-1"]
    lose(world)
    go_on(world, 2 * HOUR)
    assert world.journal.decision is None and world.row.outcome == "promoted"
    assert world.weights == {"blue": 0, "green": 100} and world.store.denials("shop") == {}
    assert ("warned", "way_back") in told(world)


def test_a_failing_side_is_seen_while_the_way_back_is_put_right(tmp_path: Path) -> None:
    """Hosts take ten minutes to start, and meanwhile nobody looks at what serves."""
    world, answers = unhealing(tmp_path)
    world.cloud.service(SHOP).settings = replace(FAST, self_healing=False, launch_s=500.0)
    lose(world)
    go_on(world, 2 * LOOK_S)
    answers.live = "fail"
    go_on(world, 3 * LOOK_S)
    assert world.journal.record("running:warm:1") is None and told(world) == [("warned", "failing")]


def test_the_window_ends_in_time_while_the_way_back_is_put_right(tmp_path: Path) -> None:
    """A retired side stays for another twenty minutes because it was to be made whole first."""
    world, _ = unhealing(tmp_path, keep_warm_s=HOUR)
    world.cloud.service(SHOP).settings = replace(FAST, self_healing=False, launch_s=10 * HOUR)
    go_on(world, HOUR - 200)
    lose(world)
    assert world.drive(jobs=1000).phase == "retired"
    assert world.clock.now() - world.journal.value("promote")["valid_until"] < 120


def test_a_mark_is_obeyed_while_the_way_back_is_put_right(tmp_path: Path) -> None:
    """The rollback at night is taken for trouble of a host, and forgotten."""
    world, _ = unhealing(tmp_path)
    lose(world)

    def marked(run: Run) -> None:
        world.edit(0)
        world.mark()

    world.passes(max(0.0, world.row.due_at - world.clock.now()))
    sizes = world.provider.compute.sizes
    calls = list[int]()

    def marking(service: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            marked(world.run())
        return sizes(service)

    object.__setattr__(world.provider.compute, "sizes", marking)
    world.job(HOLDER)
    object.__delattr__(world.provider.compute, "sizes")
    assert calls and world.journal.decision is not None, "at once"
    assert world.drive().outcome == "rolled_back"


def test_a_way_back_that_was_only_half_put_right_is_made_whole_when_it_is_used(tmp_path: Path) -> None:
    """Traffic goes back while a new host is being launched, and it never becomes a target."""
    world, _ = warm(tmp_path)
    world.cloud.edit_by_hand("shop", capacity={"green": 3})
    go_on(world, 300, until=lambda world: bool(world.journal.intents("grow:warm:1")))
    world.passes(5)
    assert alive(world, "blue") == 3 and not world.journal.intents("attach:warm:1")
    world.edit(0)
    world.mark()
    assert world.drive().outcome == "rolled_back"
    assert world.provider.traffic.observe([SHOP])["shop"].targets["blue"].healthy == 3


WRITES = ("append", "save_wait", "release_lease")


def killed_at(world: World, monkeypatch: pytest.MonkeyPatch, call: int, after: bool) -> bool:
    """Drive a tending; die before or after its n-th write to the store. False: it made fewer."""

    def tend() -> None:
        go_on(world, 10 * LOOK_S, until=lambda world: world.journal.record("card:warm:1") is not None)

    return dies_at(world, monkeypatch, WRITES, call, tend, after=after)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_server_killed_anywhere_while_it_puts_the_way_back_right_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """A crash between two steps leaves a way back half put right, or starts hosts twice."""
    died = 0
    for call in range(1, 60):
        folder = tmp_path / str(call)
        folder.mkdir()
        world, _ = unhealing(folder)
        lose(world)
        if not killed_at(world, monkeypatch, call, after):
            break
        died += 1
        world.passes(11)  # its lease runs out
        go_on(world, 20 * LOOK_S)
        assert alive(world, "blue") == 2 and world.journal.record("card:warm:1") is not None
        assert world.provider.compute.describe(SHOP)["blue"].capacity == 2
        assert first_broken_link(world.journal.entries) == ""
        steps = [e.step for e in world.journal.entries if e.kind in ("done", "ended", "failed")]
        assert len(steps) == len(set(steps)) and told(world) == []
        world.store.close()
    assert died >= 12


def test_a_promoted_rollout_reaches_its_end_whatever_was_put_right(tmp_path: Path) -> None:
    """Tending by the way leaves a journal that the story cannot be told from."""
    world, _ = unhealing(tmp_path, keep_warm_s=HOUR)
    lose(world)
    world.cloud.edit_by_hand("shop", capacity={"green": 4})
    row = world.drive(jobs=1000)
    assert (row.phase, row.outcome) == ("retired", "promoted")
    assert not world.provider.compute.describe(SHOP)["blue"].capacity
    assert phase_is("retired")(world)
