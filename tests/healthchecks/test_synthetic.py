from __future__ import annotations

import threading
from collections import Counter
from itertools import count
from typing import Any

import pytest

from healthchecks import synthetic
from healthchecks.base import Role, Verdict
from healthchecks.synthetic import Request
from providers.base import TestRoute
from rollout.gate import Asked
from tests.healthchecks.fakes import World
from tests.healthchecks.servers import Server, Servers, said


def _world(server: Server, **headers: str) -> World:
    return World(routes={"green": TestRoute(server.url, headers), "blue": TestRoute(server.url, headers)})


def _ask(
    server: Server, *requests: Request, timeout_s: float = 5.0, role: Role = "replacement", **more: Any
) -> Verdict:
    options = synthetic.Options(requests or (Request(),), **more)
    return synthetic.ask(options, _world(server).subject(role, timeout_s=timeout_s))


def test_every_request_is_sent_so_many_times(servers: Servers) -> None:
    """A share is judged of other requests than those that were declared."""
    server = servers.deciding(lambda head: said("ok"))
    verdict = _ask(server, Request("/a"), Request("/b?x=1"), times=3)
    assert (verdict.answer, verdict.evidence["sent"]) == ("pass", 6)
    paths = Counter(head.split()[1] for head in server.requests)
    assert paths == {"/a": 3, "/b?x=1": 3}


@pytest.mark.parametrize(("allowed", "answer"), [(0.0, "fail"), (0.24, "fail"), (0.25, "pass"), (1.0, "pass")])
def test_the_share_of_failures_is_judged(servers: Servers, allowed: float, answer: str) -> None:
    """One failure of thousands turns a patch back, or half of them let it through."""
    numbers = count(1)
    server = servers.deciding(lambda head: said("ok", 500 if next(numbers) % 4 == 0 else 200))
    verdict = _ask(server, times=20, max_failed_share=allowed)
    assert verdict.answer == answer
    assert verdict.evidence["failed"] == 5
    assert answer == "pass" or verdict.severity == 0.25


def test_posts_arrive_as_written(servers: Servers) -> None:
    """Another order is placed than the one that was declared."""
    server = servers.deciding(lambda head: said('{"id": 7, "state": "new"}', 201))
    order = Request(
        "/orders",
        "POST",
        {"content-type": "application/json"},
        '{"item": "tea"}',
        expect_status=[201],
        body_json={"state": "new"},
    )
    assert _ask(server, order, unsafe_methods=True).answer == "pass"
    head = server.requests[0]
    assert head.startswith("POST /orders HTTP/1.1\r\n")
    assert "\r\ncontent-type: application/json\r\n" in head
    assert head.endswith('\r\n\r\n{"item": "tea"}')


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_may_change_something_is_not_sent_without_leave(method: Any) -> None:
    """A check places orders in production because somebody copied an example."""
    with pytest.raises(ValueError, match="unsafe_methods"):
        synthetic.Options([Request("/", method)])


def test_an_unsafe_request_is_sent_once_even_when_the_host_hangs_up(servers: Servers) -> None:
    """An order is placed twice because the first answer got lost."""
    server = servers.saying(b"")
    verdict = _ask(server, Request("/", "POST", body="x"), unsafe_methods=True)
    assert (verdict.answer, len(server.requests)) == ("fail", 1)


def test_the_first_requests_warm_up_and_are_not_judged(servers: Servers) -> None:
    """A replacement that is only cold is turned back."""

    def cold(first: int) -> Server:
        numbers = count(1)
        return servers.deciding(lambda head: said("ok", 503 if next(numbers) <= first else 200))

    assert _ask(cold(3), times=5).answer == "fail"
    warmed = _ask(cold(3), times=5, warm_up=3)
    assert (warmed.answer, warmed.evidence["sent"], warmed.evidence["warmed_up"]) == ("pass", 5, 3)
    assert _ask(cold(4), times=5, warm_up=3).answer == "fail"


def test_warming_up_never_takes_the_time_of_what_is_judged(servers: Servers) -> None:
    """A cold side is never judged at all, and that is found out at the deadline."""
    slow, closing = count(1), threading.Event()

    def answer(head: str) -> bytes:
        if next(slow) == 1:
            closing.wait(1.2)  # longer than half of the time
        return said("ok")

    verdict = _ask(servers.deciding(answer), warm_up=2, timeout_s=2.0)
    closing.set()
    assert (verdict.answer, verdict.evidence["warmed_up"]) == ("pass", 0)


