"""How often ways back are rehearsed is said fleet-wide, and otherwise of one service."""

from __future__ import annotations

import pytest

from rollout.fleetfile.drills import every_s_of
from tests.settings.conftest import Read, Refused, service

DAY_S = 86_400.0


@pytest.mark.parametrize(
    ("of_service", "of_fleet", "every_s"),
    [
        ("", "", None),
        ("", "drills: {every: 7d}\n", 7 * DAY_S),
        ("drills: {every: 30d}", "drills: {every: 7d}\n", 30 * DAY_S),
        ("drills: {every: 30d}", "", 30 * DAY_S),
        ("drills: {}", "drills: {every: 7d}\n", None),
    ],
)
def test_what_holds_of_a_service(fleet: Read, of_service: str, of_fleet: str, every_s: float | None) -> None:
    """Drills are made where nobody wants them, or nowhere."""
    text = service(of_service) if of_service else service()
    read = fleet(text + of_fleet)
    assert every_s_of(read.drills, read.services["shop"].drills) == every_s


@pytest.mark.parametrize("written", ["0s", "often", "3661d"])
def test_a_span_that_is_none_is_refused(refused: Refused, written: str) -> None:
    """A typo means never, and nobody notices."""
    (error,) = refused(service() + f"drills: {{every: {written}}}\n")
    assert error.key == "drills.every" and error.found == f"'{written}'"
