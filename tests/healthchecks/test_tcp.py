from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks import tcp
from healthchecks.base import Verdict
from providers.base import TestRoute
from tests.healthchecks.fakes import World, instance
from tests.healthchecks.servers import Servers


def _ask(*addresses: str, timeout_s: float = 5.0, **options: Any) -> Verdict:
    world = World(instances=[instance(number, address=address) for number, address in enumerate(addresses)])
    return tcp.ask(tcp.Options(**options), world.subject(timeout_s=timeout_s))


def test_a_connection_is_enough(servers: Servers) -> None:
    """A service that says nothing by itself cannot be checked."""
    assert _ask(servers.silent().address).answer == "pass"


def test_one_instance_that_refuses_fails(servers: Servers) -> None:
    """A host without its service is hidden by those that have it."""
    verdict = _ask(servers.silent().address, servers.nobody(), servers.silent().address, servers.silent().address)
    assert (verdict.answer, verdict.summary) == ("fail", "instance green-1 refused the connection")
    assert verdict.severity == 0.25


def test_what_it_says_first_is_judged(servers: Servers) -> None:
    """Something that merely listens on the port counts as the service."""
    server = servers.greeting(b"+OK ready\r\n")
    assert _ask(server.address, expect="+OK").answer == "pass"
    verdict = _ask(server.address, expect="-ERR")
    assert (verdict.answer, "said b'+" in verdict.summary) == ("fail", True)


def test_it_is_spoken_to(servers: Servers) -> None:
    """Protocols in which the client speaks first cannot be checked."""
    server = servers.deciding(lambda head: b"+PONG\r\n" if head.startswith("PING\r\n\r\n") else b"-ERR\r\n")
    assert _ask(server.address, send=r"PING\r\n\r\n", expect=r"+PONG\r\n").answer == "pass"
    assert _ask(server.address, send=r"PONG\r\n\r\n", expect=r"+PONG\r\n").answer == "fail"


@pytest.mark.parametrize("what", [b"", b"+O"])
def test_hanging_up_too_early_fails(servers: Servers, what: bytes) -> None:
    """A service that dies at each connection passes, because it took the connection."""
    assert _ask(servers.greeting(what).address, expect="+OK").answer == "fail"


def test_too_few_bytes_in_time_are_unknown(servers: Servers) -> None:
    """A slow host is called broken, or a hanging one well."""
    assert _ask(servers.silent().address, expect="+OK", timeout_s=0.2).answer == "unknown"


def test_drips_are_not_waited_for(servers: Servers) -> None:
    """One host that says a byte now and then holds up the gate."""
    server = servers.dripping(b"")
    verdict = _ask(server.address, send=r"\r\n\r\n", expect="x" * 4096, timeout_s=0.3)
    assert verdict.answer == "unknown"


def test_another_port_of_the_same_host_is_asked(servers: Servers) -> None:
    """The port beside the service's own cannot be checked."""
    server = servers.greeting(b"hello")
    port = int(server.address.rpartition(":")[2])
    assert _ask("127.0.0.1:1", port=port, expect="hello").answer == "pass"
    assert _ask("127.0.0.1:1").answer == "fail"


def test_the_test_route_is_asked_when_it_is_wanted(servers: Servers) -> None:
    """A balancer that refuses everything is not seen."""
    world = World(instances=[], routes={"green": TestRoute(f"http://{servers.nobody()}")})
    options = tcp.Options(each_instance=False, test_route=True)
    assert tcp.ask(options, world.subject()).answer == "fail"
    world.routes["green"] = TestRoute(servers.silent().url)
    assert tcp.ask(options, world.subject()).answer == "pass"


@pytest.mark.parametrize(("state", "answer"), [("starting", "unknown"), ("failed", "fail")])
def test_a_slot_without_a_running_instance_does_not_pass(state: Any, answer: str) -> None:
    """An empty list of hosts counts as all of them being well."""
    world = World(instances=[instance(1, state=state)])
    assert tcp.ask(tcp.Options(), world.subject()).answer == answer


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", b""),
        (r"PING\r\n", b"PING\r\n"),
        (r"\x00\xfF", b"\x00\xff"),
        (r"a\\b", rb"a\b"),
        (r"\t\0", b"\t\0"),
        ("é", "é".encode()),
        (r"\\x41", rb"\x41"),
    ],
)
def test_escapes_stand_for_bytes(text: str, meant: bytes) -> None:
    """A binary protocol cannot be checked, or other bytes are sent than were written."""
    assert tcp.octets(text) == meant


@given(st.binary(max_size=200))
def test_any_bytes_can_be_written(raw: bytes) -> None:
    """Some byte cannot be sent at all."""
    assert tcp.octets("".join(f"\\x{byte:02x}" for byte in raw)) == raw


@given(st.text(alphabet=st.characters(exclude_characters="\\", exclude_categories=["Cs"])))
def test_text_without_a_backslash_means_itself(text: str) -> None:
    """What is sent is not what is written."""
    assert tcp.octets(text) == text.encode()


@pytest.mark.parametrize(
    "options",
    [
        {"port": 0},
        {"port": 65536},
        {"each_instance": False},
        {"send": "x" * 5000},
        {"send": "\\q"},
        {"expect": "\\"},
        {"expect": "\\x1"},
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    """A mistake in the fleet file shows only in the middle of a rollout."""
    with pytest.raises(ValueError, match=r"port|each_instance|bytes|backslash"):
        tcp.Options(**options)
