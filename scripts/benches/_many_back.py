"""Five hundred services put back by one command, for `scripts/bench rollback`: a real run of the program against a
cloud that refuses what AWS would.

The cloud is moto over HTTP, in this process; it answers in milliseconds. Its limits are token buckets of their own, not
the program's: Describe* as AWS publishes them (quotas.py). AWS does not publish those for writes: they are counted, and
in a second, smaller run refused by the same guess that the engine keeps to.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from _figures import Figure
from aws import roomy
from aws_peers.by_us import lift_budgets

from providers.aws.quotas import Limit, bucket_of
from providers.base import SLOTS, Service
from rollout.card import Card, CardFolder
from rollout.store import Store
from tests.aws.account import Account, open_provider
from tests.aws.calls import Answer, Call, refusal_of
from tests.aws.server import Served, server
from tests.aws.wire import Apply, Line
from tests.core.scene import a_plan

GOAL = "<= 60"
EACH = 20
TRAFFIC = ("ModifyListener", "ModifyRule")
DESCRIBE, WRITES = bucket_of("elbv2", "DescribeListeners")[1], bucket_of("elbv2", "ModifyListener")[1]


class Limited(Line):
    """Refuses the calls of ELB that are more than a bucket grants; those of the person who builds are no such calls."""

    def __init__(self, limits: dict[bool, Limit]) -> None:
        super().__init__()
        self._limits, self._guard = limits, threading.Lock()
        self._levels = {reads: limit.size for reads, limit in limits.items()}
        self._at = time.monotonic()
        self.refused, self.applied = Counter[str](), list[tuple[float, str]]()

    def handle(self, call: Call, apply: Apply) -> Answer:
        if call.api == "elbv2" and not self._grants(call.reads):
            self.refused[call.operation] += 1
            return refusal_of(call, "Throttling", "Rate exceeded", 400)
        answer = apply()
        self.applied.append((time.monotonic(), call.name))
        return answer

    def _grants(self, reads: bool) -> bool:
        if reads not in self._limits:
            return True
        with self._guard:
            now = time.monotonic()
            passed, self._at = now - self._at, now
            for kind, limit in self._limits.items():
                self._levels[kind] = min(limit.size, self._levels[kind] + passed * limit.refill)
            granted = self._levels[reads] >= 1
            self._levels[reads] -= granted
            return granted


def figures(home: Path, count: int, few: int) -> list[Figure]:
    """`count` services under the published limits, and `few` where writes are refused, too."""
    lift_budgets()
    with server() as served:
        account = roomy(served.account())
        account.client = cache(account.client)  # type: ignore[method-assign]
        account.image("base")
        services = build(account, count + few)
        many = put_back(home / "many", served, account, services[:count], {True: DESCRIBE})
        slow = put_back(home / "few", served, account, services[count:], {True: DESCRIBE, False: WRITES})
    limits = f"{WRITES.size:.0f} at once and {WRITES.refill:.0f} a second, a guess"
    return [
        Figure(
            f"{count} services, one command: all accepted, under AWS's limit for reads", many["accepted"], "s", GOAL
        ),
        Figure("of these: all marked and read back, and the command ended", many["ended"], "s"),
        Figure("of these: reads of ELB for each service", many["reads"], "calls"),
        Figure("of these: writes of ELB for each service (AWS publishes no limit)", many["writes"], "calls"),
        Figure("of these: refused, and asked for again", many["refused"], "calls"),
        Figure("of these: held for 15 s more, for the store answered too late", many["held"], "services"),
        Figure(f"{few} services where AWS grants {limits}: all accepted", slow["accepted"], "s"),
        Figure("of these: all marked and read back, and the command ended", slow["ended"], "s"),
    ]


def build(account: Account, count: int) -> list[Service]:
    """Listeners with all traffic on green, each with target groups of its own. `EACH` of them share a balancer, and the
    hosts behind it, for moto takes half a minute for a hundred groups of Auto Scaling."""
    print(f"Building {count} services (a minute or two) …", file=sys.stderr)
    template, services = account.template("all", account.images["base-1"]), list[Service]()
    for first in range(0, count, EACH):
        made = account.client("elbv2").create_load_balancer(Name=f"b{first}", Subnets=account.subnets)
        account.balancer = made["LoadBalancers"][0]["LoadBalancerArn"]
        groups: dict[str, str] = {slot: f"g{first}-{slot}" for slot in SLOTS}
        routes = {f"s-{number}": route(account, f"s-{number}") for number in range(first, min(count, first + EACH))}
        for slot in SLOTS:
            account.group(groups[slot], template, 1, [each[slot] for each in routes.values()])
        place = {"region": account.region, "endpoint_url": account.endpoint_url, "standby": "permanent"}
        services += [Service(name, {**place, **groups, "routes": [each]}) for name, each in routes.items()]
    for service in services:
        for slot in SLOTS:  # a balancer judges targets from the first look on
            account.client("elbv2").describe_target_health(TargetGroupArn=service.options["routes"][0][slot])
    account.until_healthy(service.options["routes"][0][slot], 1)
    return services


def route(account: Account, name: str) -> dict[str, str]:
    blue, green = (account.target_group(f"{name}-{slot}") for slot in SLOTS)
    return {"blue": blue, "green": green, "listener": account.listener([(blue, 0), (green, 100)])}


def put_back(
    home: Path, served: Served, account: Account, services: list[Service], limits: dict[bool, Limit]
) -> dict[str, float]:
    """Seconds from the start of the program, and calls for each service; ends the bench where traffic is not back."""
    write_cards(home, services)
    command = [str(Path(sys.executable).with_name("rollout")), "rollback", "--all", "--direct"]
    with limited(served, limits) as line:
        began = time.monotonic()
        done = subprocess.run(
            [*command, "--config", str(home / "fleet.yaml")], capture_output=True, text=True, env=dict(os.environ)
        )
        ended = time.monotonic() - began
    left = [service.name for service in services if not is_back(account, service)]
    if done.returncode or left:
        sys.exit(
            f"{len(left)} of {len(services)} are not back, exit code {done.returncode}:\n"
            f"{done.stderr[:2500]} … {done.stderr[-1500:]}"
        )
    asked = Counter(name.partition(".")[2] for _, name in line.applied if name.startswith("elbv2."))
    reads = sum(made for name, made in asked.items() if name.startswith("Describe"))
    held = [said for said in done.stderr.splitlines() if "late writes" in said]
    print("\n".join([f"{dict(asked)}; refused: {dict(line.refused)}; held: {len(held)}", *held[:3]]), file=sys.stderr)
    return {
        "accepted": round(max(at for at, name in line.applied if name.partition(".")[2] in TRAFFIC) - began, 1),
        "ended": round(ended, 1),
        "reads": round(reads / len(services), 2),
        "writes": round((asked.total() - reads) / len(services), 2),
        "refused": line.refused.total(),
        "held": len(held),
    }


def write_cards(home: Path, services: list[Service]) -> None:
    """A fleet file, a store that has begun their rollouts, and a card of each, as the engine writes them."""
    home.mkdir()
    (home / "fleet.yaml").write_text(json.dumps({"version": 1, "services": {}}))
    cards, store, traffic = CardFolder(home / ".rollout" / "cards"), None, open_provider(home).traffic
    now = time.time()
    for service in services:
        plan = replace(a_plan(), service=service, provider="aws")
        target = json.loads(json.dumps(traffic.card_target(service)))
        card = Card(
            rollout=f"{service.name}-1", service=service.name, provider="aws", original="blue", replacement="green",
            target=target, capacity=1, write_timeout_s=15.0, app_version=None, written_at=now, was_healthy=True,
        )  # fmt: skip
        cards.write(card)
        store = store or Store(home / ".rollout" / "rollout.db")
        store.open_rollout(card.rollout, service.name, plan.to_json(), plan.hash, at=now, actor="bench")
    if store:
        store.close()


@contextmanager
def limited(served: Served, limits: dict[bool, Limit]) -> Iterator[Limited]:
    line = Limited(limits)
    served.wire.lines.append(line)
    try:
        yield line
    finally:
        with suppress(ValueError):
            served.wire.lines.remove(line)


def is_back(account: Account, service: Service) -> bool:
    route: Any = service.options["routes"][0]
    (found,) = account.client("elbv2").describe_listeners(ListenerArns=[route["listener"]])["Listeners"]
    entries = found["DefaultActions"][0]["ForwardConfig"]["TargetGroups"]
    return {each["TargetGroupArn"]: each["Weight"] for each in entries} == {route["blue"]: 100, route["green"]: 0}
