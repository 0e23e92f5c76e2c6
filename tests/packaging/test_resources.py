"""The packaged data, read from a checkout (as an editable install does)."""

from pathlib import Path

import pytest

from rollout import resources
from tests.packaging.conftest import CHECKOUT


def test_a_checkout_reads_its_config_folder() -> None:
    """Otherwise a contributor's edit of an example shows no effect until the package is built."""
    names = resources.names()
    assert names
    for name in names:
        assert resources.path(name) == CHECKOUT / "config" / name
        assert resources.read_text(name) == (CHECKOUT / "config" / name).read_text(encoding="utf-8")


def test_a_packaged_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise an installed program could read a stranger's folder that is called config."""
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "fleet.json").write_text("{}")
    monkeypatch.setattr(resources, "_PACKAGED", tmp_path)
    assert resources.names() == ["schemas/fleet.json"]
    assert resources.read_text("schemas/fleet.json") == "{}"


def test_an_unknown_name_lists_the_known_ones() -> None:
    """Otherwise a typing error leaves the user guessing what there is."""
    with pytest.raises(FileNotFoundError, match=resources.names()[0]):
        resources.path("no-such-file.yaml")


@pytest.mark.parametrize("name", ["../pyproject.toml", "/etc/passwd", "a/../../pyproject.toml"])
def test_a_name_cannot_lead_outside(name: str) -> None:
    """Otherwise a name taken from a configuration reads any file of the machine."""
    with pytest.raises(ValueError, match="stay inside"):
        resources.path(name)


def test_an_incomplete_installation_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a damaged installation fails with a riddle, or reads somebody else's config folder."""
    (tmp_path / "config").mkdir()
    monkeypatch.setattr(resources, "_PACKAGED", tmp_path / "rollout" / "_config")
    monkeypatch.setattr(resources, "_CHECKOUT", tmp_path)
    with pytest.raises(FileNotFoundError, match="install it again"):
        resources.names()
