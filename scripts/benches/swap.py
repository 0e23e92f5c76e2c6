"""Swaps under a steady keep-alive load, through each balancer that this machine has: what clients notice of them.

The balancers take turns, round after round, each first without and then with swaps, so that a busy machine slows all
of them. A swap is over when the last request that the old side answers has begun: from then on every new request
lands on the other side. Targets, balancers and load are processes of their own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from _figures import Figure, show

from providers.local import balancers
from providers.local.balancer import store
from providers.local.balancer.answers import TargetAnswer
from providers.local.balancer.launcher import ROOT
from providers.local.processes import bindable

LOAD = Path(__file__).with_name("_load.py")
SETTLE_S, START_S, CALL_S = 0.5, 20.0, 5.0
PORTS = iter(range(21_000, 22_000))


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench swap", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--swaps", type=int, default=50, help="through each balancer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=float, default=800.0, help="requests/s")
    parser.add_argument("--apart", type=float, default=0.2, help="seconds between two swaps")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="rollout-bench-") as home, ExitStack() as stack:
        ways = [stack.enter_context(standing(Path(home), name)) for name in available()]
        swaps = max(options.swaps // options.rounds, 1)
        for _ in range(options.rounds):
            for way in ways:
                measure(way, swaps, options.rate, options.apart)
    show([figure for way in ways for figure in figures(way)], as_json=options.json)


def available() -> list[str]:
    names = ["builtin"]
    try:
        balancers.written("haproxy")
        names.append("haproxy")
    except balancers.Unavailable as error:
        print(f"without HAProxy: {error}", file=sys.stderr)
    return names


@dataclass
class Way:
    """One balancer, and what was measured through it. Times in milliseconds."""

    name: str
    directory: Path
    address: str
    slot: str = "blue"
    swaps: int = 0
    requests: int = 0
    failed: int = 0
    streams: int = 0
    broken: int = 0
    acknowledged: list[float] = field(default_factory=list)
    in_effect: list[float] = field(default_factory=list)
    quiet: list[float] = field(default_factory=list)
    swapping: list[float] = field(default_factory=list)

    def swap(self) -> tuple[float, str]:
        """When it was asked for, and what side was given up."""
        old, self.slot = self.slot, "green" if self.slot == "blue" else "blue"
        self.swaps += 1
        asked = time.monotonic()
        client = balancers.of(self.directory).client(self.directory, CALL_S)
        weights = {old: 0, self.slot: 100}
        client.set_weights(weights, expected_revision=None, token=f"swap-{self.swaps}")
        self.acknowledged.append((time.monotonic() - asked) * 1000)
        return asked, old


@contextmanager
def standing(home: Path, name: str) -> Iterator[Way]:
    """A balancer with two targets a side, all healthy."""
    with ExitStack() as stack:
        targets = {slot: [stack.enter_context(target(slot)) for _ in range(2)] for slot in ("blue", "green")}
        listen, test = (f"127.0.0.1:{free_port()}" for _ in range(2))
        config = {"listen": listen, "test_listen": test, "health": {"path": "/health"}, **balancers.written(name)}
        directory = home / name
        directory.mkdir(mode=0o700)
        (directory / "config.json").write_text(json.dumps(config))
        store.create(directory, {"blue": 100, "green": 0}, targets)
        balancer = balancers.of(directory)
        try:
            balancer.ensure_running(directory, START_S)
            until = time.monotonic() + START_S
            while not all(t["healthy"] for side in state(directory) for t in side):
                if time.monotonic() > until:
                    sys.exit(f"{name}: its targets never became healthy")
                time.sleep(0.05)
            yield Way(name, directory, listen)
        finally:
            balancer.stop(directory, START_S)


def state(directory: Path) -> list[list[TargetAnswer]]:
    return list(balancers.of(directory).client(directory, CALL_S).state()["targets"].values())


@contextmanager
def target(name: str) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.local.balancer_target", name, "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None  # noqa: S101  # a pipe, as asked for
    try:
        yield f"127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def free_port() -> int:
    return next(port for port in PORTS if bindable(port))


def measure(way: Way, swaps: int, rate: float, apart_s: float) -> None:
    """One round: as long without swaps as with them."""
    command = [sys.executable, str(LOAD), way.address, "--rate", str(rate), "--clients", "8", "--streams", "4"]
    load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    time.sleep(2 * SETTLE_S)  # it has to start, and to connect
    began = time.monotonic()
    time.sleep(swaps * apart_s)
    between = time.monotonic()
    asked = []
    for _ in range(swaps):
        asked.append(way.swap())
        time.sleep(apart_s)
    ended = time.monotonic()
    said, _ = load.communicate("", timeout=START_S)
    result = json.loads(said)
    requests = [tuple(request) for request in result["requests"]]
    way.requests += len(requests)
    way.failed += sum(status != 200 for _, _, status, _ in requests)
    way.streams, way.broken = way.streams + result["streams"], way.broken + result["broken"]
    way.quiet += [(end - start) * 1000 for start, end, status, _ in requests if status and began <= start < between]
    way.swapping += [(end - start) * 1000 for start, end, status, _ in requests if status and between <= start < ended]
    for (since, old), until in zip(asked, [*(at for at, _ in asked[1:]), ended], strict=True):
        way.in_effect.append(effect_ms(requests, since, until, old))


def effect_ms(requests: list[tuple[float, float, int, str]], since: float, until: float, old: str) -> float:
    """From the command to the first request after which none is answered by the old side."""
    starts = sorted((start, side) for start, _, _, side in requests if since <= start < until)
    late = [number for number, (_, side) in enumerate(starts) if side == old]
    after = late[-1] + 1 if late else 0
    if after >= len(starts):
        return (until - since) * 1000
    return (starts[after][0] - since) * 1000


def figures(way: Way) -> list[Figure]:
    def of(name: str, value: float, unit: str, goal: str | None = None) -> Figure:
        return Figure(f"{way.name}: {name}", round(value, 2), unit, goal)

    return [
        of("swaps", way.swaps, ""),
        of("requests", way.requests, ""),
        of("failed requests", way.failed, "", "<= 0"),
        of("long-lived answers", way.streams, ""),
        of("long-lived answers that broke", way.broken, "", "<= 0"),
        of("every new request on the other side, median", statistics.median(way.in_effect), "ms"),
        of("every new request on the other side, max", max(way.in_effect), "ms"),
        of("acknowledged, median", statistics.median(way.acknowledged), "ms"),
        of("latency without swaps, p50", percentile(way.quiet, 50), "ms"),
        of("latency without swaps, p99", percentile(way.quiet, 99), "ms"),
        of("latency with swaps, p50", percentile(way.swapping, 50), "ms"),
        of("latency with swaps, p99", percentile(way.swapping, 99), "ms"),
    ]


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


if __name__ == "__main__":
    main()
