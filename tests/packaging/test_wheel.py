"""What a user gets who installs the wheel, away from any checkout."""

from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.packaging.conftest import CHECKOUT, Installation, build_wheel

pytestmark = pytest.mark.xdist_group("packaging")

CONFIG = {
    found.relative_to(CHECKOUT / "config").as_posix()
    for found in (CHECKOUT / "config").rglob("*")
    if found.is_file() and found.suffix != ".pyc"
}


def _content(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_brings_the_packaged_data(wheel: Path) -> None:
    """Without it `rollout init` and the demo have no example fleet to start from."""
    prefix = "rollout/_config/"
    packed = {name.removeprefix(prefix) for name in _content(wheel) if name.startswith(prefix)}
    assert packed == CONFIG
    assert packed


def test_the_wheel_brings_our_packages_and_nothing_else(wheel: Path) -> None:
    """Otherwise installing drops modules with common names such as `tests` into the user's environment."""
    tops = {name.split("/")[0] for name in _content(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"rollout", "providers", "healthchecks"}


def test_the_wheel_says_that_it_is_typed(wheel: Path) -> None:
    """Otherwise an author of an outside provider or check gets no type checking against our contracts."""
    assert {"rollout/py.typed", "providers/py.typed", "healthchecks/py.typed"} <= _content(wheel)


def test_an_sdist_builds_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    """Otherwise distributions that build from source ship a program that lacks its data."""
    assert _content(build_wheel(sdist, tmp_path)) == _content(wheel)


def test_the_installed_program_runs_outside_of_the_checkout(installation: Installation, tmp_path: Path) -> None:
    """Otherwise the program only works for those who cloned it."""
    assert "0.1.0" in installation.run("rollout", "--version", cwd=tmp_path)
    assert "rollback" in installation.run("rollout", "--help", cwd=tmp_path)


def test_the_installed_program_runs_as_a_module(installation: Installation, tmp_path: Path) -> None:
    """Otherwise `python -m rollout` fails where scripts are not on the PATH, as in a cron job."""
    assert "rollback" in installation.run("python", "-m", "rollout", "--help", cwd=tmp_path)


def test_the_installed_program_reads_its_own_data(installation: Installation, tmp_path: Path) -> None:
    """Otherwise an installed program looks for its examples in a checkout that its user does not have."""
    ask = "from rollout import resources as r; [print(r.path(name)) for name in r.names()]"
    paths = [Path(line) for line in installation.run("python", "-c", ask, cwd=tmp_path).splitlines()]
    assert len(paths) == len(CONFIG)
    for path in paths:
        assert path.is_relative_to(installation.bin.parent)


def test_the_installed_program_begins_a_fleet(installation: Installation, tmp_path: Path) -> None:
    """Otherwise `rollout init` works only in a checkout, and a new user has nothing to begin with."""
    said = installation.run("rollout", "init", "first", "--service", "shop", cwd=tmp_path)
    assert "rollout up shop --image v1" in said
    written = {str(path.relative_to(tmp_path / "first")) for path in tmp_path.rglob("*") if path.is_file()}
    images = {f"images/v1/{name}" for name in ("app.py", "image.yaml", "requirements.lock")}
    assert written == {"fleet.yaml", "fleet.schema.json", *images}
    assert (
        installation.run("rollout", "init", "--schema", cwd=tmp_path)
        == (CHECKOUT / "config" / "fleet.schema.json").read_text()
    )
