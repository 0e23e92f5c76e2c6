"""Each provider that has a harness beside this folder runs through the same suite."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.providers.contract.steps import Drive
from tests.providers.harness import Harness

NAMES = sorted(path.stem.removeprefix("harness_") for path in Path(__file__).parents[1].glob("harness_*.py"))


def _param(name: str) -> object:
    marks = getattr(import_module(f"tests.providers.harness_{name}"), "MARKS", ())
    return pytest.param(name, marks=marks)


@pytest.fixture(params=[_param(name) for name in NAMES])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    module = import_module(f"tests.providers.harness_{request.param}")
    with module.open_harness(tmp_path) as opened:
        yield opened


@pytest.fixture
def shop(harness: Harness) -> Drive:
    """A service with two instances on blue, which serves."""
    return Drive(harness, harness.service())


@pytest.fixture
def mirrored(shop: Drive) -> Drive:
    """The same, with a healthy and attached mirror on green that has no traffic yet."""
    shop.stand_beside("blue", "green", shop.harness.patched_image, "rollout-1")
    return shop
