"""AWS: calls and time of one rollout and of a wave, beside a boto3 script and an Ansible playbook; and of a poll tick.

All of them work on one simulated cloud (moto, corrected) that is a process of its own and counts the calls; it answers
in milliseconds, so that what is measured is the tools' own work. Each tool is a process of its own, start-up included.
Soaks are not waited for, and gates look as few times as they can be asked to. The script ends when the old side is
scaled down, as ours does when it is retired; where ours is promoted all traffic has moved, and the old side still
stands.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from _figures import Figure, show
from aws_peers.by_us import Clock, lift_budgets

from providers.aws.compute import AwsCompute
from providers.aws.options import Options
from providers.aws.traffic import AwsTraffic
from tests.aws import canned
from tests.aws.account import CREDENTIALS, Account

PEERS = Path(__file__).with_name("aws_peers")
ANSIBLE = "ansible==12.3.0"
THREADS, FORKS, CAPACITY = 8, 4, 3
WALL_GOAL, CALLS_GOAL = "<= 1.5", "<= 2"
OURS, BOTO3, PLAYBOOK = "rollout", "boto3 script", "Ansible playbook"
IN_FLIGHT = (1, 100, 1000)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench aws", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--verbose", action="store_true", help="calls by operation, on stderr")
    parser.add_argument("--rounds", type=int, default=3, help="of one rollout; medians are shown")
    parser.add_argument("--services", type=int, default=50, help="in a wave")
    parser.add_argument("--without-ansible", action="store_true", help="install and measure no Ansible")
    parser.add_argument("--full", action="store_true", help="the whole wave with Ansible, too, not 8 services: minutes")
    options = parser.parse_args()

    os.environ |= CREDENTIALS
    tools = [OURS, BOTO3]
    python = None if options.without_ansible else ansible()
    if python:
        tools.append(PLAYBOOK)
    with tempfile.TemporaryDirectory(prefix="rollout-bench-") as home:
        bench = Bench(Path(home), python or "")
        single, waves = bench.one(tools, options.rounds), bench.waves(tools, options.services, full=options.full)
        ticks = dict(bench.ticks())
    if options.verbose:
        tell_operations(single, waves)
    show([*compared(single), *compared(waves), *of_ticks(ticks)], as_json=options.json)


@dataclass
class Measured:
    """What one tool took for so many services: seconds of each round, calls by operation, the largest process in MB."""

    services: int
    seconds: list[float] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    memory_mb: float = 0.0
    ways: list[dict[str, Any]] = field(default_factory=list)
    """Of ours, in each round: wall_s, calls and skipped_s when all were promoted, and when all were retired."""

    def way(self, figure: str, end: str = "promoted") -> float:
        """The median of the rounds."""
        return statistics.median(float(told[end][figure]) for told in self.ways)

    @property
    def wall_s(self) -> float:
        return statistics.median(self.seconds)

    @property
    def calls_each(self) -> float:
        """For each service."""
        return self.calls.total() / len(self.seconds) / self.services

    @property
    def name(self) -> str:
        return "one rollout" if self.services == 1 else f"{self.services} rollouts"


@dataclass
class Bench:
    """`python` has Ansible."""

    home: Path
    python: str

    def one(self, tools: list[str], rounds: int) -> dict[str, Measured]:
        """The tools take turns on one cloud, with a new service each time."""
        found = {tool: Measured(1) for tool in tools}
        with cloud() as (url, account):
            for number in range(rounds):
                for tool in tools:
                    world = build(account, [f"{tool.split()[0].lower()}-{number}"])
                    self.measure(tool, url, world, found[tool])
        return found

    def waves(self, tools: list[str], services: int, *, full: bool) -> dict[str, Measured]:
        """A new cloud for each tool."""
        found = {}
        for tool in tools:
            count = min(services, 8) if tool == PLAYBOOK and not full else services
            found[tool] = Measured(count)
            with cloud() as (url, account):
                self.measure(tool, url, build(account, [f"shop-{number}" for number in range(count)]), found[tool])
        return found

    def ticks(self) -> Iterator[tuple[int, Counter[str]]]:
        """Calls by operation of one look at hosts and traffic of all that is in flight."""
        lift_budgets()
        for count in IN_FLIGHT:
            clouds, services = canned.CannedClouds(self.home, Clock()), canned.services(count)
            found = AwsTraffic(clouds).observe(services), AwsCompute(clouds).observe(services)
            if not all(len(each) == count for each in found):
                sys.exit(f"of {count} services in flight, {[len(each) for each in found]} were seen")
            yield count, clouds.made

    def measure(self, tool: str, url: str, world: dict[str, Any], measured: Measured) -> None:
        os.environ["ROLLOUT_BENCH_BEGAN"] = str(time.time())
        before, began = calls(url), time.perf_counter()
        peak_mb, said = run(self.command(tool, url, world))
        measured.seconds.append(time.perf_counter() - began)
        measured.ways.append(json.loads(said.splitlines()[-1]) if tool == OURS else {})
        measured.calls += calls(url) - before
        measured.memory_mb = max(measured.memory_mb, peak_mb)
        raise_unless_moved(world, url, tool)

    def command(self, tool: str, url: str, world: dict[str, Any]) -> list[str]:
        at_once = str(min(THREADS, len(world["services"])))
        if tool == PLAYBOOK:
            hosts = {service["name"]: {"service": service} for service in world["services"]}
            local = {"ansible_connection": "local", "ansible_python_interpreter": self.python}
            told = self.written({"all": {"hosts": hosts, "vars": {**world, **local, "url": url}}})
            forks = ["--forks", str(FORKS), "--inventory", told]
            return [self.python, "-m", "ansible", "playbook", *forks, str(PEERS / "playbook.yaml")]
        script = PEERS / ("by_us.py" if tool == OURS else "by_boto3.py")
        return [sys.executable, str(script), url, self.written(world), at_once]

    def written(self, data: dict[str, Any]) -> str:
        path = self.home / "world.json"
        path.write_text(json.dumps(data))
        return str(path)


@contextmanager
def cloud() -> Iterator[tuple[str, Account]]:
    """A new one, as a process."""
    command = [sys.executable, str(PEERS / "cloud.py")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout  # noqa: S101 - pipes
    try:
        url = str(json.loads(process.stdout.readline())["url"])
        yield url, roomy(Account(url))
    finally:
        process.stdin.close()
        process.wait()


def roomy(account: Account) -> Account:
    """With addresses for thousands of hosts."""
    account.subnets = [
        account.client("ec2").create_subnet(
            VpcId=account.vpc, CidrBlock=f"10.0.{number}.0/19", AvailabilityZone=f"{account.region}{zone}"
        )["Subnet"]["SubnetId"]
        for number, zone in ((32, "a"), (64, "b"))
    ]
    return account


def calls(url: str) -> Counter[str]:
    """How often each operation was called so far; what built the account does not count."""
    with urllib.request.urlopen(f"{url}/_line", timeout=60) as answer:  # noqa: S310 - our own
        return Counter(json.load(answer))


def build(account: Account, names: list[str]) -> dict[str, Any]:
    """Services with a balancer, three hosts on blue and an empty green, as each tool is told of them."""
    services = []
    for name in names:
        made = account.client("elbv2").create_load_balancer(Name=name, Subnets=account.subnets, Scheme="internal")
        account.balancer = made["LoadBalancers"][0]["LoadBalancerArn"]
        found = Options.of(account.service(name, CAPACITY, on_demand=False))
        (route,) = found.routes
        groups = account.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[found.green])
        services.append(
            {
                "name": name,
                "blue": found.blue,
                "green": found.green,
                "listener": route.listener,
                "port": account.ports,
                "blue_targets": route.blue,
                "green_targets": route.green,
                "green_template": groups["AutoScalingGroups"][0]["LaunchTemplate"]["LaunchTemplateId"],
            }
        )
    place = {"region": account.region, "subnets": account.subnets, "security_groups": []}
    return {**place, "image": account.images["base-2"], "services": services}


def raise_unless_moved(world: dict[str, Any], url: str, tool: str) -> None:
    """Tools that did something else must not be compared."""
    account = Account(url, region=world["region"])
    for service in world["services"]:
        listener = account.client("elbv2").describe_listeners(ListenerArns=[service["listener"]])["Listeners"][0]
        entries = listener["DefaultActions"][0]["ForwardConfig"]["TargetGroups"]
        weights = {entry["TargetGroupArn"]: entry["Weight"] for entry in entries if entry["Weight"]}
        names = [service["blue"], service["green"]]
        groups = account.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=names)
        sizes = {group["AutoScalingGroupName"]: group["DesiredCapacity"] for group in groups["AutoScalingGroups"]}
        if set(weights) != {service["green_targets"]} or sizes != {service["blue"]: 0, service["green"]: CAPACITY}:
            sys.exit(f"{tool}: {service['name']} ended with weights {weights} and sizes {sizes}")


def run(command: list[str]) -> tuple[float, str]:
    """To its end; the resident memory of its largest process at its peak, in MB, and what it said."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{said.read().decode()[-4000:]}")
        said.seek(0)
        return used.ru_maxrss / 1024, said.read().decode()


