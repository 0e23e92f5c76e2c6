"""config/aws/fleet.yaml: what a user of AWS copies first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from providers.aws.options import Options
from providers.base import Service
from rollout import resources
from rollout.settings import load

FLEET = resources.path("aws/fleet.yaml")
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("boto3", "botocore"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from pathlib import Path
from rollout.settings import load
print(*load(Path(sys.argv[1])).services)
from rollout.wiring import Installation
try:
    Installation(Path(sys.argv[1])).provider("aws")
except Exception as error:
    print(type(error).__name__, error)
"""


def test_it_is_a_fleet() -> None:
    """The first thing that a newcomer copies is refused."""
    services = load(FLEET).services
    standbys = {name: Options.of(Service(name, each.options)).standby for name, each in services.items()}
    assert standbys == {"shop": "permanent", "till": "on_demand"}


@pytest.mark.parametrize("check", ["room", "hosts", "patches", "alarms"])
def test_it_shows_what_only_a_platform_knows(check: str) -> None:
    """The checks that are best on AWS are found by nobody."""
    gates = [vars(each.checks)[gate] for each in load(FLEET).services.values() for gate in ("preflight", "live")]
    gates += [each.checks.replacement for each in load(FLEET).services.values()]
    assert check in {asked.name for gate in gates for asked in gate}


def test_its_gates_have_time_for_figures_that_are_late() -> None:
    """CloudWatch is minutes late: a gate that is too short turns every good rollout back."""
    for each in load(FLEET).services.values():
        assert each.traffic.soak_s >= 240 and each.gate_rule("live").unknown_limit_s >= 240
        assert each.traffic.drain_limit_s >= 240 and each.deadlines.observed_s >= 120


def test_it_is_read_without_boto3(tmp_path: Path) -> None:
    """One service in AWS makes a fleet file useless on a machine that has no need of AWS."""
    copy = tmp_path / "fleet.yaml"
    copy.write_text(FLEET.read_text())
    done = subprocess.run([sys.executable, "-c", BLOCKED, str(copy)], capture_output=True, text=True)
    read, missing = done.stdout.splitlines()
    assert read == "shop till"
    assert missing.startswith("Invalid provider aws needs boto3") and "pip install 'rollout-manager[aws]'" in missing
