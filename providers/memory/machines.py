"""How simulated instances live: launching takes time, may stall or fail; the killed are replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.base import Instance

from . import balancer
from .model import SimInstance, SimService, SimSlot

if TYPE_CHECKING:
    from .cloud import SimCloud


def resize(cloud: SimCloud, svc: SimService, slot: SimSlot, capacity: int) -> None:
    """Launch what is missing; give up failed instances first, then the newest."""
    slot.capacity = capacity
    while len(slot.instances) > capacity:
        failed = [instance for instance in slot.instances if instance.state == "failed"]
        _remove(slot, (failed or slot.instances)[-1])
    while len(slot.instances) < capacity:
        launch(cloud, svc, slot)


def launch(cloud: SimCloud, svc: SimService, slot: SimSlot, registered: bool = False) -> SimInstance:
    instance = _new(cloud, svc, slot, registered)
    _boot(cloud, svc, slot, instance)
    return instance


def _new(cloud: SimCloud, svc: SimService, slot: SimSlot, registered: bool) -> SimInstance:
    if slot.image is None:
        raise AssertionError(f"{svc.name}: {slot.name} has no image to launch")
    number = cloud.next_number()
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}:8080"
    instance = SimInstance(f"i-{number:08x}", slot.name, slot.image, address, registered=registered)
    slot.instances.append(instance)
    return instance


def serve_at_once(cloud: SimCloud, svc: SimService, slot: SimSlot) -> None:
    """One that has been there for long: running, and healthy behind the balancer."""
    instance = _new(cloud, svc, slot, registered=True)
    instance.state, instance.started_at, instance.judged = "running", cloud.timeline.now, "healthy"


def reboot(cloud: SimCloud, svc: SimService, slot: SimSlot) -> None:
    for instance in slot.instances:
        if instance.state == "running":
            instance.state, instance.judged = "starting", "unknown"
            _boot(cloud, svc, slot, instance)


def kill(cloud: SimCloud, svc: SimService, slot: SimSlot, instance: SimInstance, reason: str) -> None:
    """The instance dies; the balancer notices after its lag, and then it is replaced where that is wanted."""
    balancer.accrue(svc, cloud.timeline.now)
    instance.state, instance.reason, instance.own_fault = "failed", reason, False
    instance.boot += 1  # a launch under way ends here
    balancer.judge_later(cloud, svc, instance)
    if svc.settings.self_healing:
        cloud.timeline.after(svc.settings.health_lag_s, lambda: _heal(cloud, svc, slot, instance))


def public(instance: SimInstance) -> Instance:
    return Instance(
        id=instance.id,
        slot=instance.slot,
        state=instance.state,
        image=instance.image.id,
        address=instance.address,
        reason=instance.reason,
        started_at=instance.started_at,
        own_fault=instance.own_fault,
    )


def _boot(cloud: SimCloud, svc: SimService, slot: SimSlot, instance: SimInstance) -> None:
    instance.boot += 1
    boot, settings = instance.boot, svc.settings
    seconds = settings.launch_s
    if settings.launch_jitter_s:
        seconds += settings.launch_jitter_s * cloud.random.random()

    def booted() -> None:
        if instance.gone or instance.boot != boot:
            return
        limit = cloud.switches.place(cloud.switches.launch_limit, svc.name, slot.name)
        if limit is not None and sum(i.state == "running" for i in slot.instances) >= limit:
            instance.reason = cloud.switches.launch_limit_reason
            cloud.timeline.after(max(settings.launch_s, 1.0), booted)
            return
        _started(cloud, svc, instance)

    cloud.timeline.after(seconds, booted)


def _started(cloud: SimCloud, svc: SimService, instance: SimInstance) -> None:
    if instance.image.behaviour.starts:
        instance.state, instance.reason, instance.started_at = "running", "", cloud.timeline.now
        if instance.image.behaviour.flaps_every_s > 0:
            _flap_later(cloud, svc, instance, instance.boot)
    else:
        instance.state, instance.reason = "failed", f"{instance.image.id}: exited with status 1 while starting"
        instance.own_fault = True
    balancer.judge_later(cloud, svc, instance)


def _flap_later(cloud: SimCloud, svc: SimService, instance: SimInstance, boot: int) -> None:
    def flap() -> None:
        if not instance.gone and instance.boot == boot:
            balancer.accrue(svc, cloud.timeline.now)
            instance.flapped = not instance.flapped
            balancer.judge_later(cloud, svc, instance)
            cloud.timeline.after(instance.image.behaviour.flaps_every_s, flap)

    cloud.timeline.after(instance.image.behaviour.flaps_every_s, flap)


def _heal(cloud: SimCloud, svc: SimService, slot: SimSlot, dead: SimInstance) -> None:
    if not dead.gone:
        balancer.accrue(svc, cloud.timeline.now)
        _remove(slot, dead)
        if len(slot.instances) < slot.capacity:
            launch(cloud, svc, slot, registered=dead.registered)


def _remove(slot: SimSlot, instance: SimInstance) -> None:
    instance.gone = True
    slot.instances.remove(instance)
