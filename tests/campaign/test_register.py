"""What is kept of runs, and the words that people say about them: on record, and only where they mean something."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from rollout import exits, interventions
from rollout.campaign import register
from rollout.campaign.members import services_of
from rollout.campaign.model import CampaignPlan, Limits, Mark, Pin, Place, Run, Wave
from rollout.campaign.standing import exit_code, outcome_of, stand_of
from rollout.campaign.why import reasons
from rollout.fleet_journal import FleetJournal
from rollout.holds import Holds
from rollout.journal import first_broken_link
from rollout.notify.message import describe
from rollout.notify.outbox import Outbox
from rollout.notify.schedule import Outcome
from rollout.notify.target import Target
from rollout.plan import Plan
from rollout.rows import Hold
from tests.campaign.conftest import Make
from tests.campaign.scene import ME, RIVAL, Scene, a_wave
from tests.core.scene import a_plan


@pytest.fixture
def scene(make: Make) -> Scene:
    """A campaign of two waves that has been started, nothing of it begun."""
    made = make([a_wave("canary", "a"), a_wave("rest", max_parallel=1)])
    made.start(reason="patch day", ref="CHG-1")
    return made


def say(scene: Scene, word: str, **more: Any) -> Any:
    """A word of a person's."""
    return getattr(register, word)(scene.db, "monthly", "ops@desk", "because", scene.clock.now(), **more)


def test_a_plan_comes_back_as_it_was_written() -> None:
    """A restart changes what a campaign is about to do."""
    plan = CampaignPlan(
        "monthly",
        "base",
        (Wave("one", (), ("a",), Limits(2, 3, 4, 5, 6.0, "zone", "asked")), Wave("two", ("one",), ("b",))),
        {"a": Place("memory", "1", "r", "z", "arm64"), "b": Place("memory")},
        (Pin("memory", "1", "r", "arm64", "base-2", "", {"source": "here"}), Pin("memory", "", "", "", "base-3", "b")),
        7.0,
    )
    again = CampaignPlan.from_json(plan.to_json())
    assert again == plan and again.hash == plan.hash
    assert (again.pin("a").image, again.pin("b").image) == ("base-2", "base-3")
    assert replace(plan, reference="other").patch_hash == plan.patch_hash != replace(plan, pins=()).patch_hash


def test_plans_without_a_campaign_keep_their_hash() -> None:
    """A plan that was saved before there were campaigns is refused as changed."""
    plan = a_plan()
    assert "wave" not in plan.to_json()
    assert Plan.from_json(plan.to_json()).hash == plan.hash
    waved = replace(plan, wave="monthly-1/canary")
    assert Plan.from_json(waved.to_json()) == waved and waved.hash != plan.hash


def test_every_word_is_on_record(scene: Scene) -> None:
    """Who stopped the patch night, and why, is known to nobody the next day."""
    say(scene, "pause", rollouts=True, ref="INC-1")
    say(scene, "resume")
    say(scene, "abort")
    entries = [entry for entry in FleetJournal(scene.db).entries() if entry.kind.startswith("campaign_")]
    assert [entry.kind for entry in entries] == [
        "campaign_started",
        "campaign_paused",
        "campaign_resumed",
        "campaign_aborted",
    ]
    assert entries[0].data["reason"] == "patch day" and entries[0].data["ref"] == "CHG-1"
    assert entries[1].data["actor"] == "ops@desk" and entries[1].data["ref"] == "INC-1"
    assert {entry.data["run"] for entry in entries} == {scene.run.id}
    assert first_broken_link(FleetJournal(scene.db).entries()) == ""


@pytest.mark.parametrize(
    ("before", "word"),
    [((), "resume"), (("pause",), "pause"), (("abort",), "abort"), (("abort",), "resume"), ((), "go_on")],
)
def test_words_that_mean_nothing_are_refused(scene: Scene, before: tuple[str, ...], word: str) -> None:
    """A person believes that the campaign was paused, and it was not."""
    for each in before:
        say(scene, each)
    count = len(FleetJournal(scene.db).entries())
    with pytest.raises(register.NotNow):
        say(scene, word)
    assert len(FleetJournal(scene.db).entries()) == count


def test_a_pause_can_be_made_stricter(scene: Scene) -> None:
    """A campaign that is paused cannot be stopped in its rollouts any more."""
    say(scene, "pause")
    assert say(scene, "pause", rollouts=True).rollouts
    with pytest.raises(register.NotNow):
        say(scene, "pause")


