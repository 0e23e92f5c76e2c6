"""The state model and its file: an empty or torn route never comes into force."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.local.balancer.config import parse_config
from providers.local.balancer.state import (
    SLOTS,
    InvalidState,
    State,
    Unservable,
    parse_address,
    parse_state,
    parse_weights,
)
from providers.local.balancer.store import PREVIOUS, STATE, StateStore, StateUnusable, create, load

TARGETS = {"blue": ["127.0.0.1:1"], "green": ["127.0.0.1:2"]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(SLOTS), inner),
    max_leaves=10,
)
WEIGHTS = st.fixed_dictionaries({slot: st.integers(-5, 120) for slot in SLOTS})
ADDRESSES = st.lists(st.sampled_from([f"127.0.0.1:{port}" for port in range(1, 9)]), max_size=4)
STATES = st.fixed_dictionaries(
    {
        "revision": st.integers(-1, 10**9),
        "weights": WEIGHTS,
        "targets": st.fixed_dictionaries(dict.fromkeys(SLOTS, ADDRESSES)),
        "token": st.none() | st.text(max_size=5),
    }
)


@given(JSON | STATES)
def test_what_is_accepted_has_somebody_to_serve_it(document: object) -> None:
    """Else a hand-edited or torn file could send clients to nobody."""
    try:
        state = parse_state(document)
    except (InvalidState, Unservable):
        return
    assert sum(state.weights.values()) > 0
    assert all(state.targets[slot] for slot in SLOTS if state.weights[slot])
    assert parse_state(json.loads(json.dumps(state.to_json()))) == state


@given(JSON | WEIGHTS)
def test_weights_are_0_to_100_and_never_all_0(document: object) -> None:
    """Else one bad number in a script takes a service down."""
    try:
        weights = parse_weights(document)
    except InvalidState:
        return
    assert set(weights) == set(SLOTS)
    assert all(0 <= weight <= 100 for weight in weights.values())
    assert any(weights.values())


@given(st.text() | st.from_regex(r"[0-9a-f.:\[\]%]{1,40}:[0-9]{1,6}", fullmatch=True))
def test_addresses_parse_to_themselves_or_are_refused(text: str) -> None:
    """Else two spellings of one target are served and counted as two."""
    try:
        address = parse_address(text)
    except InvalidState:
        return
    assert parse_address(address) == address


@pytest.mark.parametrize(
    "text",
    [
        "shop.example:80",
        "localhost:80",
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.1:80",
        "2130706433:80",
        "0177.0.0.1:80",
        "0.0.0.0:80",
        "169.254.169.254:80",
        "[fe80::1%lo]:80",
        "[::ffff:169.254.169.254]:80",
        "::1:80",
        "user@127.0.0.1:80",
        "127.0.0.1:80/path",
        "127.0.0.1:٨٠",
    ],
)
def test_addresses_that_mean_something_else_are_refused(text: str) -> None:
    """Else a crafted target reaches a metadata service, or another host tomorrow than today."""
    with pytest.raises(InvalidState):
        parse_address(text)


def test_one_address_cannot_serve_both_slots() -> None:
    """Else the replacement's figures are those of the original."""
    with pytest.raises(Unservable, match="listed twice"):
        State(1, {"blue": 1, "green": 1}, {"blue": ("127.0.0.1:1",), "green": ("127.0.0.1:1",)})


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({}, "listen"),
        ({"listen": "127.0.0.1:1", "lisen": 1}, "lisen"),
        ({"listen": "127.0.0.1:1", "test_listen": "127.0.0.1:1"}, "listen"),
        ({"listen": "127.0.0.1:1", "health": {"interval_s": 0}}, "interval_s"),
        ({"listen": "127.0.0.1:1", "health": {"path": "health"}}, "path"),
        ({"listen": "127.0.0.1:1", "health": {"fall": True}}, "fall"),
        ({"listen": "127.0.0.1:1", "served_by": "yes"}, "served_by"),
        ([], "config"),
    ],
)
def test_a_wrong_configuration_names_its_key(document: object, named: str) -> None:
    """Else a person searches a file for what the program knows."""
    with pytest.raises(ValueError, match=named):
        parse_config(document)


def test_creating_again_keeps_the_route_in_force(tmp_path: Path) -> None:
    """Else setting a service up twice puts traffic back where it was at first."""
    create(tmp_path, {"blue": 100, "green": 0}, TARGETS)
    assert create(tmp_path, {"blue": 0, "green": 100}, TARGETS).weights == {"blue": 100, "green": 0}


@pytest.mark.parametrize("torn", [b"", b'{"revision": 2, "wei', b"\0" * 200, b"[]"])
def test_a_torn_state_falls_back_to_the_generation_before(tmp_path: Path, torn: bytes) -> None:
    """Else a crash of the machine leaves a service without a route."""
    first = create(tmp_path, {"blue": 100, "green": 0}, TARGETS)
    store = StateStore.open(tmp_path, 1.0)
    store.save(first.with_weights({"blue": 0, "green": 100}, "second"))
    store.close()
    (tmp_path / STATE).write_bytes(torn)
    again = StateStore.open(tmp_path, 1.0)
    assert again.state.weights == first.weights
    assert again.state.revision > 2, "the number of the lost generation must not be given out again"
    assert again.notice is not None and "fell back to revision 1" in again.notice
    assert load(tmp_path) == (again.state, None), "what is in force is on disk"
    again.close()


def test_no_readable_generation_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    """Else the balancer invents a route."""
    create(tmp_path, {"blue": 100, "green": 0}, TARGETS)
    for name in (STATE, PREVIOUS):
        (tmp_path / name).write_text("{")
    with pytest.raises(StateUnusable, match=r"state\.json"):
        StateStore.open(tmp_path, 1.0)


def test_a_second_worker_waits_for_the_first_ones_lock(tmp_path: Path) -> None:
    """Else a dying worker's last write undoes what its successor acknowledged."""
    create(tmp_path, {"blue": 100, "green": 0}, TARGETS)
    first = StateStore.open(tmp_path, 1.0)
    with pytest.raises(TimeoutError, match="another process"):
        StateStore.open(tmp_path, 0.05)
    first.close()
    StateStore.open(tmp_path, 1.0).close()


def test_a_full_disk_leaves_the_state_that_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a refused change is half in force after a restart."""
    first = create(tmp_path, {"blue": 100, "green": 0}, TARGETS)
    store = StateStore.open(tmp_path, 1.0)

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        store.save(first.with_weights({"blue": 0, "green": 100}, "second"))
    assert store.state == first == load(tmp_path)[0]
    store.close()
