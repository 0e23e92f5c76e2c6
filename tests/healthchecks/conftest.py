from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.healthchecks.servers import Servers


@pytest.fixture
def servers() -> Iterator[Servers]:
    with Servers() as servers:
        yield servers
