from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest

from healthchecks import http
from healthchecks.base import Verdict
from providers.base import TestRoute
from tests.healthchecks.fakes import World, instance
from tests.healthchecks.servers import Server, Servers


def _world(route: str, *addresses: str, headers: dict[str, str] | None = None) -> World:
    instances = [instance(number, address=address) for number, address in enumerate(addresses)]
    return World(instances=instances, routes={"green": TestRoute(route, headers or {})})


def _ask(server: Server, timeout_s: float = 5.0, **options: Any) -> Verdict:
    asked = http.Options(each_instance=False, **options)
    return http.ask(asked, _world(server.url).subject(timeout_s=timeout_s))


def test_a_sick_instance_behind_the_balancer_shows(servers: Servers) -> None:
    """Otherwise a balancer that is lucky hides the host that will fail the customers."""
    well, sick = servers.answering(200), servers.answering(500)
    verdict = http.ask(http.Options(), _world(well.url, well.address, sick.address).subject())
    assert (verdict.answer, verdict.summary) == ("fail", "instance green-1 answered 500")


def test_severity_is_the_share_of_places_that_are_not_as_expected(servers: Servers) -> None:
    """Otherwise one sick host of many beside excuses a replacement of which no host answers."""
    well, sick, silent = servers.answering(200), servers.answering(500), servers.silent()
    one = http.ask(http.Options(), _world(well.url, well.address, sick.address, well.address).subject())
    silent_too = _world(well.url, well.address, sick.address, silent.address)
    two = http.ask(http.Options(), silent_too.subject(timeout_s=0.5))
    assert [(verdict.answer, verdict.severity) for verdict in (one, two)] == [("fail", 0.25), ("fail", 0.5)]
    assert _ask(sick).severity == 1


def test_only_running_instances_are_asked(servers: Servers) -> None:
    """Otherwise a host that is still starting turns a good rollout back."""
    well, early = servers.answering(200), servers.answering(503)
    here = _world(well.url, well.address)
    here.instances += [instance(8, state="starting", address=early.address), instance(9, "blue", address="x")]
    assert http.ask(http.Options(), here.subject()).answer == "pass"
    assert early.requests == []


@pytest.mark.parametrize(("state", "answer"), [("starting", "unknown"), ("failed", "fail")])
def test_a_slot_without_a_running_instance_does_not_pass(servers: Servers, state: Any, answer: str) -> None:
    """Otherwise an empty list of hosts counts as all of them being well."""
    here = _world(servers.answering(200).url)
    here.instances = [instance(1, state=state)]
    assert http.ask(http.Options(), here.subject()).answer == answer


def test_redirects_are_not_followed(servers: Servers) -> None:
    """Otherwise a host sends the check to the metadata service, or to a healthy neighbour."""
    goal = servers.answering(200)
    moved = servers.answering(302, headers=f"location: {goal.url}\r\n")
    assert _ask(moved).answer == "fail"
    assert _ask(moved, expect_status=[302]).answer == "pass"
    assert goal.requests == []


