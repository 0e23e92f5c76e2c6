"""JUnit and the step summary: what a pipeline's page shows of a rollout."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
import typer

from rollout.commands.ci import left_for_ci
from rollout.render import Screen
from rollout.tell.dossier import dossier
from rollout.tell.junit import junit_of
from rollout.wiring import Installation
from tests.core.scene import World, phase_is
from tests.core.test_job import failing_live
from tests.tell.kit import HOSTILE, Told, case_now, filled, outside_case


def suites(text: str) -> Mapping[str, Xml.Element]:
    """Name → suite."""
    return {suite.attrib["name"]: suite for suite in Xml.fromstring(text)}  # noqa: S314 - the text is our own


def problems(suite: Xml.Element) -> list[str]:
    """What is wrong with its cases, in JUnit's words."""
    return [child.tag for case in suite for child in case]


def junit(world: World) -> Mapping[str, Xml.Element]:
    """The file of a world's rollout as it stands."""
    return suites(junit_of(dossier(case_now(world))))


def test_a_promoted_rollout_is_all_green(told: Told) -> None:
    """A patch that was accepted turns the pipeline red."""
    world = told.world()
    world.drive(phase_is("warm"))
    found = junit(world)
    assert {"gate preflight", "gate proof", "gate bake"} <= set(found)
    assert all(int(suite.attrib["failures"]) == int(suite.attrib["errors"]) == 0 for suite in found.values())
    assert all(len(suite) == int(suite.attrib["tests"]) >= 1 for suite in found.values())


def test_a_failed_gate_is_a_failure_and_so_is_the_rollout(told: Told) -> None:
    """The page says that all went well, beside exit code 4."""
    world = told.world()
    world.asking(failing_live)
    world.drive()
    found = junit(world)
    (rollout,) = [suite for name, suite in found.items() if name.startswith("rollout ")]
    assert problems(rollout) == ["failure"] and "blue 100 %" in "".join(rollout.itertext())
    (live,) = [suite for name, suite in found.items() if name.startswith("gate live:1")]
    assert live.attrib["failures"] == "1" and problems(live) == ["failure"]


def test_one_that_has_not_ended_is_an_error(told: Told) -> None:
    """A pipeline whose time ran out takes an open rollout for a success."""
    world = told.world()
    world.drive(phase_is("shifting"))
    rollout = next(iter(junit(world).values()))
    assert problems(rollout) == ["error"]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_breaks_the_file(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """A check's output makes the file unreadable, or adds a case that passed."""
    case, _ = outside_case(tmp_path_factory.mktemp("outside"))
    hostile, harmless = (suites(junit_of(dossier(filled(case, each)))) for each in (f"x{text}", "harmless"))
    shape = [[(case.tag, [child.tag for child in case]) for case in suite] for suite in hostile.values()]
    assert shape == [[(case.tag, [child.tag for child in case]) for case in suite] for suite in harmless.values()]


@pytest.mark.parametrize("ends", [typer.Exit(7), KeyboardInterrupt(), None])
def test_files_are_left_however_the_command_ends(told: Told, tmp_path: Path, ends: BaseException | None) -> None:
    """After a time-out or Ctrl-C, when it matters most, the page is empty."""
    world = told.world()
    world.drive(phase_is("warm"))
    (tmp_path / "page.md").write_text("what another step wrote\n")
    installation = cast_installation(world)
    caught = contextlib.suppress(typer.Exit, KeyboardInterrupt)
    with caught, left_for_ci(installation, world.row, Screen(as_json=False), tmp_path / "j.xml", tmp_path / "page.md"):
        if ends:
            raise ends
    assert suites((tmp_path / "j.xml").read_text())
    page = (tmp_path / "page.md").read_text()
    assert page.startswith("what another step wrote\n") and f"rollout status {world.row.id}" in page
    assert "Security" in page and "Timeline" not in page, "a page of a job has little room"


def test_files_that_cannot_be_written_change_no_exit_code(
    told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk on the runner tells the pipeline that the patch failed."""
    world = told.world()
    world.drive(phase_is("warm"))
    with (
        pytest.raises(typer.Exit) as ended,
        left_for_ci(cast_installation(world), world.row, Screen(as_json=False), tmp_path / "no" / "j.xml", None),
    ):
        raise typer.Exit(0)
    assert ended.value.exit_code == 0 and "could not be written" in capsys.readouterr().err


class _OfWorld:
    """As much of an installation as telling needs."""

    def __init__(self, world: World) -> None:
        self.store = world.store


def cast_installation(world: World) -> Installation:
    """What a command would have opened."""
    made: Any = _OfWorld(world)
    return made
