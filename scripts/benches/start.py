"""Cold start: `rollout --help` and `rollout status`, each beside an empty Python of the same environment.

The three run in turn, round after round, so that a busy machine slows all of them; a ratio is the median over
the rounds of (command / empty Python of that round).
"""

import argparse
import compileall
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _figures import Figure, show

CHECKOUT = Path(__file__).resolve().parents[2]
GOALS = {"rollout --help": "<= 8", "rollout status": "<= 12"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench start", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()

    for package in ("rollout", "providers", "healthchecks"):
        compileall.compile_dir(CHECKOUT / package, quiet=1)
    with tempfile.TemporaryDirectory(prefix="rollout-bench-") as home:
        times = measure(Path(home), options.rounds)
    show(figures(times), as_json=options.json)


def measure(home: Path, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each command in each round; a first round, not counted, warms the disk cache."""
    program = str(Path(sys.executable).with_name("rollout"))
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "rollout --help": [program, "--help"],
        "rollout status": [program, "status"],
    }
    environment = a_users_environment(home)
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            taken = run(command, home, environment)
            if number > 0:
                times[name].append(taken)
    return times


def a_users_environment(home: Path) -> dict[str, str]:
    """A home of its own with a valid fleet file in it, and bytecode as every user has it."""
    shutil.copy(CHECKOUT / "config" / "fleet.example.yaml", home / "fleet.yaml")
    unwanted = ("PYTHON", "ROLLOUT_", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return kept | {"HOME": str(home), "ROLLOUT_CONFIG": str(home / "fleet.yaml")}


def run(command: list[str], directory: Path, environment: dict[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
    taken = (time.perf_counter() - began) * 1000
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return taken


def figures(times: dict[str, list[float]]) -> list[Figure]:
    empty = times["python -c pass"]
    ratios = [
        Figure(
            f"{name} / python -c pass",
            round(statistics.median(a / b for a, b in zip(times[name], empty, strict=True)), 2),
            "times",
            goal,
        )
        for name, goal in GOALS.items()
    ]
    medians = [Figure(name, round(statistics.median(taken), 1), "ms") for name, taken in times.items()]
    return ratios + medians


if __name__ == "__main__":
    main()
