"""Traffic put back at night: the whole `rollout rollback`, beside one call of the AWS command line and of boto3.

All of them work on one simulated cloud (moto, corrected) that is a process of its own and answers in milliseconds, so
what is measured is the tools' own work; a cloud that is far away adds its round trips. They take turns, round after
round, on services that a whole installation has rolled out before; a ratio is the median over the rounds of (ours /
the AWS command line of that round).

Ours reads weights, hold mark and the health of both sides, decides in the store, writes, marks and reads back. The
others are told all ARNs, and read nothing back. How long the vendor takes until its balancers follow cannot be measured
here: it comes on top of all of them alike.

Then one command puts back five hundred services, in a real run against a cloud that refuses what AWS would
(`_many_back.py`); that takes some minutes.
"""

import argparse
import compileall
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import _many_back
from _figures import Figure, show
from aws import build, cloud
from aws_peers import by_us
from aws_peers.by_us import Clock, begin, fleet_file, lift_budgets

from providers.aws.cloud import WRITE_S
from rollout.engine.job import advance
from rollout.engine.watch import EVERY_S, Observer
from rollout.wiring import Installation
from tests.aws.account import CREDENTIALS

CHECKOUT = Path(__file__).resolve().parents[2]
AWSCLI = "awscli"
OURS, SERVED, CLI, SCRIPT = "rollout rollback", "with a daemon", "AWS command line", "boto3 script"
BESIDE = "AWS command line beside a daemon"
FIRST = "first line of output"
GOALS = {OURS: "<= 0.65", SERVED: "<= 0.2"}
MANY, FEW = 500, 40
NOT_MEASURED = (
    "Not measured: how long AWS takes until its balancers follow what it accepted. It comes on top of all figures that "
    "say `accepted`, ours and the others'; so does the hold, where the store cannot rule out that a write is under way."
)
SERVE_S = 20.0
BOTO3 = """
import boto3, json, sys
url, region, listener, actions = sys.argv[1:]
client = boto3.client("elbv2", region_name=region, endpoint_url=url)
client.modify_listener(ListenerArn=listener, DefaultActions=json.loads(actions))
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench rollback", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--without-many", action="store_true", help="do not put back hundreds by one command")
    parser.add_argument("--many", type=int, default=MANY, help="so many")
    options = parser.parse_args()

    os.environ |= CREDENTIALS
    for package in ("rollout", "providers", "healthchecks"):
        compileall.compile_dir(CHECKOUT / package, quiet=1)
    with tempfile.TemporaryDirectory(prefix="rollout-bench-") as home, cloud() as (url, account):
        rounds = options.rounds + 1  # the first one warms the disk cache and is not counted
        names = [f"{kind}-{number}" for kind in ("alone", "served") for number in range(rounds)]
        world = build(account, [*names, "peers"])
        night = Night(Path(home), url, world, aws_command())
        night.roll_out(names)
        found = night.turns(rounds)
    many = list[Figure]()
    if not options.without_many:
        with tempfile.TemporaryDirectory(prefix="rollout-bench-") as home:
            many = _many_back.figures(Path(home), options.many, FEW)
    print(NOT_MEASURED, file=sys.stderr if options.json else sys.stdout)
    show([*figures(found), *many], as_json=options.json)


@dataclass
class Measured:
    """Milliseconds of each round: to the end, and to the first line."""

    ended: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)

    def add(self, ended: float, first: float) -> None:
        self.ended.append(ended)
        self.first.append(first)


@dataclass
class Night:
    """`home` has the fleet file and its state; `aws` is the AWS command line, empty where there is none."""

    home: Path
    url: str
    world: dict[str, Any]
    aws: str

    def roll_out(self, names: list[str]) -> None:
        """Each of them up to 100 %, with its way back open."""
        print(f"Rolling out {len(names)} services first …", file=sys.stderr)
        lift_budgets()
        by_us.SETTINGS |= {"keep_warm": "4h", "traffic": {"steps": [100], "soak": "30s", "interval": "30s"}}
        services = [each for each in self.world["services"] if each["name"] in names]
        path = fleet_file(self.home, self.url, {**self.world, "services": services})
        installation = Installation(path, Clock())
        installation.means("aws")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: begin(installation, name, self.world["image"]), names))
            drive_until_warm(installation, pool)

    def turns(self, rounds: int) -> dict[str, Measured]:
        """Each in turn; the first round is not counted."""
        found = {tool: Measured() for tool in (OURS, CLI, SCRIPT)}
        peers = {CLI: self.by_cli(), SCRIPT: self.by_script()}
        for number in range(rounds):
            commands = {OURS: self.rollback(f"alone-{number}"), **peers}
            for tool, command in commands.items():
                if command:
                    told = self.run(command)
                    if number:
                        found[tool].add(*told)
        found[SERVED], found[BESIDE] = self.served(rounds)
        return found

    def served(self, rounds: int) -> tuple[Measured, Measured]:
        """With `rollout serve` beside it, and the AWS command line in turn with it."""
        found, beside, socket = Measured(), Measured(), self.home / ".rollout" / "hotline.sock"
        command = [str(Path(sys.executable).with_name("rollout")), "serve", "--config", str(self.home / "fleet.yaml")]
        with (self.home / "serve.log").open("w") as log:
            server = subprocess.Popen(command, cwd=self.home, stdout=log, stderr=log)
        try:
            until = time.monotonic() + SERVE_S
            while not socket.exists() and server.poll() is None and time.monotonic() < until:
                time.sleep(0.1)
            if not socket.exists():
                print(f"no daemon to measure: {(self.home / 'serve.log').read_text()[-500:]}", file=sys.stderr)
                return found, beside
            time.sleep(3.0)  # what it does when it starts is not what is measured
            for number in range(rounds):
                told = self.run(self.rollback(f"served-{number}", direct=False))
                peer = self.run(self.by_cli()) if self.aws else (0.0, 0.0)
                if number:
                    found.add(*told)
                    beside.add(*peer)
        finally:
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(20)
            server.kill()
        return found, beside

    def rollback(self, service: str, *, direct: bool = True) -> list[str]:
        program = str(Path(sys.executable).with_name("rollout"))
        alone = ["--direct"] if direct else []
        return [program, "rollback", service, "--config", str(self.home / "fleet.yaml"), "--no-wait", *alone]

    def by_cli(self) -> list[str]:
        if not self.aws:
            return []
        listener, actions = self._peer()
        where = ["--region", self.world["region"], "--endpoint-url", self.url]
        return [
            *(self.aws, *where, "elbv2", "modify-listener"),
            *("--listener-arn", listener, "--default-actions", actions),
        ]

    def by_script(self) -> list[str]:
        return [sys.executable, "-c", BOTO3, self.url, self.world["region"], *self._peer()]

    def _peer(self) -> tuple[str, str]:
        (service,) = [each for each in self.world["services"] if each["name"] == "peers"]
        groups = [
            {"TargetGroupArn": service[f"{slot}_targets"], "Weight": w} for slot, w in (("blue", 100), ("green", 0))
        ]
        return service["listener"], json.dumps([{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}])

    def run(self, command: list[str]) -> tuple[float, float]:
        """Milliseconds to the end and to the first line; ends the bench where it did not do what it says."""
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=self.home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )
        assert process.stdout  # noqa: S101 - a pipe
        line = process.stdout.readline()
        first = (time.perf_counter() - began) * 1000
        said = line + process.stdout.read()
        process.wait()
        ended = (time.perf_counter() - began) * 1000
        if process.returncode or "late writes" in said or "going on directly" in said:
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{said[-4000:]}")
        return ended, first


def drive_until_warm(installation: Installation, pool: ThreadPoolExecutor) -> None:
    """All that is due, side by side; time passes when nothing is."""
    store, clock, means = installation.store, installation.clock, installation.means("aws")
    observer = Observer(store, installation.provider, clock.now)
    while True:
        rows = store.rollouts(limit=10_000)
        if wrong := [row for row in rows if row.phase in ("rolling_back", "rolled_back") or row.outcome == "halted"]:
            sys.exit(f"{wrong[0].id} is {wrong[0].phase}, {wrong[0].outcome}")
        if all(row.phase == "warm" for row in rows):
            return
        observer.look()
        due = [row for row in store.due(clock.now()) if row.phase != "warm" and not observer.holds(row.id, row.due_at)]
        list(pool.map(lambda row: advance(row.id, means, by_us.HOLDER, shared=observer), due))
        if not due:
            clock.sleep(EVERY_S)


def figures(found: dict[str, Measured]) -> list[Figure]:
    made = []
    for tool in (OURS, SERVED, SCRIPT):
        beside = found[BESIDE if tool == SERVED else CLI].ended
        if found[tool].ended and all(beside):
            ratios = [a / b for a, b in zip(found[tool].ended, beside, strict=True)]
            made.append(Figure(f"{tool} / {CLI}", round(statistics.median(ratios), 2), "times", GOALS.get(tool)))
    for tool in (OURS, SERVED):
        if found[tool].first:
            made.append(Figure(f"{tool}: {FIRST}", round(statistics.median(found[tool].first), 1), "ms", "<= 100"))
    for tool in (OURS, SERVED, CLI, SCRIPT):
        if found[tool].ended:
            what = "accepted, marked, read back" if tool in (OURS, SERVED) else "accepted"
            made.append(Figure(f"{tool}: {what}", round(statistics.median(found[tool].ended), 1), "ms"))
    held = "held after that, only where the store cannot say that no write of ours is under way"
    made.append(Figure(held, WRITE_S, "s"))
    return made


def aws_command() -> str:
    """The AWS command line in an environment of its own in the user's cache, made once; empty where it cannot be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "rollout-bench" / AWSCLI
    program = folder / "bin" / "aws"
    if (folder / "complete").exists():
        return str(program)
    print(f"Installing {AWSCLI} into {folder} (a minute, once) …", file=sys.stderr)
    install = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-qq", "install", AWSCLI]
    compiled = [str(folder / "bin" / "python"), "-m", "compileall", "-qq", str(folder)]
    for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], install, compiled):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"without {AWSCLI}, for it cannot be installed: {done.stderr[-500:]}", file=sys.stderr)
            return ""
    (folder / "complete").touch()
    return str(program)


if __name__ == "__main__":
    main()
