"""scripts/simulate: rollouts on virtual time. Exit code 0: every invariant held; 4: one did not; 2: usage.

scripts/simulate                 every call × everything that can happen there
scripts/simulate --seeds 500     runs drawn by lot
scripts/simulate --replay 17     one of them, told event by event
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from tests.simulation import exhaustive, seeds
from tests.simulation.world import Outcome

VIOLATED = 4


@dataclass(frozen=True)
class Told:
    """One run, short enough to come back from another process."""

    name: str
    hash: str
    outcomes: list[str]
    violation: str
    next: str


def _tell(name: str, outcome: Outcome, command: str) -> Told:
    return Told(name, outcome.hash, outcome.outcomes, str(outcome.violation or ""), command)


def run_seed(seed: int) -> Told:
    return _tell(f"seed {seed}", seeds.run_seed(seed), f"scripts/simulate --replay {seed}")


def run_case(case: exhaustive.Case) -> Told:
    name = f"{case.story}/{case.number}/{case.what}"
    return _tell(str(case), exhaustive.run(case), f"scripts/simulate --replay '{name}'")


def replay(name: str, as_json: bool) -> int:
    """Tell one run event by event: a seed, or story/number/what of the exhaustive part."""
    if name.isdecimal():
        outcome = seeds.run_seed(int(name))
    else:
        story, number, what = name.split("/")
        outcome = exhaustive.run(exhaustive.Case(story, int(number), what))
    told = _tell(name, outcome, f"scripts/simulate --replay '{name}'")
    if as_json:
        print(json.dumps({**asdict(told), "trace": outcome.trace}))
    else:
        print("\n".join([*outcome.trace, f"trace {outcome.hash}: {told.violation or 'every invariant held'}"]))
    return VIOLATED if told.violation else 0


def run_all(one: Callable[[Any], Told], what: Sequence[Any], processes: int, as_json: bool) -> int:
    """All runs, with progress on standard error; the failures, and one hash over all traces, on standard output."""
    began, bad, hashes, last = time.monotonic(), list[Told](), list[str](), 0.0
    with ProcessPoolExecutor(processes) as pool:
        results: Iterable[Told] = pool.map(one, what, chunksize=20)
        for count, told in enumerate(results, start=1):
            hashes.append(told.hash)
            if told.violation:
                bad.append(told)
                print(f"VIOLATED {told.name}: {told.violation}\n  next: {told.next}", file=sys.stderr)
            if time.monotonic() - last > 1 or count == len(what):
                last = time.monotonic()
                print(f"{count} of {len(what)} runs, {len(bad)} violations, {last - began:.0f} s", file=sys.stderr)
    seconds = round(time.monotonic() - began, 1)
    if as_json:
        print(json.dumps({"runs": len(what), "seconds": seconds, "violations": [asdict(each) for each in bad]}))
    else:
        verdict = f"{len(bad)} violated; next: {bad[0].next}" if bad else "every invariant held"
        print(f"{len(what)} runs in {seconds} s, all hashes {hash_of(hashes)}: {verdict}")
    return VIOLATED if bad else 0


def hash_of(hashes: Sequence[str]) -> str:
    return Outcome(list(hashes), [], [], None).hash


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "scripts/simulate", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="run the seeds 0 to N-1")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="begin with this seed instead of 0")
    parser.add_argument("--replay", metavar="SEED", help="tell one run event by event")
    parser.add_argument("--quick", action="store_true", help="of the exhaustive part only the most telling cases")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    if chosen.replay is not None:
        try:
            return replay(chosen.replay, chosen.json)
        except (KeyError, ValueError):
            parser.error(f"nothing is called {chosen.replay!r}: give a seed, or story/number/what as it was printed")
    if chosen.seeds is not None:
        return run_all(run_seed, range(chosen.first, chosen.first + chosen.seeds), chosen.processes, chosen.json)
    select = exhaustive.telling_cases if chosen.quick else exhaustive.cases
    return run_all(run_case, [c for name in exhaustive.STORIES for c in select(name)], chosen.processes, chosen.json)


if __name__ == "__main__":
    sys.exit(main())
