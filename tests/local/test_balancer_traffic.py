"""What clients and targets see of each other through the balancer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.balancer_kit import Kit, serving, wait_until


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    """A balancer that is stopped again, whatever happens."""
    with serving(Kit(tmp_path / "b"), a_side=1) as kit:
        yield kit


def seen(kit: Kit, slot: str = "blue") -> dict[str, int]:
    """What a target was asked: "METHOD path" → times."""
    answer = kit.ask("/seen", headers={"X-Rollout-Slot": slot}, at=kit.test_listen)
    return json.loads(answer.body)


def test_weights_share_traffic(kit: Kit) -> None:
    """Else a canary gets no traffic, or all of it."""
    kit.weigh(50, 50, "half")
    bodies = [kit.ask().body for _ in range(100)]
    assert 15 < bodies.count(b"b1") < 85


def test_the_test_route_obeys_the_header_and_traffic_ignores_it(kit: Kit) -> None:
    """Else the replacement cannot be checked before clients see it, or clients can choose a side."""
    green = {"X-Rollout-Slot": "green"}
    assert kit.ask(headers=green, at=kit.test_listen).body == b"g1"
    assert kit.ask(headers=green).body == b"b1"
    for headers in ({}, {"X-Rollout-Slot": "red"}):
        answer = kit.ask(headers=headers, at=kit.test_listen)
        assert answer.status == 400
        assert b"X-Rollout-Slot: blue or green" in answer.body
    state = kit.client.state()
    assert state["counters"]["green"]["requests"] == 0
    assert state["test_counters"]["green"]["requests"] == 1


def test_the_test_route_never_answers_for_another_slot(kit: Kit) -> None:
    """Else a dead replacement passes its checks with the original's answers."""
    kit.targets[1].kill()
    answer = kit.ask(headers={"X-Rollout-Slot": "green"}, at=kit.test_listen)
    assert (answer.status, answer.headers["X-Rollout-Served-By"]) == (503, None)
    assert kit.client.state()["test_counters"]["green"]["failed"] == 1


def test_a_target_that_was_never_healthy_gets_no_traffic(kit: Kit) -> None:
    """Else clients meet an instance that answers its checks with errors."""
    sick = kit.target("sick")
    kit.ask("/health/500", at=sick.address)
    before = json.loads(kit.ask("/seen", at=sick.address).body)
    blue = [kit.targets[0].address, sick.address]
    kit.client.set_targets("blue", blue, expected_revision=None, token="more")
    wait_until(lambda: kit.health()[sick.address] is False, "it is known to be sick")
    assert {kit.ask().body for _ in range(20)} == {b"b1"}
    after = json.loads(kit.ask("/seen", at=sick.address).body)
    assert set(after) - set(before) <= {"GET /seen", "GET /health"}
    kit.ask("/health/200", at=sick.address)
    wait_until(lambda: kit.ask().body == b"sick", "it serves once it is well")


def test_the_other_slot_answers_when_the_chosen_one_cannot(kit: Kit) -> None:
    """Else a replacement that dies after the swap takes the service down with it."""
    kit.weigh(0, 100, "swap")
    kit.targets[1].kill()
    answers = [kit.ask(method=method, body=b"order") for method in ("POST", "GET") * 5]
    assert {answer.status for answer in answers} == {200}
    counters = kit.client.state()["counters"]
    assert counters["green"]["fallbacks"] == 10
    assert counters["green"]["failed"] == 0
    kit.targets[0].kill()
    assert kit.ask().status == 503
    assert kit.client.state()["counters"]["green"]["failed"] == 1


def test_headers_and_path_arrive_as_sent_but_for_what_a_proxy_changes(kit: Kit) -> None:
    """Else applications see wrong hosts, wrong clients or mangled addresses."""
    path = "/headers?q=%2F..%20a&b=%c3%bc/../x//y"
    with kit.connected() as client:
        head = f"GET {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n"
        head += "X-Rollout-Slot: green\r\nX-Forwarded-For: 9.9.9.9\r\nX-Kept: yes\r\n\r\n"
        client.sendall(head.encode())
        answer = b""
        while part := client.recv(65536):
            answer += part
    # The target does not know this path with its query; its first line is what counts.
    assert b" 200 " in answer
    kept = json.loads(kit.ask("/headers", headers={"X-Hop": "1", "Connection": "X-Hop", "X-A": "2"}).body)
    headers = {name.lower(): value for name, value in kept["headers"]}
    assert headers["x-a"] == "2" and "x-hop" not in headers and "x-rollout-slot" not in headers
    assert headers["host"] == headers["x-forwarded-host"] == kit.listen
    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert not {"user-agent", "accept", "cookie", "content-length"} & set(headers), "nothing is made up"
    assert any(line == f"GET {path}" for line in seen(kit))


def test_redirects_and_cookies_are_the_clients_business(kit: Kit) -> None:
    """Else one client's session leaks into another's, or a redirect is followed in its name."""
    answer = kit.ask("/moved")
    assert (answer.status, answer.headers["Location"]) == (302, "/elsewhere")
    assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    headers = json.loads(kit.ask("/headers").body)["headers"]
    assert "cookie" not in {name.lower() for name, _ in headers}


