"""What an earlier release began, this one ends: recorded stores and clouds are taken up where that release stopped."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.memory import views
from providers.memory.clock import VirtualClock
from rollout import emergency, exits
from rollout.card import CardFolder
from rollout.journal import Journal, first_broken_link
from rollout.plan import STORY, Plan
from rollout.schema import MIGRATIONS
from rollout.store import Store
from tests.recorded.rebuilt import STORIES, names, rebuilt_cloud, rebuilt_world, store_file, what_was_kept
from tests.recorded.record import plain_cloud
from tests.simulation.people import approve, on_call
from tests.simulation.world import World

RECORDINGS = [(story, name) for story in STORIES for name in names(story)]
ENDS = {
    "preparing": "promoted",
    "patching": "promoted",
    "proving": "promoted",
    "approval": "promoted",
    "shifting": "promoted",
    "swap": "promoted",
    "baking": "promoted",
    "warm": "promoted",
    "quiet": "promoted",
    "retiring": "promoted",
    "rolling_back": "rolled_back",
    "halted": "aborted",  # the person who comes aborts; the other one, further down, undoes the edit and resumes
    "closed": "promoted",
}
MAY_GO_BACK = [(story, name) for story in STORIES for name in ("shifting", "swap", "baking", "warm", "halted")]


@pytest.fixture
def worlds() -> Iterator[list[World]]:
    """Worlds whose stores are closed afterwards."""
    made: list[World] = []
    yield made
    for world in made:
        world.store.close()


def outcome_of(world: World) -> str:
    """What the store tells of the rollout."""
    return world.store.rollout(world.rollout).outcome


def test_every_stop_of_every_earlier_story_is_recorded() -> None:
    """An upgrade in a phase that nobody tried would be tried by the user."""
    assert [names(story) for story in STORIES] == [sorted(ENDS) for _ in range(1, STORY)]


@pytest.mark.parametrize(("story", "name"), RECORDINGS)
def test_the_store_is_migrated_and_says_what_it_said(story: int, name: str, tmp_path: Path) -> None:
    """An upgrade that changes the record makes every audit before it worthless."""
    path = store_file(story, name, tmp_path / "rollout.db")
    query = "SELECT * FROM journal ORDER BY rollout, seq"
    before = sqlite3.connect(path).execute(query).fetchall()
    store = Store(path)
    assert store.db.all(query) == before
    assert store.db.all("PRAGMA user_version") == [(len(MIGRATIONS),)]
    for row in store.rollouts():
        entries = store.entries(row.id)
        assert (first_broken_link(entries), entries[-1].hash, len(entries)) == ("", row.head_hash, row.head_seq)
        assert Plan.from_json(row.plan).story == story < STORY
    store.close()


@pytest.mark.parametrize(("story", "name"), RECORDINGS)
def test_the_cloud_is_the_one_that_was_recorded(story: int, name: str) -> None:
    """If the cloud came back otherwise, the tests below would prove nothing about the user's."""
    kept = what_was_kept(story, name)
    cloud = rebuilt_cloud(kept["cloud"], VirtualClock(kept["now"]))
    assert cloud.timeline.next_at() is None
    assert json.loads(json.dumps(plain_cloud(cloud, cloud.images))) == kept["cloud"]


@pytest.mark.parametrize(("story", "name"), RECORDINGS)
def test_it_is_driven_to_its_end(story: int, name: str, tmp_path: Path, worlds: list[World]) -> None:
    """An upgrade in the middle of a rollout would leave the service between two sides."""
    world = rebuilt_world(story, name, tmp_path / "rollout.db")
    worlds.append(world)
    if name == "approval":
        world.later(20.0, lambda: approve(world))
    world.drive()
    assert outcome_of(world) == ENDS[name]
    assert first_broken_link(world.store.entries(world.rollout)) == ""


ADDED = {2: (":warm:",), 3: ("-left", "keep:")}
"""What the steps are called that a story brought with it."""


