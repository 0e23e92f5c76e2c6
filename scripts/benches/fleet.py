"""Fleets: a wave against AWS's limits, thousands of rollouts that wait, and workers on one PostgreSQL.

    wave      a campaign over 1,000 services, engine and all, in virtual time, against the simulated cloud with the call
              limits that AWS publishes; and a smaller one in which what is warm is watched, too
    waiting   10,000 open rollouts under one `rollout serve` on SQLite, and after a kill -9
    workers   one and two `rollout worker` on one PostgreSQL, beside Procrastinate alone

Each part can be asked for by its name; --quick measures the same on smaller fleets.
"""

import argparse
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from _figures import Figure, show

PARTS = ("wave", "waiting", "workers")


@dataclass(frozen=True)
class Sizes:
    """How many services or rollouts, and for how many seconds they are watched."""

    wave: int = 1000
    watched: int = 100
    waiting: int = 10_000
    seconds: float = 20.0
    patience_s: float = 60.0
    shared: int = 400
    shared_s: float = 8.0
    wakeups: int = 60


QUICK = Sizes(wave=60, watched=30, waiting=200, seconds=4.0, patience_s=20.0, shared=120, shared_s=3.0, wakeups=20)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench fleet", description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--quick", action="store_true", help="smaller fleets")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")

    logging.disable(logging.CRITICAL)  # of the queue library, when a worker is killed
    warnings.simplefilter("ignore")
    sizes, chosen = QUICK if options.quick else Sizes(), options.parts or PARTS
    figures: list[Figure] = []
    for part in chosen:
        with tempfile.TemporaryDirectory(prefix="rollout-bench-") as home:
            figures += measured(part, Path(home), sizes)
    show(figures, as_json=options.json)


def measured(part: str, home: Path, sizes: Sizes) -> Iterator[Figure]:
    if part == "wave":
        from fleet_wave import wave

        yield from wave.figures(home, sizes.wave, watched=False)
        yield from wave.figures(home, sizes.watched, watched=True)
    elif part == "waiting":
        from fleet_waiting import waiting

        yield from waiting.figures(home, sizes.waiting, sizes.seconds, sizes.patience_s)
        yield from waiting.ticks(home, tuple(size for size in waiting.SIZES if size <= sizes.waiting))
    else:
        from fleet_waiting import shared

        yield from shared.figures(home, sizes.shared, sizes.shared_s, sizes.wakeups)
        yield from shared.waiting(home, sizes.waiting, sizes.seconds)


if __name__ == "__main__":
    main()