def test_proxies_from_the_environment_are_ignored(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the proxy's answer is taken for the host's."""
    proxy, server = servers.answering(200), servers.answering(500)
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert _ask(server).answer == "fail"
    assert proxy.requests == []


def test_the_test_routes_headers_select_the_slot_and_go_nowhere_else(servers: Servers) -> None:
    """Otherwise the secret that opens the test route leaks to each instance, the evidence and the journal."""
    balancer, host = servers.answering(200), servers.answering(200)
    here = _world(balancer.url, host.address, headers={"X-Slot": "s3cret", "X-Own": "route"})
    verdict = http.ask(http.Options(headers={"X-Own": "mine", "X-More": "1"}), here.subject())
    assert "x-slot: s3cret" in balancer.requests[0]
    assert "x-own: route" in balancer.requests[0]
    assert "s3cret" not in host.requests[0]
    assert "x-own: mine" in host.requests[0]
    assert "s3cret" not in json.dumps([verdict.summary, dict(verdict.evidence)])


def test_path_method_and_host_arrive_as_written(servers: Servers) -> None:
    """Otherwise another page is judged than the one that was configured."""
    server = servers.answering(200, b"")
    _ask(server, path="/a%2fb//c?x=1&y=%20", method="HEAD")
    head = server.requests[0]
    assert head.startswith("HEAD /a%2fb//c?x=1&y=%20 HTTP/1.1\r\n")
    assert f"\r\nhost: {server.address}\r\n" in head


def test_the_base_address_may_have_a_path(servers: Servers) -> None:
    """Otherwise a service that lives below a path cannot be checked."""
    server = servers.answering(200)
    http.ask(http.Options("/health", each_instance=False), _world(f"{server.url}/shop/").subject())
    assert server.requests[0].startswith("GET /shop/health HTTP/1.1")


def test_text_is_looked_for_in_the_body(servers: Servers) -> None:
    """Otherwise a page that says 'maintenance' with status 200 passes."""
    server = servers.answering(200, "état: prêt".encode())
    assert _ask(server, body_contains="prêt").answer == "pass"
    assert _ask(server, body_contains="ready").answer == "fail"


def test_an_endless_body_is_read_to_a_bound(servers: Servers) -> None:
    """Otherwise one host fills the memory of the program that watches all of them."""
    sent = 0

    def pour(connection: socket.socket, _: object) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)
            sent += 65536

    assert _ask(servers.start(pour)).answer == "pass"
    assert sent < 64 * 1024 * 1024


def test_a_compressed_answer_is_not_unpacked(servers: Servers) -> None:
    """Otherwise a few bytes that unpack to gigabytes stop the program."""
    server = servers.answering(200, b"not gzip at all", "content-encoding: gzip\r\n")
    assert _ask(server).answer == "pass"


def test_a_slow_answer_fails_only_when_asked_for(servers: Servers) -> None:
    """Otherwise a patch that makes everything slow gets through, or a slow service can never be patched."""
    server = servers.answering(200)
    assert _ask(server, max_latency_s=1e-9).answer == "fail"
    assert _ask(server, max_latency_s=60).answer == "pass"


def test_a_refused_connection_is_a_definite_fail() -> None:
    """Otherwise a host whose service is dead counts as merely unclear."""
    verdict = http.ask(http.Options(each_instance=False), _world(f"http://{Servers.nobody()}").subject())
    assert (verdict.answer, "refused" in verdict.summary) == ("fail", True)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\x00\xff\x00",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 50_000,
    ],
)
def test_what_is_not_http_never_passes(servers: Servers, said: bytes) -> None:
    """Otherwise something that merely listens on the port counts as the service."""
    assert _ask(servers.saying(said)).answer == "fail"


@pytest.mark.parametrize(
    "start",
    [b"", b"HTTP/1.1 200 OK\r\nx-long: ", b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n"],
    ids=["status line", "headers", "body"],
)
def test_an_answer_that_drips_in_is_cut_off(servers: Servers, start: bytes) -> None:
    """Otherwise one host holds up the gate, and with it the way back, for hours."""
    began = time.monotonic()
    verdict = _ask(servers.dripping(start), timeout_s=0.3)
    assert verdict.answer != "pass"
    assert verdict.answer == "unknown" or not start  # endless nonsense may be known for what it is
    assert time.monotonic() - began < 3


def test_one_hanging_instance_does_not_use_up_the_time_of_the_others(servers: Servers) -> None:
    """Otherwise one hanging host hides which of the others are well."""
    well, hanging = servers.answering(200), servers.silent()
    here = _world(well.url, hanging.address, *[well.address] * 5)
    verdict = http.ask(http.Options(), here.subject(timeout_s=2.0))
    assert verdict.answer == "unknown"
    assert [found["answer"] for found in verdict.evidence["asked"]] == ["unknown"] + ["pass"] * 6


@pytest.mark.parametrize(
    "route",
    ["http://169.254.169.254/latest", "http://[fd00:ec2::254]", "http://me:hunter2@127.0.0.1", "http://shop_1.x"],
)
def test_an_address_that_is_refused_is_unknown_and_names_no_password(route: str) -> None:
    """Otherwise whoever writes a test route makes us fetch credentials, or reads ours in the journal."""
    verdict = http.ask(http.Options(each_instance=False), _world(route).subject())
    assert verdict.answer == "unknown"
    assert "hunter2" not in verdict.summary + json.dumps(dict(verdict.evidence))


def test_the_evidence_of_many_instances_is_bounded_and_shows_the_worst(servers: Servers) -> None:
    """Otherwise the journal grows without end, or the one failing host is not among what it shows."""
    well, sick = servers.answering(200), servers.answering(500)
    verdict = http.ask(http.Options(), _world(well.url, *[well.address] * 40, sick.address).subject())
    assert (len(verdict.evidence["asked"]), verdict.evidence["places"]) == (20, 42)
    assert verdict.evidence["asked"][0]["status"] == 500


@pytest.mark.parametrize(
    "options",
    [
        {"path": "health"},
        {"path": "/a b"},
        {"path": "/a\r\nX: 1"},
        {"path": "/a#b"},
        {"path": ""},
        {"expect_status": []},
        {"expect_status": [20]},
        {"max_latency_s": 0},
        {"max_latency_s": float("nan")},
        {"headers": {"X\r\nY": "1"}},
        {"headers": {"X": "1\r\nY: 2"}},
        {"method": "HEAD", "body_contains": "ok"},
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    """Otherwise a mistake in the configuration shows only in the middle of a rollout."""
    with pytest.raises(ValueError, match=r"path|status|latency|headers|HEAD"):
        http.Options(**options)
