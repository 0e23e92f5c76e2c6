"""Campaigns of a fleet file: waves of services that are patched one after the other, by one resolved patch."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from rollout.campaign.model import Limits, Place
from rollout.campaign.selection import Wanted
from rollout.fleetfile.explain import refused
from rollout.fleetfile.problems import listed
from rollout.fleetfile.timing import ScheduleSettings, Timing
from rollout.fleetfile.values import Name, PositiveSpan, Settings, Span

CONDITIONS = ("services", "tags", "provider", "account", "region", "zone")
MOST_WAVES = 100
MOST_PATTERNS = 30
"""Of one wave: each is tried on each service."""
_SOME: dict[str, Any] = {
    "anyOf": [
        *({"required": [key]} for key in CONDITIONS),
        {"required": ["rest"], "properties": {"rest": {"const": True}}},
    ]
}
_Text = Annotated[str, Field(min_length=1)]


def _some(texts: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if texts is not None and not texts:
        raise refused("nothing has none of these", "at least one; without the key: any")
    return texts


def _names(texts: tuple[str, ...] | None) -> tuple[str, ...] | None:
    for at, text in enumerate(texts or ()):
        if not re.fullmatch("[a-z0-9*-]+", text):
            raise refused(allowed="a service's name, in which * may stand for any text", at=(at,))
    if sum("*" in text for text in texts or ()) > MOST_PATTERNS:
        raise refused("too many names with *", f"at most {MOST_PATTERNS} of them; names without * are not counted")
    return _some(texts)


def _some_image(image: str | dict[str, str] | None) -> str | dict[str, str] | None:
    for provider, reference in image.items() if isinstance(image, dict) else ():
        if re.search(r"[\s=]", provider) or re.search(r"\s", reference):
            raise refused(allowed="a provider's name, and a reference without spaces", at=(provider,))
    if image == {}:
        raise refused("nothing would be rolled out", "one reference for each provider")
    return image


_Any = Annotated[tuple[_Text, ...] | None, AfterValidator(_some)]


def _one_of(what: str) -> Any:
    return Field(default=None, description=f"{what}: one of these.", json_schema_extra={"minItems": 1})


class Select(Settings):
    """Which services: those that all of these conditions fit; or, in one wave, the rest."""

    model_config = ConfigDict(json_schema_extra=_SOME)

    services: Annotated[tuple[_Text, ...] | None, AfterValidator(_names)] = Field(
        default=None, description="Names; * stands for any text in them.", json_schema_extra={"minItems": 1}
    )
    tags: dict[_Text, _Text] = Field(default_factory=dict, description="All of these tags, as services have them.")
    provider: _Any = _one_of("The provider")
    account: _Any = _one_of("The account (in quotes)")
    region: _Any = _one_of("The region")
    zone: _Any = _one_of("The zone")
    rest: bool = Field(default=False, description="true: all services that no other wave selects.")

    @model_validator(mode="after")
    def _something(self) -> Select:
        given = [key for key in CONDITIONS if getattr(self, key)]
        if self.rest and given:
            raise refused("the rest has no conditions", "rest alone, or conditions", (given[0],))
        if not self.rest and not given:
            raise refused("it would select everything", f"{listed(CONDITIONS)}, or rest: true")
        return self

    def wanted(self) -> Wanted:
        named = {key: getattr(self, key) or () for key in CONDITIONS if key != "tags"}
        return Wanted(tags=dict(self.tags), rest=self.rest, **named)


class WaveSettings(Settings):
    """Services that are patched together, within these limits, once the waves before it are through."""

    name: Name = Field(description="what this wave is called")
    select: Select = Field(description="a mapping that says which services")
    after: tuple[Name, ...] | None = Field(default=None, description="The waves before it (default: the one above).")
    max_parallel: int = Field(default=1, ge=1, le=10_000, description="So many services move at the same time.")
    max_unproven_hosts: int | None = Field(
        default=None, ge=1, description="At most so many hosts that were not accepted yet (default: not limited)."
    )
    max_extra_instances: int | None = Field(
        default=None, ge=1, description="At most so many instances more at once, warm old sides included."
    )
    stop_after_failures: int = Field(
        default=1, ge=1, le=10_000, description="So many that turned back or halted stop the campaign."
    )
    soak_s: Span = Field(default=3600.0, alias="soak", description="Passes after it, before the next wave.")
    one_at_a_time: Literal["none", "zone", "region"] = Field(
        default="none", description="Only services of one zone, or of one region, move at the same time."
    )
    go_on: Literal["automatic", "asked"] = Field(
        default="automatic", description="asked: the next wave begins after rollout wave go-on NAME."
    )

    def limits(self) -> Limits:
        return Limits(
            self.max_parallel,
            self.max_unproven_hosts,
            self.max_extra_instances,
            self.stop_after_failures,
            self.soak_s,
            self.one_at_a_time,
            self.go_on,
        )


def _in_an_order(waves: tuple[WaveSettings, ...]) -> tuple[WaveSettings, ...]:
    if not waves:
        raise refused("nothing would be patched", "at least one wave")
    if len(waves) > MOST_WAVES:
        raise refused("too many waves", f"at most {MOST_WAVES}")
    names = [wave.name for wave in waves]
    for at, wave in enumerate(waves):
        if wave.name in names[:at]:
            raise refused("another wave has this name", "a name of its own", (at, "name"))
        for index, before in enumerate(wave.after or ()):
            if before not in names:
                raise refused("there is no such wave", f"one of {listed(names)}", (at, "after", index))
    after = after_of(waves)
    for at, wave in enumerate(waves):
        if circle := _circle(wave.name, after):
            raise refused(f"waves wait for each other in a circle: {' → '.join(circle)}", at=(at, "after"))
    rests = [at for at, wave in enumerate(waves) if wave.select.rest]
    if len(rests) > 1:
        first = waves[rests[0]].name
        raise refused(f"wave {first} has the rest already", "one wave with the rest", (rests[1], "select", "rest"))
    return waves


def after_of(waves: tuple[WaveSettings, ...]) -> dict[str, tuple[str, ...]]:
    """For each wave those before it: as written, else the one above."""
    found, above = dict[str, tuple[str, ...]](), tuple[str, ...]()
    for wave in waves:
        found[wave.name] = above if wave.after is None else tuple(dict.fromkeys(wave.after))
        above = (wave.name,)
    return found


def _circle(name: str, after: dict[str, tuple[str, ...]]) -> list[str]:
    """A way from a wave through those it waits for back to itself; empty where there is none."""
    open_ways, seen = [[name]], set[str]()
    while open_ways:
        way = open_ways.pop()
        for before in after[way[-1]]:
            if before == name:
                return [*way, name]
            if before not in seen:
                seen.add(before)
                open_ways.append([*way, before])
    return []


class CampaignSettings(Timing):
    """A patch campaign: carried out by `rollout serve` wave by wave, in its windows."""

    image: Annotated[_Text | dict[_Text, _Text] | None, AfterValidator(_some_image)] = Field(
        default=None,
        description="What is rolled out (else --image), resolved once for each place and pinned: a reference, or one "
        "for each provider: {local: base-2, aws: ssm:/golden}.",
    )
    schedule: ScheduleSettings | None = Field(
        default=None, description="When it starts by itself (default: when somebody starts it)."
    )
    late_s: PositiveSpan | None = Field(
        default=None,
        alias="late",
        description="Missed, as nobody served, it starts so much later at most (default: while its window is open).",
    )
    deadline_s: PositiveSpan | None = Field(
        default=None, alias="deadline", description="Nothing of it is begun later than so long after its start."
    )
    ref: str = Field(default="", description="What it belongs to where it starts by itself: a ticket or a change.")
    waves: Annotated[tuple[WaveSettings, ...], AfterValidator(_in_an_order)] = Field(
        description="a list of waves, each with name and select",
        json_schema_extra={
            "minItems": 1,
            "maxItems": MOST_WAVES,
            "description": "In order; each waits for the one above unless after says so.",
        },
    )

    @model_validator(mode="after")
    def _something_to_start(self) -> CampaignSettings:
        if self.schedule is not None and self.image is None:
            raise refused("nobody says what it starts with", "image beside schedule", ("schedule",))
        return self


def place_with_tags(found: dict[str, str], provider: str, tags: dict[str, str]) -> Place:
    """A service's place: what its provider says, and where that says nothing, what its tags do."""
    keys = ("account", "region", "zone", "architecture")
    return Place(provider, *(found.get(key) or tags.get(key, "") for key in keys))
