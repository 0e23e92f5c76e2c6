"""A campaign is carried out over days in a simulated cloud: wave by wave, within its limits, whatever happens."""

from __future__ import annotations

import pytest

from rollout import control
from rollout.campaign import beginning, register
from rollout.campaign.model import Run
from rollout.campaign.pins import CannotPin
from rollout.campaign.runner import Runner
from rollout.fleet_journal import FleetJournal
from rollout.holds import Holds
from rollout.journal import Journal
from rollout.plan import UnsafePlan
from rollout.rows import Hold
from tests.campaign.conftest import Make
from tests.campaign.scene import RIVAL, Scene, a_wave

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


def test_waves_are_carried_out_in_order(make: Make) -> None:
    """A described campaign does nothing, or patches everything before its first wave proved the patch."""
    scene = make([a_wave("canary", "a"), a_wave("rest", max_parallel=2)])
    run = scene.start(reason="patch day", ref="CHG-1")
    scene.go(lambda: scene.over)
    assert scene.run.state == "ended"
    assert scene.begun()[0] == "a" and sorted(scene.begun()) == ["a", "b", "c", "d"]
    assert set(scene.progress().values()) == {"accepted"}
    first, second = scene.rollout("a"), scene.rollout("b")
    mark = scene.run.mark("canary")
    assert mark.done_at is not None and second.opened_at >= mark.done_at + 600
    assert first.plan["wave"] == f"{run.id}/canary" and first.key == f"{run.id}/a" and first.reason == "patch day"
    assert scene.most["moving"] == 2
    assert scene.told() == ["campaign_started", "campaign_wave_done", "campaign_wave_done", "campaign_ended"]


def test_the_image_is_pinned_once(make: Make) -> None:
    """The name of the image means something else by the second wave, and what it proves was never proven."""
    scene = make([a_wave("canary", "a"), a_wave("rest")], image="latest")
    scene.cloud.add_image("base-2", alias="latest")
    run = scene.start()
    scene.cloud.add_image("base-3", alias="latest")
    scene.go(lambda: scene.over)
    assert [pin.image for pin in run.plan.pins] == ["base-2"]
    assert {scene.rollout(name).plan["patch"]["reference"] for name in "abcd"} == {"base-2"}


def test_hosts_and_instances_stay_within_their_limits(make: Make) -> None:
    """A quota is exceeded in the middle of a wave, because plans need more hosts than anybody had thought."""
    hosts = {"a": 3, "b": 2, "c": 2, "d": 1}
    scene = make([a_wave("all", max_parallel=4, max_unproven_hosts=3, max_extra_instances=5)], hosts=hosts)
    scene.start()
    scene.go(lambda: scene.over)
    assert sorted(scene.begun()) == ["a", "b", "c", "d"]
    assert scene.most["unproven"] <= 3 and scene.most["extra"] <= 5
    assert scene.most["unproven"] == 3, "and as many as there may be are used"


def test_zones_come_one_after_the_other(make: Make) -> None:
    """The patch breaks both zones of a service at the same time."""
    zones = {name: {"options": {"zone": zone}} for name, zone in {"a": "x", "b": "y", "c": "x", "d": "y"}.items()}
    scene = make([a_wave("all", max_parallel=4, one_at_a_time="zone")], services=zones)
    scene.start()
    scene.go(lambda: scene.over)
    assert sorted(scene.begun()[:2]) == ["a", "c"]
    last_of_x = max(_accepted_at(scene, name) for name in "ac")
    assert min(scene.rollout(name).opened_at for name in "bd") >= last_of_x


def _accepted_at(scene: Scene, service: str) -> float:
    entries = scene.installation.store.entries(scene.rollout(service).id)
    return next(entry.at for entry in entries if (entry.kind, entry.step) == ("entered", "warm"))


def test_a_broken_patch_stops_with_its_first_wave(make: Make) -> None:
    """A patch that breaks the canary is rolled out to the rest."""
    scene = make([a_wave("canary", "a"), a_wave("rest")])
    scene.behaves(fails_health_under_traffic=True)
    scene.start()
    scene.go(lambda: scene.run.state == "stopped" and scene.rollout("a").closed_at is not None)
    scene.go_for(HOUR_S)
    assert scene.begun() == ["a"] and scene.rollout("a").outcome == "rolled_back"
    assert "wave canary: 1 failed" in scene.run.said
    assert scene.cloud.snapshot("a")["weights"] == {"blue": 100, "green": 0}


