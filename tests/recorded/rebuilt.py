"""A recording (tests/recorded/record.py) made into a world again: store, cloud, cards, time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import fields
from itertools import count
from pathlib import Path
from typing import Any

from providers.base import Applied, HoldMark
from providers.memory.clock import VirtualClock
from providers.memory.cloud import SimCloud
from providers.memory.model import Image, ImageBehaviour, Settings, Side, SimInstance, SimService, SimSlot
from rollout.card import Card
from rollout.plan import STORY
from rollout.store import Store
from tests.simulation.scene import SERVICE, Scene
from tests.simulation.world import Found, World

FOLDER = Path(__file__).parent
STORIES = range(1, STORY)
"""Of each earlier story there is a folder of recordings."""


def names(story: int) -> list[str]:
    return sorted(path.stem for path in (FOLDER / f"story-{story}").glob("*.sql"))


def what_was_kept(story: int, name: str) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads((FOLDER / f"story-{story}" / f"{name}.json").read_text())
    for image in kept["cloud"]["images"].values():
        image.setdefault("listening", list(Image("any").listening or ()))  # recorded before images said where
    return kept


def store_file(story: int, name: str, path: Path) -> Path:
    """The store's file as the earlier release left it, not yet migrated."""
    database = sqlite3.connect(path)
    database.executescript((FOLDER / f"story-{story}" / f"{name}.sql").read_text())
    database.close()
    return path


def rebuilt_world(story: int, name: str, path: Path, *, on_halt: str = "abort") -> World:
    """The simulation's world as the recording left it; its store is migrated at `path`, invariants watch from here."""
    kept = what_was_kept(story, name)
    steady = VirtualClock(kept["now"])
    cloud = rebuilt_cloud(kept["cloud"], steady)
    cards = {service: Card.from_json(card) for service, card in kept["cards"].items()}
    said: Any = {key: tuple(value) if isinstance(value, list) else value for key, value in kept["scene"].items()}
    scene = Scene(**said)
    world = World(scene, on_halt=on_halt, found=Found(steady, cloud, Store(store_file(story, name, path)), cards))
    world.take_up(kept["rollout"], kept["before"])
    if world.journal.halt:  # what these recordings halt for: a person's edit, which stands
        world.people.halts_expected = world.people.edit_stands = True
        world.people.edited_at = 0
    return world


def rebuilt_cloud(kept: Mapping[str, Any], clock: VirtualClock) -> SimCloud:
    """The cloud that `plain_cloud` described; nothing is under way in it."""
    first = Settings(**kept["services"][SERVICE.name]["settings"])
    cloud = SimCloud(clock, settings=first, cas=kept["cas"], write_timeout_s=kept["write_timeout_s"], key=kept["key"])
    for name, image in kept["images"].items():
        known = {**image, "packages": tuple(image["packages"]), "behaviour": ImageBehaviour(**image["behaviour"])}
        known["listening"] = tuple(image["listening"])
        cloud.images[name] = Image(**known)
    cloud.services = {name: _service(cloud, service) for name, service in kept["services"].items()}
    cloud._numbers = count(kept["next_number"])
    for call, token, asked, result in kept["tokens"]:
        cloud._tokens[call, token] = (tuple(asked), result if result is None else Applied(**result))
    return cloud


def _service(cloud: SimCloud, kept: Mapping[str, Any]) -> SimService:
    return SimService(
        **{
            **_as_is(SimService, kept),
            "settings": Settings(**kept["settings"]),
            "slots": {slot: _slot(cloud, each) for slot, each in kept["slots"].items()},
            "mark": kept["mark"] and HoldMark.from_json(kept["mark"]),
            "sides": {slot: Side(**side) for slot, side in kept["sides"].items()},
        }
    )


def _slot(cloud: SimCloud, kept: Mapping[str, Any]) -> SimSlot:
    image = cloud.images[kept["image"]] if kept["image"] else None
    instances = [
        SimInstance(**{**_as_is(SimInstance, each), "image": cloud.images[each["image"]]}) for each in kept["instances"]
    ]
    return SimSlot(**{**_as_is(SimSlot, kept), "image": image, "instances": instances})


def _as_is(kind: Any, kept: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: kept[field.name] for field in fields(kind)}
