from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks import listening
from healthchecks.base import Role, Verdict
from providers.base import HostInventory
from tests.healthchecks.fakes import World

OWN = "tcp/127.0.0.1:service"
entries = st.builds(
    "{}/{}:{}".format,
    st.sampled_from(["tcp", "udp"]),
    st.sampled_from(["127.0.0.1", "0.0.0.0", "10.0.0.7", "[::1]", "[::]"]),
    st.sampled_from(["service", "ephemeral"]) | st.integers(1, 65535),
)


def _hosts(slot: str, *each: Sequence[str] | None) -> list[HostInventory]:
    return [
        HostInventory(f"{slot}-{n}", (), listening=None if places is None else tuple(places))
        for n, places in enumerate(each, start=1)
    ]


def _ask(before: Any, after: Any, role: Role = "replacement", **options: Any) -> Verdict:
    world = World(inventories={"blue": _hosts("blue", *before), "green": _hosts("green", *after)})
    return listening.ask(listening.Options(**options), world.subject(role))


def test_the_same_places_pass() -> None:
    """No replacement could ever pass, for each instance has a port of its own."""
    assert _ask([[OWN], [OWN]], [[OWN], [OWN]]).answer == "pass"
    assert _ask([[OWN, "tcp/127.0.0.1:9100"], [OWN]], [[OWN], [OWN]]).answer == "pass"


def test_what_one_host_opens_fails_and_is_named() -> None:
    """A patch that opens a debugging port to everybody is promoted."""
    verdict = _ask([[OWN], [OWN]], [[OWN], [OWN, "tcp/0.0.0.0:4444", "udp/[::]:53"]])
    assert (verdict.answer, verdict.severity) == ("fail", 0.5)
    assert verdict.summary == "green-2 opens tcp/0.0.0.0:4444, udp/[::]:53, which the original does not"
    assert verdict.evidence["opened"] == {"green-2": ["tcp/0.0.0.0:4444", "udp/[::]:53"]}


@pytest.mark.parametrize(
    ("before", "after", "answer"),
    [
        ("tcp/0.0.0.0:9100", "tcp/127.0.0.1:9100", "pass"),
        ("tcp/127.0.0.1:9100", "tcp/0.0.0.0:9100", "fail"),
        ("tcp/127.0.0.1:service", "tcp/0.0.0.0:service", "fail"),
        ("tcp/[::]:9100", "tcp/[::1]:9100", "pass"),
        ("tcp/[::]:9100", "tcp/127.0.0.1:9100", "fail"),
        ("tcp/0.0.0.0:9100", "tcp/[::1]:9100", "fail"),
        ("tcp/0.0.0.0:53", "udp/0.0.0.0:53", "fail"),
        ("udp/0.0.0.0:ephemeral", "udp/0.0.0.0:ephemeral", "pass"),
        ("tcp/0.0.0.0:9100", "tcp/0.0.0.0:9101", "fail"),
    ],
)
def test_wider_is_more_and_narrower_is_not(before: str, after: str, answer: str) -> None:
    """A service that was there for this host alone is there for everybody, and nobody sees it."""
    assert _ask([[before], [before]], [[after], [after]]).answer == answer


@pytest.mark.parametrize("allow", ["tcp/127.0.0.1:9100", "tcp/*:9100", "tcp/127.0.0.1:*", "tcp/*:*"])
def test_what_is_allowed_may_be_opened(allow: str) -> None:
    """A patch that brings a wanted exporter can never pass, so that the check is left out altogether."""
    assert _ask([[OWN]] * 2, [[OWN, "tcp/127.0.0.1:9100"]] * 2, allow=[allow]).answer == "pass"
    assert _ask([[OWN]] * 2, [[OWN, "udp/0.0.0.0:9101"]] * 2, allow=[allow]).answer == "fail"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([None, [OWN]], [[OWN], [OWN]]),
        ([[OWN], [OWN]], [[OWN], None]),
        ([], [[OWN], [OWN]]),
        ([[OWN], [OWN]], []),
        ([[OWN], [OWN]], [[OWN]]),
        ([[OWN]], [[OWN], [OWN]]),
        ([None, [OWN]], [[OWN, "tcp/0.0.0.0:4444"], [OWN]]),
    ],
)
def test_a_side_that_cannot_be_read_whole_is_unknown(before: Any, after: Any) -> None:
    """The hosts that answer speak for those that do not, or a port that was always there counts as new."""
    assert _ask(before, after).answer == "unknown"


def test_what_was_opened_fails_even_beside_a_host_that_was_not_read() -> None:
    """One silent host of the replacement hides what the other opened."""
    assert _ask([[OWN], [OWN]], [[OWN, "tcp/0.0.0.0:4444"], None]).answer == "fail"


def test_the_original_is_only_asked_whether_it_can_be_read() -> None:
    """What the original always had open excuses what the replacement opens."""
    assert _ask([["tcp/0.0.0.0:4444"]] * 2, [[OWN]] * 2, "original").answer == "pass"
    assert _ask([None, [OWN]], [[OWN]] * 2, "original").answer == "unknown"


@pytest.mark.parametrize("entry", ["", "tcp", "tcp/8080", "tcp/0.0.0.0", "sctp/0.0.0.0:1", "tcp/::1:80", 3, "*"])
def test_a_provider_that_says_nonsense_is_unknown(entry: Any) -> None:
    """A provider with a bug waves every patch through."""
    assert _ask([[OWN]] * 2, [[entry], [OWN]]).answer == "unknown"


@given(st.lists(entries), st.lists(entries))
def test_nothing_passes_that_the_original_did_not_have(before: list[str], after: list[str]) -> None:
    """A hole in the comparison goes unseen."""
    opened = [entry for entry in after if not listening.covered(entry, set(before))]
    verdict = _ask([before, before], [after, after])
    assert verdict.answer == ("fail" if opened else "pass")
    for entry in after:
        protocol, port = entry.partition("/")[0], entry.rpartition(":")[2]
        if entry not in opened:
            assert any(each.startswith(protocol) and each.endswith(f":{port}") for each in before)


@pytest.mark.parametrize("allow", ["9100", "tcp/9100", "tcp/127.0.0.1:http", "tcp/127.0.0.*:80", "*/*:*", ""])
def test_options_that_cannot_be_meant_are_refused(allow: str) -> None:
    """A pattern that allows nothing, or all, shows only in the middle of a rollout."""
    with pytest.raises(ValueError, match="allow"):
        listening.Options(allow=[allow])
