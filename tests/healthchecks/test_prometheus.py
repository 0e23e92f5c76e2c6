"""A figure of Prometheus's, asked of real servers that answer well, badly, late and not at all."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from healthchecks import metrics
from healthchecks.addresses import Refused
from healthchecks.base import Verdict
from healthchecks.metrics import Options, Requests
from healthchecks.prometheus import NoFigure, Server, read
from tests.healthchecks.fakes import NOW, World, instance
from tests.healthchecks.prometheus_server import JSON, answer, asked, by_query, by_slot, vector
from tests.healthchecks.servers import Servers, said

QUERY = 'errors{slot="{slot}"}'


def ask(url: str, timeout_s: float = 5.0, world: World | None = None, **options: Any) -> Verdict:
    """About green; blue is beside it."""
    chosen = {"max": 1.0, "query": QUERY, "allow_private": True, **options}
    return metrics.ask(Options("errors", prometheus=url, **chosen), (world or World()).subject(timeout_s=timeout_s))


@pytest.mark.parametrize(("value", "said"), [("0.5", "pass"), ("1", "pass"), ("1.01", "fail"), ("-3e-2", "pass")])
def test_a_number_is_judged(servers: Servers, value: str, said: str) -> None:
    """Otherwise the limit in the fleet file is another than the one that is held."""
    assert ask(by_slot(servers, green=value, blue="9").url).answer == said


def test_both_sides_are_compared_at_one_time(servers: Servers) -> None:
    """Otherwise a spike between two questions is blamed on the patch, or hides it."""
    server = by_slot(servers, green="3", blue="1")
    verdict = ask(server.url, max=None, max_times_other=2.0)
    assert verdict.answer == "fail" and verdict.severity == pytest.approx(1 / 3)
    questions = [asked(head) for head in server.requests]
    assert sorted(each["query"] for each in questions) == ['errors{slot="blue"}', 'errors{slot="green"}']
    assert {each["time"] for each in questions} == {f"{NOW:.3f}"}
    assert ask(by_slot(servers, green="3", blue="2").url, max=None, max_times_other=2.0).answer == "pass"


def test_a_scalar_is_a_number_too(servers: Servers) -> None:
    """Otherwise scalar(…), which some write to get one number, never passes."""
    server = servers.deciding(lambda _: answer({"resultType": "scalar", "result": [NOW, "0.5"]}))
    assert ask(server.url).answer == "pass"


def test_no_series_is_what_missing_says(servers: Servers) -> None:
    """Otherwise a metric that was renamed passes for one without errors."""

    def silent_but_busy(query: str) -> bytes:
        return vector("500") if query.startswith("requests") else vector()

    verdict = ask(by_query(servers, silent_but_busy).url)
    assert verdict.answer == "unknown" and "no data for green" in verdict.summary
    traffic = Requests(query='requests{slot="{slot}"}')
    assert ask(by_query(servers, silent_but_busy).url, missing="zero", requests=traffic).answer == "pass"
    assert ask(servers.deciding(lambda _: vector()).url, missing="zero", requests=traffic).answer == "unknown"


def test_too_few_requests_are_unknown(servers: Servers) -> None:
    """Otherwise three lucky requests promote a patch."""
    server = by_query(servers, lambda query: vector("3") if query.startswith("requests") else vector("0"))
    verdict = ask(server.url, requests=Requests(query='requests{slot="{slot}"}'))
    assert verdict.answer == "unknown" and "3 requests of green seen, 20 needed" in verdict.summary


BAD = {
    "several series": (vector("0", "0"), "2 series"),
    "not a number": (vector("NaN"), "nan"),
    "infinity": (vector("+Inf"), "inf"),
    "a late sample": (vector("0", at=NOW - 61), "61 s old"),
    "a sample of the future": (vector("0", at=NOW + 61), "-61 s old"),
    "an error": (answer(None, "error", errorType="bad_data", error="parse error at 1"), "bad_data): parse error"),
    "a warning": (vector("0", warnings=["store 2 did not answer"]), "store 2 did not answer"),
    "a part": (vector("0", isPartial=True), "partial"),
    "an error's status": (said('{"status": "error", "error": "no"}', 422, JSON), "422 (error): no"),
    "a gateway's error": (said("<html>bad gateway", 502), "502"),
    "denied": (said("who are you?", 401), "401"),
    "a redirect": (said("", 302, "location: http://169.254.169.254/\r\n"), "redirects are not followed"),
    "another kind of content": (said("<html>welcome", 200, "content-type: text/html\r\n"), "text/html"),
    "no kind of content": (said('{"status": "success"}'), "no content type"),
    "no JSON": (said("{", 200, JSON), "not JSON"),
    "JSON that says two things": (said('{"status": "error", "status": "success"}', 200, JSON), "not JSON"),
    "a list": (said("[]", 200, JSON), "something else"),
    "no data": (answer(None), "without data"),
    "a range": (answer({"resultType": "matrix", "result": []}), "matrix"),
    "a text": (answer({"resultType": "string", "result": [NOW, "0"]}), "string"),
    "an odd sample": (answer({"resultType": "vector", "result": [[NOW, "0"]]}), "no time and value"),
    "an odd value": (vector(None), "no number"),
    "a word": (vector("zero"), "no number"),
    "too much": (said('{"pad": "' + "x" * 70_000 + '"}', 200, JSON), "64 KiB"),
    "no HTTP": (b"+PONG\r\n", "no web server"),
}


@pytest.mark.parametrize("why", BAD)
@pytest.mark.parametrize("missing", ["unknown", "zero"])
def test_what_is_no_figure_is_unknown(servers: Servers, why: str, missing: Any) -> None:
    """Otherwise a metric source with a bad day waves a patch through, or turns a good one back."""
    what, told = BAD[why]
    requests = Requests(query="requests") if missing == "zero" else None
    verdict = ask(servers.deciding(lambda _: what).url, missing=missing, requests=requests)
    assert verdict.answer == "unknown", verdict
    assert told in verdict.summary
    assert "crashed" not in verdict.summary


def test_trouble_beside_is_no_figure_either(servers: Servers) -> None:
    """Otherwise a comparison is silently left out, and the limit with it."""
    verdict = ask(by_slot(servers, green="9", blue=["1", "2"]).url, max=None, max_times_other=2.0)
    assert verdict.answer == "unknown" and "2 series" in verdict.summary


def test_nobody_there_and_no_answer(servers: Servers) -> None:
    """Otherwise a Prometheus that is down or hangs holds up a gate, and with it the way back."""
    assert "refused" in ask(f"http://{servers.nobody()}").summary
    began = time.monotonic()
    for server in (servers.silent(), servers.dripping(b"HTTP/1.1 200 OK\r\n" + JSON.encode() + b"\r\n")):
        verdict = ask(server.url, timeout_s=0.3)
        assert verdict.answer == "unknown" and "in time" in verdict.summary
    assert time.monotonic() - began < 3


def test_old_samples_behind_a_fresh_number_are_seen(servers: Servers) -> None:
    """Otherwise a rate over five minutes hides that nothing was measured for four: its own time is always now."""

    def scraped(ago_s: float, blue_ago_s: float = 5) -> str:
        def numbers(query: str) -> bytes:
            ago = blue_ago_s if "blue" in query else ago_s
            return vector(str(NOW - ago) if query.startswith("max(timestamp") else "0")

        return by_query(servers, numbers).url

    newest = 'max(timestamp(errors{slot="{slot}"}))'
    assert ask(scraped(59), newest=newest).answer == "pass"
    for late in (scraped(61), scraped(5, blue_ago_s=300)):
        verdict = ask(late, newest=newest)
        assert verdict.answer == "unknown" and "the newest sample of" in verdict.summary
    assert ask(scraped(61), newest=newest, max_age_s=90.0).answer == "pass"


def test_instances_are_one_alternative_each(servers: Servers) -> None:
    """Otherwise a dot in an address matches the hosts of others, or no instance at all means every host."""
    server = servers.deciding(lambda _: vector("0"))
    world = World(instances=[instance(1, address="10.0.0.1:80"), instance(2, address="10.0.0.2:80")])
    assert ask(server.url, world=world, query='up{instance=~"{instances}"}').answer == "pass"
    assert [asked(head)["query"] for head in server.requests] == [
        'up{instance=~"(?:10\\\\.0\\\\.0\\\\.1:80|10\\\\.0\\\\.0\\\\.2:80)"}'
    ]
    verdict = ask(server.url, world=World(instances=[]), query='up{instance=~"{instances}"}')
    assert verdict.answer == "unknown" and "no instance of green is running" in verdict.summary


def test_the_token_is_sent_and_never_shown(servers: Servers) -> None:
    """Otherwise a Prometheus behind a login cannot be asked, or its token is in every journal."""
    server = servers.deciding(lambda _: vector("0"))
    options = Options(
        "errors", prometheus=server.url, query=QUERY, allow_private=True, bearer_token="s3cret-token", max=1
    )
    verdict = metrics.ask(options, World().subject())
    assert all("authorization: Bearer s3cret-token" in head for head in server.requests)
    assert "s3cret" not in repr(options) + json.dumps(dict(verdict.evidence)) + verdict.summary
    with pytest.raises(NoFigure, match="by https only"):
        read(Server("http://93.184.216.34", token="s3cret-token"), ["1"], NOW, 1.0)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254",
        "http://user:word@prometheus.example.com",
        "http://2130706433",
        "file:///etc/passwd",
        "http://prometheus.example.com?x=1",
        "http://[fd00:ec2::254]",
    ],
)
def test_addresses_are_judged_before_anything_is_sent(url: str) -> None:
    """Otherwise a fleet file leads us to the credentials of the host that we run on."""
    with pytest.raises(Refused):
        Options("errors", prometheus=url, query=QUERY, max=1, allow_private=True)


def test_a_private_address_has_to_be_allowed(servers: Servers) -> None:
    """Otherwise a query is a way to look around in a private network."""
    with pytest.raises(Refused, match="not a public address"):
        Options("errors", prometheus="http://10.0.0.1", query=QUERY, max=1)
    verdict = ask("http://localhost:1", allow_private=False)
    assert verdict.answer == "unknown" and "allow_private" in verdict.summary


@pytest.mark.parametrize(
    "wrong",
    [
        {"query": None},
        {"namespace": "elb"},
        {"over_s": 60.0},
        {"requests": Requests("elb", "requests")},
        {"query": "errors", "max_times_other": 2.0},
        {"query": "errors{slot={slot}}"},
        {"newest": "`{slot}`"},
        {"max_age_s": 0.0},
        {"bearer_token": "a\nb"},
        {"prometheus": None},
    ],
)
def test_options_that_cannot_be_asked_are_refused(wrong: dict[str, Any]) -> None:
    """Otherwise it shows in the middle of a rollout, or the two sides never differ."""
    sound = {"prometheus": "https://prometheus.example.com", "query": QUERY, "max": 1.0}
    with pytest.raises(ValueError):
        Options("errors", **{**sound, **wrong})
