"""Record what a release leaves behind when it is stopped half-way, for the releases after it to take up.

Before the number of the story (rollout/plan.py STORY) is raised, with a checkout of the release that has the old one:

    cd ../that-release
    PYTHONPATH=$PWD python ../this-one/tests/recorded/record.py ../this-one/tests/recorded/story-N

Each recording is two files: NAME.sql, the store as text, and NAME.json, all else that outlives a process: the simulated
cloud at rest, the rollback cards, the time. tests/recorded/rebuilt.py makes a world of them again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from providers.memory.cloud import SimCloud
from rollout.plan import STORY
from tests.simulation.people import edit_by_hand
from tests.simulation.scene import SERVICE, Scene
from tests.simulation.world import World

REPEATED_UNDER_ONE_TOKEN = ("compute.mirror", "patcher.apply", "patcher.reboot")
"""What creates is asked for again under the token of its first intent, so the platform has to remember these."""


class Stopped(BaseException):
    """The recording is complete: the process is gone, just before a call."""


@dataclass(frozen=True)
class Stop:
    """Where a rollout of `scene` is stopped: just before the first call for which `here` holds; None: at its end."""

    scene: Scene
    here: Callable[[World, str], bool] | None
    edit_at_first_gate: bool = False


class Recorded(World):
    """A world that is stopped."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.scene)
        self.stop = stop
        self._edited = not stop.edit_at_first_gate

    def begins(self, process: Any, label: str) -> None:
        if not self._edited and waits_at("live:1:50")(self, label):
            self._edited = True
            edit_by_hand(self)
        if self.stop.here and self.stop.here(self, label):
            raise Stopped
        super().begins(process, label)


def waits_at(step: str, label: str = "store.take_lease") -> Callable[[World, str], bool]:
    """In the middle of a wait: its second job is about to begin, or with the label of its end, the first one ends."""

    def here(world: World, called: str) -> bool:
        wait = world.store.wait(world.rollout)
        return called == label and wait is not None and wait.step == step

    return here


def meant(step: str, label: str) -> Callable[[World, str], bool]:
    """Between the intent of a step and its record, about to make the call."""
    return lambda world, called: called == label and world.journal.open_intent(step) is not None


CALM = Scene(steps=(50, 100), keep_warm_s=120.0, provably_dead=False)  # no host's name gets into the store
STOPS: Mapping[str, Stop] = {
    "preparing": Stop(CALM, waits_at("preflight")),
    "patching": Stop(CALM, meant("patch", "store.append")),
    "proving": Stop(CALM, waits_at("proof")),
    "approval": Stop(replace(CALM, approval="required"), waits_at("approval", "store.release_lease")),
    "shifting": Stop(CALM, waits_at("live:1:50")),
    "swap": Stop(CALM, meant("swap:1:50", "store.append")),
    "baking": Stop(CALM, waits_at("bake")),
    "warm": Stop(CALM, waits_at("keep-warm")),
    "quiet": Stop(CALM, waits_at("quiet", "store.release_lease")),
    "retiring": Stop(CALM, meant("give-up", "compute.park")),
    "rolling_back": Stop(replace(CALM, images=("errors",)), meant("back:detach", "traffic.detach")),
    "halted": Stop(CALM, lambda world, label: bool(world.journal.halt) and label == "store.release_lease", True),
    "closed": Stop(CALM, None),
}


def record(stop: Stop) -> tuple[str, dict[str, Any]]:
    """The store as SQL text, and everything else as plain data."""
    world = Recorded(stop)
    world.start(stop.scene.images[0])
    try:
        world.drive()
    except Stopped:
        come_to_rest(world)
    kept = {
        "story": STORY,
        "now": world.clock.now(),
        "rollout": world.rollout,
        "scene": asdict(stop.scene),
        "before": world.before,
        "cards": {name: card.to_json() for name, card in world.cards.items()},
        "cloud": plain_cloud(world.cloud, {"base-1", *stop.scene.images}),
    }
    sql = "\n".join(dumped(world)) + "\n"
    world.store.close()
    return sql, kept


def come_to_rest(world: World) -> None:
    """Nobody drives, and what the platform was asked for happens: nothing of it is under way in the recording."""
    for _ in range(60):
        if world.cloud.timeline.next_at() is None:
            return
        world.clock.sleep(1.0)
        world.cloud.catch_up()
    raise AssertionError("the simulated cloud never comes to rest")


def dumped(world: World) -> Iterator[str]:
    """As `.dump` writes it, with the number of the schema."""
    database: Any = getattr(world.store, "db", world.store)
    connection = database._db
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    yield f"PRAGMA user_version = {version};"
    yield from connection.iterdump()


def plain_cloud(cloud: SimCloud, keep: Container[str]) -> dict[str, Any]:
    """A simulated cloud at rest as plain data; of its images only those to `keep`, described once."""
    services = {name: asdict(service) for name, service in cloud.services.items()}
    for service in services.values():
        for slot in service["slots"].values():
            slot["image"] = slot["image"] and slot["image"]["id"]
            for instance in slot["instances"]:
                instance["image"] = instance["image"]["id"]
    tokens = [
        [call, token, asked, result if result is None else asdict(result)]
        for (call, token), (asked, result) in cloud._tokens.items()
        if call in REPEATED_UNDER_ONE_TOKEN
    ]
    return {
        "key": cloud.key,
        "cas": cloud.cas,
        "write_timeout_s": cloud.write_timeout_s,
        "next_number": cloud.next_number(),
        "images": {name: asdict(image) for name, image in cloud.images.items() if name in keep},
        "services": services,
        "tokens": tokens,
    }


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, stop in STOPS.items():
        sql, kept = record(stop)
        (folder / f"{name}.sql").write_text(sql)
        (folder / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")
    sys.stdout.write(f"{len(STOPS)} recordings of story {STORY} of {SERVICE.name} in {folder}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
