"""Weights of a forward action as percent, and back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.aws import weights
from providers.base import SLOTS, Conflict, Invalid, Slot

BLUE, GREEN, OTHER = "arn:tg/blue", "arn:tg/green", "arn:tg/other"
GROUPS: dict[Slot, str] = {"blue": BLUE, "green": GREEN}
STICKY = {"Enabled": True, "DurationSeconds": 600}
LOGIN = {
    "Type": "authenticate-oidc",
    "Order": 1,
    "AuthenticateOidcConfig": {"Issuer": "https://login.example", "ClientId": "shop", "Scope": "openid"},
}
PAGE = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}


def forward(*entries: tuple[str, int | None], **more: Any) -> list[dict[str, Any]]:
    """A list of actions that ends with this split."""
    listed = [{"TargetGroupArn": arn, **({} if weight is None else {"Weight": weight})} for arn, weight in entries]
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": listed, **more}}]


def written(actions: list[dict[str, Any]]) -> dict[str, int]:
    """The weights in actions that are to be sent."""
    found = weights.raw(actions)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "actions, blue",
    [
        (forward((BLUE, 100), (GREEN, 0)), 100),
        (forward((BLUE, 1), (GREEN, 0)), 100),
        (forward((BLUE, 1)), 100),
        (forward((BLUE, None)), 100),
        (forward((GREEN, None), (BLUE, None)), 50),
        (forward((BLUE, 999), (GREEN, 1)), 99),
        (forward((BLUE, 1), (GREEN, 999)), 1),
        (forward((BLUE, 2), (GREEN, 1)), 67),
        ([{"Type": "forward", "TargetGroupArn": GREEN}], 0),
        ([LOGIN, {"Type": "forward", "Order": 2, "TargetGroupArn": BLUE}], 100),
    ],
)
def test_any_scale_is_read_as_percent(actions: list[dict[str, Any]], blue: int) -> None:
    """Otherwise a route made with other numbers is misread, and the wrong side is taken for the active one."""
    assert weights.shares(actions, GROUPS, "here") == {"blue": blue, "green": 100 - blue}


@given(st.integers(0, 999), st.integers(0, 999))
def test_a_share_is_nothing_only_where_there_is_no_weight(blue: int, green: int) -> None:
    """Otherwise a side with a trickle of traffic is taken for idle, and detached."""
    actions = forward((BLUE, blue), (GREEN, green))
    if not blue + green:
        with pytest.raises(Conflict, match="nobody"):
            weights.shares(actions, GROUPS, "here")
        return
    found = weights.shares(actions, GROUPS, "here")
    assert sum(found.values()) == 100
    assert {slot: bool(found[slot]) for slot in SLOTS} == {"blue": bool(blue), "green": bool(green)}
    assert abs(found["green"] - 100 * green / (blue + green)) < 1


@given(st.integers(0, 100))
def test_what_is_written_is_read(blue: int) -> None:
    """Otherwise a move is never seen to be done."""
    actions = weights.with_shares(forward((BLUE, 7), (GREEN, 2)), GROUPS, {"blue": blue, "green": 100 - blue}, "here")
    assert weights.shares(actions, GROUPS, "here") == {"blue": blue, "green": 100 - blue}
    assert all(0 <= weight <= weights.LARGEST for weight in written(actions).values())


def test_somebody_elses_target_group_is_named() -> None:
    """Otherwise a third side is cut off without a word, or nobody knows why nothing moves."""
    with pytest.raises(Conflict, match=f"listener-1 .*{OTHER}"):
        weights.shares(forward((BLUE, 1), (OTHER, 0)), GROUPS, "listener-1")


@pytest.mark.parametrize("actions", [[PAGE], [], [LOGIN, {"Type": "redirect"}]])
def test_a_route_that_forwards_nothing_is_refused(actions: list[dict[str, Any]]) -> None:
    """Otherwise a redirect is overwritten by a rollout."""
    with pytest.raises(Invalid, match="forward"):
        weights.shares(actions, GROUPS, "here")


@pytest.mark.parametrize("weight", [-1, 1000])
def test_weights_that_cannot_be_are_not_read(weight: int) -> None:
    """Otherwise nonsense is taken for percent."""
    with pytest.raises(Conflict):
        weights.shares(forward((BLUE, weight), (GREEN, 5)), GROUPS, "here")


@pytest.mark.parametrize("wrong", [(0, 0), (60, 60), (110, -10), (100, 1)])
def test_weights_that_are_not_a_whole_are_never_written(wrong: tuple[int, int]) -> None:
    """Otherwise a typing error takes the service down: AWS takes any numbers."""
    asked: dict[Slot, int] = {"blue": wrong[0], "green": wrong[1]}
    with pytest.raises(Invalid):
        weights.with_shares(forward((BLUE, 1), (GREEN, 1)), GROUPS, asked, "here")
    with pytest.raises(Invalid):
        weights.put_back([], forward((BLUE, 1)), GROUPS, asked)


@pytest.mark.parametrize("wrong", [{"blue": 100}, {"blue": 50.0, "green": 50}, {"blue": True, "green": 99}])
def test_only_whole_numbers_for_both_slots(wrong: Any) -> None:
    """Otherwise what is written is not what was meant."""
    with pytest.raises(Invalid):
        weights.checked(wrong)


def test_everything_but_the_weights_stays() -> None:
    """Otherwise a rollout switches the login off, or sends sticky clients to and fro."""
    actions = [LOGIN, {**forward((BLUE, 100), (GREEN, 0), TargetGroupStickinessConfig=STICKY)[0], "Order": 2}]
    before = copy.deepcopy(actions)
    login, last = weights.with_shares(actions, GROUPS, {"blue": 90, "green": 10}, "here")
    assert login["AuthenticateOidcConfig"] == {**LOGIN["AuthenticateOidcConfig"], "UseExistingClientSecret": True}  # type: ignore[dict-item]
    assert (login["Order"], last["Order"]) == (1, 2)
    assert last["ForwardConfig"]["TargetGroupStickinessConfig"] == STICKY
    assert last["ForwardConfig"]["TargetGroups"] == [
        {"TargetGroupArn": BLUE, "Weight": 90},
        {"TargetGroupArn": GREEN, "Weight": 10},
    ]
    assert actions == before, "what was read is changed in place"


def test_the_short_form_is_written_as_a_list() -> None:
    """Otherwise AWS refuses two target groups beside TargetGroupArn."""
    both = [
        {"Type": "forward", "TargetGroupArn": BLUE, **{"ForwardConfig": {"TargetGroups": [{"TargetGroupArn": BLUE}]}}}
    ]
    made = weights.with_group(both, GROUPS, "green", "here")
    assert made is not None and "TargetGroupArn" not in made[0]
    assert written(made) == {BLUE: 100, GREEN: 0}


def test_a_slot_comes_and_goes_without_weight() -> None:
    """Otherwise attaching moves traffic, or detaching leaves a way back to a side that was given up."""
    attached = weights.with_group(forward((BLUE, 3)), GROUPS, "green", "here")
    assert attached is not None and written(attached) == {BLUE: 100, GREEN: 0}
    assert weights.with_group(attached, GROUPS, "green", "here") is None
    alone = weights.without_group(attached, GROUPS, "green", "here")
    assert alone is not None and written(alone) == {BLUE: 100}
    assert weights.without_group(alone, GROUPS, "green", "here") is None
    with pytest.raises(Invalid, match="100 %"):
        weights.without_group(attached, GROUPS, "blue", "here")


def test_no_weight_for_a_slot_that_is_not_there() -> None:
    """Otherwise clients are sent to a side that nobody checked."""
    with pytest.raises(Invalid, match="attach"):
        weights.with_shares(forward((BLUE, 1)), GROUPS, {"blue": 90, "green": 10}, "here")
    assert written(weights.with_shares(forward((BLUE, 1)), GROUPS, {"blue": 100, "green": 0}, "here")) == {BLUE: 100}


@pytest.mark.parametrize(
    "present",
    [
        forward((BLUE, 0), (GREEN, 0), TargetGroupStickinessConfig=STICKY),
        forward((OTHER, 5), (GREEN, 5), TargetGroupStickinessConfig=STICKY),
        forward((GREEN, 1), TargetGroupStickinessConfig=STICKY),
        [PAGE],
        [],
    ],
)
def test_the_way_back_goes_over_whatever_is_there(present: list[dict[str, Any]]) -> None:
    """Otherwise a half repair, a maintenance page or an empty route stops the rollback at night."""
    known = [LOGIN, *forward((BLUE, 100), (GREEN, 0), TargetGroupStickinessConfig=STICKY)]
    made = weights.put_back(present, known, GROUPS, {"blue": 100, "green": 0})
    assert weights.shares(made, GROUPS, "here") == {"blue": 100, "green": 0}
    assert made[-1]["ForwardConfig"]["TargetGroupStickinessConfig"] == STICKY
    assert [action["Type"] for action in made].count("forward") == 1


def test_what_is_seen_of_a_strange_route_is_said_as_it_is() -> None:
    """Otherwise the way back refuses to look at exactly the route that it has to repair."""
    assert weights.seen(forward((BLUE, 1), (OTHER, 1)), GROUPS) == {"blue": 50, "green": 0}
    assert weights.seen(forward((BLUE, 1), (OTHER, 999)), GROUPS) == {"blue": 1, "green": 0}
    assert weights.seen([PAGE], GROUPS) == weights.seen(forward((BLUE, 0)), GROUPS) == {"blue": 0, "green": 0}


TEN: dict[Slot, int] = {"blue": 90, "green": 10}
HALF: dict[Slot, int] = {"blue": 50, "green": 50}
BACK: dict[Slot, int] = {"blue": 100, "green": 0}


@pytest.mark.parametrize(
    "each, declaring, answer",
    [
        ([HALF, HALF], HALF, HALF),
        ([HALF, TEN], HALF, TEN),  # under way: the last one counts
        ([TEN, TEN], HALF, TEN),  # declared, nothing moved yet
        ([TEN, HALF], HALF, TEN),  # the first one was edited after the move
        ([BACK, TEN], HALF, BACK),  # the first one was edited during the move
        ([HALF, BACK], BACK, HALF),  # put back, but for the first one
        ([BACK, TEN], BACK, TEN),  # the last one was edited after the move
        ([HALF, TEN], None, {"blue": 70, "green": 30}),  # nobody declared anything: all of them together
        ([BACK, {"blue": 99, "green": 1}], None, {"blue": 99, "green": 1}),  # and never all on one side
        ([TEN], None, TEN),
    ],
)
def test_routes_that_disagree(each: Any, declaring: Any, answer: Any) -> None:
    """Otherwise a move is called done while a part of the clients did not move, or an edit is not noticed."""
    assert weights.route_of(each, declaring) == answer


@given(st.lists(st.sampled_from([TEN, HALF, BACK]), min_size=1, max_size=3), st.sampled_from([None, TEN, HALF, BACK]))
def test_a_finished_move_is_finished_everywhere(each: Any, declaring: Any) -> None:
    """Otherwise the engine goes on while one listener still sends clients elsewhere."""
    if weights.route_of(each, declaring) == declaring == each[-1]:
        assert all(one == declaring for one in each)


def test_a_revision_changes_with_any_weight_and_the_mark() -> None:
    """Otherwise an edit that keeps the percentages, or a mark, goes unnoticed."""
    one = weights.revision({"a": forward((BLUE, 1), (GREEN, 0))}, {})
    assert one == weights.revision({"a": forward((GREEN, 0), (BLUE, 1))}, {})
    assert one != weights.revision({"a": forward((BLUE, 100), (GREEN, 0))}, {})
    assert one != weights.revision({"a": forward((BLUE, 1), (GREEN, 0))}, {"rollout-manager:mark": "x"})