def test_a_person_lets_a_stopped_campaign_go_on(make: Make) -> None:
    """One broken service keeps all others from their patch for good."""
    scene = make([a_wave("all", max_parallel=1)])
    scene.start()
    scene.go(lambda: scene.begun())
    control.turn_back(scene.installation, scene.rollout("a"), "abort", reason="odd", actor="ops")
    scene.go(lambda: scene.run.state == "stopped")
    register.resume(scene.db, "monthly", "ops@desk", "a is known to be odd", scene.clock.now())
    scene.go(lambda: scene.over)
    assert scene.progress() == {"a": "failed", "b": "accepted", "c": "accepted", "d": "accepted"}
    (resumed,) = (each for each in FleetJournal(scene.db).entries() if each.kind == "campaign_resumed")
    assert resumed.data["forgiven"] == {"all": 1} and resumed.data["actor"] == "ops@desk"


def test_a_rollback_during_the_soak_stops(make: Make) -> None:
    """What on-call put back an hour later is patched everywhere else all the same."""
    scene = make([a_wave("canary", "a"), a_wave("rest")])
    scene.start()
    scene.go(lambda: scene.run.mark("canary").done_at)
    control.turn_back(scene.installation, scene.rollout("a"), "rollback", reason="slow checkouts", actor="oncall")
    scene.go(lambda: scene.run.state == "stopped")
    assert scene.begun() == ["a"]


def test_a_denied_image_stops_every_wave(make: Make) -> None:
    """A person denies the image, and the campaign goes on with it."""
    scene = make([a_wave("canary", "a"), a_wave("rest")], services=["a", "b", "c", "d", "x", "y"])
    scene.start()
    scene.go(lambda: scene.run.mark("canary").done_at)
    for service in "xy":
        scene.installation.store.deny(service, "base-2", "it leaks", "", scene.clock.now())
    scene.go(lambda: scene.run.state == "stopped")
    assert "denied" in scene.run.said and scene.begun() == ["a"]
    with pytest.raises(UnsafePlan, match="denied to all"):
        register.abort(scene.db, "monthly", "ops", "denied", scene.clock.now())
        scene.go(lambda: scene.over)
        scene.start()


def test_an_image_that_is_denied_to_one_service_leaves_that_one_out(make: Make) -> None:
    """One service's known trouble with an image keeps it from all, or it is given the image again."""
    scene = make([a_wave("all", max_parallel=4)])
    scene.installation.store.deny("b", "base-2", "crashes its cache", "b-1", scene.clock.now())
    scene.start()
    scene.go(lambda: scene.over)
    assert scene.progress() == {"a": "accepted", "b": "skipped", "c": "accepted", "d": "accepted"}
    assert next(each.skipped for each in scene.members() if each.service == "b") == "denied"


def test_a_pause_begins_nothing_and_leaves_what_runs(make: Make) -> None:
    """A paused campaign goes on, or stops rollouts in the middle without being asked."""
    scene = make([a_wave("all", max_parallel=1)])
    scene.start()
    scene.go(lambda: scene.begun())
    register.pause(scene.db, "monthly", "ops", "lunch", scene.clock.now())
    scene.go(lambda: scene.progress()["a"] == "accepted")
    scene.go_for(HOUR_S)
    assert scene.begun() == ["a"]
    register.resume(scene.db, "monthly", "ops", "back", scene.clock.now())
    scene.go(lambda: scene.over)


def test_a_pause_with_rollouts_pauses_them_and_resumes_its_own(make: Make) -> None:
    """`--rollouts` does nothing; or resuming wakes what a person had paused for another reason."""
    scene = make([a_wave("all", max_parallel=2)])
    scene.start()
    scene.go(lambda: len(scene.begun()) == 2 and scene.rollout("b").phase == "shifting")
    register.pause(scene.db, "monthly", "ops", "incident", scene.clock.now(), rollouts=True)
    scene.go_for(HOUR_S)
    assert scene.progress()["a"] == "moving" and _paused(scene, "a") == "incident"
    register.resume(scene.db, "monthly", "ops", "over", scene.clock.now())
    scene.go(lambda: scene.over)
    assert set(scene.progress().values()) == {"accepted"}


def _paused(scene: Scene, service: str) -> str:
    journal = Journal(scene.installation.store.entries(scene.rollout(service).id))
    return str(journal.paused.data["reason"]) if journal.paused else ""


def test_an_abort_puts_back_only_what_was_not_promoted(make: Make) -> None:
    """An abort leaves services half-way, or takes the patch from those that have it."""
    scene = make([a_wave("all", max_parallel=2)])
    scene.start()
    scene.go(lambda: scene.progress()["a"] == "accepted" and len(scene.begun()) == 4)
    register.abort(scene.db, "monthly", "ops", "wrong image", scene.clock.now())
    scene.go(lambda: scene.over)
    assert scene.run.state == "aborted"
    assert scene.progress() == {"a": "accepted", "b": "accepted", "c": "failed", "d": "failed"}
    assert scene.rollout("c").outcome == "aborted"
    for service in "cd":
        assert scene.cloud.snapshot(service)["weights"]["blue"] == 100


