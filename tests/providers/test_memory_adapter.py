"""`provider: memory` in a fleet file: it works with nothing else said, and refuses what it does not know."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from providers.base import Context, Invalid, NotFound, Provider, Service
from providers.memory import rollback
from providers.memory.adapter import Options, build
from providers.memory.clock import VirtualClock


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    """As the program builds it."""
    return build(Context(tmp_path, tmp_path, VirtualClock()))


def test_a_service_stands_from_the_first_moment(provider: Provider) -> None:
    """Otherwise nobody can try the program out in a minute."""
    shop = Service("shop")
    assert provider.compute.describe(shop)["blue"].capacity == 3
    assert provider.traffic.observe([shop])["shop"].targets["blue"].healthy == 3
    assert provider.patcher.resolve(shop, "base-2").image == "base-2"


def test_options_from_a_fleet_file(provider: Provider) -> None:
    """Otherwise a user's own scenario cannot be written down."""
    accepted = TypeAdapter(Options).validate_python(
        {"capacity": 2, "permanent": True, "image": "a", "images": {"a": {}, "b": {"healthy": False}}}
    )
    shop = Service("shop", asdict(accepted))
    slots = provider.compute.describe(shop)
    assert slots["green"].exists and slots["green"].owner is None
    assert (slots["blue"].image, slots["blue"].capacity) == ("a", 2)
    assert provider.patcher.resolve(shop, "b").image == "b"
    plain = Service("till", {"images": {"a": {}}, "image": "a"})
    assert provider.compute.describe(plain)["blue"].image == "a"


def test_an_unknown_option_is_refused() -> None:
    """Otherwise a typing error silently keeps the default."""
    with pytest.raises(ValidationError, match="capasity"):
        TypeAdapter(Options).validate_python({"capasity": 2})
    with pytest.raises(ValidationError, match="helthy"):
        TypeAdapter(Options).validate_python({"images": {"a": {"helthy": False}}})


def test_two_meanings_of_one_image_are_refused(provider: Provider) -> None:
    """Otherwise one service's scenario changes another's."""
    provider.compute.describe(Service("shop"))
    with pytest.raises(Invalid, match="base-1"):
        provider.compute.describe(Service("till", {"images": {"base-1": {"healthy": False}}}))


def test_an_old_card_says_that_the_cloud_is_gone() -> None:
    """Otherwise a rollback in another process seems to work."""
    with pytest.raises(NotFound, match="not in this process"):
        rollback.read({"provider": "memory", "cloud": "memory-gone", "service": "shop"})


def test_the_emergency_path_needs_the_standard_library_only() -> None:
    """Otherwise a rollback at night waits for imports, or fails with a broken environment."""
    check = "import sys, providers.memory.rollback; print('pydantic' in sys.modules, 'typer' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]
