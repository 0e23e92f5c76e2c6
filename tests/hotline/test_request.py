"""Only a rollback is answered, only of the server's own fleet, whoever sends whatever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.actor import same_person, this_person
from rollout.hotline.answering import Answering
from rollout.hotline.request import (
    LONGEST_WORD,
    MOST_BYTES,
    MOST_WORDS,
    NOBODYS,
    BadRequest,
    Request,
    parse_request,
)
from rollout.rescue.told import Told


def raw(**asked: Any) -> bytes:
    """A request, with these fields in place of good ones."""
    return json.dumps({"v": 1, "arguments": ["rollback", "shop"], **asked}).encode()


def test_a_command_line_is_read() -> None:
    """A rollback through the server forgets what it was told."""
    asked = parse_request(raw(arguments=["rollback", "shop", "--reason=slow", "--drill"], claim="ci:job"))
    assert asked == Request(("rollback", "shop", "--reason=slow", "--drill"), "ci:job")


def test_the_fleet_is_the_servers_own() -> None:
    """Whoever reaches one server moves the traffic of any fleet file that it can read."""
    asked = ["rollback", "--config", "/etc/other.yaml", "shop", "--config=/x", "--server", "unix:///y", "--server=z"]
    assert parse_request(raw(arguments=asked)).arguments == ("rollback", "shop")
    assert parse_request(raw(arguments=["--config", "/x", "rollback"])).arguments == ("rollback",)


@pytest.mark.parametrize("option", NOBODYS)
@pytest.mark.parametrize("form", ["{} x", "{}=x"])
def test_the_servers_credentials_are_for_its_fleet_only(option: str, form: str) -> None:
    """Whoever has a token moves any traffic of the account, or has signed requests sent to an endpoint of his own."""
    with pytest.raises(BadRequest, match=option):
        parse_request(raw(arguments=["rollback", "i-1", *form.format(option).split()]))


@pytest.mark.parametrize("short", ["--provide=aws", "--endpoint=http://x", "--conf=/etc/x.yaml", "--reg=x"])
def test_a_shortened_option_is_no_way_around(tmp_path: Path, short: str) -> None:
    """The bound above is passed by leaving letters out."""
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("state: state\n")
    told = Told()
    asked = parse_request(raw(arguments=["rollback", "shop", short]))
    assert Answering(fleet)(asked, "ana@desk", told.say) == 2
    assert told.facts["unknown"] == [short]


@pytest.mark.parametrize(
    "asked",
    [
        {"v": 2},
        {"v": True},
        {"v": None},
        {"arguments": "rollback shop"},
        {"arguments": []},
        {"arguments": ["start", "shop"]},
        {"arguments": ["status"]},
        {"arguments": ["--config", "rollback"]},
        {"arguments": ["rollback", 7]},
        {"arguments": ["rollback", "a\0b"]},
        {"arguments": ["rollback", "x" * (LONGEST_WORD + 1)]},
        {"arguments": ["rollback"] * (MOST_WORDS + 1)},
        {"claim": 7},
    ],
)
def test_anything_else_is_refused(asked: dict[str, Any]) -> None:
    """A socket for emergencies starts rollouts, or a strange request ends the server."""
    with pytest.raises(BadRequest):
        parse_request(raw(**asked))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 9000, b"x" * (MOST_BYTES + 1)])
def test_what_is_no_request_is_refused(text: bytes) -> None:
    """A line of rubbish ends the server in the worst night."""
    with pytest.raises(BadRequest):
        parse_request(text)


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps).map(str.encode)
)
def test_rubbish_is_a_request_or_refused(text: bytes) -> None:
    """Some input has an error of its own, and the thread that answers dies of it."""
    try:
        assert parse_request(text).arguments[0] == "rollback"
    except BadRequest as error:
        assert str(error)


@given(st.text())
def test_a_claim_makes_nobody_somebody_else(claim: str) -> None:
    """A job that says it is for alice is alice, and approves her rollout."""
    actor = parse_request(raw(claim=claim)).actor(this_person())
    assert same_person(actor, this_person()) and actor.startswith(this_person())
    assert actor.isprintable() and len(actor) < 400
