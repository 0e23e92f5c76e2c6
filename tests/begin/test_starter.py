"""`rollout init`: what it writes, what it never does, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.local.images import ImageFolder
from rollout import resources
from rollout.cli import main
from rollout.fleetfile.problems import SERVICE_NAME
from rollout.settings import load
from rollout.starter import CannotBegin, begin

FILES = {
    "fleet.yaml",
    "fleet.schema.json",
    "images/v1/app.py",
    "images/v1/image.yaml",
    "images/v1/requirements.lock",
}


def tree(folder: Path) -> dict[str, str]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_all_files_are_written_and_named(tmp_path: Path) -> None:
    """A file is missing, and the first command fails."""
    begun = begin(tmp_path / "new" / "fleet", "web")
    assert set(tree(begun.folder)) == FILES
    assert {str(path.relative_to(begun.folder)) for path in begun.files} == FILES
    assert (begun.folder / "fleet.schema.json").read_text() == resources.read_text("fleet.schema.json")


def test_the_fleet_can_be_read(tmp_path: Path) -> None:
    """The very first file that a user sees is refused."""
    begin(tmp_path, "orders-2")
    fleet = load(tmp_path / "fleet.yaml")
    service = fleet.services["orders-2"]
    assert list(fleet.services) == ["orders-2"]
    assert (service.options["images"], service.provider) == ("./images", "local")
    assert "{service}" not in (tmp_path / "fleet.yaml").read_text()


def test_the_first_try_is_short_and_says_so(tmp_path: Path) -> None:
    """The first try takes an hour; or its short times are taken for what is advised."""
    begin(tmp_path, "web")
    service = load(tmp_path / "fleet.yaml").services["web"]
    assert len(service.traffic.steps) * service.traffic.soak_s + service.bake_s + service.settle_s < 60
    assert "SHORT, so that a first try takes about a minute" in (tmp_path / "fleet.yaml").read_text()


def test_the_image_needs_no_network(tmp_path: Path) -> None:
    """On a machine without network the first environment cannot be built."""
    begin(tmp_path, "web")
    assert ImageFolder(tmp_path / "images").load("v1").has_packages is False


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_is_ever_overwritten(tmp_path: Path, name: str) -> None:
    """A fleet that somebody wrote is gone."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(CannotBegin, match="nothing was written") as caught:
        begin(tmp_path, "web")
    assert str(path) in str(caught.value)
    assert tree(tmp_path) == before


def test_every_file_in_the_way_is_named(tmp_path: Path) -> None:
    """Users move one file out of the way at a time."""
    begin(tmp_path, "web")
    with pytest.raises(CannotBegin) as caught:
        begin(tmp_path, "web")
    assert all(str(tmp_path / name) in str(caught.value) for name in FILES)


def test_a_link_that_leads_nowhere_is_in_the_way_too(tmp_path: Path) -> None:
    """A file is written wherever a link of somebody else leads."""
    (tmp_path / "fleet.yaml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotBegin, match=r"fleet\.yaml"):
        begin(tmp_path, "web")
    assert not (tmp_path / "elsewhere").exists()


def test_what_was_written_goes_again_when_one_cannot_be(tmp_path: Path) -> None:
    """Half a fleet is left, and the next try is refused because of it."""
    (tmp_path / "images").write_text("a file where a folder is needed")
    with pytest.raises(CannotBegin, match="nothing was written: "):
        begin(tmp_path, "web")
    assert set(tree(tmp_path)) == {"images"}
    with pytest.raises(CannotBegin, match="nothing was written: "):
        begin(tmp_path / "images" / "fleet", "web")


def test_a_file_that_came_meanwhile_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two people begin at once, and one's file is gone."""
    real = resources.read_text

    def slow(name: str) -> str:
        (tmp_path / "images" / "v1").mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / "v1" / "image.yaml").write_text("theirs")
        return real(name)

    monkeypatch.setattr(resources, "read_text", slow)
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    with pytest.raises(CannotBegin, match=r"image\.yaml: File exists"):
        begin(tmp_path, "web")
    assert tree(tmp_path) == {"images/v1/image.yaml": "theirs"}


@given(st.text(max_size=50).filter(lambda name: not re.fullmatch(SERVICE_NAME, name)) | st.just("a\n    coexist: safe"))
def test_a_services_name_cannot_change_the_file(name: str) -> None:
    """A name with a line break writes settings of its own."""
    folder = Path(__file__).with_name("never")
    with pytest.raises(CannotBegin, match="allowed: a-z"):
        begin(folder, name)
    assert not folder.exists()


def test_next_commands_fit_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users type what cannot work from where they are."""
    monkeypatch.chdir(tmp_path)
    assert begin(tmp_path / "a b", "web").commands[0] == f"cd '{tmp_path}/a b'"
    here = begin(Path(), "web").commands
    assert here[0] == "rollout up web --image v1"
    assert "rollout start web --image v2" in here


# The command


def test_the_command_in_words_and_in_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script cannot tell what was written, and a person not what to type."""
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--service", "shop"]) == 0
    said = capsys.readouterr().out
    assert "wrote fleet.yaml\n" in said
    assert "\n  rollout up shop --image v1\n" in said
    assert main(["init", "other", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"folder", "next", "service", "written"}
    assert {os.path.relpath(path, "other") for path in document["written"]} == FILES
    assert document["next"][0] == "cd other"


def test_the_command_refuses_with_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script goes on as if there were a fleet."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fleet.yaml").write_text("mine")
    assert main(["init"]) == 2
    out, err = capsys.readouterr()
    assert (out, "fleet.yaml" in err, "nothing was written" in err) == ("", True, True)
    assert main(["init", "--service", "No Good", "x"]) == 2
    assert "allowed: a-z, 0-9 and -" in capsys.readouterr().err
    assert set(tree(tmp_path)) == {"fleet.yaml"}


def test_the_schema_alone_is_printed_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After an update, editors keep the schema of the release before it."""
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--schema"]) == 0
    assert capsys.readouterr().out == resources.read_text("fleet.schema.json")
    assert main(["init", "--schema", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(resources.read_text("fleet.schema.json"))
    assert list(tmp_path.iterdir()) == []
