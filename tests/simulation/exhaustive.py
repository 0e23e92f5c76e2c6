"""Every call of a few stories × everything that can happen there: one fault, or one person who acts, in each run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial

from tests.simulation.boundary import FAULTS
from tests.simulation.night import Emergency
from tests.simulation.people import edit_by_hand, on_call
from tests.simulation.scene import Scene
from tests.simulation.weather import HOUR_S, grow, lose_a_warm_host, second_driver, set_clock, turn_bad, turn_good
from tests.simulation.words import adopt, freeze, hold, pause
from tests.simulation.world import Outcome, World, simulate

Act = Callable[[World], None]


@dataclass(frozen=True)
class Story:
    """A baseline: what happens in it at which second, how it ends, and from which phase on it is looked at."""

    scene: Scene
    happens: tuple[tuple[float, Act], ...] = ()
    ends: str = "promoted"
    first: str = ""


STORIES: Mapping[str, Story] = {
    "good": Story(Scene()),
    "good, user's pair, lease runs out": Story(Scene(permanent=True, provably_dead=False)),
    "bad before traffic": Story(Scene(drift=True), ends="rolled_back"),
    "bad under traffic": Story(Scene(images=("errors",)), ends="rolled_back"),
    "bad under traffic, no compare-and-set, cut": Story(
        Scene(images=("errors",), cas=False, on_rollback="cut"), ends="rolled_back"
    ),
    "on-call while warm": Story(Scene(), ((35.0, on_call),), ends="rolled_back"),
    "warm, hosts die, load grows": Story(
        Scene(keep_warm_s=300.0, self_healing=False), ((60.0, lose_a_warm_host), (150.0, grow)), first="warm"
    ),
    "warm, turns bad for a while": Story(
        Scene(keep_warm_s=300.0), ((60.0, turn_bad), (215.0, turn_good)), first="warm"
    ),
    "warm, turns bad and may go back": Story(
        Scene(keep_warm_s=240.0, rollback_while_warm=True), ((60.0, turn_bad),), ends="rolled_back", first="warm"
    ),
}
OLD_ACTS: Mapping[str, Act] = {
    "on-call": on_call,
    "emergency": lambda world: Emergency(world).begin(),
    "emergency, with the store": lambda world: Emergency(world, store=True).begin(),
    "edit, then abort": edit_by_hand,
    "edit, then resume": edit_by_hand,
}
"""What people do just before a call. After an edit, the person who is called either aborts or undoes and resumes."""
NEW_ACTS: Mapping[str, Act] = {
    "pause": pause,
    "adopt": adopt,
    "hour forward": lambda world: set_clock(world, HOUR_S),
    "hour back": lambda world: set_clock(world, -HOUR_S),
    "second driver": second_driver,
    "hold": hold,
    "freeze": freeze,
}
ACTS = {**OLD_ACTS, **NEW_ACTS}


@dataclass(frozen=True)
class Case:
    """One run: the story, the number of the call, and what happens there."""

    story: str
    number: int
    what: str

    def __str__(self) -> str:
        return f"{self.what} at call {self.number} of {self.story!r}"


def world_of(story: Story, what: str = "") -> World:
    world = World(story.scene, on_halt="resume" if what.endswith("resume") else "abort")
    for second, act in story.happens:
        world.later(second, partial(act, world))
    return world


@cache
def baseline(name: str) -> Outcome:
    """The story without any fault."""
    return simulate(world_of(STORIES[name]))


def run(case: Case) -> Outcome:
    world = world_of(STORIES[case.story], case.what)
    if case.what in ACTS:
        world.boundary.before[case.number] = lambda: ACTS[case.what](world)
    else:
        world.boundary.faults[case.number] = case.what
        world.people.halts_expected = case.what == "denied"
    return simulate(world)


def cases(name: str) -> Iterator[Case]:
    """Every call × every fault of its kind, and every call × every act of people."""
    first = baseline(name).entered.get(STORIES[name].first, 0)
    for number, (kind, _) in list(enumerate(baseline(name).calls))[first:]:
        for what in (*FAULTS[kind], *ACTS):
            yield Case(name, number, what)


HOUSEKEEPING = ("store.take_lease", "store.release_lease", "store.save_wait")
REPEATED = ("throttled", "denied", "crash after", "store error", "edit, then resume")
TELLING: Mapping[str, tuple[str, ...]] = {
    "good": ("pause", "adopt", "hour back", "second driver", "freeze"),
    "good, user's pair, lease runs out": ("adopt", "hour forward"),
    "bad under traffic": ("pause", "adopt", "hour back", "second driver", "freeze"),
    "warm, hosts die, load grows": ("hold", "adopt", "hour forward", "second driver"),
    "warm, turns bad for a while": ("hold", "pause"),
    "warm, turns bad and may go back": ("pause", "hour forward"),
}
"""Where which of the newer acts tells most."""


VARIANTS = (
    "good, user's pair, lease runs out",
    "bad before traffic",
    "bad under traffic, no compare-and-set, cut",
    "on-call while warm",
    "warm, hosts die, load grows",
    "warm, turns bad for a while",
    "warm, turns bad and may go back",
)
"""Much of these is as in another story: besides writes, every second call tells enough."""


def telling_cases(name: str) -> Iterator[Case]:
    """Those that tell most, for every day: at the lease's and waits' own transactions only crashes, and at all others
    not what another case shows as well (a crash after a call is the crash before the next one; what people say is
    heard at the next transaction or write)."""
    return (case for case in cases(name) if _tells(case, *baseline(name).calls[case.number]))


def _tells(case: Case, kind: str, label: str) -> bool:
    second = case.number % 2 == 1
    if kind in ("read", "store") and case.what in REPEATED:
        return False
    if label in HOUSEKEEPING:
        return case.what == "crash" and case.number % 4 == 1
    if case.what in NEW_ACTS:
        return kind != "read" and second and case.what in TELLING.get(case.story, ())
    return second or kind not in ("read", "store") or case.story not in VARIANTS
