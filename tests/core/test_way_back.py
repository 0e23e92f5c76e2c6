"""What the way back stands on is looked at while it is open, and what is gone is told once, and until it is back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from healthchecks.base import Verdict
from providers.base import Denied, Transient
from providers.memory.adapter import provider_for
from providers.memory.insight import Knowledge
from rollout import way_back
from rollout.journal import first_broken_link
from rollout.summary import summarise
from rollout.way_back import EVERY_S, lacks
from tests.core.scene import World, a_plan, phase_is

KEEP_S = 20_000.0
GONE = "image base-1 was deregistered: no host can be replaced"


class Warm(World):
    """`shop` promoted, with a long way back, and a platform that says what it lacks."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, a_plan(keep_warm_s=KEEP_S))
        self.knowledge = Knowledge()
        self.provider = provider_for(self.cloud, self.knowledge)
        self.means = replace(self.means, provider=self.provider)
        self.drive(phase_is("warm"))

    def watch(self, seconds: float) -> None:
        """Look as often as it is due, for so long."""
        until = self.clock.now() + seconds
        self.drive(lambda world: world.row.due_at > until)

    def told(self) -> list[str]:
        """What was said about the way back, in order."""
        found = [each for each in self.journal.entries if each.kind in ("warned", "cleared")]
        return [f"{each.kind}: {each.data.get('reason', '')}" for each in found if each.data["about"] == "way_back"]


@pytest.fixture
def warm(tmp_path: Path) -> Warm:
    """Nothing is lacking."""
    return Warm(tmp_path)


def test_what_is_gone_is_told_once_and_when_it_is_back(warm: Warm) -> None:
    """Somebody cleans images up, and the way back fails in the night on which it is needed."""
    warm.watch(2 * EVERY_S)
    assert warm.told() == []
    warm.knowledge.lacking = [GONE]
    warm.watch(3 * EVERY_S)
    assert warm.told() == [f"warned: the way back to blue is not what it should be: {GONE}"]
    summary = summarise(warm.row, warm.store.entries(warm.row.id), now=warm.clock.now())
    assert GONE in summary["warning"] and summary["way_back"], "it is still the best there is"
    assert warm.store.db.all("SELECT kind FROM news") == [("way_back_weak",)]
    warm.knowledge.lacking = []
    warm.watch(2 * EVERY_S)
    assert warm.told()[1:] == ["cleared: "]
    assert first_broken_link(warm.journal.entries) == ""


def test_it_is_asked_only_now_and_then(warm: Warm) -> None:
    """A thousand warm services spend the account's whole budget on looking at themselves."""
    asked = list[float]()

    def count(*about: object) -> list[str]:
        asked.append(warm.clock.now())
        return []

    counting = replace(warm.provider, way_back_lacks=count)
    warm.means = replace(warm.means, provider=counting)
    warm.watch(5 * EVERY_S)
    assert 4 <= len(asked) <= 6


def test_what_cannot_be_asked_is_no_alarm_and_no_all_clear(warm: Warm) -> None:
    """A platform that is slow for a moment wakes people; or what was gone is called well."""

    def fails(*about: object) -> list[str]:
        raise Transient("no answer")

    warm.means = replace(warm.means, provider=replace(warm.provider, way_back_lacks=fails))
    warm.watch(2 * EVERY_S)
    assert warm.told() == []
    warm.means = replace(warm.means, provider=replace(warm.provider, way_back_lacks=lambda *about: [GONE]))
    warm.watch(2 * EVERY_S)
    warm.means = replace(warm.means, provider=replace(warm.provider, way_back_lacks=fails))
    warm.watch(2 * EVERY_S)
    assert [each.partition(":")[0] for each in warm.told()] == ["warned"]


def test_what_may_not_be_looked_at_is_told_until_it_may(warm: Warm) -> None:
    """Somebody takes a permission away, and the way back is called whole by one who never looked."""

    def refuses(*about: object) -> list[str]:
        raise Denied("describe_images is not allowed")

    warm.means = replace(warm.means, provider=replace(warm.provider, way_back_lacks=refuses))
    warm.watch(2 * EVERY_S)
    (told,) = warm.told()
    assert "may not be looked at (describe_images is not allowed)" in told
    warm.means = replace(warm.means, provider=warm.provider)
    warm.watch(2 * EVERY_S)
    assert warm.told()[1:] == ["cleared: "]


def test_a_new_application_version_on_the_serving_side(warm: Warm) -> None:
    """Going back at night also takes away what was deployed at noon, and nobody said so."""
    plan = replace(warm.plan, app_version="v1")
    described = warm.provider.compute.describe(plan.service)

    class Deployed:
        def describe(self, service: object) -> object:
            return {**described, "green": replace(described["green"], app_version=self.version)}

        version: str | None = "v1"

    deployed = Deployed()
    provider = replace(warm.provider, compute=deployed)  # type: ignore[arg-type]
    assert lacks(provider, plan) == []
    deployed.version = "v2"
    (told,) = lacks(provider, plan)
    assert "green serves application version v2 now" in told and "v1" in told
    deployed.version = None
    assert lacks(provider, plan) == []


def test_a_platform_that_cannot_lose_anything_is_not_asked(warm: Warm) -> None:
    """A provider without the question breaks every warm rollout."""
    assert lacks(replace(warm.provider, way_back_lacks=None), warm.plan) == []


def test_the_rest_of_the_vigil_goes_on(warm: Warm) -> None:
    """While something is gone, nobody notices that what serves fails."""
    warm.knowledge.lacking = [GONE]
    warm.watch(EVERY_S)
    warm.asking(lambda spec, subject: Verdict.failed("500") if subject.slot == "green" else Verdict.passed("200"))
    warm.watch(300)
    assert any(each.kind == "warned" and each.data["about"] == "failing" for each in warm.journal.entries)
    assert way_back.EVERY_S == EVERY_S
