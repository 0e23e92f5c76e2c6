"""A service behind a network balancer: weights move, targets are judged, and nobody counts what is on a side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from healthchecks import balancer, failed_responses
from healthchecks.base import Subject, Verdict
from providers.aws import rollback
from providers.aws.diagnose import diagnose
from providers.aws.quick import calls
from providers.base import EVERYTHING, Context, HoldMark, Weights, plain
from providers.memory.clock import VirtualClock
from rollout.plan import DEADLINES, GATES, CheckSpec, Gate
from tests.aws.account import in_process
from tests.aws.story_kit import Scene, configuration, forward_and_a_month_later_back
from tests.aws.test_diagnose import ROLE, bad, simulated
from tests.core.scene import RULE

BACK: Weights = {"blue": 100, "green": 0}
FORWARD: Weights = {"blue": 0, "green": 100}
URLS = {"blue": "http://tills.example.com:8001", "green": "http://tills.example.com:8002"}
DEADLINE_S, LIMIT_S = 30.0, 45.0
WITHIN = {"deadlines": {**DEADLINES, "observed": 30.0, "drained": DEADLINE_S, "drain_limit": LIMIT_S}}


def as_shipped(spec: CheckSpec, subject: Subject) -> Verdict:
    """The checks that users name."""
    if spec.name == "failed_responses":
        return failed_responses.ask(failed_responses.Options(), subject)
    return balancer.ask(balancer.Options(), subject)


class Network(Scene):
    """`shop` behind a listener of this protocol."""

    def __init__(self, account: Any, folder: Path, standby: str, protocol: str) -> None:
        super().__init__(account, folder, standby, protocol=protocol, test_url="", test_urls=URLS)
        self.asking(as_shipped)
        self.elbv2 = account.client("elbv2")

    def lasted(self, rollout: str, step: str) -> float:
        """From the first that was said of a step to the last."""
        first, *_, last = (entry for entry in self.store.entries(rollout) if entry.step == step)
        return last.at - first.at

    def listener(self) -> dict[str, Any]:
        """All of it but the weights."""
        arn = self.service.options["routes"][0]["listener"]
        (found,) = self.elbv2.describe_listeners(ListenerArns=[arn])["Listeners"]
        return {name: value for name, value in found.items() if name != "DefaultActions"}


@pytest.fixture
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Network]:
    """On demand, with a listener for TCP unless the test says which."""
    calls.calls_of.cache_clear()
    with in_process(kind="network") as account:
        yield Network(account, tmp_path, "on_demand", getattr(request, "param", "TCP"))
    calls.calls_of.cache_clear()


def test_forward_and_a_month_later_back(scene: Network) -> None:
    """Otherwise a service behind a network balancer is never, or only once, rolled out."""
    forward_and_a_month_later_back(scene)


@pytest.mark.parametrize("scene", ["TCP", "TLS"], indirect=True)
def test_a_drain_that_nobody_can_see_ends_by_its_deadline(scene: Network) -> None:
    """Otherwise what still has connections is given up at once, or the rollout never ends."""
    before = scene.listener()
    assert ":listener/net/" in before["ListenerArn"]
    scene.open("shop-1", scene.harness.patched_image, **WITHIN)
    row = scene.drive("shop-1")
    assert (row.phase, row.outcome, scene.weights) == ("retired", "promoted", FORWARD), scene.end()
    assert DEADLINE_S <= scene.lasted("shop-1", "original-drained") < DEADLINE_S + 10
    assert scene.listener() == before, "its certificate and protocol stay"


def test_back_by_the_engine(scene: Network) -> None:
    """Otherwise a patch that fails behind a network balancer stays, or its flows are broken off at once."""
    before = configuration(scene)

    def failing(spec: CheckSpec, subject: Subject) -> Verdict:
        route = subject.readings.traffic().route
        bad = subject.role == "replacement" and route.share(subject.slot)
        return Verdict.failed("errors under traffic") if bad else as_shipped(spec, subject)

    scene.asking(failing)
    scene.open("shop-1", scene.harness.patched_image, **WITHIN)
    row = scene.drive("shop-1")
    assert (row.phase, row.outcome) == ("rolled_back", "rolled_back"), scene.end()
    assert configuration(scene) == before
    assert LIMIT_S <= scene.lasted("shop-1", "back:drained") < LIMIT_S + 10


def test_failed_responses_are_unknown_and_block(scene: Network) -> None:
    """Otherwise a check that cannot see anything says that all is well, and everybody is moved."""
    counting = Gate(RULE, (CheckSpec("failed_responses", "failed_responses"),))
    usual = {name: Gate(RULE, (CheckSpec("balancer", "balancer"),)) for name in GATES}
    scene.open("shop-1", scene.harness.patched_image, gates={**usual, "live": counting}, **WITHIN)
    row = scene.drive("shop-1")
    assert (row.phase, row.outcome, scene.weights) == ("rolled_back", "rolled_back", BACK), scene.end()
    verdicts = [each for entry in scene.store.entries("shop-1") for each in entry.data.get("verdicts", ())]
    counted = [each for each in verdicts if each["check"] == "failed_responses"]
    assert counted and {each["answer"] for each in counted} == {"unknown"}
    assert all("it does not count by side" in each["summary"] for each in counted), counted


def test_no_side_is_counted(scene: Network) -> None:
    """Otherwise a side with a thousand connections looks idle, and is taken down."""
    reading = scene.provider.traffic.observe([scene.service], EVERYTHING)["shop"]
    assert reading.counters == {} and reading.targets["blue"].healthy == 2


@pytest.mark.parametrize("scene", ["TCP", "TLS"], indirect=True)
def test_the_thin_path(scene: Network) -> None:
    """Otherwise the night has no way back behind a network balancer."""
    scene.open("shop-1", scene.harness.patched_image)
    assert scene.drive("shop-1", lambda row: row.phase == "warm").phase == "warm", scene.end()
    target, listener = json.loads(json.dumps(plain(scene.card.target))), scene.listener()
    seen = rollback.read(target)
    assert (seen["weights"], seen["in_flight"]) == (FORWARD, {"blue": None, "green": None})
    assert seen["healthy"] == {"blue": 2, "green": 2}
    mark = plain(HoldMark("shop-1", 1, "blue", "ana", scene.clock.now(), "resets"))
    for _ in range(2):
        assert rollback.put_back(target, BACK, "t") == {"weights": BACK}
        rollback.set_mark(target, mark, "t")
    seen = rollback.read(target)
    assert (seen["weights"], seen["mark"], scene.listener()) == (BACK, mark, listener)
    row = scene.drive("shop-1")
    assert (row.phase, scene.weights) == ("rolled_back", BACK), scene.end()


def test_doctor_finds_it_in_order(tmp_path: Path) -> None:
    """Otherwise a service that can be rolled out is said to be wrong, and its owner looks for what is not there."""
    with in_process(kind="network") as account:
        account.answers.give("iam", "SimulatePrincipalPolicy", simulated())
        more: dict[str, Any] = {"account": "123456789012", "role": ROLE, "test_url": "", "test_urls": URLS}
        service = account.service(on_demand=False, protocol="TLS", **more)
        assert bad(diagnose(Context(tmp_path, tmp_path, VirtualClock()), service)) == []
