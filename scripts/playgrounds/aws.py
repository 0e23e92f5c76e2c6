"""A small made-up AWS account on this machine: two services behind a load balancer, three images, and their figures.

Nothing of it reaches AWS, costs anything or needs credentials. It goes on until Ctrl-C, and leaves nothing behind.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from threading import Event
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from _front import LOCAL, Front, look, report

from providers.aws.options import Options
from providers.aws.vcpus import CODES
from providers.base import Service
from tests.aws.account import CREDENTIALS, Account
from tests.aws.patch_agent import BASELINE, CLEAN, Agents
from tests.aws.server import server

CHECKOUT = Path(__file__).resolve().parents[2]
LATEST = "/images/base/latest"
LOOK_S = 2.0
STARTING_S, FRESH_S, DELETING_S = 3.0, 4.0, 3.0
MISSING = {"base-1": 4}
"""Security patches that hosts of an image lack."""
WRITTEN = ("fleet.yaml", "env")

FLEET = """\
# A made-up AWS account on this machine (scripts/playground-aws). Times are short, to be looked at; for an account of
# your own begin with config/aws/fleet.yaml instead.
version: 1

defaults:
  provider: aws
  coexist: safe                # both sides may run at once
  traffic: {{steps: [10, 50, 100], soak: 6s, interval: 2s, drain_limit: 30s}}   # figures are minutes late
  settle: 0s
  bake: 4s
  keep_warm: 1h
  gates:
    replacement: {{passes: 2, interval: 1s}}
    live: {{passes: 2, interval: 2s, deadline: 3m, unknown_limit: 90s}}
  checks:
    preflight: [balancer, room]
    replacement:
      - http: {{path: /health, each_instance: false}}    # made-up hosts answer through the test listener only
      - balancer
      - fidelity
      - hosts
      - patches
    live:
      - balancer
      - failed_responses: {{min_requests: 10}}

services:
{services}"""
SERVICE = """\
  {name}:                        # {about}
    patch: {{image: "{patch}"}}
    options:
      endpoint_url: {endpoint}    # the made-up account; with AWS there is no such line
      region: {region}
      account: "{account}"
      standby: {standby}
      blue: {blue}               # Auto Scaling groups
      green: {green}
      routes:
        - listener: {listener}
          blue: {blue_targets}
          green: {green_targets}
      test_url: {test_url}
"""
ENVIRONMENT = """\
# For one terminal: source {env}
# Made-up credentials, so that nothing of yours is used; nothing of yours is changed either.
{exports}
unset AWS_SESSION_TOKEN AWS_PROFILE AWS_DEFAULT_PROFILE
export NO_PROXY=127.0.0.1${{NO_PROXY:+,$NO_PROXY}} no_proxy=127.0.0.1${{no_proxy:+,$no_proxy}}
export ROLLOUT_CONFIG={fleet}
export PATH={bin}:$PATH
"""
NEXT = """\
A made-up AWS account is at {url}: nothing in it costs anything. In another terminal:

  source {env}     # its credentials and its fleet file, for that terminal only

  rollout doctor                           # what could keep a rollout or a rollback from working
  rollout plan shop                        # what would be done; nothing is changed
  rollout start shop                       # {shop}; about 2 minutes
  rollout status                           # what is open or was changed, and its way back
  rollout rollback shop                    # all traffic back, by one command
  rollout start till --image name:self/faulty-1      # an image that only real traffic breaks: put back by itself
  curl -s http://{users} http://{users}     # whom the users of shop meet

  {folder}/fleet.yaml      the services, with what each line is for
  aws --endpoint-url {url} elbv2 describe-listeners …      the AWS command line works here as well

Ctrl-C ends the account and removes what it wrote."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/playground-aws", description=__doc__)
    parser.add_argument("folder", metavar="DIR", nargs="?", type=Path, help="for fleet.yaml; else a temporary one")
    chosen = parser.parse_args().folder
    ended = Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    with place(chosen) as folder, server() as served:
        print("Setting up the account … ", end="", file=sys.stderr, flush=True)
        account = served.account()
        fronts = stand_up(account)
        try:
            write(folder, account)
            print("done.\n", file=sys.stderr)
            print(told(folder, account, fronts), flush=True)
            agents = Agents(account)
            while not ended.wait(LOOK_S):
                look(account, fronts)
                report(account, fronts, LOOK_S)
                agents.finish()
        finally:
            for front in fronts.values():
                front.close()
    print(f"\nThe account is gone, and so is what was in {folder}.", file=sys.stderr)


