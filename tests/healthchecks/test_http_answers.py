from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks import http
from healthchecks.base import Verdict
from healthchecks.fetch import Fetched
from providers.base import TestRoute
from tests.healthchecks.fakes import World
from tests.healthchecks.servers import Server, Servers, said


def _ask(server: Server, timeout_s: float = 5.0, **options: Any) -> Verdict:
    world = World(routes={"green": TestRoute(server.url)})
    return http.ask(http.Options(each_instance=False, **options), world.subject(timeout_s=timeout_s))


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        ({"Cache-Control": "no-store"}, "pass"),
        ({"cache-control": None}, "pass"),
        ({"cache-control": "no-cache"}, "fail"),
        ({"x-frame-options": None}, "fail"),
    ],
)
def test_headers_have_to_be_there(servers: Servers, expected: dict[str, Any], answer: str) -> None:
    """A patch drops a security header, and nobody sees it."""
    server = servers.answering(200, headers="Cache-Control: no-store\r\n")
    assert _ask(server, expect_headers=expected).answer == answer


def test_a_header_with_a_secret_is_not_repeated(servers: Servers) -> None:
    """A session from an answer ends up in the journal."""
    server = servers.answering(200, headers="set-cookie: sid=hunter2\r\n")
    verdict = _ask(server, expect_headers={"Set-Cookie": "no"})
    assert verdict.answer == "fail"
    assert "hunter2" not in verdict.summary + json.dumps(dict(verdict.evidence))


@pytest.mark.parametrize(
    ("body", "wanted", "answer"),
    [
        ('{"status": "ok", "checks": [{"ok": true}]}', {"status": "ok", "checks.0.ok": True}, "pass"),
        ('{"status": "degraded"}', {"status": "ok"}, "fail"),
        ('{"status": ["ok"]}', {"status": "ok"}, "fail"),
        ('{"state": "ok"}', {"status": "ok"}, "fail"),
        ("<html>ok</html>", {"status": "ok"}, "fail"),
        ("", {"status": "ok"}, "fail"),
    ],
)
def test_json_values_are_judged(servers: Servers, body: str, wanted: dict[str, Any], answer: str) -> None:
    """A health page that answers 200 and says that its database is gone passes."""
    assert _ask(servers.answering(200, body.encode()), body_json=wanted).answer == answer


def test_json_that_was_not_read_whole_is_unknown(servers: Servers) -> None:
    """A large page fails although what was asked for is right, or passes by its first half."""
    long = json.dumps({"status": "ok", "more": "x" * 100_000}).encode()
    assert _ask(servers.answering(200, long), body_json={"status": "ok"}).answer == "unknown"


def test_every_sample_has_to_be_as_expected(servers: Servers) -> None:
    """A host that fails each third request passes two times out of three."""
    numbers = count(1)
    server = servers.deciding(lambda head: said("ok", 500 if next(numbers) % 3 == 0 else 200))
    verdict = _ask(server, samples=9)
    assert (verdict.answer, verdict.summary) == ("fail", "test route answered 500 (3 of 9 times)")
    assert verdict.severity == pytest.approx(1 / 3)


def test_an_application_that_fails_only_after_some_requests_shows(servers: Servers) -> None:
    """A leak that shows at the twentieth request is found by customers."""
    numbers = count(1)
    server = servers.deciding(lambda head: said("ok", 503 if next(numbers) > 19 else 200))
    assert _ask(server, samples=10).answer == "pass"
    assert _ask(server, samples=10).answer == "fail"


def test_samples_for_which_there_is_no_time_are_unknown(servers: Servers) -> None:
    """Two quick answers stand for a thousand that nobody waited for."""
    verdict = _ask(servers.silent(), samples=20, timeout_s=0.2)
    assert verdict.answer == "unknown"


def _answered(*seconds: float) -> list[Fetched]:
    return [Fetched(200, each) for each in seconds]


@pytest.mark.parametrize(
    ("percentile", "slow", "answer"),
    [(95, 1, "pass"), (95, 2, "fail"), (100, 1, "fail"), (50, 10, "pass"), (50, 11, "fail"), (99, 1, "fail")],
)
def test_latency_is_judged_by_its_percentile(percentile: float, slow: int, answer: str) -> None:
    """One slow answer of many turns a good patch back, or half of them slow let a bad one through."""
    options = http.Options(samples=20, max_latency_s=0.5, latency_percentile=percentile)
    samples = _answered(*[0.6] * slow, *[0.1] * (20 - slow))
    finding = http.judge("test route", samples, options)
    assert finding.answer == answer
    assert finding.answer == "pass" or finding.bad == slow / 20


def test_enough_slow_answers_fail_before_all_samples_are_there() -> None:
    """The slower a replacement is, the fewer samples there are, and the longer it is only unclear."""
    options = http.Options(samples=20, max_latency_s=0.5)
    assert http.judge("here", _answered(0.6, 0.7), options).answer == "fail"
    assert http.judge("here", _answered(0.6, 0.1), options).answer == "unknown"


@given(st.lists(st.floats(0.001, 10), min_size=1, max_size=60), st.floats(1, 100), st.floats(0.01, 9))
def test_the_percentile_is_that_of_the_nearest_rank(seconds: list[float], percentile: float, limit: float) -> None:
    """What is called the 95th percentile here is another number than everywhere else."""
    options = http.Options(samples=len(seconds), max_latency_s=limit, latency_percentile=percentile)
    rank = next(n for n in range(1, len(seconds) + 1) if 100 * n >= percentile * len(seconds) - 1e-9)
    at_percentile = sorted(seconds)[rank - 1]
    answer = http.judge("here", _answered(*seconds), options).answer
    assert answer == ("fail" if at_percentile > limit else "pass")


def test_an_application_that_became_slow_fails(servers: Servers) -> None:
    """A patch that makes each answer slow is promoted, because each answer is right."""
    server = servers.dripping(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n")
    verdict = _ask(server, max_latency_s=0.01, samples=3)
    assert verdict.answer == "fail"
    assert "more than 0.01 s" in verdict.summary


@pytest.mark.parametrize(
    "options",
    [
        {"samples": 0},
        {"samples": 1001},
        {"latency_percentile": 0},
        {"latency_percentile": 101},
        {"expect_headers": {"X\nY": None}},
        {"body_json": {"a[0]": 1}},
        {"body_json": {"a": 1}, "method": "HEAD"},
        {"allow_private": True},
        {"url": "https://8.8.8.8/", "path": "/health"},
        {"url": "http://10.0.0.1/"},
        {"url": "http://169.254.169.254/", "allow_private": True},
        {"url": "http://0x7f000001/", "allow_private": True},
        {"url": "http://me:pw@shop.example/"},
        {"url": "https://shop_1.example/"},
        {"url": "ftp://shop.example/"},
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    """A mistake in the fleet file shows only in the middle of a rollout."""
    with pytest.raises(ValueError, match=r"\w"):
        http.Options(**options)