def test_a_wave_that_asks_waits_for_a_word(make: Make) -> None:
    """Production is patched before anybody has looked at staging."""
    scene = make([a_wave("staging", "a", go_on="asked"), a_wave("production")])
    scene.start()
    scene.go(lambda: scene.run.mark("staging").done_at)
    scene.go_for(DAY_S)
    assert scene.begun() == ["a"]
    assert register.go_on(scene.db, "monthly", "lead", "looks fine", scene.clock.now()) == ["staging"]
    with pytest.raises(register.NotNow):
        register.go_on(scene.db, "monthly", "lead", "again", scene.clock.now())
    scene.go(lambda: scene.over)
    assert "campaign_went_on" in scene.told()


def test_a_service_that_leaves_the_file_while_it_runs_is_finished(make: Make) -> None:
    """A rollout in the middle is dropped, or the campaign hangs, because a line was deleted from the fleet file."""
    scene = make([a_wave("all", max_parallel=1)])
    scene.start()
    scene.go(lambda: scene.begun())
    for service in "ab":
        del scene.services[service]
    scene.write()
    scene.installation.read_again()
    scene.go(lambda: scene.over)
    assert scene.progress() == {"a": "accepted", "b": "skipped", "c": "accepted", "d": "accepted"}


def test_a_campaign_that_leaves_the_file_begins_nothing(make: Make) -> None:
    """Nobody knows its windows any more, and it goes on at noon."""
    scene = make([a_wave("all", max_parallel=1)])
    scene.start()
    scene.go(lambda: scene.begun())
    text = scene.file.read_text()
    scene.file.write_text(text.replace("monthly:", "weekly:"))
    scene.installation.read_again()
    scene.go_for(HOUR_S)
    assert scene.begun() == ["a"]


def test_a_held_service_is_waited_for(make: Make) -> None:
    """A deployment at the wrong moment costs a service its patch, or is run over."""
    scene = make([a_wave("all", max_parallel=4)])
    now = scene.clock.now()
    Holds(scene.db).put(Hold("b", "ci", "release 7", "", now, now + HOUR_S))
    scene.start()
    scene.go(lambda: scene.over)
    assert scene.rollout("b").opened_at >= now + HOUR_S
    assert set(scene.progress().values()) == {"accepted"}


def test_what_runs_the_image_already_is_no_work(make: Make) -> None:
    """A campaign that is started twice fails on what it did the first time."""
    scene = make([a_wave("canary", "a"), a_wave("rest", max_parallel=4)], services={"a": {}, "b": {}})
    scene.cloud.services.clear()
    for name in "ab":
        scene.cloud.add_service(name, image="base-2" if name == "a" else "base-1", capacity=2)
    scene.start()
    scene.go(lambda: scene.over)
    assert scene.progress() == {"a": "skipped", "b": "accepted"}


def test_a_service_that_cannot_be_planned_is_left_out_at_last(make: Make) -> None:
    """One service with a fault of its own holds the campaign up for ever."""
    scene = make([a_wave("all", max_parallel=4)])
    scene.cloud.edit_by_hand("b", capacity={"blue": 0})
    scene.start()
    scene.go(lambda: scene.over)
    assert scene.progress()["b"] == "skipped"
    b = next(each for each in scene.members() if each.service == "b")
    assert b.skipped == "no_way" and "no capacity" in b.why


def test_a_cloud_that_does_not_answer_is_no_fault_of_a_service(make: Make) -> None:
    """Ten minutes of a cloud's trouble, and half of the fleet is left out."""
    scene = make([a_wave("all", max_parallel=4)])
    scene.start()
    scene.cloud.switches.fail["reads"] = "throttled"
    scene.go_for(2 * HOUR_S)
    assert set(scene.progress().values()) == {"waiting"}
    scene.cloud.switches.fail.clear()
    scene.go(lambda: scene.over)
    assert set(scene.progress().values()) == {"accepted"}


def test_an_image_that_is_missing_somewhere_starts_nothing(make: Make) -> None:
    """A campaign stops in the middle of the fleet, at the first account that lacks the image."""
    scene = make([a_wave("all")], image="base-9")
    with pytest.raises(CannotPin, match="base-9 cannot be pinned everywhere"):
        scene.start()
    assert register.newest(scene.db, "monthly") is None


