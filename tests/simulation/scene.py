"""What a simulated run begins with: service, patch, configuration. Plain data, so that a seed can draw it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from healthchecks.base import Subject, Verdict
from healthchecks.registry import ask_safely, load
from providers.base import Provider, Service
from providers.memory.cloud import SimCloud
from providers.memory.model import ImageBehaviour, Settings
from rollout.gate import GateRule
from rollout.plan import GATES, CheckSpec, Gate, Plan, PlanWindow, choose_original, raise_if_unsafe

SERVICE = Service("shop")
WRITE_TIMEOUT_S = 5.0

GOOD = ImageBehaviour()
IMAGES: Mapping[str, ImageBehaviour] = {
    "base-1": GOOD,
    "good": GOOD,
    "good-again": GOOD,
    "errors": ImageBehaviour(error_share_live=0.2),
    "resets": ImageBehaviour(failed_share_live=0.3),
    "sick": ImageBehaviour(healthy=False),
    "dies-under-traffic": ImageBehaviour(fails_health_under_traffic=True),
    "never-starts": ImageBehaviour(starts=False),
}

CHECKS: Mapping[str, tuple[CheckSpec, ...]] = {
    "preflight": (CheckSpec("balancer", "balancer"),),
    "replacement": (CheckSpec("balancer", "balancer"), CheckSpec("fidelity", "fidelity")),
    "live": (CheckSpec("balancer", "balancer"), CheckSpec("failed_responses", "failed_responses")),
    "bake": (CheckSpec("balancer", "balancer"), CheckSpec("failed_responses", "failed_responses")),
}
RULE = GateRule(passes=2, failures=2, interval_s=2.0, deadline_s=60.0, unknown_limit_s=20.0, soak_s=2.0)
DEADLINES = {
    "preflight": 60.0,
    "patch": 120.0,
    "running": 60.0,
    "healthy": 60.0,
    "gate": 120.0,
    "approval": 300.0,
    "observed": 40.0,
    "drained": 20.0,
    "drain_limit": 20.0,
}


@dataclass(frozen=True)
class Scene:
    """One configuration. `images` are rolled out one after the other, each over what the one before left."""

    images: tuple[str, ...] = ("good",)
    capacity: int = 2
    permanent: bool = False
    cas: bool = True
    on_rollback: str = "drain"
    steps: tuple[int, ...] = (20, 100)
    keep_warm_s: float = 40.0
    end_warm: bool = False
    approval: str = "none"
    drift: bool = False
    reboot: bool = False
    provably_dead: bool = True
    cloud_seed: int = 0
    self_healing: bool = True
    rollback_while_warm: bool = False
    window_s: float | None = None
    at_end: Literal["turn_back", "finish"] = "turn_back"

    def cloud(self, clock: object) -> SimCloud:
        """The platform as the user's team left it: blue serves `base-1`."""
        settings = Settings(
            launch_s=2.0,
            health_lag_s=1.0,
            balancer_lag_s=0.5,
            drain_s=2.0,
            requests_per_s=200.0,
            connections=10,
            self_healing=self.self_healing,
        )
        cloud = SimCloud(
            clock,  # type: ignore[arg-type]
            self.cloud_seed,
            settings=settings,
            cas=self.cas,
            write_timeout_s=WRITE_TIMEOUT_S,
            key="simulation",
        )
        for name, behaviour in IMAGES.items():
            cloud.add_image(name, behaviour=behaviour, reboot_needed=self.reboot)
        cloud.add_service(SERVICE.name, image="base-1", capacity=self.capacity, permanent=self.permanent)
        if self.drift:
            cloud.switches.mirror_drift["firewall"] = "fw-other"
        return cloud

    def plan(self, provider: Provider, image: str, now: float, denials: Mapping[str, str]) -> Plan:
        """The plan for the next image, made as the command line makes it; UnsafePlan where it would refuse."""
        found = choose_original(SERVICE.name, provider.compute.describe(SERVICE), provider.traffic.route(SERVICE))
        plan = Plan(
            service=SERVICE,
            provider="memory",
            coexist="safe",
            patch=provider.patcher.resolve(SERVICE, image),
            original=found.slot,
            original_image=found.image or "",
            original_fingerprint=dict(found.fingerprint),
            app_version=found.app_version,
            capacity=found.capacity,
            steps=self.steps,
            gates={gate: Gate(RULE, CHECKS[gate]) for gate in GATES},
            settle_s=2.0,
            keep_warm_s=self.keep_warm_s,
            on_rollback=self.on_rollback,
            approval=self.approval,
            rollback_while_warm=self.rollback_while_warm,
            deadlines=DEADLINES,
            made_at=now,
            window=PlanWindow(now, now + self.window_s, self.at_end) if self.window_s else None,
        )
        raise_if_unsafe(plan, denials)
        return plan


def ask(spec: CheckSpec, subject: Subject) -> Verdict:
    """The real checks."""
    module = load(spec.name)
    return ask_safely(module, module.Options(**spec.options), subject)
