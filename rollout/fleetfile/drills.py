"""How often `rollout serve` rehearses ways back: fleet-wide, and of one service."""

from __future__ import annotations

from pydantic import Field

from rollout.fleetfile.values import LongSpan, Settings


class Drills(Settings):
    """A drill reads what a rollback would read, and changes nothing; only an open way back can be tried."""

    every_s: LongSpan | None = Field(
        default=None,
        alias="every",
        description="Each open way back is tried when it is new, and again after so long (default: never).",
    )


def every_s_of(fleet_wide: Drills, of_service: Drills | None) -> float | None:
    """What holds for a service, in seconds; None: it is never tried by itself. `drills: {}` of a service says so."""
    return (of_service if of_service is not None else fleet_wide).every_s
