"""The picture of one rollout at any size: nothing wraps, nothing that matters is left out first."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.view.panel import panel
from rollout.view.stream import Event, Picture
from tests.views.kit import DIGEST, NOW, lines, looked, picture, side, sides, stands, whole, widest

WIDTHS = [40, 60, 80, 200]
UNICODE = "修正パッチ 🛡️ café \u0301naïve — «ß»"


def shown(made: Picture, width: int = 80, height: int = 30, **options: Any) -> list[str]:
    """What a terminal of this size shows."""
    return lines(panel(made, now=NOW, width=width, height=height), width, **options)


def test_all_of_it_on_a_common_terminal() -> None:
    """Somebody who watches has to type other commands to learn what the view should say."""
    assert shown(whole()) == [
        "─" * 80,
        "shop  running (shifting)  shop-20261121-6d5855",
        "base-2 onto green, beside blue; driven by process 12 on host",
        "side              traffic requests failed  per s in flight",
        "blue  original       90 %     1204      0   45.2         2",
        "      2 healthy  sha256:ab12ab12ab12",
        "green replacement    10 %      131      3   45.2         2",
        "      1 healthy, 1 unhealthy  base-2",
        "pass    http        1 s ago  3 of 3 answered as expected",
        "fail    balancer    4 s ago  1 of 2 targets unhealthy: refused",
        "waits   live:1:10: 2 passes (3 needed), 4 of 10 s, 50 s left",
        "back    rollout rollback shop",
    ]


def test_a_wide_terminal_has_a_row_for_each_side_and_a_bar() -> None:
    """Half of a wide terminal stays empty while rows are missing below."""
    found = shown(whole(), 128)
    assert "blue  original       90 %     1204      0   45.2         2  2 healthy  sha256:ab12ab12ab12" in found
    assert any(line.startswith("waits") and "████████░░░░░░░░░░░░" in line for line in found)
    assert len(found) == 10


def test_sixty_columns_are_enough() -> None:
    """In half of a split screen the view has no failures, or no way back."""
    text = "\n".join(shown(whole(), 60))
    for needed in ("in flight", "failed", "1 unhealthy", "sha256:ab12ab12ab12", "50 s left", "rollout rollback shop"):
        assert needed in text
    assert "…" in text, "only summaries are cut"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("text", [UNICODE, "x" * 500, "\x1b[2Jgone\x07\r\nnext", ""])
def test_nothing_wraps_whatever_is_written(width: int, text: str) -> None:
    """One long or wide text breaks the whole picture, at every refresh once more."""
    made = picture(
        Event("stands", stands(patch=text, service=text, reason=text, warning=text, next=text, way_back=None)),
        Event("looked", looked(seen=text, verdicts={text: {"answer": "fail", "summary": text, "at": NOW}})),
        Event("traffic", sides(sides={"blue": side(image=text), "green": side(image=text)})),
    )
    found = shown(made, width)
    assert widest(found) <= width
    assert len(found) <= 16
    assert all(character.isprintable() for line in found for character in line)


@given(
    width=st.integers(20, 220),
    height=st.integers(1, 40),
    text=st.text(max_size=80),
    numbers=st.integers(0, 10**12),
    checks=st.integers(0, 40),
    waits=st.sampled_from(["gate", "fact", "paused", "nothing"]),
    read=st.sampled_from(["read", "unread", "failed"]),
)
def test_it_fits_every_terminal(
    width: int, height: int, text: str, numbers: int, checks: int, waits: str, read: str
) -> None:
    """The picture is taller than the terminal, and each refresh scrolls one more copy of it by."""
    verdicts = {
        f"{text}{number}": {"answer": answer, "summary": text, "at": NOW - numbers}
        for number, answer in zip(range(checks), ["pass", "fail", "unknown", "ambient"] * 10, strict=False)
    }
    step = {"paused": "paused:7", "fact": "healthy"}.get(waits, "live:1:10")
    more = {} if waits == "gate" else {"soak": None, "until": None}
    events = [Event("stands", stands(patch=text, warning=text or None))]
    if waits != "nothing":
        events.append(Event("looked", looked(step=step, seen=text, verdicts=verdicts, **more)))
    if read != "unread":
        made = side(requests=numbers, failed=numbers, per_s=numbers / 7, in_flight=numbers)
        both = {"blue": made, "green": made} if read == "read" else None
        events.append(Event("traffic", sides(sides=both, problem=text if both is None else "")))
    found = shown(picture(*events), width, height)
    assert len(found) <= height
    assert widest(found) <= width
    assert "rollback" in found[-1] or width < 30


def test_in_a_low_terminal_the_least_important_goes_first() -> None:
    """Twenty passing checks push the failing one, or the way back, off the screen."""
    verdicts = {f"check-{n}": {"answer": "pass", "summary": "fine", "at": NOW} for n in range(20)}
    verdicts["http"] = {"answer": "fail", "summary": "503", "at": NOW}
    made = picture(Event("stands", stands()), Event("looked", looked(verdicts=verdicts)), Event("traffic", sides()))
    found = shown(made, 80, 12)
    assert len(found) == 12
    assert any(line.startswith("fail    http") for line in found)
    assert found[-1].startswith("back")
    assert shown(made, 80, 2) == ["shop  running (shifting)  shop-20261121-6d5855", "back    rollout rollback shop"]


def test_before_anything_is_known_nothing_is_shown() -> None:
    """The first thing to see is a frame full of dashes."""
    assert shown(Picture()) == [""]


def test_what_was_not_read_is_not_made_up() -> None:
    """Zeros stand where nobody looked: zero failures, it says."""
    before = shown(picture(Event("stands", stands())))
    assert "blue  original       90 %        -      -      -         -" in before
    assert "      targets not read yet" in before
    failed = shown(picture(Event("stands", stands()), Event("traffic", sides(sides=None, problem="Transient: no"))))
    assert "      targets unknown" in failed
    assert "traffic unknown: Transient: no" in failed


def test_first_rate_is_not_zero() -> None:
    """An idle service and one whose rate is not known yet look the same."""
    reading = sides(sides={"blue": side(per_s=None), "green": side(per_s=0.0)})
    found = shown(picture(Event("stands", stands()), Event("traffic", reading)))
    assert "blue  original       90 %     1204      0      -         2" in found
    assert "green replacement    90 %     1204      0    0.0         2" in found


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"driven_by": None}, "base-2 onto green, beside blue; nobody drives it"),
        ({"paused": {"by": "me", "reason": "sale"}}, "shop  paused (shifting)  shop-20261121-6d5855"),
        ({"warning": "http: 503"}, "warning http: 503"),
        ({"reason": "live:1:10: failed 2 times"}, "because live:1:10: failed 2 times"),
        ({"way_back": None}, "next    rollout resume shop-20261121-6d5855"),
        ({"way_back": None, "next": None, "closed_at": NOW}, "closed"),
        ({"closed_at": NOW}, "base-2 onto green, beside blue; closed"),
    ],
)
def test_what_people_have_to_know_is_there(changes: dict[str, Any], line: str) -> None:
    """A warning, a pause or the want of a driver is not to be seen where somebody looks."""
    assert line in shown(picture(Event("stands", stands(**changes))))


def test_the_way_back_says_until_when() -> None:
    """Somebody decides to sleep over it, and the way back is closed."""
    last = shown(picture(Event("stands", stands(way_back_until=NOW))))[-1]
    assert last.startswith("back    rollout rollback shop until 20")


@pytest.mark.parametrize(
    ("look", "line"),
    [
        ({"step": "healthy", "soak": None, "seen": "1 of 2 healthy"}, "waits   healthy: 1 of 2 healthy, 50 s left"),
        ({"step": "approval", "soak": None, "seen": None, "until": NOW + 7200}, "waits   approval, 2 h left"),
        ({"step": "paused:7", "soak": None, "waits": "paused by me: sale"}, "waits   paused by me: sale"),
        ({"soak": {"passes": 0, "of_passes": 1, "observed_s": 0.0, "of_s": 0.0}}, "waits   live:1:10: 0 passes (1"),
        ({"step": "x", "soak": None, "seen": None, "until": None}, "waits   x"),
    ],
)
def test_each_wait_is_told_in_its_own_way(look: dict[str, Any], line: str) -> None:
    """A person cannot tell what it waits for, or whether it will ever end."""
    found = shown(picture(Event("stands", stands()), Event("looked", looked(**{"verdicts": {}, **look}))))
    assert any(each.startswith(line) for each in found), found


def test_colours_only_add_to_words() -> None:
    """Who sees no colours cannot tell pass from fail."""
    plain, coloured = shown(whole()), shown(whole(), colours=True)
    assert "\x1b[31mfail" in "\n".join(coloured)
    assert "\x1b" not in "\n".join(plain)


def test_images_are_short_and_told_apart() -> None:
    """Two digests fill the line, and nothing else is to be seen."""
    assert DIGEST not in "\n".join(shown(whole(), 200))
