"""The whole story of `shop` on AWS, for tests that drive it on one kind of account or another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from healthchecks.base import Subject, Verdict
from providers.base import Slot, other
from rollout.card import Card, CardFolder
from rollout.engine.job import advance
from rollout.journal import Journal, first_broken_link
from rollout.means import Means
from rollout.plan import CheckSpec, Plan
from rollout.rows import Row
from rollout.store import NEVER, Store
from tests.aws.account import Account
from tests.core.scene import HOLDER, Answers, a_plan, always_pass
from tests.providers.harness_aws import AwsHarness

STANDBYS = ("on_demand", "permanent")


class Scene:
    """`shop` on AWS with its store, and jobs as they fall due. `service`: what `Account.service` takes."""

    def __init__(self, account: Account, folder: Path, standby: str, **service: Any) -> None:
        self.account = account
        self.harness = AwsHarness(account, folder)
        account.manner.starting_for = account.manner.deleting_for = 5
        self.clock, self.provider = self.harness.clock, self.harness.provider
        self.service = account.service("shop", 2, on_demand=standby == "on_demand", **service)
        self.store = Store(folder / "rollout.db")
        self.means = Means(self.store, self.provider, self.clock, CardFolder(folder / "cards"), always_pass)

    def asking(self, ask: Answers) -> None:
        """Checks answer like this from now on."""
        self.means = Means(self.store, self.provider, self.clock, self.means.cards, ask)

    def plan(self, image: str, **changes: Any) -> Plan:
        """From what serves now to this image."""
        active = self.provider.traffic.route(self.service).active
        assert active is not None
        was = self.provider.compute.describe(self.service)[active]
        assert was.image is not None
        return a_plan(
            service=self.service,
            provider="aws",
            patch=self.provider.patcher.resolve(self.service, image),
            original=active,
            original_image=was.image,
            original_fingerprint=was.fingerprint,
            app_version=was.app_version,
            **changes,
        )

    def open(self, rollout: str, image: str, **changes: Any) -> None:
        """A rollout of this image, begun. `changes`: to its plan."""
        plan = self.plan(image, **changes)
        self.store.open_rollout(
            rollout, "shop", plan.to_json(), plan.hash, at=self.clock.now(), actor="tester", reason="because"
        )

    def drive(self, rollout: str, until: Callable[[Row], bool] = lambda row: False) -> Row:
        """Jobs as they fall due, until closed, stuck, or `until`."""
        for _ in range(600):
            row = self.store.rollout(rollout)
            if row.closed_at is not None or row.due_at >= NEVER or until(row):
                return row
            self.clock.sleep(max(0.0, row.due_at - self.clock.now()))
            advance(rollout, self.means, HOLDER)
        kinds = [f"{entry.kind} {entry.step}" for entry in self.store.entries(rollout)]
        raise AssertionError(f"still {row.phase}: {kinds[-8:]}")

    @property
    def card(self) -> Card:
        """The way back, as the emergency path reads it."""
        found = self.means.cards.read("shop")
        assert found is not None
        return found

    @property
    def weights(self) -> dict[Slot, int]:
        """What is declared, in percent."""
        return dict(self.provider.traffic.route(self.service).weights)

    def images(self, slot: Slot) -> set[str | None]:
        """What runs on a slot."""
        found = self.provider.compute.observe([self.service])["shop"]
        return {instance.image for instance in found if instance.slot == slot and instance.state == "running"}

    def end(self) -> str:
        """Why the last rollout ended as it did, for a failing test."""
        entries = [entry for row in self.store.rollouts() for entry in self.store.entries(row.id)]
        return "\n".join(f"{entry.kind} {entry.step} {dict(entry.data)}"[:400] for entry in entries[-12:])


def failing_live(spec: CheckSpec, subject: Subject) -> Verdict:
    """The replacement fails as soon as it has traffic."""
    bad = subject.role == "replacement" and subject.readings.traffic().route.share(subject.slot) > 0
    return Verdict.failed("errors under traffic") if bad else Verdict.passed("good")


def configuration(scene: Scene) -> dict[str, Any]:
    """All that a rollout may leave behind."""
    found = scene.provider.compute.describe(scene.service)
    slots = {slot: (one.exists, one.image, one.capacity, one.floor, one.fingerprint) for slot, one in found.items()}
    return {"weights": scene.weights, "slots": slots, "existing": scene.harness.existing(scene.service)}


def forward_and_a_month_later_back(scene: Scene) -> None:
    """Three rollouts, each the other way."""
    base, patched = scene.harness.base_image, scene.harness.patched_image
    into: Slot = "green"
    for number, image in enumerate((patched, base, patched), 1):
        scene.open(f"shop-{number}", image)
        warm = scene.drive(f"shop-{number}", lambda row: row.phase == "warm")
        assert (warm.phase, warm.outcome) == ("warm", "promoted"), scene.end()
        assert scene.weights == {into: 100, other(into): 0}
        assert scene.images(into) == {image} and scene.images(other(into)), "both stand while it is warm"
        row = scene.drive(f"shop-{number}")
        assert (row.phase, row.outcome) == ("retired", "promoted"), scene.end()
        assert scene.images(into) == {image} and not scene.images(other(into))
        assert first_broken_link(Journal(scene.store.entries(row.id)).entries) == ""
        into = other(into)
        scene.clock.sleep(2_592_000)


def what_fails_under_traffic_is_put_back(scene: Scene) -> None:
    """All is as it was before."""
    before = configuration(scene)
    scene.asking(failing_live)
    scene.open("shop-1", scene.harness.patched_image)
    row = scene.drive("shop-1")
    assert (row.phase, row.outcome) == ("rolled_back", "rolled_back"), scene.end()
    after = configuration(scene)
    if after["slots"]["green"][0]:  # a permanent slot keeps what was proven on it, and serves nothing
        assert after["slots"]["green"][2:4] == (0, 0)
        after["slots"]["green"] = before["slots"]["green"]
    assert after == before
