"""What a journal keeps of a dataclass: the same as the standard library makes of it, and as good as new when read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import (
    SLOTS,
    Counters,
    Environment,
    HoldMark,
    Instance,
    Patch,
    Reading,
    Route,
    TargetHealth,
    plain,
)


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass(frozen=True, slots=True)
class Leaf:
    kind: ClassVar[str] = "leaf"
    value: Any = None


@dataclass(frozen=True)
class Branch(Leaf):
    more: Any = field(default_factory=list)


TEXT = st.text(max_size=4)
WHOLE = st.integers(0, 1_000_000)
ATOMS = st.one_of(st.none(), st.booleans(), WHOLE, st.floats(allow_nan=False), TEXT, st.binary(max_size=3))


def nested(inside: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Everything that a field has been seen to hold, and some that none should."""
    some = st.lists(inside, max_size=3)
    return st.one_of(
        some,
        some.map(tuple),
        st.dictionaries(TEXT, inside, max_size=3),
        st.dictionaries(TEXT, inside, max_size=3).map(OrderedDict),
        st.sets(WHOLE, max_size=3),
        st.builds(Pair, inside, inside),
        st.builds(Leaf, inside),
        st.builds(Branch, inside, inside),
    )


ANYTHING = st.recursive(ATOMS, nested, max_leaves=12)


def as_before(value: Any) -> Any:
    """The definition: plainly written, and slow."""
    if isinstance(value, Mapping):
        return {key: as_before(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_before(item) for item in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def shape(value: Any) -> Any:
    """A value with the kind of each of its parts, in their order: equal alone is not the same."""
    if isinstance(value, Mapping):
        return type(value), [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [shape(item) for item in value]
    return type(value), value


@given(ANYTHING)
def test_plain_is_what_the_standard_library_makes_of_it(value: Any) -> None:
    """A journal that was written yesterday and one that is written today differ, and a replay takes other steps."""
    assert shape(plain(value)) == shape(as_before(value))


def changeable(value: Any) -> set[int]:
    """Which lists, mappings and sets are in a value."""
    if hasattr(value, "__dataclass_fields__"):
        return {found for each in fields(value) for found in changeable(getattr(value, each.name))}
    mine = {id(value)} if isinstance(value, list | dict | set) else set()
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return mine.union(*map(changeable, inside))


@given(ANYTHING)
def test_nothing_that_can_change_is_shared(value: Any) -> None:
    """What is put into a result later shows in what was read, and a gate judges what was never seen."""
    whole = Leaf([value])
    assert len(changeable(whole)) > 0
    assert changeable(plain(whole)) & changeable(whole) == set()


def test_what_cannot_be_copied_is_refused_as_before() -> None:
    """A value that no journal can keep gets into one half way."""
    for ask in (as_before, plain):
        with pytest.raises(TypeError):
            ask(Leaf(MappingProxyType({})))


SLOT = st.sampled_from(SLOTS)
MARKS = st.builds(HoldMark, TEXT, WHOLE, SLOT, TEXT, st.floats(0, 2e9), TEXT)
ROUTES = st.builds(Route, st.dictionaries(SLOT, st.integers(0, 100)), TEXT, st.none() | MARKS, TEXT)
SIDES = st.builds(TargetHealth, WHOLE, WHOLE, WHOLE, st.lists(TEXT, max_size=2).map(tuple), WHOLE)
COUNTS = st.builds(Counters, WHOLE, st.dictionaries(TEXT, WHOLE, max_size=2), WHOLE, WHOLE)
READINGS = st.builds(
    Reading, ROUTES, st.dictionaries(SLOT, SIDES), st.dictionaries(SLOT, COUNTS), TEXT, st.floats(0, 2e9)
)
NAMES = st.dictionaries(TEXT, TEXT, max_size=2)


@given(READINGS, MARKS, st.builds(Patch, TEXT, NAMES, NAMES), st.builds(Environment, SLOT, TEXT, fingerprint=NAMES))
def test_what_was_written_is_read_as_it_was(reading: Reading, mark: HoldMark, patch: Patch, side: Environment) -> None:
    """A rollout that is taken up again stands on another route or patch than it had."""
    assert Reading.from_json(plain(reading)) == reading
    assert HoldMark.from_json(plain(mark)) == mark
    assert Patch.from_json(plain(patch)) == patch
    assert Environment.from_json(plain(side)) == side


def test_a_changed_field_is_seen() -> None:
    """What is known about a kind once hides what one of that kind holds."""
    host = Instance("a", "blue", "running", "base-1", "127.0.0.1:1")
    assert plain(host) == asdict(host)
    assert plain(replace(host, state="failed")) == {**asdict(host), "state": "failed"}