@contextmanager
def place(chosen: Path | None) -> Iterator[Path]:
    """The folder, which is then as it was before."""
    if chosen is None:
        with tempfile.TemporaryDirectory(prefix="rollout-aws-") as made:
            yield Path(made)
        return
    there = chosen.is_dir()
    if chosen.exists() and (not there or any(chosen.iterdir())):
        sys.exit(f"{chosen} is not an empty folder: name one that is, or none at all.")
    chosen.mkdir(parents=True, exist_ok=True)
    try:
        yield chosen
    finally:
        for name in WRITTEN:
            (chosen / name).unlink(missing_ok=True)
        shutil.rmtree(chosen / ".rollout", ignore_errors=True)
        if not there and not any(chosen.iterdir()):
            chosen.rmdir()


def stand_up(account: Account) -> dict[str, Front]:
    """Services, images, and what hosts and quotas are asked for."""
    manner = account.manner
    manner.now, manner.sleep = time.time, time.sleep
    account.images["faulty-1"] = account.image("faulty-1")
    account.client("ssm").put_parameter(Name=LATEST, Type="String", Value=account.images["base-2"])
    account.answers.quotas |= {("ec2", code): 64.0 for codes in CODES.values() for code in codes.values()}
    account.answers.give("ssm", "DescribeInstancePatchStates", lambda asked: _patch_states(account, asked))
    account.answers.give("iam", "SimulatePrincipalPolicy", _all_allowed)
    fronts = {"shop": Front("shop"), "till": Front("till")}
    for name, capacity in (("shop", 3), ("till", 2)):
        users, tests = fronts[name].ports
        account.ports = users - 1
        service = account.service(name, capacity, on_demand=name == "till", test_url=f"http://{LOCAL}:{tests}")
        account.test_rules(service, account.test_listener(tests))
    manner.starting_for, manner.fresh_for, manner.deleting_for = STARTING_S, FRESH_S, DELETING_S
    look(account, fronts)
    report(account, fronts, 1.0)
    return fronts


def _all_allowed(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"EvaluationResults": [{"EvalActionName": name, "EvalDecision": "allowed"} for name in asked["ActionNames"]]}


def _patch_states(account: Account, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the patch agents found: the newer image lacks nothing."""
    called = {image: name for name, image in account.images.items()}
    found = account.client("ec2").describe_instances(InstanceIds=asked["InstanceIds"])["Reservations"]
    at = datetime.now(UTC)
    states = []
    for one in (each for reservation in found for each in reservation["Instances"]):
        missing = MISSING.get(called.get(one["ImageId"], ""), 0)
        known = {"InstanceId": one["InstanceId"], "PatchGroup": "base", "BaselineId": BASELINE, "Operation": "Scan"}
        times = {"OperationStartTime": at, "OperationEndTime": at}
        counts = {**CLEAN, "MissingCount": missing, "SecurityNonCompliantCount": missing}
        states.append({**known, **times, **counts, **account.answers.patch_states.get(one["InstanceId"], {})})
    return {"InstancePatchStates": states}


def write(folder: Path, account: Account) -> None:
    """The fleet file, and what a terminal needs beside it."""
    abouts = {
        "shop": ("a permanent pair: both groups stand for good, one parked at zero", f"ssm:{LATEST}"),
        "till": ("on demand: the other side is created as a copy, and deleted after", "name:self/base-2"),
    }
    services = [_service(account, service, *abouts[name]) for name, service in account.services.items()]
    fleet, env = (folder / name for name in WRITTEN)
    fleet.write_text(FLEET.format(services="\n".join(services)))
    exports = {**CREDENTIALS, "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    env.write_text(
        ENVIRONMENT.format(
            env=quote(str(env)),
            exports="\n".join(f"export {name}={quote(value)}" for name, value in exports.items()),
            fleet=quote(str(fleet)),
            bin=quote(str(CHECKOUT / ".venv" / "bin")),
        )
    )


def _service(account: Account, service: Service, about: str, patch: str) -> str:
    options = Options.of(service)
    route = options.routes[0]
    return SERVICE.format(
        name=service.name,
        about=about,
        patch=patch,
        endpoint=account.endpoint_url,
        region=options.region,
        account=account.client("sts").get_caller_identity()["Account"],
        standby=options.standby,
        blue=options.blue,
        green=options.green,
        listener=route.listener,
        blue_targets=route.blue,
        green_targets=route.green,
        test_url=options.test_url,
    )


def told(folder: Path, account: Account, fronts: Mapping[str, Front]) -> str:
    return NEXT.format(
        url=account.endpoint_url,
        folder=folder,
        env=quote(str(folder / "env")),
        shop="3 hosts of base-1 to base-2, 10 → 50 → 100 %",
        users=f"{LOCAL}:{fronts['shop'].ports[0]}/",
    )


if __name__ == "__main__":
    main()