def test_bodies_of_any_size_arrive_whole_both_ways(kit: Kit) -> None:
    """Else uploads and downloads are truncated."""
    for size in (0, 1, 64 * 1024, 64 * 1024 + 1, 3_000_000):
        body = bytes(range(256)) * (size // 256 + 1)
        assert kit.ask("/echo", "POST", body[:size]).body == body[:size]
    chunked = {"Transfer-Encoding": "chunked"}
    with kit.connected() as client:
        client.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n")
        client.sendall(b"Connection: close\r\nExpect: 100-continue\r\n\r\n")
        assert b"100 Continue" in client.recv(100), chunked
        client.sendall(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        answer = b""
        while part := client.recv(65536):
            answer += part
    assert answer.endswith(b"abcde")


def test_answers_without_a_body_keep_their_headers(kit: Kit) -> None:
    """Else HEAD and conditional requests mislead caches."""
    head = kit.ask("/big/12345", "HEAD")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "12345")
    assert kit.ask("/status/503").status == 503
    counters = kit.client.state()["counters"]["blue"]
    assert (counters["responses"]["5xx"], counters["failed"]) == (1, 0), "the application's own error"


def test_streams_pass_through_as_they_come(kit: Kit) -> None:
    """Else server-sent events arrive when they are all over."""
    with kit.connected() as client:
        client.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while b"first" not in answer:
            answer += client.recv(65536)
        assert b"last" not in answer
        kit.ask("/release", at=kit.targets[0].address)
        while part := client.recv(65536):
            answer += part
    assert b"last" in answer


def test_an_answer_that_the_target_broke_off_is_not_taken_for_whole(kit: Kit) -> None:
    """Else a truncated download looks complete."""
    with kit.connected() as client:
        client.sendall(b"GET /half HTTP/1.1\r\nHost: x\r\n\r\n")
        received = 0
        with pytest.raises(ConnectionResetError):
            while part := client.recv(65536):
                received += len(part)
    assert received < 1_000_000
    counters = kit.client.state()["counters"]["blue"]
    assert (counters["requests"], counters["failed"]) == (1, 1)
    assert sum(counters["responses"].values()) == 0  # or it would hide a request that nobody answered


@pytest.mark.parametrize(("method", "times"), [("POST", 1), ("PUT", 1), ("DELETE", 1), ("GET", 2)])
def test_only_reads_are_ever_sent_twice(kit: Kit, method: str, times: int) -> None:
    """Else an order is placed twice because a connection broke."""
    body = None if method == "GET" else b"order"
    answer = kit.ask("/break", method, body)
    assert answer.status == 502
    assert seen(kit)[f"{method} /break"] == times
    assert kit.client.state()["counters"]["blue"]["failed"] == 1


def test_a_large_upload_is_never_sent_twice(kit: Kit) -> None:
    """Else a target receives the second half of a file as a request of its own."""
    assert kit.ask("/break", "PUT", b"x" * 300_000).status == 502
    assert seen(kit)["PUT /break"] == 1


def test_a_target_that_closes_idle_connections_loses_nothing(kit: Kit) -> None:
    """Else the first request after a pause fails."""
    for method in ("GET", "POST") * 10:
        assert kit.ask("/close", method).body == b"closed"
    assert kit.client.state()["counters"]["blue"]["failed"] == 0


def test_a_client_that_leaves_is_not_the_targets_failure(kit: Kit) -> None:
    """Else impatient clients roll a good patch back."""
    with kit.connected() as client:
        client.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(65536)
    kit.ask("/release", at=kit.targets[0].address)
    with kit.connected() as client:
        client.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 200_000)
        wait_until(lambda: kit.client.state()["counters"]["blue"]["in_flight"] == 1, "it is under way")

    def settled() -> bool:
        return kit.client.state()["counters"]["blue"]["in_flight"] == 0

    wait_until(settled, "nothing is in flight")
    counters = kit.client.state()["counters"]["blue"]
    assert counters["failed"] == 0
    assert counters["client_gone"] >= 1


def test_a_target_that_does_not_answer_in_time_is_said(tmp_path: Path) -> None:
    """Else a hanging instance holds clients for ever."""
    kit = Kit(tmp_path / "b")
    try:
        kit.start([kit.target("b1")], [], response_timeout_s=0.2, served_by=False)
        assert kit.ask("/hold").status == 504
        assert "X-Rollout-Served-By" not in kit.ask().headers
        assert kit.client.state()["counters"]["blue"]["failed"] == 1
    finally:
        kit.close()


def test_health_by_connection_only(tmp_path: Path) -> None:
    """Else services without a health page cannot be balanced."""
    kit = Kit(tmp_path / "b")
    try:
        kit.start([kit.target("b1")], [], health={"path": None, "interval_s": 0.05})
        assert kit.ask().body == b"b1"
        kit.targets[0].kill()
        wait_until(lambda: False in kit.health().values(), "the dead target is noticed")
    finally:
        kit.close()