def test_an_application_that_fails_only_under_load_fails(servers: Servers) -> None:
    """One request after the other is fine, and the first busy minute is not."""
    free, full = threading.Semaphore(2), threading.Event()

    def answer(head: str) -> bytes:
        if not free.acquire(blocking=False):
            full.set()
            return said("overloaded", 503)
        full.wait(5)  # until a third one came in
        free.release()
        return said("ok")

    server = servers.deciding(answer)
    verdict = _ask(server, times=8, at_once=4)
    assert verdict.answer == "fail"
    assert verdict.evidence["trouble"][0]["what"] == "GET / answered 503"
    assert _ask(server, times=8, at_once=1).answer == "pass"


def test_what_fails_on_both_sides_alike_is_nobodys_patch(servers: Servers) -> None:
    """A database that is down turns back the patch, and its image is denied."""
    broken = servers.answering(500)
    here, beside = _ask(broken, times=4), _ask(broken, times=4, role="original")
    assert Asked("synthetic", here, beside).finding == "ambient"
    numbers = count(1)
    mostly_well = servers.deciding(lambda head: said("ok", 500 if next(numbers) == 1 else 200))
    assert Asked("synthetic", here, _ask(mostly_well, times=4, role="original")).finding == "fail"


def test_a_slow_answer_has_failed_where_that_is_said(servers: Servers) -> None:
    """A replacement that answers everything after a minute passes."""
    server = servers.answering(200)
    assert _ask(server, max_latency_s=1e-9, times=2).answer == "fail"
    assert _ask(server, max_latency_s=60).answer == "pass"


def test_missing_answers_are_unknown_only_where_they_decide(servers: Servers) -> None:
    """One request that got lost blocks a rollout whose share would allow it, or passes one that does not."""
    numbers, closing = count(1), threading.Event()

    def answer(head: str) -> bytes:
        if next(numbers) % 10 == 0:
            closing.wait(20)
        return said("ok")

    server = servers.deciding(answer)
    strict = _ask(server, times=10, at_once=2, timeout_s=1.5)
    lenient = _ask(server, times=10, at_once=2, timeout_s=1.5, max_failed_share=0.1)
    closing.set()
    assert [strict.answer, lenient.answer] == ["unknown", "pass"]


def test_the_test_routes_headers_go_before_those_of_a_request(servers: Servers) -> None:
    """A request of the check's own reaches the side that serves customers."""
    server = servers.deciding(lambda head: said("ok"))
    options = synthetic.Options([Request("/", headers={"X-Slot": "blue", "X-Own": "1"})])
    synthetic.ask(options, _world(server, **{"X-Slot": "green"}).subject())
    assert "\r\nx-slot: green\r\n" in server.requests[0]
    assert "blue" not in server.requests[0]
    assert "\r\nx-own: 1\r\n" in server.requests[0]


@pytest.mark.parametrize(
    "request_options",
    [
        {"path": "cart"},
        {"path": "/a b"},
        {"body": "x"},
        {"method": "POST", "body": "x" * 70_000},
        {"method": "HEAD", "body_contains": "x"},
        {"method": "HEAD", "body_json": {"a": 1}},
        {"headers": {"A\r\nB": "1"}},
        {"expect_status": []},
        {"body_json": {"$.a": 1}},
    ],
)
def test_requests_that_cannot_be_meant_are_refused(request_options: dict[str, Any]) -> None:
    """A mistake in the fleet file shows only in the middle of a rollout."""
    with pytest.raises(ValueError, match=r"path|body|HEAD|headers|status"):
        Request(**request_options)


@pytest.mark.parametrize(
    "options",
    [
        {"requests": []},
        {"times": 0},
        {"times": 1001},
        {"at_once": 0},
        {"at_once": 17},
        {"warm_up": -1},
        {"max_failed_share": 1.1},
        {"max_failed_share": -0.1},
        {"max_latency_s": 0},
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    """A mistake in the fleet file shows only in the middle of a rollout."""
    with pytest.raises(ValueError, match=r"requests|times|at_once|warm_up|share|latency"):
        synthetic.Options(**{"requests": [Request()], **options})