@pytest.mark.parametrize("story", STORIES)
def test_a_halted_one_goes_on_when_a_person_has_put_it_right(story: int, tmp_path: Path, worlds: list[World]) -> None:
    """Whoever resumes after the upgrade what halted before it must not find it stuck."""
    world = rebuilt_world(story, "halted", tmp_path / "rollout.db", on_halt="resume")
    worlds.append(world)
    world.drive()
    assert outcome_of(world) == "promoted"


@pytest.mark.parametrize("story", STORIES)
def test_no_approval_still_turns_back(story: int, tmp_path: Path, worlds: list[World]) -> None:
    """What nobody approves must not go on only because the program was upgraded."""
    world = rebuilt_world(story, "approval", tmp_path / "rollout.db")
    worlds.append(world)
    world.drive()
    assert outcome_of(world) == "rolled_back"


@pytest.mark.parametrize(("story", "name"), MAY_GO_BACK)
def test_it_is_put_back_on_request(story: int, name: str, tmp_path: Path, worlds: list[World]) -> None:
    """After an upgrade the on-call engineer's rollback has to work on what was begun before it."""
    world = rebuilt_world(story, name, tmp_path / "rollout.db")
    worlds.append(world)
    on_call(world)
    world.drive()
    assert outcome_of(world) == "rolled_back"
    assert world.svc.weights == {"blue": 100, "green": 0}


class Night:
    """Real time to the emergency path, virtual to the recorded cloud."""

    def __init__(self, world: World) -> None:
        self.time = self.monotonic = world.clock.now
        self._world = world

    def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self._world.clock.sleep(seconds)
        self._world.cloud.catch_up()


@pytest.mark.parametrize(("story", "name"), MAY_GO_BACK)
def test_the_emergency_path_puts_it_back(story: int, name: str, tmp_path: Path, worlds: list[World]) -> None:
    """At night, after an upgrade, a card and a journal of the earlier release are all that there is."""
    state = tmp_path / "state"
    state.mkdir()
    world = rebuilt_world(story, name, state / "rollout.db")
    worlds.append(world)
    (tmp_path / "fleet.yaml").write_text("version: 1\nstate: state\n")
    folder = CardFolder(state / "cards")
    for card in world.cards.values():
        folder.write(card)
    world.people.halts_expected = True
    code, _ = emergency.main(["--config", str(tmp_path / "fleet.yaml"), "rollback", "shop", "--no-wait"], Night(world))
    world.people.edit_stands = False
    world.person_recorded()
    assert (code, world.journal.decision is not None) == (exits.DONE, True)
    assert world.svc.weights == {"blue": 100, "green": 0}
    world.drive()
    assert (outcome_of(world), world.svc.mark) == ("rolled_back", None)


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize(("name", "code"), [("closed", exits.PERSON_NEEDED), ("retiring", exits.PERSON_NEEDED)])
def test_the_emergency_path_refuses_what_is_over(
    story: int, name: str, code: int, tmp_path: Path, worlds: list[World]
) -> None:
    """An old card that is obeyed after its end sends traffic to a side that was given up."""
    state = tmp_path / "state"
    state.mkdir()
    world = rebuilt_world(story, name, state / "rollout.db")
    worlds.append(world)
    (tmp_path / "fleet.yaml").write_text("version: 1\nstate: state\n")
    CardFolder(state / "cards").write(world.cards["shop"])
    assert emergency.main(["--config", str(tmp_path / "fleet.yaml"), "rollback", "shop"], Night(world))[0] == code
    assert views.route(world.svc).active == "green"


@pytest.mark.parametrize("story", STORIES)
def test_what_a_later_story_added_is_not_told(story: int, tmp_path: Path, worlds: list[World]) -> None:
    """A step that the earlier story did not have, told in its middle, would halt the rollout as changed."""
    world = rebuilt_world(story, "warm", tmp_path / "rollout.db")
    worlds.append(world)
    world.cloud.edit_by_hand("shop", capacity={"green": 3})
    world.drive()
    journal = Journal(world.store.entries(world.rollout))
    later = [word for number, words in ADDED.items() if number > story for word in words]
    assert not [step for step in journal.recorded_steps() for word in later if word in step]
    assert later
    assert outcome_of(world) == "promoted"
