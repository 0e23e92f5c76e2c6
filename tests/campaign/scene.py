"""What the campaigns' tests stand on: a fleet in a simulated cloud, on a clock that is told to move."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from providers.memory.adapter import provider_for
from providers.memory.clock import VirtualClock
from providers.memory.cloud import SimCloud
from providers.memory.model import ImageBehaviour, Settings
from rollout.campaign import beginning, register
from rollout.campaign.model import Run
from rollout.campaign.runner import Runner
from rollout.engine.job import advance
from rollout.fleet_journal import FleetJournal
from rollout.lease import Holder
from rollout.rows import Row
from rollout.wiring import Installation

ME = Holder("elsewhere", "boot", 1, "1")
RIVAL = Holder("elsewhere", "boot", 2, "2")
FAST = Settings(launch_s=2, health_lag_s=1, balancer_lag_s=0.5, drain_s=2, requests_per_s=100, connections=10)
SERVICE: Mapping[str, Any] = {
    "provider": "memory",
    "coexist": "safe",
    "traffic": {"steps": [100], "soak": "1m", "interval": "1m"},
    "checks": {"preflight": ["balancer"], "replacement": ["balancer"], "live": ["balancer"]},
    "gates": {"replacement": {"passes": 1}},
    "bake": "5m",
    "keep_warm": "1h",
    "settle": "1s",
}
LOOK_S = 45.0


def a_wave(name: str, *services: str, **more: Any) -> dict[str, Any]:
    """One wave as a fleet file has it; without services it has the rest."""
    select = {"services": list(services)} if services else {"rest": True}
    return {"name": name, "select": select, "soak": "10m", **more}


def written(services: Mapping[str, Any], waves: Sequence[Mapping[str, Any]], **campaign: Any) -> str:
    """A fleet file with one campaign, `monthly`."""
    each_of = {name: deepcopy(each) for name, each in services.items()}  # no YAML anchors
    fleet = {
        "version": 1,
        "defaults": dict(SERVICE),
        "services": each_of,
        "campaigns": {"monthly": {"image": "base-2", "waves": [dict(each) for each in waves], **campaign}},
    }
    return yaml.safe_dump(fleet, sort_keys=False)


class Scene:
    """Services of `services` (name → what differs), each with `hosts` on blue, and a campaign over them."""

    def __init__(
        self,
        folder: Path,
        waves: Sequence[Mapping[str, Any]],
        services: Mapping[str, Any] | Sequence[str] = ("a", "b", "c", "d"),
        hosts: int | Mapping[str, int] = 2,
        **campaign: Any,
    ) -> None:
        self.file = folder / "fleet.yaml"
        self.services = dict(services) if isinstance(services, Mapping) else {name: {} for name in services}
        self.waves, self.campaign = list(waves), campaign
        self.write()
        self.clock = VirtualClock()
        self.cloud = SimCloud(self.clock, settings=FAST)
        for name in ("base-1", "base-2", "base-3"):
            self.cloud.add_image(name)
        for name in self.services:
            count = hosts if isinstance(hosts, int) else hosts[name]
            self.cloud.add_service(name, image="base-1", capacity=count)
        self.installation = Installation(self.file, self.clock)
        self.installation._providers["memory"] = provider_for(self.cloud)
        self.db._db.execute("PRAGMA synchronous = OFF")  # days pass in seconds, and no power fails meanwhile
        self.said: list[str] = []
        self.runner = self.another(ME)
        self.most: dict[str, int] = {"moving": 0, "unproven": 0, "extra": 0}

    def write(self) -> None:
        """The fleet file anew, from what it is to have now."""
        self.file.write_text(written(self.services, self.waves, **self.campaign))

    def another(self, holder: Holder) -> Runner:
        """A process that carries campaigns out."""
        return Runner(self.installation, holder, self.said.append, threads=1)

    def close(self) -> None:
        self.installation.store.close()

    # What people do

    def start(self, **said: Any) -> Run:
        run, _ = beginning.start(self.installation, "monthly", actor="ops@desk", **said)
        return run

    def behaves(self, image: str = "base-2", **behaviour: Any) -> None:
        self.cloud.add_image(image, behaviour=ImageBehaviour(**behaviour))

    # Time

    def look(self, runner: Runner | None = None) -> None:
        """One look of the runner, and one round of jobs of the engine."""
        (runner or self.runner).look()
        self.note()
        self.work()

    def work(self) -> None:
        """Every rollout that is due takes its next steps."""
        means = self.installation.means("memory")
        for row in self.installation.store.due(self.clock.now()):
            advance(row.id, means, ME)

    def passes(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.cloud.catch_up()

    def go(self, until: Callable[[], object], hours: float = 24.0) -> None:
        """Looks and jobs, time passing in between, until something is so."""
        ends_at = self.clock.now() + hours * 3600
        while not until():
            assert self.clock.now() < ends_at, f"in vain: {self.run_or_none}, {self.said[-3:]}"
            self.look()
            self.passes(LOOK_S)

    def go_for(self, seconds: float) -> None:
        ends_at = self.clock.now() + seconds
        self.go(lambda: self.clock.now() >= ends_at)

    def note(self) -> None:
        """The most that there ever was at once."""
        if self.run_or_none is None:
            return
        found = self.members()
        now = {
            "moving": sum(each.progress == "moving" for each in found),
            "unproven": sum(each.unproven for each in found),
            "extra": sum(each.extra for each in found),
        }
        self.most = {key: max(value, now[key]) for key, value in self.most.items()}

    # What there is to see

    @property
    def db(self) -> Any:
        return self.installation.store.db

    @property
    def run(self) -> Run:
        found = register.newest(self.db, "monthly")
        assert found is not None
        return found

    @property
    def run_or_none(self) -> Run | None:
        return register.newest(self.db, "monthly")

    def members(self) -> list[Any]:
        return [member for member, _ in register.members(self.db, self.run.id)]

    def progress(self) -> dict[str, str]:
        return {each.service: each.progress for each in self.members()}

    def rollout(self, service: str) -> Row:
        return self.installation.store.rollouts(service, limit=1)[0]

    def begun(self) -> list[str]:
        return [row.service for row in reversed(self.installation.store.rollouts(limit=10_000))]

    def told(self) -> list[str]:
        """What the fleet's journal has of campaigns."""
        return [entry.kind for entry in FleetJournal(self.db).entries() if entry.kind.startswith("campaign_")]

    @property
    def over(self) -> bool:
        return self.run.ended_at is not None
