"""Both slots of a service as they are now, in few calls: sizes always fresh, what rarely changes for some seconds."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from providers.aws.cloud import Cloud
from providers.aws.fingerprint import fingerprint
from providers.aws.groups import PATCHED, Group, is_leaving, owner_of, read_groups, tag
from providers.aws.instances import composite
from providers.aws.naming import Naming
from providers.aws.options import Options
from providers.aws.settings import Settings, read_settings
from providers.aws.templates import Template, raise_if_weighed, read_template, specification
from providers.base import SLOTS, Clock, Environment, Invalid, NotFound, Slot, Transient

SETTINGS_S = 60.0
"""So long may policies, hooks and the like be those of an earlier look; a mirror is always made from fresh ones."""
TEMPLATE_S = 300.0
"""A numbered version never changes; it may only be deleted."""
SHOWN_WITHIN_S = 60.0
"""A group that was created so recently may not be shown yet."""
FLICKERS_S = 5.0
"""So long after a call showed such a group the next one may not."""
KEPT = 4096
Key = tuple[object, ...]
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Look:
    """The groups of a service at one look, by slot; absent and leaving ones are missing."""

    options: Options
    groups: Mapping[Slot, Group]

    def need(self, slot: Slot) -> Group:
        if slot not in self.groups:
            raise NotFound(f"{slot}: there is no Auto Scaling group {self.options.group(slot)}")
        return self.groups[slot]

    def raise_if_standby_is_missing(self) -> None:
        """Invalid where one of a permanent pair does not exist. Only what begins asks: a way back goes without it."""
        if why := missing_standby(self.options, {self.options.group(slot) for slot in self.groups}):
            raise Invalid(why)


def missing_standby(options: Options, names: Iterable[str]) -> str:
    """Which one of a permanent pair is not among these groups, and what to do about it; empty if none."""
    for slot in SLOTS if options.standby == "permanent" else ():
        if options.group(slot) not in set(names):
            return (
                f"{slot}: there is no Auto Scaling group {options.group(slot)}; a permanent standby is made by your "
                "own tools, one that is made for each rollout needs: standby: on_demand"
            )
    return ""


class Slots:
    """Reads slots. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._settings: dict[Key, tuple[float, Settings]] = {}
        self._templates: dict[Key, tuple[float, Template]] = {}
        self._created: dict[Key, tuple[float, float]] = {}

    def look(self, cloud: Cloud, options: Options) -> Look:
        """Raises NotFound where neither group exists, Transient where one was created and is not shown yet."""
        names = [options.group(slot) for slot in SLOTS]
        found = read_groups(cloud, names, leaving=True)
        groups = {slot: found[options.group(slot)] for slot in SLOTS if options.group(slot) in found}
        present = {slot: group for slot, group in groups.items() if not is_leaving(group)}
        if not groups:
            raise NotFound(f"neither {names[0]} nor {names[1]} is an Auto Scaling group in {options.region}")
        for slot in SLOTS:
            if slot in groups:
                self._shown(cloud, options.group(slot))
            else:
                self._raise_if_not_shown_yet(cloud, options, slot)
        return Look(options, present)

    def environments(self, cloud: Cloud, look: Look) -> dict[Slot, Environment]:
        settings = self.settings(cloud, [group["AutoScalingGroupName"] for group in look.groups.values()])
        return {slot: self._environment(cloud, look, slot, settings) for slot in SLOTS}

    def template(self, cloud: Cloud, group: Group) -> Template:
        """The effective one; a numbered version is remembered."""
        asked = specification(group)
        version = asked.get("Version") or ""
        key = (cloud.place, asked.get("LaunchTemplateId") or asked.get("LaunchTemplateName"), version)
        if not version.isdigit():
            return read_template(cloud, group)
        with self._lock:
            read_at, known = self._templates.get(key, (0.0, None))
        if known is None or self._clock.now() - read_at >= TEMPLATE_S:
            known = read_template(cloud, group)
            if not str(known.data["ImageId"]).startswith("resolve:"):
                with self._lock:
                    _keep(self._templates, key, (self._clock.now(), known))
        return known

    def image(self, cloud: Cloud, group: Group) -> str | None:
        """What a group launches, or what patches in place made of that."""
        return composite(self.template(cloud, group).image, tag(group, PATCHED))

    def settings(self, cloud: Cloud, names: Iterable[str], *, fresh: bool = False) -> dict[str, Settings]:
        """By group."""
        now, found, asked = self._clock.now(), dict[str, Settings](), list(names)
        with self._lock:
            for name in asked:
                read_at, known = self._settings.get((cloud.place, name), (0.0, None))
                if known is not None and not fresh and now - read_at < SETTINGS_S:
                    found[name] = known
        if missing := [name for name in asked if name not in found]:
            for name, read in read_settings(cloud, missing).items():
                found[name] = read
                with self._lock:
                    _keep(self._settings, (cloud.place, name), (now, read))
        return found

    def forget(self, cloud: Cloud, name: str) -> None:
        """After a write of ours."""
        with self._lock:
            self._settings.pop((cloud.place, name), None)

    def created(self, cloud: Cloud, name: str) -> None:
        with self._lock:
            until = self._clock.now() + SHOWN_WITHIN_S
            _keep(self._created, (cloud.place, name), (until, until))

    def deleted(self, cloud: Cloud, name: str) -> None:
        with self._lock:
            self._created.pop((cloud.place, name), None)
        self.forget(cloud, name)

    def _shown(self, cloud: Cloud, name: str) -> None:
        """What was shown once and is not any more is soon believed to be gone: a way back must not wait for it."""
        with self._lock:
            if (cloud.place, name) in self._created:
                end, _ = self._created[cloud.place, name]
                self._created[cloud.place, name] = (end, min(end, self._clock.now() + FLICKERS_S))

    def _raise_if_not_shown_yet(self, cloud: Cloud, options: Options, slot: Slot) -> None:
        name = options.group(slot)
        with self._lock:
            _, until = self._created.get((cloud.place, name), (0.0, 0.0))
        if self._clock.now() < until:
            raise Transient(f"{name} was created a moment ago and is not shown yet")

    def _environment(self, cloud: Cloud, look: Look, slot: Slot, settings: Mapping[str, Settings]) -> Environment:
        group = look.groups.get(slot)
        if group is None:
            return Environment(slot)
        raise_if_weighed(look.options, group)
        template = self.template(cloud, group)
        naming = Naming.neutral(look.options, slot)
        return Environment(
            slot,
            self.image(cloud, group),
            capacity=group["DesiredCapacity"],
            floor=group["MinSize"],
            owner=owner_of(group),
            fingerprint=fingerprint(group, template.data, settings[group["AutoScalingGroupName"]], naming),
        )


def _keep(kept: dict[Key, V], key: Key, value: V) -> None:
    """The newest are kept, so many at most."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > KEPT:
        del kept[next(iter(kept))]