def test_a_wave_or_a_run_names_its_campaign_too(scene: Scene) -> None:
    """`rollout rollback --wave monthly/canary` leaves the campaign running, and it begins again what was put back."""
    run = register.pause(scene.db, "monthly/canary", "oncall", "bad", 1.0)
    assert run.state == "paused"
    register.resume(scene.db, run.id, "oncall", "fine", 2.0)
    assert scene.run.state == "running"
    with pytest.raises(register.UnknownRun, match="no campaign weekly"):
        register.pause(scene.db, "weekly", "oncall", "bad", 3.0)


def test_the_services_of_a_wave_are_known(scene: Scene) -> None:
    """Not all of a wave is put back, or also what it never touched."""
    assert services_of(scene.db, "monthly") == []
    scene.go(lambda: len(scene.begun()) == 2)
    assert services_of(scene.db, "monthly") == ["a", "b"]
    assert services_of(scene.db, "monthly/canary") == ["a"]
    assert services_of(scene.db, f"{scene.run.id}/rest") == ["b"]
    assert services_of(scene.db, "weekly") == []


def test_only_one_process_carries_a_run_out(scene: Scene) -> None:
    """Two servers each begin as many as one may."""
    run, now = scene.run, scene.clock.now()
    mine = register.take_turn(scene.db, run, ME, now)
    assert mine is not None and register.take_turn(scene.db, run, RIVAL, now + 5) is None
    theirs = register.take_turn(scene.db, run, RIVAL, now + 130)
    assert theirs is not None and theirs.turn == mine.turn + 1
    with pytest.raises(register.Superseded):
        register.note_skipped(scene.db, mine, "a", "no_way", "late")
    with pytest.raises(register.Superseded):
        register.note_done(scene.db, mine, "canary", now)
    assert scene.progress()["a"] == "waiting"


