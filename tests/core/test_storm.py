"""A storm on both sides holds a gate, and when it is over the gate goes on; what stays broken does not pass for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from healthchecks import failed_responses
from healthchecks.base import Answer, Subject, Verdict
from providers.base import Reading, weights_for
from rollout.flow import NotYet, TurnBack
from rollout.plan import CheckSpec, Gate
from tests.core.scene import ROLLOUT, RULE, SHOP, World, a_plan

EVERY_S = 2.0
BOTH, ORIGINAL, REPLACEMENT = ("base-1", "base-2"), ("base-1",), ("base-2",)


class Storm:
    """Half of the traffic on each side, counted; images fail as they are told to."""

    def __init__(self, folder: Path, **options: float) -> None:
        rule = replace(RULE, interval_s=EVERY_S, soak_s=3 * EVERY_S, deadline_s=90.0)
        gate = Gate(rule, (CheckSpec("failed_responses", "failed_responses"),))
        self.options = failed_responses.Options(**{"min_requests": 20, **options})  # type: ignore[arg-type]
        self.world = World(folder, a_plan(gates=dict.fromkeys(a_plan().gates, gate)), ask=self.ask)
        self.world.mirror_stands()
        traffic = self.world.provider.traffic
        traffic.set_weights(SHOP, weights_for("green", 50), traffic.route(SHOP), "t-half")
        self.world.passes(2)

    def ask(self, spec: CheckSpec, subject: Subject) -> Verdict:
        """The real check of real traffic."""
        return failed_responses.ask(self.options, subject)

    def fails(self, share: float, *images: str) -> None:
        """From now on so much of what these answer."""
        for slot, image in (("blue", "base-1"), ("green", "base-2")):
            if image in images:
                self.world.behaves(image, error_share_live=share)
                for instance in self.world.cloud.service(SHOP).slots[slot].instances:  # type: ignore[index]
                    instance.image = self.world.cloud.images[image]

    def look(self) -> str:
        """One look, when it is due; what came of it."""
        self.world.passes(EVERY_S)
        try:
            self.world.run().gate("live:1:50", "live", on="green")
        except NotYet as wait:
            return wait.why
        except TurnBack as turn:
            return f"turned back: {turn.reason}"
        return "passed"

    def until_decided(self, looks: int = 60) -> str:
        """How it ends."""
        for _ in range(looks):
            if not (told := self.look()).startswith("live:1:50:"):
                return told
        raise AssertionError(told)

    @property
    def since(self) -> Reading:
        """What is counted from."""
        wait = self.world.store.wait(ROLLOUT)
        assert wait is not None
        return Reading.from_json(wait.state["since"])


@pytest.fixture
def storm(tmp_path: Path) -> Iterator[Storm]:
    """Good weather, looked at twice."""
    made = Storm(tmp_path)
    made.look(), made.look()
    yield made
    made.world.store.close()


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_a_good_patch_passes_when_the_storm_is_over(storm: Storm, share: float) -> None:
    """Ten bad seconds of the whole site turn a good patch back at its deadline, for they are counted to the end."""
    storm.fails(share, *BOTH)
    assert all("ambient" in storm.look() for _ in range(5))
    storm.fails(0.0, *BOTH)
    over_at = storm.world.clock.now()
    assert storm.until_decided() == "passed"
    assert storm.world.clock.now() - over_at <= 8 * EVERY_S
    assert not storm.world.store.denials("shop")


def test_a_patch_that_stays_broken_after_the_storm_is_turned_back(storm: Storm) -> None:
    """A storm washes a bad patch clean."""
    storm.fails(0.5, *BOTH)
    assert all("ambient" in storm.look() for _ in range(5))
    storm.fails(0.0, *ORIGINAL)
    told = storm.until_decided()
    assert told.startswith("turned back: live:1:50: failed 2 times in a row")
    record = storm.world.journal.record("live:1:50")
    assert record is not None and record.data["deny"] is True


def test_as_long_as_the_storm_goes_on_nothing_passes(storm: Storm) -> None:
    """Traffic moves on to a side in trouble."""
    storm.fails(0.3, *BOTH)
    told = storm.until_decided()
    assert told.startswith("turned back: live:1:50: not passed within 90 s (last look: ambient)")


def test_too_few_requests_do_not_end_a_storm(tmp_path: Path) -> None:
    """Nobody comes any more because all is broken, and that counts as good weather."""
    storm = Storm(tmp_path, min_requests=500)
    while "requests seen" in str(storm.look()) or storm.world.clock.now() < storm.since.at + 12:
        continue
    storm.fails(0.5, *BOTH)
    while "ambient" not in storm.look():
        continue
    began = storm.since
    storm.fails(0.0, *BOTH)
    assert all("ambient" in storm.look() for _ in range(3)), "150 requests a look on each side"
    assert storm.since == began
    assert storm.until_decided() == "passed"
    storm.world.store.close()


def test_what_is_counted_from_moves_once_and_only_then(storm: Storm) -> None:
    """Each look of a storm is judged by a handful of requests, and chance alone turns good patches back."""
    began = storm.since
    storm.fails(0.5, *BOTH)
    for _ in range(5):
        storm.look()
        assert storm.since == began
    storm.fails(0.0, *BOTH)
    seen = [storm.since for _ in range(2) if storm.look()]
    assert seen[-1].at > began.at
    storm.look()
    assert storm.since == seen[-1]


def test_no_check_has_two_tries_at_one_look(storm: Storm) -> None:
    """What fails, and answers when it is asked again at once, passes each time."""
    tries = list[str]()

    def ask(spec: CheckSpec, subject: Subject) -> Verdict:
        tries.append(subject.slot)
        return Verdict.failed("no") if len(tries) <= 2 else Verdict.passed("this time")

    storm.world.asking(ask)
    for _ in range(6):
        tries.clear()
        assert "ambient" in storm.look()


@pytest.mark.parametrize(("answer", "asked_of"), [("fail", ["green", "blue"]), ("unknown", ["green"])])
def test_only_a_hold_is_looked_at_again(storm: Storm, answer: Answer, asked_of: list[str]) -> None:
    """What fails, or cannot be told, is asked again until it passes."""
    asked = list[str]()

    def ask(spec: CheckSpec, subject: Subject) -> Verdict:
        asked.append(subject.slot)
        return Verdict(answer if subject.slot == "green" else "pass", "as told")

    storm.fails(0.5, *BOTH)
    storm.look()
    storm.world.asking(ask)
    storm.look()
    assert asked == asked_of
