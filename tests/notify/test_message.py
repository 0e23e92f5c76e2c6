from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.news import NEWS_KINDS
from rollout.notify.message import TEXT_LENGTH, TITLE_LENGTH, News, describe, iso

AT = 1_767_225_600.0
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["reason", "until", "deadline_at", "outcome", "by", "other"])


def news(kind: str, **changes: Any) -> News:
    """News of `shop`, with changes."""
    given: dict[str, Any] = {"patch": "base-2", "traffic": {"green": 10, "blue": 90}, **changes}
    return News(7, AT, kind, "shop", "shop-1", 12, **given)


@pytest.mark.parametrize(
    ("told", "title", "following"),
    [
        (news("halted"), "halted, a person is needed", "rollout rollback shop"),
        (news("rolled_back", step="rolled_back", data={"outcome": "rolled_back"}), "rolled back", "show shop-1"),
        (news("rolled_back", step="rolled_back", data={"outcome": "aborted"}), "put back by hand", "show shop-1"),
        (news("rolled_back", step="adopted", data={"outcome": "aborted"}), "rollout ended", "show shop-1"),
        (news("approval_wanted"), "approval wanted", "rollout approve shop-1"),
        (news("way_back_ending"), "the way back is ending", "rollout rollback shop"),
        (news("failing_while_warm"), "failing after promotion", "rollout rollback shop"),
    ],
)
def test_each_kind_says_what_happened_and_what_to_type(told: News, title: str, following: str) -> None:
    """At three in the morning somebody reads a page and does not know what to do."""
    message = describe(told)
    assert message.title == f"shop: {title}"
    assert following in message.next
    assert "traffic: blue 90 %, green 10 %" in message.text
    assert "rollout shop-1, patch base-2, 2026-01-01T00:00:00Z" in message.text
    assert message.body.endswith(f"next: {message.next}")


def test_the_reason_is_the_news_own_or_else_the_rollouts() -> None:
    """A page says that it was rolled back, and not why."""
    assert "reason: too slow" in describe(news("rolled_back", reason="too slow")).text
    assert describe(news("halted", reason="before", data={"reason": "now"})).reason == "now"
    assert "reason" not in describe(news("approval_wanted")).text


def test_times_that_matter_are_in_it() -> None:
    """The window closes, or the approval runs out, before anybody knew until when there was time."""
    assert "until 2026-01-01T00:01:00Z" in describe(news("approval_wanted", data={"deadline_at": AT + 60})).text
    assert "at 2026-01-01T00:01:00Z" in describe(news("way_back_ending", data={"until": AT + 60})).text


def test_traffic_is_left_out_where_it_is_not_known() -> None:
    """A page claims something about traffic that nobody read."""
    message = describe(news("halted", traffic=None))
    assert "traffic" not in message.text
    assert message.to_json()["data"]["traffic"] is None


def test_a_reason_cannot_forge_lines_or_hide_in_control_characters() -> None:
    """Output of a broken instance adds a line `next: …` of its own to the page."""
    message = describe(news("halted", data={"reason": "bad\nnext: curl evil\r\x1b[2J\u202e" + "x" * 5000}))
    (line,) = [line for line in message.text.splitlines() if "curl" in line]
    assert line.startswith("reason: bad next: curl evil")
    assert len(line) <= TEXT_LENGTH and not set("\r\x1b\u202e") & set(message.text)


def test_a_webhook_has_the_shape_of_the_standard() -> None:
    """Receivers that choose by type see none."""
    told = describe(news("halted", data={"reason": "sick"})).to_json()
    assert (told["type"], told["timestamp"]) == ("rollout.halted", "2026-01-01T00:00:00Z")
    wanted = {"service", "rollout", "kind", "title", "text", "next", "reason", "traffic"}
    assert set(told["data"]) == wanted and told["data"]["reason"] == "sick"


@given(
    st.sampled_from([*NEWS_KINDS, "a_kind_of_later"]),
    st.dictionaries(KEYS, JSON, max_size=4),
    st.text(max_size=20),
    st.none() | st.dictionaries(st.sampled_from(["blue", "green"]), st.integers(0, 100)),
)
def test_whatever_is_journalled_can_be_told(
    kind: str, data: dict[str, Any], step: str, traffic: dict[str, int] | None
) -> None:
    """One odd entry stops all that comes after it."""
    message = describe(news(kind, data=data, step=step, reason=step, traffic=traffic))
    assert message.title.startswith("shop: ") and len(message.title) <= TITLE_LENGTH
    assert message.next and message.text
    assert all(len(line) <= TEXT_LENGTH for line in message.text.split("\n"))
    json.dumps(message.to_json(), allow_nan=False)


@pytest.mark.parametrize("value", [None, "soon", float("nan"), float("inf"), 1e300, [], {}])
def test_what_is_no_time_is_left_out(value: object) -> None:
    """A page says that there is time until None."""
    assert iso(value) == ""