def test_the_way_back_of_a_wave_needs_the_standard_library_only() -> None:
    """A broken library stands between the on-call engineer and the rollback of a wave."""
    program = (
        "import sys, rollout.campaign.register, rollout.campaign.members\n"
        "print([m for m in ('pydantic', 'yaml', 'typer', 'rich', 'cronsim') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# How it stands


def test_the_standing_says_what_each_waits_for(scene: Scene) -> None:
    """A person looks at the campaign and does not see why nothing happens."""
    Holds(scene.db).put(Hold("a", "ci", "release 7", "", scene.clock.now(), None))
    scene.look()
    standing = stand_of(scene.installation, scene.run)
    waits = {each["service"]: each["waits"] for each in standing["services"]}
    assert "held by ci" in waits["a"]
    rest = next(each for each in standing["waves"] if each["name"] == "rest")
    assert (rest["state"], rest["waits"], rest["waits_kind"]) == ("waiting", "wave canary is not done", "after")
    assert standing["counts"]["waiting"] == 4 and standing["exit_code"] == exits.TIMED_OUT
    Holds(scene.db).release("a", "ci", "", scene.clock.now())
    scene.go(lambda: scene.begun())
    moving = stand_of(scene.installation, scene.run)["services"][0]
    assert moving["progress"] == "moving" and moving["waits"], "what its rollout waits for"


def test_soaks_are_shown_with_their_end(scene: Scene) -> None:
    """Nobody knows whether it hangs or soaks."""
    scene.go(lambda: scene.run.mark("canary").done_at)
    standing = stand_of(scene.installation, scene.run)
    canary, rest = standing["waves"]
    assert canary["state"] == "soaking" and canary["soak_until"] == canary["done_at"] + 600
    assert rest["waits"] == "the soak of wave canary" and rest["until"] == canary["soak_until"]


CODES = [
    ({"state": "running"}, {}, exits.TIMED_OUT, "running"),
    ({"state": "ended"}, {}, exits.DONE, "ended"),
    ({"state": "ended"}, {"phase": "rolled_back", "outcome": "rolled_back"}, exits.ROLLED_BACK, "ended_with_failures"),
    ({"state": "ended"}, {"skipped": "no_way", "phase": ""}, exits.PERSON_NEEDED, "incomplete"),
    ({"state": "ended"}, {"skipped": "nothing_to_do", "phase": ""}, exits.DONE, "ended"),
    ({"state": "stopped"}, {"phase": "rolled_back", "outcome": "rolled_back"}, exits.ROLLED_BACK, "stopped"),
    ({"state": "stopped"}, {"outcome": "halted", "closed": False}, exits.PERSON_NEEDED, "stopped"),
    ({"state": "aborted"}, {"outcome": "aborted", "phase": "rolled_back"}, exits.ROLLED_BACK, "aborted"),
]


@pytest.mark.parametrize(("run", "one", "code", "outcome"), CODES)
def test_exit_codes_mean_the_same_as_everywhere(
    scene: Scene, run: dict[str, Any], one: dict[str, Any], code: int, outcome: str
) -> None:
    """A pipeline takes a stopped campaign for a good one."""
    good = {"phase": "retired", "outcome": "promoted", "closed": True, "rollout": "r"}
    members = [replace(each, **good) for each in scene.members()]
    members[1] = replace(members[1], **one)
    now = replace(scene.run, **run)
    assert (exit_code(now, members), outcome_of(now, members)) == (code, outcome)


def test_why_not_now(make: Make) -> None:
    """`why-not-now` is silent about the campaign that everything waits for."""
    scene = make([a_wave("canary", "a"), a_wave("rest", max_parallel=1)], services=["a", "b", "c"])
    now = scene.clock.now()
    assert reasons(scene.installation, "b", now) == [
        "campaign monthly has it in wave rest, and starts when somebody starts it: rollout wave start monthly"
    ]
    scene.start()
    assert reasons(scene.installation, "b", now) == ["campaign monthly, wave rest: wave canary is not done"]
    scene.go(lambda: len(scene.begun()) == 2)
    (told,) = reasons(scene.installation, "c", scene.clock.now())
    assert told == "campaign monthly, wave rest: 1 of it may move at once"
    (told,) = reasons(scene.installation, "b", scene.clock.now())
    assert told.startswith("campaign monthly, wave rest: its rollout is b-")
    scheduled = make([a_wave("all")], schedule="0 22 * * tue", time_zone="UTC")
    assert reasons(scheduled.installation, "a", now) == [
        "campaign monthly has it in wave all, and starts 2026-01-06 22:00 UTC"
    ]


def test_a_persons_pause_of_one_rollout_is_told_apart(scene: Scene) -> None:
    """Resuming the campaign wakes the rollout that somebody else is looking at."""
    scene.go(lambda: scene.begun())
    interventions.pause(scene.installation, scene.rollout("a"), "dba", "I look at it")
    say(scene, "pause", rollouts=True)
    scene.look()
    say(scene, "resume")
    scene.look()
    standing = stand_of(scene.installation, scene.run)
    assert standing["services"][0]["paused"] is True


def test_marks_survive(scene: Scene) -> None:
    """What is on record of a wave is lost at the next change of the run."""
    run = register.take_turn(scene.db, scene.run, ME, scene.clock.now())
    assert run is not None
    register.note_done(scene.db, run, "canary", 5.0)
    register.note_done(scene.db, run, "canary", 9.0)
    assert scene.run.marks == {"canary": Mark(5.0)}


def test_a_run_is_read_as_it_was_written(scene: Scene) -> None:
    """The store mixes up who, why and what for."""
    run: Run = scene.run
    assert (run.campaign, run.actor, run.reason, run.ref, run.state) == (
        *("monthly", "ops@desk", "patch day", "CHG-1"),
        "running",
    )
    assert [each.id for each in register.runs(scene.db)] == [run.id]
    assert register.newest(scene.db, run.id) == run


def test_people_are_told_of_what_stopped_or_was_missed(make: Make) -> None:
    """The campaign stops on Friday night, and somebody finds out on Monday."""
    scene = make([a_wave("all", max_parallel=4)], schedule="0 22 * * *", time_zone="UTC", late="1h")
    scene.look()
    scene.passes(2 * 86_400.0)
    scene.look()
    scene.start()
    run = register.take_turn(scene.db, scene.run, ME, scene.clock.now())
    assert run is not None
    register.note_stopped(scene.db, run, "wave all: 1 failed (a)", scene.clock.now())
    outbox, team = Outbox(scene.db), Target("team", ("campaign_stopped",), apprise={"env": "X"})
    outbox.tidy([team], scene.clock.now())
    told = []
    while claimed := outbox.claim(["team"], scene.clock.now()):
        for delivery in claimed:
            told.append(describe(delivery.news))
            outbox.note(delivery, Outcome(), scene.clock.now())
    missed, stopped = "monthly: the campaign was missed", "monthly: the campaign is stopped"
    assert [each.title for each in told] == [missed, missed, stopped]
    assert "wave all: 1 failed (a)" in told[2].text and "rollout wave resume monthly" in told[2].next
