from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from healthchecks import http, sources, tcp, tls
from healthchecks.addresses import Refused
from healthchecks.base import Verdict
from healthchecks.deadline import Deadline
from providers.base import TestRoute
from tests.healthchecks.fakes import World, instance
from tests.healthchecks.servers import Servers

Names = Callable[[str], list[str]]
FORBIDDEN = [
    "169.254.169.254",
    "[fd00:ec2::254]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[fe80::1]",
    "168.63.129.16",
    "0.0.0.0",
    "[::]",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.254.169.254.",
    "user@169.254.169.254",
    "shop_1.internal",
    "[::1%25lo]",
    "169。254。169。254",
]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[[Names], list[str]]:
    """Sets what names resolve to (literal addresses stay what they are); the list has every name that was looked up."""
    real = socket.getaddrinfo

    def install(answers: Names) -> list[str]:
        asked = list[str]()

        def look_up(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
            if not isinstance(host, str) or host.replace(".", "").isdigit() or ":" in host:
                return real(host, port, *rest, **more)
            asked.append(host)
            kinds = [(socket.AF_INET6 if ":" in each else socket.AF_INET, each) for each in answers(host)]
            return [(family, socket.SOCK_STREAM, 6, "", (each, port or 0)) for family, each in kinds]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        return asked

    return install


def _ask_url(url: str, allow_private: bool = False, **options: Any) -> Verdict:
    return http.ask(http.Options(url=url, allow_private=allow_private, **options), World().subject(timeout_s=2.0))


@pytest.mark.parametrize("host", FORBIDDEN)
def test_no_source_leads_to_a_forbidden_place(host: str, names: Callable[[Names], list[str]]) -> None:
    """Whoever writes a fleet file, a test route or a tag reads the credentials of the host that asks."""
    asked = names(lambda name: ["169.254.169.254"])
    with Deadline(1.0) as deadline:
        for source in (
            lambda: sources.of_instance(instance(1, address=f"{host}:80")),
            lambda: sources.of_test_route(f"http://{host}:80", deadline),
            lambda: sources.of_url(f"http://{host}/latest/meta-data", True, deadline),
            lambda: sources.of_url(f"http://{host}/latest/meta-data", False, deadline),
            lambda: sources.of_address(f"{host}:80", True, deadline),
        ):
            with pytest.raises(Refused):
                source()
    assert asked == []


def test_a_private_place_has_to_be_allowed_by_name_too(servers: Servers, names: Callable[[Names], list[str]]) -> None:
    """A public name that stands for an inner address makes a check knock at inner doors."""
    server = servers.answering(200)
    names(lambda name: ["127.0.0.1"])
    port = server.address.rpartition(":")[2]
    refused = _ask_url(f"http://status.example:{port}/")
    assert (refused.answer, server.requests) == ("unknown", [])
    assert "allow_private" in refused.summary
    assert _ask_url(f"http://status.example:{port}/", allow_private=True).answer == "pass"


def test_the_connection_goes_where_the_judgement_was(servers: Servers, names: Callable[[Names], list[str]]) -> None:
    """A name that resolves differently a moment later (rebinding) leads a check anywhere."""
    good, evil = servers.answering(200), servers.answering(200, b"credentials")
    port = good.address.rpartition(":")[2]
    answers = iter([["127.0.0.1"], ["169.254.169.254"], ["169.254.169.254"]])
    asked = names(lambda name: next(answers))
    assert _ask_url(f"http://rebinding.example:{port}/", allow_private=True, samples=3).answer == "pass"
    assert asked == ["rebinding.example"]
    assert (len(good.requests), evil.requests) == (3, [])
    assert "\r\nhost: rebinding.example:" in good.requests[0]


@pytest.mark.parametrize("records", [["127.0.0.1", "169.254.169.254"], ["fd00:ec2::254", "127.0.0.1"], []])
def test_one_bad_record_refuses_the_name(
    records: list[str], servers: Servers, names: Callable[[Names], list[str]]
) -> None:
    """One good record beside a bad one lets the bad one through, now or at the next try."""
    server = servers.answering(200)
    names(lambda name: records)
    port = server.address.rpartition(":")[2]
    assert _ask_url(f"http://mixed.example:{port}/", allow_private=True).answer == "unknown"
    world = World(routes={"green": TestRoute(f"http://mixed.example:{port}")})
    assert http.ask(http.Options(each_instance=False), world.subject(timeout_s=1.0)).answer == "unknown"
    assert server.requests == []


def test_a_balancer_may_have_a_name_only(servers: Servers, names: Callable[[Names], list[str]]) -> None:
    """No service behind a cloud's balancer can be checked, for those are known by name."""
    server = servers.answering(200)
    names(lambda name: ["127.0.0.1"])
    world = World(
        routes={"green": TestRoute(f"http://lb.example:{server.address.rpartition(':')[2]}", {"x-slot": "g"})}
    )
    assert http.ask(http.Options(each_instance=False), world.subject()).answer == "pass"
    assert "x-slot: g" in server.requests[0]


def test_an_instance_is_never_a_name(names: Callable[[Names], list[str]]) -> None:
    """What a host calls itself decides where a check connects to."""
    asked = names(lambda name: ["127.0.0.1"])
    subject = World(instances=[instance(1, address="localhost:80")]).subject(timeout_s=0.5)
    verdicts = [http.ask(http.Options(), subject), tcp.ask(tcp.Options(), subject)]
    verdicts.append(tls.ask(tls.Options("shop.internal"), subject))
    assert "pass" not in {verdict.answer for verdict in verdicts}
    assert asked == []


def test_the_next_address_is_asked_where_the_first_takes_no_connection(
    servers: Servers, names: Callable[[Names], list[str]]
) -> None:
    """On a host without IPv6, whatever also has an IPv6 address is out of reach."""
    server = servers.answering(200)
    names(lambda name: ["127.0.0.9", "127.0.0.1"])
    port = server.address.rpartition(":")[2]
    assert _ask_url(f"http://two.example:{port}/", allow_private=True).answer == "pass"


def test_redirects_to_a_forbidden_place_are_not_followed(servers: Servers) -> None:
    """A public page sends the check to the metadata service, or on with the headers that were meant for it."""
    goal = servers.answering(200)
    for location in ("http://169.254.169.254/latest/meta-data/", goal.url):
        moved = servers.answering(302, headers=f"location: {location}\r\n")
        verdict = _ask_url(f"{moved.url}/", allow_private=True, headers={"Authorization": "Bearer hunter2"})
        assert (verdict.answer, verdict.summary) == ("fail", "url answered 302")
        assert "hunter2" not in json.dumps([verdict.summary, dict(verdict.evidence)])
    assert goal.requests == []


def test_a_resolver_that_hangs_does_not_hold_up_the_gate(names: Callable[[Names], list[str]]) -> None:
    """A broken name server holds up the gate, and with it the way back, for half a minute."""
    released = threading.Event()

    def hang(name: str) -> list[str]:
        released.wait(30)
        return ["127.0.0.1"]

    names(hang)
    began = time.monotonic()
    subject = World().subject(timeout_s=0.2)
    verdict = http.ask(http.Options(url="http://slow.example/", allow_private=True), subject)
    released.set()
    assert (verdict.answer, "in time" in verdict.summary) == ("unknown", True)
    assert time.monotonic() - began < 3


def test_what_is_asked_beyond_the_slot_is_not_asked_of_the_slot(servers: Servers) -> None:
    """A check of a login server turns a patch back because of a host that it was not about."""
    beyond, slot = servers.answering(200), servers.answering(500)
    world = World(instances=[instance(1, address=slot.address)], routes={"green": TestRoute(slot.url, {"x-key": "s3"})})
    options = http.Options(url=f"{beyond.url}/ready?full=1", allow_private=True)
    assert http.ask(options, world.subject()).answer == "pass"
    assert slot.requests == []
    assert beyond.requests[0].startswith("GET /ready?full=1 HTTP/1.1")
    assert "s3" not in beyond.requests[0]


@pytest.mark.parametrize("url", ["http://{}?a=1", "http://{}/?a=1"])
def test_a_query_stays_a_query(servers: Servers, url: str) -> None:
    """Another page is judged than the one that was configured."""
    server = servers.answering(200)
    assert _ask_url(url.format(server.address), allow_private=True).answer == "pass"
    assert server.requests[0].startswith("GET /?a=1 HTTP/1.1")


@pytest.mark.parametrize(
    "address", ["shop.example", "[::1]", "a:b@shop.example:443", "shop.example:443/x", "x:0", ":1", ""]
)
def test_an_address_has_a_host_and_a_port(address: str) -> None:
    """A certificate of another place is judged than the one that was meant."""
    with pytest.raises(ValueError, match=r"\w"):
        sources.raise_if_never_address(address, True)
