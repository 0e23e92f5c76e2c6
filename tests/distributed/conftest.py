"""A real PostgreSQL, and processes that share it, as far as the engine can tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.distributed.hall import Hall
from tests.stores.kit import GIVEN, postgres_url


@pytest.fixture(scope="session")
def server() -> str:
    """The address of a PostgreSQL server."""
    pytest.importorskip("procrastinate")
    try:
        return postgres_url()
    except Exception as error:
        pytest.skip(f"no PostgreSQL: {GIVEN} names none, and none could be started here: {error}")


@pytest.fixture
def hall(server: str, tmp_path: Path) -> Iterator[Hall]:
    """A store and a simulated cloud; nobody works yet."""
    made = Hall(tmp_path, server)
    yield made
    made.close()
