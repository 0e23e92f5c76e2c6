"""The same work as by_boto3.py by a whole installation: plans, gates, read-backs, journal, cards; the way back given up
at the end. Run as: by_us.py URL WORLD.json [THREADS]

Nothing is left out but waiting: the clock is put forward when nothing is due, and calls wait for no budget (the peers
have none). Gates look as few times as they can be asked to. The last line is JSON: how far it was, and what had been
waited for on the way, when all were promoted and when all were retired.
"""

import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from providers.aws import quotas
from rollout.control import start
from rollout.engine.job import advance
from rollout.engine.watch import EVERY_S, Observer
from rollout.lease import this_process
from rollout.store import NEVER
from rollout.wiring import Installation

HOLDER = this_process()
LIVE = ["balancer", {"failed_responses": {"min_requests": 20}}]
SETTINGS = {
    "provider": "aws",
    "coexist": "safe",
    "traffic": {"steps": [10, 50, 100], "soak": "30s", "interval": "30s"},
    "checks": {"preflight": ["balancer"], "replacement": ["balancer", "fidelity"], "live": LIVE},
    "gates": {"replacement": {"passes": 1}, "live": {"passes": 1}},
    "bake": "30s",
    "keep_warm": "0s",
    "settle": "0s",
}


def main() -> None:
    url, world = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
    threads = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    lift_budgets()
    with tempfile.TemporaryDirectory(prefix="rollout-bench-") as home:
        installation = Installation(fleet_file(Path(home), url, world), Clock())
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda service: begin(installation, service["name"], world["image"]), world["services"]))
            told = drive(installation, pool)
        raise_unless_retired(installation)
    print(json.dumps(told))


ENDS = {"failed", "roll_back_decided", "halted", "troubled"}
UNLIMITED = quotas.Limit(1e9, 1e9)


def lift_budgets() -> None:
    """AWS's limits are not this cloud's."""
    quotas.TABLE = dict.fromkeys(quotas.TABLE, (("", "all", UNLIMITED, "no budget"),))
    quotas.OTHERWISE = ("", "all", UNLIMITED, "no budget")


class Clock:
    """This machine's, and forward by what somebody would have slept."""

    def __init__(self) -> None:
        self.skipped_s = 0.0

    def now(self) -> float:
        return time.time() + self.skipped_s

    def sleep(self, seconds: float) -> None:
        self.skipped_s += max(seconds, 0.0)


def fleet_file(home: Path, url: str, world: dict[str, Any]) -> Path:
    """JSON is YAML."""
    services = {}
    for service in world["services"]:
        route = {"listener": service["listener"], "blue": service["blue_targets"], "green": service["green_targets"]}
        options = {"region": world["region"], "blue": service["blue"], "green": service["green"], "routes": [route]}
        services[service["name"]] = {**SETTINGS, "options": {**options, "endpoint_url": url}}
    path = home / "fleet.yaml"
    path.write_text(json.dumps({"version": 1, "services": services}))
    return path


def begin(installation: Installation, name: str, image: str) -> None:
    start(installation, name, image=image, saved=None, key=None, actor="bench", reason="")


def drive(installation: Installation, pool: ThreadPoolExecutor) -> dict[str, Any]:
    """All that is due, side by side; time passes when nothing is."""
    told: dict[str, Any] = {}
    store, clock, means = installation.store, installation.clock, installation.means("aws")
    observer = Observer(store, installation.provider, clock.now)
    while True:
        observer.look()
        due = [row for row in store.due(clock.now()) if not observer.holds(row.id, row.due_at)]
        list(pool.map(lambda row: advance(row.id, means, HOLDER, shared=observer), due))
        if "promoted" not in told and are_promoted(installation):
            told["promoted"] = so_far(installation)
        if due:
            continue
        (found,) = store.db.all("SELECT min(due_at) FROM rollouts WHERE closed_at IS NULL")
        if found[0] is None or found[0] >= NEVER:
            return told | {"retired": so_far(installation)}
        next_at = min(found[0], found[0] if observer.next_at is None else observer.next_at)
        clock.sleep(max(next_at - clock.now(), EVERY_S))  # as often as a server's observer looks


def are_promoted(installation: Installation) -> bool:
    """All of them, and what follows in the same job: they wait until no late write can land."""
    rows = installation.store.rollouts(limit=10_000)
    waits = (installation.store.wait(row.id) for row in rows if row.closed_at is None)
    return all(row.outcome == "promoted" for row in rows) and all(wait and wait.step == "quiet" for wait in waits)


def so_far(installation: Installation) -> dict[str, float]:
    """Seconds since this process began, calls, and seconds that were skipped."""
    usage, clock, began = installation.provider("aws").usage, installation.clock, os.environ["ROLLOUT_BENCH_BEGAN"]
    assert usage and isinstance(clock, Clock)  # noqa: S101 - as it was made
    calls = sum(usage().calls.values())
    return {"wall_s": time.time() - float(began), "calls": calls, "skipped_s": clock.skipped_s}


def raise_unless_retired(installation: Installation) -> None:
    """A bench of rollouts that failed would measure something else."""
    for row in installation.store.rollouts(limit=10_000):
        if row.phase != "retired":
            told = [entry for entry in installation.store.entries(row.id) if entry.kind in ENDS]
            said = [f"{entry.kind} {entry.step} {dict(entry.data)}"[:500] for entry in told]
            sys.exit("\n".join([f"{row.id} is {row.phase}:", *said]))


if __name__ == "__main__":
    if profiled := os.environ.get("ROLLOUT_BENCH_PROFILE"):
        import cProfile

        cProfile.run("main()", profiled)
    else:
        main()
