"""Each test of a store runs on SQLite and on a real PostgreSQL, each time in a place of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from rollout.store import Store
from tests.stores.kit import GIVEN, Place, Wire, postgres_url

settings.register_profile("stores", deadline=None)
settings.load_profile("stores")


@pytest.fixture(scope="session")
def server() -> str:
    """The address of a PostgreSQL server."""
    pytest.importorskip("psycopg")
    try:
        return postgres_url()
    except Exception as error:
        pytest.skip(f"no PostgreSQL: {GIVEN} names none, and none could be started here: {error}")


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path, request.getfixturevalue("server") if request.param == "postgres" else None)
    yield made
    made.close()


@pytest.fixture
def shared(server: str, tmp_path: Path) -> Iterator[Place]:
    """A place on PostgreSQL."""
    made = Place(tmp_path, server)
    yield made
    made.close()


@pytest.fixture
def store(place: Place) -> Store:
    return place.open()


@pytest.fixture
def wire(shared: Place) -> Iterator[Wire]:
    """A way to that place which can be cut."""
    assert shared.url
    made = Wire(shared.url)
    (shared.folder / "address").write_text(made.url)
    yield made
    made.close()
    (shared.folder / "address").write_text(shared.url)