def test_the_same_key_is_the_same_run(make: Make) -> None:
    """A pipeline that tries again starts the campaign twice."""
    scene = make([a_wave("all")])
    run = scene.start(key="build-7")
    assert scene.start(key="build-7").id == run.id
    with pytest.raises(register.Running):
        scene.start(key="build-8")
    scene.go(lambda: scene.over)
    assert scene.start(key="build-7").id == run.id, "also after its end"


def test_two_processes_begin_nothing_twice(make: Make) -> None:
    """Two machines serve, and each begins its own half again."""
    scene = make([a_wave("canary", "a"), a_wave("rest", max_parallel=1)])
    scene.start()
    rival = scene.another(RIVAL)
    for number in range(2000):
        if scene.over:
            break
        scene.look(rival if number % 2 else None)
        scene.passes(5)
    assert scene.over and sorted(scene.begun()) == ["a", "b", "c", "d"]
    assert scene.most["moving"] == 1


def test_one_that_was_stopped_for_long_begins_nothing_late(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that slept while it made a plan opens a rollout in a campaign that was paused meanwhile."""
    scene = make([a_wave("all", max_parallel=1)])
    scene.start()
    really, rival = control.plan_to_start, scene.another(RIVAL)

    def slow(*given: object, **more: object) -> object:
        made = really(*given, **more)  # type: ignore[arg-type]
        scene.passes(200)
        monkeypatch.setattr(control, "plan_to_start", really)
        rival.look()
        return made

    monkeypatch.setattr(control, "plan_to_start", slow)
    scene.runner.look()
    assert scene.begun() == ["a"]
    (opened,) = (entry for entry in scene.installation.store.entries(scene.rollout("a").id) if entry.kind == "opened")
    assert opened.at >= 200 + scene.run.started_at
    scene.go(lambda: scene.over)
    assert sorted(scene.begun()) == ["a", "b", "c", "d"]


def test_a_pause_reaches_what_is_about_to_begin(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody pauses in the very moment, is told so, and it begins all the same."""
    scene = make([a_wave("all", max_parallel=1)])
    scene.start()
    really = control.plan_to_start

    def paused_meanwhile(*given: object, **more: object) -> object:
        made = really(*given, **more)  # type: ignore[arg-type]
        register.pause(scene.db, "monthly", "ops", "stop it", scene.clock.now())
        return made

    monkeypatch.setattr(control, "plan_to_start", paused_meanwhile)
    scene.runner.look()
    assert scene.begun() == [] and scene.run.state == "paused"


def test_time_in_which_nobody_served_is_no_soak(make: Make) -> None:
    """The server was down for the whole soak, and the next wave begins on a patch that nobody has watched."""
    scene = make([a_wave("canary", "a"), a_wave("rest")])
    scene.start()
    scene.go(lambda: scene.run.mark("canary").done_at)
    scene.passes(2 * HOUR_S)
    scene.look()
    assert scene.begun() == ["a"] and scene.run.mark("canary").lost_s >= 2 * HOUR_S - 60
    scene.go(lambda: scene.over)


def test_only_known_campaigns_start(make: Make) -> None:
    """A slip of the finger starts nothing and says nothing."""
    scene = make([a_wave("all")])
    with pytest.raises(beginning.UnknownCampaign, match="did you mean monthly"):
        beginning.start(scene.installation, "montly", actor="ops")


def test_one_campaign_that_cannot_go_on_keeps_no_other_from_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """One broken campaign stops all of them, and fills the log with the same line every other second."""
    scene = make([a_wave("all", max_parallel=4)])
    text = scene.file.read_text()
    other = text[text.index("  monthly:") :].replace("  monthly:", "  weekly:")
    scene.file.write_text(text + other)
    scene.start()
    weekly, _ = beginning.start(scene.installation, "weekly", actor="ops")
    really = Runner._carry

    def broken(self: Runner, run: Run) -> None:
        if run.id != weekly.id:
            raise RuntimeError("an adapter's bug")
        really(self, run)

    monkeypatch.setattr(Runner, "_carry", broken)
    with pytest.raises(RuntimeError, match="an adapter's bug"):
        scene.runner.look()
    assert sorted(scene.begun()) == ["a", "b", "c", "d"], "by the other one"
    scene.runner.look()


def test_a_provider_without_an_image_of_its_own_is_told(make: Make) -> None:
    """One of two providers was forgotten on the command line, and half of the fleet is patched."""
    scene = make([a_wave("all")], services={"a": {}, "odd": {"provider": "local"}}, hosts=1)
    with pytest.raises(CannotPin, match=r"has no image for local, which odd has.*memory=REF local=REF"):
        scene.start(image="memory=base-2")
    assert scene.run_or_none is None
