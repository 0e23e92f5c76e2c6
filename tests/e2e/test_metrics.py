"""What a real `rollout serve` shows to Prometheus and writes into its log, once something has happened."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.kit import SERVICE, Fleet, wait_until
from tests.ports import free_port

pytestmark = pytest.mark.e2e


def scraped(port: int) -> dict[str, float]:
    """Figure → the sum over its labels, as a scraper reads them."""
    found = dict[str, float]()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        for family in text_string_to_metric_families(answer.read().decode()):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def test_a_server_shows_what_it_did(fleet: Fleet) -> None:
    """The monitoring is empty on the one night on which somebody looks at it, and the log names no step."""
    port = free_port()
    fleet.change(traffic={"soak": "60s"})
    server = fleet.begin("serve", "--metrics", f"127.0.0.1:{port}")
    server.wait_for("serving ")
    assert fleet.rollout("start", SERVICE, "--image", "base-2", "--no-wait").code == 0
    fleet.wait_reached("entered", "shifting", server)
    assert fleet.rollout("abort", SERVICE, "--reason", "enough", "--no-wait").code == 0
    wait_until(lambda: fleet.reached("closed"), "it was put back")
    figures = dict[str, float]()

    def counted() -> bool:
        figures.update(scraped(port))
        return figures["rollout_put_back_seconds_count"] == 1

    wait_until(counted, lambda: f"what ended is counted: {figures}")
    assert figures["rollout_store_up"] == 1 and figures["rollout_closed_total"] == 1
    assert figures["rollout_job_seconds_count"] >= 3 and 0 < figures["rollout_put_back_seconds_sum"] < 60
    server.signal(signal.SIGTERM)
    assert server.wait().code == 0
    with pytest.raises(urllib.error.URLError):
        scraped(port)
    lines = [json.loads(line) for line in (fleet.state / "rollout.log").read_text().splitlines()]
    steps = {line["step"] for line in lines if line["event"] == "job_ended" and "step" in line}
    assert "shifting" in steps or any(step.startswith("live:") for step in steps), steps
    assert any(step.startswith("back:") for step in steps), steps
