"""The pipelines in docs/ci, run as a runner runs them, on a real service."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
import yaml

from tests.e2e.kit import Fleet, environment, open_fleet

pytestmark = pytest.mark.e2e
DOCS = Path(__file__).parents[2] / "docs" / "ci"


PAGE = (DOCS.parent / "ci.md").read_text()


def blocks() -> list[dict[str, Any]]:
    """What the page gives to copy into a pipeline: one job each."""
    found = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)]
    return [job for block in found for job in block.values()]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A service that serves, for whose program a `rollout` is on the path as on a runner."""
    with open_fleet(tmp_path / "fleet") as made:
        made.up()
        a_program(made)
        yield made


@pytest.fixture
def unserved(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet file and a `rollout` on the path; nothing of it stands, and nobody serves."""
    with open_fleet(tmp_path / "fleet") as made:
        a_program(made)
        yield made


def a_program(fleet: Fleet) -> None:
    """`rollout`, as it is on a runner's path."""
    (fleet.folder / "bin").mkdir()
    program = fleet.folder / "bin" / "rollout"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m rollout "$@"\n')
    program.chmod(0o755)


def ran(fleet: Fleet, script: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A step's script, by the shell that a runner uses."""
    path = f"{fleet.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    checkout = str(Path(__file__).parents[2])
    given = {**environment(fleet.folder), "PATH": path, "PYTHONPATH": checkout, **variables}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=fleet.folder, env=given, capture_output=True, text=True, timeout=90, check=False)


def action(fleet: Fleet, image: str, key: str) -> tuple[subprocess.CompletedProcess[str], Path, Path]:
    """One run of the GitHub action's script: what it said, the page of the job, and its outputs."""
    step = yaml.safe_load((DOCS / "action.yml").read_text())["runs"]["steps"][0]
    page, outputs = fleet.folder / f"{key}.md", fleet.folder / f"{key}.out"
    outputs.touch()
    inputs = {"SERVICE": "shop", "IMAGE": image, "ROLLOUT_CONFIG": "fleet.yaml", "KEY": key, "TIMEOUT": "60"}
    assert set(inputs) == set(step["env"])
    files = {"GITHUB_STEP_SUMMARY": str(page), "GITHUB_OUTPUT": str(outputs)}
    return ran(fleet, step["run"], {**inputs, **files}), page, outputs


def suite(fleet: Fleet) -> Xml.Element:
    """What the JUnit file says of the rollout itself."""
    return Xml.fromstring((fleet.folder / "rollout-junit.xml").read_text())[0]  # noqa: S314 - the text is our own


def test_the_action_for_github(fleet: Fleet) -> None:
    """What the documentation gives a pipeline to copy does not work, or is green when the patch was put back."""
    done, page, outputs = action(fleet, "base-2", "build-1")
    assert done.returncode == 0, done
    assert "outcome=promoted" in outputs.read_text() and "id=shop-" in outputs.read_text()
    assert "# Patch of shop" in page.read_text() and suite(fleet).attrib["failures"] == "0"
    again, _, _ = action(fleet, "base-2", "build-1")
    assert again.returncode == 0 and len(fleet.rollout("history", "--json").last["events"]) <= 2, again
    wrong, _, _ = action(fleet, "no-such-image", "build-2")
    assert wrong.returncode not in (0, 1), wrong


def test_the_job_for_gitlab(fleet: Fleet) -> None:
    """The same for the other: a failed patch ends with its own code, and the report has the reason."""
    job: dict[str, Any] = yaml.safe_load((DOCS / "gitlab-ci.yml").read_text())["patch"]
    (line,) = job["script"]
    fleet.image("base-4-broken", behaves="sick")
    given = {**job["variables"], "IMAGE": "base-4-broken", "CI_PROJECT_PATH": "ops/images", "CI_PIPELINE_ID": "7"}
    done = ran(fleet, line, given)
    assert done.returncode == 4, done
    assert suite(fleet).attrib["failures"] == "1" and job["artifacts"]["reports"]["junit"] == "rollout-junit.xml"


def test_the_action_has_every_input_that_the_page_gives_it() -> None:
    """A pipeline that was copied from the page sets what the action does not know."""
    action = yaml.safe_load((DOCS / "action.yml").read_text())
    given = [step["with"] for job in blocks() for step in job.get("steps", ()) if "with" in step]
    assert given and all(set(each) <= set(action["inputs"]) for each in given)


def test_the_jobs_that_start_a_campaign(unserved: Fleet) -> None:
    """What the page gives to copy for a whole fleet is refused by the command line, on the day of the patch."""
    scripts = [
        (line, job.get("env") or job["variables"])
        for job in blocks()
        for line in (*job.get("script", ()), *(step["run"] for step in job.get("steps", ()) if "run" in step))
    ]
    assert len(scripts) == 2
    for line, variables in scripts:
        given = dict.fromkeys(re.findall(r"\$(\w+)", line), "base-2")
        assert set(given) <= set(variables), "every variable of the line is set by the job"
        done = ran(unserved, line, {**given, "ROLLOUT_CONFIG": "fleet.yaml"})
        assert done.returncode == 2 and "no `rollout serve` is running" in done.stderr, done
        assert json.loads(done.stdout)["exit_code"] == 2, done
