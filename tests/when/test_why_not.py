"""Every reason why it would not begin, or go on, now: none left out, each with what helps."""

from __future__ import annotations

from typing import Any

import pytest

from rollout import interventions
from rollout.control import denials
from rollout.engine.job import advance
from rollout.freeze import Freeze, Freezes
from rollout.holds import Holds
from rollout.rows import Hold, Row
from rollout.why_not import Reason, WhyNot, why_not_now
from rollout.wiring import Installation, UnknownService
from tests.core.scene import HOLDER, RIVAL, SHOP
from tests.when.test_opening import MONTHLY, Made, at, made, start

__all__ = ["made"]


def kinds(found: WhyNot) -> list[str]:
    """The reasons, in order, one word each."""
    return [each.kind for each in found.reasons]


def the(found: WhyNot, kind: str) -> Reason:
    """The one reason of a kind."""
    (reason,) = [each for each in found.reasons if each.kind == kind]
    return reason


def drive(installation: Installation, row: Row, until: Any) -> Row:
    """Jobs as they are due."""
    for _ in range(300):
        row = installation.store.rollout(row.id)
        if row.closed_at is not None or until(row):
            return row
        installation.clock.sleep(max(0.0, row.due_at - installation.clock.now()))
        advance(row.id, installation.means("memory"), HOLDER)
    raise AssertionError(row.phase)


def test_nothing_is_in_the_way(made: Made) -> None:
    """Somebody looks for a reason that there is not."""
    found = why_not_now(made(), "shop")
    assert found == WhyNot("shop", None, (), "rollout start shop")
    assert why_not_now(made(), "shop", "base-3").begin == "rollout start shop --image base-3"


def test_nothing_means_that_it_would_begin(made: Made) -> None:
    """It says that nothing is in the way, and the start is refused."""
    installation = made()
    assert not why_not_now(installation, "shop").reasons and start(installation).row.service == "shop"


def test_all_at_once_in_the_order_in_which_they_are_met(made: Made) -> None:
    """Somebody removes one obstacle after the other, all night long."""
    installation = made("2026-11-27T12:00")
    now, store = installation.clock.now(), installation.store
    Freezes(store.db).put(Freeze("all", "lead", "incident", "", now, now + 60))
    Holds(store.db).put(Hold("shop", "pipeline", "release 7", "", now, now + 120))
    store.deny("shop", "base-2", "it failed", "", now)
    store.take_lease("shop", RIVAL, now)
    found = why_not_now(installation, "shop")
    assert kinds(found) == ["freeze", "hold", "blackout", "lease", "denied"]
    assert the(found, "freeze") == Reason(
        "freeze", "frozen (all): incident", "lead", now + 60, "rollout freeze off all"
    )
    assert the(found, "hold") == Reason("hold", "held: release 7", "pipeline", now + 120, "rollout hold shop --release")
    assert the(found, "blackout").until == at("2026-11-28T01:00") and "black friday" in the(found, "blackout").text
    assert the(found, "blackout").next == "rollout start shop --outside-window --reason TEXT"
    assert the(found, "denied").next == "rollout deny shop base-2 --lift" and "it failed" in the(found, "denied").text
    assert denials(installation, "shop") == {"base-2": "it failed"}, "it only looked"


def test_outside_of_its_window(made: Made) -> None:
    """Nobody knows when it may begin."""
    (reason,) = why_not_now(made("2026-11-24T12:00"), "shop").reasons
    assert reason.kind == "window" and reason.until == at("2026-11-24T22:00")
    (reason,) = why_not_now(made("2026-11-25T03:59"), "shop").reasons
    assert reason.kind == "window" and "it takes at least" in reason.text


def test_an_open_rollout_and_what_it_waits_for(made: Made) -> None:
    """It is open already, and nobody sees that it waits for his own approval."""
    installation = made(service="    approval: required\n", fleet="")
    row = drive(installation, start(installation).row, lambda row: row.outcome == "waiting_approval")
    found = why_not_now(installation, "shop")
    assert kinds(found) == ["open_rollout", "approval", "not_driven"] and found.rollout == row.id
    assert the(found, "approval").next == f"rollout approve {row.id}" and the(found, "approval").until
    assert found.begin == f"rollout resume {row.id}"


def test_a_paused_one(made: Made) -> None:
    """A pause of last week is looked for in the logs."""
    installation = made(service="", fleet="")
    row = drive(installation, start(installation).row, lambda row: row.phase == "shifting")
    interventions.pause(installation, row, "me@desk", "lunch")
    found = why_not_now(installation, "shop")
    assert kinds(found) == ["open_rollout", "paused", "not_driven"]
    assert the(found, "paused") == Reason(
        "paused", f"{row.id} is paused: lunch", "me@desk", None, f"rollout resume {row.id}"
    )


def test_a_halted_one(made: Made) -> None:
    """A halted rollout looks like one that is just slow."""
    installation = made(service="", fleet="")
    row = drive(installation, start(installation).row, lambda row: row.phase == "shifting")
    route = installation.provider("memory").traffic.route(SHOP)
    edited: Any = {"blue": 70, "green": 30}
    installation.provider("memory").traffic.set_weights(SHOP, edited, route, "by hand")
    row = drive(installation, row, lambda row: row.outcome == "halted")
    found = why_not_now(installation, "shop")
    assert "someone else changed the route" in the(found, "halted").text and row.id in the(found, "halted").next


def test_a_warm_one_names_its_way_back_and_what_else_is_in_the_way(made: Made) -> None:
    """The old side is given up for a patch that the service runs already."""
    installation = made(service="", fleet="")
    row = drive(installation, start(installation).row, lambda row: row.phase == "warm")
    found = why_not_now(installation, "shop")
    assert kinds(found) == ["open_rollout", "not_driven", "nothing_to_do"]
    assert the(found, "open_rollout").next == "rollout start shop --end-warm" and the(found, "open_rollout").until
    assert "nothing_to_do" not in kinds(why_not_now(installation, "shop", "base-3")) and row.id == found.rollout


def test_a_rollout_whose_window_is_over(made: Made) -> None:
    """It turns back, and the reason is looked for in the checks."""
    installation = made()
    row = drive(installation, start(installation).row, lambda row: row.phase == "shifting")
    installation.clock.sleep(at("2026-11-25T04:00") - installation.clock.now())
    found = why_not_now(installation, "shop")
    assert "window_closing" in kinds(found) and row.id == found.rollout
    drive(installation, row, lambda row: row.phase == "rolling_back")
    assert "turning_back" in kinds(why_not_now(installation, "shop"))


def test_a_plan_that_cannot_be_made(made: Made) -> None:
    """It says that it would begin, for an image that there is not."""
    (reason,) = why_not_now(made(), "shop", "no-such-image").reasons
    assert reason.kind == "plan" and "no-such-image" in reason.text


def test_campaigns_are_told_and_keep_nobody_from_beginning(made: Made) -> None:
    """A service waits for its wave, and whoever asks is told that nothing is in the way, or that he may not begin."""
    found = why_not_now(made(fleet=MONTHLY), "shop")
    assert found.reasons == () and found.begin == "rollout start shop"
    (told,) = found.campaigns
    assert "campaign monthly" in told and "wave all" in told


def test_no_such_service(made: Made) -> None:
    """A typing error is told as an empty list."""
    with pytest.raises(UnknownService, match="did you mean shop"):
        why_not_now(made(), "shpo")
