"""Which services each wave of a campaign has, and what is wrong with that. Pure; standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from math import ceil

from rollout.campaign.model import Limits, Place


@dataclass(frozen=True)
class Wanted:
    """The conditions of one wave; an empty one is none. `services` are names in which * stands for any text."""

    services: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    provider: tuple[str, ...] = ()
    account: tuple[str, ...] = ()
    region: tuple[str, ...] = ()
    zone: tuple[str, ...] = ()
    rest: bool = False

    @cached_property
    def _exact(self) -> frozenset[str]:
        return frozenset(self.services)

    @cached_property
    def _patterns(self) -> tuple[str, ...]:
        return tuple(each for each in self.services if "*" in each)

    def _is_named(self, name: str) -> bool:
        """Thousands may be named one by one: each is looked up, and only patterns are tried."""
        return not self.services or name in self._exact or any(fnmatchcase(name, each) for each in self._patterns)

    def fits(self, name: str, place: Place, tags: Mapping[str, str]) -> bool:
        if self.rest or not self._is_named(name):
            return False
        if any(tags.get(key) != value for key, value in self.tags.items()):
            return False
        return all(
            not wanted or getattr(place, key) in wanted
            for key, wanted in (
                ("provider", self.provider),
                ("account", self.account),
                ("region", self.region),
                ("zone", self.zone),
            )
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A service as waves are chosen by it. `least_s`: it takes no less than this until it is promoted."""

    name: str
    place: Place
    tags: Mapping[str, str] = field(default_factory=dict)
    least_s: float = 0.0


def selected(waves: Mapping[str, Wanted], services: Sequence[Candidate]) -> dict[str, tuple[str, ...]]:
    """For each wave its services, in the order of the file; one may be in several (`overlaps`)."""
    found: dict[str, list[str]] = {wave: [] for wave in waves}
    rest = next((wave for wave, wanted in waves.items() if wanted.rest), None)
    for each in services:
        mine = [wave for wave, wanted in waves.items() if wanted.fits(each.name, each.place, each.tags)]
        for wave in mine or ([rest] if rest else []):
            found[wave].append(each.name)
    return {wave: tuple(names) for wave, names in found.items()}


def overlaps(chosen: Mapping[str, Sequence[str]]) -> list[tuple[str, str, str]]:
    """(service, the wave that has it, the other wave that has it)."""
    owner: dict[str, str] = {}
    found = []
    for wave, names in chosen.items():
        for name in names:
            if name in owner:
                found.append((name, owner[name], wave))
            owner.setdefault(name, wave)
    return found


def unplaced(limits: Limits, names: Sequence[str], places: Mapping[str, Place]) -> str:
    """The first service of a wave of which nobody knows the zone (or region) that it is to be alone in."""
    if limits.one_at_a_time == "none":
        return ""
    return next((name for name in names if not getattr(places[name], limits.one_at_a_time)), "")


def least_seconds(
    after: Mapping[str, Sequence[str]],
    limits: Mapping[str, Limits],
    chosen: Mapping[str, Sequence[str]],
    least_s: Mapping[str, float],
) -> float:
    """Until the last service is begun, if nothing has to be waited for twice: along the longest chain of waves."""
    begins: dict[str, float] = {}

    def of(wave: str) -> float:
        if wave not in begins:
            begins[wave] = max(
                (of(before) + lasts(before) + limits[before].soak_s for before in after[wave]), default=0.0
            )
        return begins[wave]

    def lasts(wave: str) -> float:
        return rounds(wave) * fastest(wave)

    def rounds(wave: str) -> int:
        return ceil(len(chosen[wave]) / limits[wave].max_parallel)

    def fastest(wave: str) -> float:
        return min((least_s[name] for name in chosen[wave]), default=0.0)

    return max((of(wave) + max(0, rounds(wave) - 1) * fastest(wave) for wave in after), default=0.0)
