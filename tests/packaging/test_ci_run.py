"""What continuous integration says and does where a program that tests need cannot be had."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.conftest import CHECKOUT

SAID = "Could not install haproxy tmux: the tests that need them are skipped."
STEPS = ["demo", "simulate --quick", "test -k some"]


class Machine:
    """A checkout whose scripts only note that they ran, and a PATH on which there is little else."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs = folder, folder / "bin"
        self.programs.mkdir()
        for name in ("bash", "dirname", "id", "timeout"):
            (self.programs / name).symlink_to(str(shutil.which(name)))
        (folder / ".ci").mkdir()
        shutil.copy(CHECKOUT / ".ci" / "run", folder / ".ci" / "run")
        (folder / "scripts").mkdir()
        for name in ("demo", "simulate", "test"):
            self.program(f"scripts/{name}", f'echo "{name}${{*:+ $*}}" >> {folder}/steps; echo "{name} was run"')

    def program(self, path: str, does: str) -> None:
        """A program below its folder."""
        made = self.folder / path
        made.write_text(f"#!{self.programs}/bash\n{does}\n")
        made.chmod(0o755)

    def install(self, *names: str) -> None:
        """As packages do: dpkg knows them."""
        self.program("bin/dpkg", f'[[ " {" ".join(names)} " == *" $2 "* ]]')

    def run(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """What continuous integration runs; both streams as one, as they are read."""
        environment = {"PATH": str(self.programs), **variables}
        command = [str(self.programs / "bash"), str(self.folder / ".ci" / "run"), "-k", "some"]
        return subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    @property
    def steps(self) -> list[str]:
        """What was run, in order."""
        path = self.folder / "steps"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """It has neither HAProxy nor tmux, and nothing to install them with."""
    yield Machine(tmp_path)


def test_what_is_skipped_is_said_first_and_last(machine: Machine) -> None:
    """Otherwise a green run that never saw HAProxy looks like one that did."""
    done = machine.run()
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert (lines[0], lines[-1], lines.count(SAID)) == (SAID, SAID, 2)
    assert machine.steps == STEPS


def test_it_is_said_after_a_failure_too_and_hides_none(machine: Machine) -> None:
    """Otherwise the last line stands in the place of the failure: CI is green over failed tests."""
    machine.program("scripts/test", "echo 3 failed; exit 4")
    done = machine.run()
    assert done.returncode == 4
    assert done.stdout.splitlines()[-2:] == ["3 failed", SAID]


@pytest.mark.parametrize("installed", ["by packages", "by hand", "only now"])
def test_where_all_is_there_nothing_is_said(machine: Machine, installed: str) -> None:
    """Otherwise a notice that is always there is read by nobody."""
    if installed == "by packages":
        machine.install("haproxy", "tmux")
    elif installed == "by hand":  # on a machine without dpkg, as others are
        for name in ("haproxy", "tmux"):
            machine.program(f"bin/{name}", "true")
    else:
        (machine.programs / "id").unlink()
        machine.program("bin/id", "echo 0")
        for name in ("haproxy", "tmux"):
            machine.program(f"{name}.package", "true")
        (machine.programs / "mv").symlink_to(str(shutil.which("mv")))
        last = f'for name; do [ ! -e "{machine.folder}/$name.package" ] || mv "{machine.folder}/$name.package" '
        machine.program("bin/apt-get", f'[ "$1" = update ] || {last} "{machine.programs}/$name"; done')
    done = machine.run(ROLLOUT_CI_NEEDS_HAPROXY="1")
    assert done.returncode == 0, done.stdout
    assert "Could not" not in done.stdout
    assert machine.steps == STEPS


def test_haproxy_can_be_demanded(machine: Machine) -> None:
    """Otherwise the run that has to prove HAProxy is green when an image no longer has it."""
    machine.install("tmux")
    done = machine.run(ROLLOUT_CI_NEEDS_HAPROXY="1")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("ROLLOUT_CI_NEEDS_HAPROXY is set, so nothing was tested")
    assert machine.steps == []
    assert machine.run(ROLLOUT_CI_NEEDS_HAPROXY="0").returncode == 0
    assert machine.steps == STEPS


def test_only_haproxy_is_demanded(machine: Machine) -> None:
    """Otherwise the switch means something else than it says."""
    machine.install("haproxy")
    done = machine.run(ROLLOUT_CI_NEEDS_HAPROXY="1")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == SAID.replace("haproxy ", "")


def test_a_failed_step_ends_it(machine: Machine) -> None:
    """Otherwise a broken demo passes unseen."""
    machine.program("scripts/demo", "exit 3")
    assert machine.run().returncode == 3
    assert machine.steps == []
    assert os.access(CHECKOUT / ".ci" / "run", os.X_OK)
