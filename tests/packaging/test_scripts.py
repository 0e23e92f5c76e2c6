"""The scripts that a newcomer runs first."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.packaging.conftest import CHECKOUT

SCRIPTS = [
    CHECKOUT / ".ci" / "run",
    *(CHECKOUT / "scripts" / n for n in ["bench", "check", "demo", "lock", "playground-aws", "simulate", "test"]),
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_can_be_run_and_stops_at_the_first_error(script: Path) -> None:
    """Otherwise a failed step passes unseen, and CI is green over a broken program."""
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text()
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_an_old_python_is_named_with_the_way_out(tmp_path: Path) -> None:
    """Otherwise a newcomer with an old Python gets a syntax error in place of what to install."""
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        old = tmp_path / name
        old.write_text('#!/bin/sh\ntest "$1" = --version && echo Python 3.9.2 && exit\nexit 1\n')
        old.chmod(0o755)
    done = _shell("find_python", cwd=tmp_path, path=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 1
    assert "needs Python 3.11 or newer; found: Python 3.9.2" in done.stderr
    assert "apt install python3 python3-venv" in done.stderr


def test_a_shim_without_a_python_is_passed_over(tmp_path: Path) -> None:
    """Otherwise set-up stops at a version manager's empty shim although a good Python is there."""
    for name, code in (("python3", 127), ("python3.13", 127), ("python3.12", 0)):
        shim = tmp_path / name
        shim.write_text(f"#!/bin/sh\nexit {code}\n")
        shim.chmod(0o755)
    done = _shell("find_python", cwd=tmp_path, path=f"{tmp_path}:/usr/bin:/bin")
    assert done.stdout == "python3.12\n"


def _shell(call: str, cwd: Path, path: str) -> subprocess.CompletedProcess[str]:
    source = f"set -euo pipefail; source '{CHECKOUT}/scripts/_setup.sh'; {call}"
    environment = {"PATH": path}
    return subprocess.run(["bash", "-c", source], cwd=cwd, env=environment, capture_output=True, text=True)
