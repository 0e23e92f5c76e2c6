"""What people are asked and what they say in the middle of a campaign: go on, leave one out, end it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rollout import control
from rollout.campaign import register
from rollout.campaign.register import NotNow
from rollout.campaign.standing import stand_of
from rollout.fleet_journal import FleetJournal
from rollout.holds import Holds
from rollout.notify.message import News, describe
from rollout.rows import Hold
from rollout.why_not import why_not_now
from tests.campaign.conftest import Make
from tests.campaign.scene import Scene, a_wave

ASKING = [a_wave("canary", "a", go_on="asked"), a_wave("rest", max_parallel=3)]


def news(scene: Scene) -> list[tuple[str, str, Any]]:
    """Kind, whom it concerns, and what."""
    return [(*found[:2], json.loads(found[2])) for found in scene.db.all("SELECT kind, service, data FROM news")]


def test_a_word_that_is_wanted_is_news_once(make: Make) -> None:
    """The campaign waits for a word all week, and nobody was told that it does."""
    scene = make(ASKING)
    scene.start()
    scene.go(lambda: scene.run.mark("canary").done_at is not None)
    assert "go_on_wanted" not in [kind for kind, _, _ in news(scene)], "its soak is not over"
    scene.go(lambda: "campaign_asks" in scene.told())
    scene.go_for(3600)
    wanted = [each for each in news(scene) if each[0] == "go_on_wanted"]
    assert [(of, data["wave"]) for _, of, data in wanted] == [("monthly", "canary")], "told once"
    assert [text for text in scene.said if "waits for a word after wave canary: rollout wave go-on monthly" in text]
    told = describe(News(1, 0.0, "go_on_wanted", "monthly", "fleet", 1, {"wave": "canary"}))
    assert "rollout wave go-on monthly" in told.next and "Wave canary is through" in told.text
    register.go_on(scene.db, "monthly", "me", "looks good", scene.clock.now())
    scene.go(lambda: scene.over)
    assert scene.run.state == "ended"


def test_it_is_asked_again_by_nobody_after_the_word(make: Make) -> None:
    """Who said go on early is asked all the same."""
    scene = make(ASKING)
    scene.start()
    scene.go(lambda: scene.run.mark("canary").done_at is not None)
    register.go_on(scene.db, "monthly", "me", "", scene.clock.now())
    scene.go(lambda: scene.over)
    assert "campaign_asks" not in scene.told()


def test_a_held_service_can_be_left_out(make: Make) -> None:
    """One service that is held for a month keeps the whole campaign from its end."""
    scene = make([a_wave("all", max_parallel=4)])
    Holds(scene.db).put(Hold("b", "pipeline", "migration", "", scene.clock.now(), None))
    scene.start()
    scene.go(lambda: sorted(scene.progress().values()) == ["accepted"] * 3 + ["waiting"])
    _, fresh = register.skip(scene.db, "monthly", "b", "me", "held for weeks", scene.clock.now(), ref="CHG-2")
    assert fresh and not register.skip(scene.db, "monthly", "b", "me", "again", scene.clock.now())[1]
    scene.go(lambda: scene.over)
    standing = stand_of(scene.installation, scene.run)
    assert (standing["state"], standing["outcome"], standing["exit_code"]) == ("ended", "ended", 0)
    (left_out,) = [each for each in standing["services"] if each["service"] == "b"]
    assert (left_out["skipped"], left_out["waits"]) == ("by_a_person", "me: held for weeks")
    (said,) = [entry.data for entry in FleetJournal(scene.db).entries() if entry.kind == "campaign_skipped"]
    assert (said["service"], said["actor"], said["reason"], said["ref"]) == ("b", "me", "held for weeks", "CHG-2")


def test_only_what_waits_can_be_left_out(make: Make) -> None:
    """Somebody thinks that a rollout was ended by it, or types the name of a service that is in no wave."""
    scene = make([a_wave("all", max_parallel=4)])
    scene.start()
    scene.look()
    with pytest.raises(NotNow, match=r"has begun: a-.*rollout rollback a --reason TEXT"):
        register.skip(scene.db, "monthly", "a", "me", "", scene.clock.now())
    with pytest.raises(NotNow, match="nosuch is in no wave of monthly"):
        register.skip(scene.db, "monthly", "nosuch", "me", "", scene.clock.now())


def test_what_was_left_out_meanwhile_is_not_begun(make: Make) -> None:
    """The server has decided to begin it, and begins it after a person left it out."""
    scene = make([a_wave("all", max_parallel=4)])
    run = scene.start()
    register.skip(scene.db, "monthly", "a", "me", "", scene.clock.now())
    with scene.db.transaction() as db, pytest.raises(register.Superseded, match="left out by a person"):
        register.note_begun(db, run, "a", "a-1", 2)


def test_a_campaign_that_is_ended_but_kept_lets_go_on_what_it_had_paused(make: Make) -> None:
    """--keep says that what was begun goes on; what the campaign had paused stands still for ever."""
    scene = make([a_wave("all", "a"), a_wave("rest")])
    scene.start()
    scene.look()
    register.pause(scene.db, "monthly", "me", "wait", scene.clock.now(), rollouts=True)
    scene.go_for(600)
    assert scene.progress()["a"] == "moving"
    register.abort(scene.db, "monthly", "me", "enough", scene.clock.now(), rollouts=False)
    scene.go(lambda: scene.rollout("a").outcome == "promoted", hours=3)
    assert scene.run.state == "aborted"


def test_what_turns_back_already_is_forgiven_by_who_lets_it_go_on(make: Make) -> None:
    """Somebody has seen the failure and says go on; it stops again by that same failure a second later."""
    scene = make([a_wave("all", "a", "b", max_parallel=1), a_wave("rest")])
    scene.start()
    scene.look()
    control.turn_back(scene.installation, scene.rollout("a"), "rollback", reason="odd", actor="me")
    scene.runner.look()
    assert scene.run.state == "stopped" and scene.rollout("a").phase not in ("rolling_back", "rolled_back")
    assert scene.run.said == "wave all: 1 failed (a turns back), and it stops after 1"
    register.resume(scene.db, "monthly", "me", "seen", scene.clock.now())
    assert scene.run.forgiven == {"all": 1}
    scene.runner.look()
    assert scene.run.ended_at is None and scene.run.said == ""


def test_a_clock_that_is_set_back_puts_nothing_off_for_long(make: Make) -> None:
    """Summer time ends, or a machine's clock is corrected by a day, and what was to be tried again in a minute is
    tried again tomorrow."""
    scene = make([a_wave("all", max_parallel=4)])
    Holds(scene.db).put(Hold("b", "pipeline", "release", "", scene.clock.now(), None))
    scene.start()
    scene.look()
    ahead = scene.clock.now() + 86_400
    with scene.db.transaction() as db:
        db.execute("UPDATE campaign_members SET not_before = ? WHERE service = 'b'", (ahead,))
    Holds(scene.db).release("b", "pipeline", "", scene.clock.now())
    scene.go(lambda: scene.progress()["b"] == "moving", hours=1)


def test_why_not_now_judges_by_the_campaigns_image(make: Make) -> None:
    """`no image was named` is said of every service whose image the campaign names: the real reason is not seen."""
    scene = make([a_wave("canary", "a"), a_wave("rest")])
    found = why_not_now(scene.installation, "b")
    assert [each.kind for each in found.reasons] == [] and found.begin == "rollout start b --image base-2"
    assert found.campaigns == (
        "campaign monthly has it in wave rest, and starts when somebody starts it: rollout wave start monthly",
    )
    scene.installation.store.deny("b", "base-2", "broke", "", scene.clock.now(), {"by": "me", "reason": "broke"})
    assert [each.kind for each in why_not_now(scene.installation, "b").reasons] == ["denied"]
    scene.start(image="base-3")
    assert why_not_now(scene.installation, "b").begin == "rollout start b --image base-3"


def test_why_not_now_without_any_image_says_what_to_type(make: Make) -> None:
    """The command that is printed says again that no image was named."""
    scene = make([a_wave("canary", "a")], image=None)
    (reason,) = why_not_now(scene.installation, "b").reasons
    assert "no image was named" in reason.text and reason.next == "rollout plan b --image REF"