def ansible() -> str | None:
    """The Python of an environment in the user's cache that has Ansible and boto3; made once. None: there is none."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "rollout-bench" / ANSIBLE.replace("==", "-")
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return str(python)
    print(f"Installing {ANSIBLE} into {folder} (a minute, once) …", file=sys.stderr)
    install = [str(python), "-m", "pip", "--disable-pip-version-check", "-qq", "install", ANSIBLE, "boto3"]
    for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], install):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"without Ansible, for it cannot be installed: {done.stderr[-500:]}", file=sys.stderr)
            return None
    (folder / "complete").touch()
    return str(python)


def compared(found: dict[str, Measured]) -> Iterator[Figure]:
    ours, beside = found[OURS], found[BOTO3]
    goals = (WALL_GOAL, CALLS_GOAL) if ours.services > 1 else (None, None)
    yield Figure(f"{ours.name}: wall, rollout / boto3", round(ours.wall_s / beside.wall_s, 2), "times", goals[0])
    yield Figure(
        f"{ours.name}: calls, rollout / boto3", round(ours.calls_each / beside.calls_each, 2), "times", goals[1]
    )
    promoted = f"{ours.name}, to promoted"
    yield Figure(f"{promoted}: wall / boto3 in all", round(ours.way("wall_s") / beside.wall_s, 2), "times")
    calls = ours.way("calls") / ours.services
    yield Figure(f"{promoted}: calls / boto3 in all", round(calls / beside.calls_each, 2), "times")
    yield Figure(f"{promoted}: wall", round(ours.way("wall_s"), 2), "s")
    yield Figure(f"{promoted}: calls for each", round(calls, 1), "")
    for end in ("promoted", "retired"):
        waited = ours.way("skipped_s", end)
        yield Figure(f"{ours.name}, to {end}: waited for by design, not in the wall time", round(waited, 1), "s")
    for tool, measured in found.items():
        name = f"{measured.name}, {tool}"
        yield Figure(f"{name}: wall", round(measured.wall_s, 2), "s")
        yield Figure(f"{name}: calls for each", round(measured.calls_each, 1), "")
        yield Figure(f"{name}: peak memory", round(measured.memory_mb, 1), "MB")


def of_ticks(ticks: dict[int, Counter[str]]) -> Iterator[Figure]:
    for count, made in ticks.items():
        yield Figure(f"poll tick, {count} in flight: calls", made.total(), "")
        alone = made["elbv2.describe_target_health"]
        yield Figure(f"poll tick, {count} in flight: of these not target health", made.total() - alone, "")


def tell_operations(single: dict[str, Measured], waves: dict[str, Measured]) -> None:
    for found in (single, waves):
        for tool, measured in found.items():
            print(f"{measured.name}, {tool}: calls for each", file=sys.stderr)
            for operation, count in measured.calls.most_common():
                print(f"{count / len(measured.seconds) / measured.services:9.2f}  {operation}", file=sys.stderr)


if __name__ == "__main__":
    main()
