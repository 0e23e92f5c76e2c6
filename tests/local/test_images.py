"""Images: what is hashed is what is built, and a build that went wrong leaves nothing that could be used."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from providers.base import Invalid, NotFound
from providers.local.builds import Builds
from providers.local.images import ImageFolder
from tests.local.instance_kit import Fleet, RealClock, environment, open_fleet, wait_until

ROOT = Path(__file__).resolve().parents[2]
IDNA = "idna==3.10 --hash=sha256:946d195a0d259cbba61165e88e65941f16e9b36ea6ddb97f00452bae8b1287d3\n"
BUILD = """
import sys, pathlib
from providers.local import builds, images
from tests.local.instance_kit import RealClock
source = images.ImageFolder(pathlib.Path(sys.argv[1])).load("base-1")
builds.Builds(pathlib.Path(sys.argv[2]), RealClock()).build(source)
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """With one image, `base-1`."""
    with open_fleet(tmp_path) as opened:
        opened.image("base-1")
        yield opened


def _edit(fleet: Fleet, **changes: object) -> None:
    path = fleet.images / "base-1" / "image.yaml"
    document = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))


def _builds(fleet: Fleet) -> Builds:
    return Builds(fleet.root, RealClock())


@pytest.mark.parametrize("what", ["app", "lock", "command", "name"])
def test_the_digest_is_over_content_only(fleet: Fleet, what: str) -> None:
    """Otherwise two different images pass for one, or a renamed one for a new one."""
    before = fleet.digest("base-1")
    if what == "app":
        (fleet.images / "base-1" / "app.py").write_text("pass")
    if what == "lock":
        (fleet.images / "base-1" / "requirements.lock").write_text(IDNA)
    if what == "command":
        _edit(fleet, command=["{python}", "{image}/app.py", "{port}"])
    if what == "name":
        (fleet.images / "base-1").rename(fleet.images / "base-9")
    assert (fleet.digest("base-9" if what == "name" else "base-1") == before) is (what == "name")


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"colour": "red"}, "unknown keys colour; known are command, files, lock"),
        ({"command": None}, "command: a list"),
        ({"command": ["{python}", "{image}/app.py"]}, "{port}"),
        ({"command": ["true", "{port}"]}, "{image}"),
        ({"command": ["{python}", "{image}", "{port}", "{password}"]}, "unknown {password}"),
        ({"files": ["../../../etc/passwd"]}, "outside"),
        ({"files": ["/etc/passwd"]}, "outside"),
        ({"files": ["sly"]}, "outside"),
        ({"files": ["absent.py"]}, "not a file"),
        ({"lock": "absent.lock"}, "not a file"),
        ({"lock": None}, "lock: the name"),
    ],
)
def test_a_wrong_image_says_what_is_allowed(fleet: Fleet, changes: dict[str, object], said: str) -> None:
    """Otherwise a typing error is found at night, or an image takes in files of other people."""
    (fleet.images / "base-1" / "sly").symlink_to("/etc/passwd")
    _edit(fleet, **changes)
    with pytest.raises(Invalid) as error:
        ImageFolder(fleet.images).load("base-1")
    assert said in str(error.value) and "base-1/image.yaml" in str(error.value)


@pytest.mark.parametrize("line", ["idna==3.10", "idna>=3 --hash=sha256:" + "0" * 64, "-r other.txt", "-i http://x"])
def test_a_lock_pins_everything(fleet: Fleet, line: str) -> None:
    """Otherwise what a digest stands for depends on the day it is built."""
    fleet.image("base-1", lock=f"# a comment\n{line}\n")
    with pytest.raises(Invalid, match="only name==version"):
        fleet.digest("base-1")


def test_an_unknown_image_names_the_nearest_first(fleet: Fleet) -> None:
    """Otherwise a person has to look up what there is."""
    fleet.image("other")
    with pytest.raises(NotFound, match=r"known are base-1 .*other"):
        fleet.digest("base-11")


def test_the_demo_images_load() -> None:
    """Otherwise the images that users copy from are not what this program reads."""
    folder = ImageFolder(ROOT / "config" / "demo" / "images")
    digests = {folder.load(name).digest for name in folder.names()}
    assert len(digests) == len(folder.names())
    assert all("app.py" in folder.load(name).files for name in folder.names())


def test_a_package_from_the_index_is_installed(fleet: Fleet) -> None:
    """Otherwise images run without what their lock says."""
    fleet.image("base-1", lock=IDNA)
    source = ImageFolder(fleet.images).load("base-1")
    folder = _builds(fleet).build(source)
    code = "import idna; print(idna.__version__)"
    found = subprocess.run([folder / "env/bin/python", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "3.10"


def test_a_wrong_hash_is_refused_with_the_log(fleet: Fleet) -> None:
    """Otherwise a tampered package is installed, or nobody learns why it was not."""
    fleet.image("base-1", lock=f"idna==3.10 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(Invalid, match="base-1 cannot be built") as error:
        _builds(fleet).build(ImageFolder(fleet.images).load("base-1"))
    assert "HASH" in str(error.value).upper() and "failed-" in str(error.value)
    assert [path for path in (fleet.root / "images").iterdir() if path.is_dir()] == []


def test_a_build_killed_half_way_is_repeated(fleet: Fleet, tmp_path: Path) -> None:
    """Otherwise a half-filled environment is taken for an image, or blocks it for ever."""
    fleet.image("base-1", lock=IDNA)
    arguments = [sys.executable, "-c", BUILD, str(fleet.images), str(fleet.root)]
    child = subprocess.Popen(arguments, cwd=ROOT, env=environment(PYTHONPATH=str(ROOT)))
    try:
        wait_until(lambda: list(fleet.root.glob("images/.build-*/env")), "the build never began")
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    folder = _builds(fleet).build(ImageFolder(fleet.images).load("base-1"))
    assert (folder / "env/bin/python").exists() and list(folder.glob("env/lib/*/site-packages/idna"))
    assert list(fleet.root.glob("images/.build-*")) == []


@pytest.mark.parametrize("damage", ["{", "{}", "[]", None])
def test_a_damaged_image_counts_as_not_built(fleet: Fleet, damage: str | None) -> None:
    """Otherwise what a power loss left half written is started, or blocks its image for ever."""
    source = ImageFolder(fleet.images).load("base-1")
    folder = _builds(fleet).build(source)
    (folder / "files" / "app.py").unlink()
    manifest = folder / "image.json"
    manifest.write_text(manifest.read_text().replace("app.py", "other.py") if damage is None else damage)
    assert _builds(fleet).manifest(source.digest) is None
    assert _builds(fleet).build(source) == folder
    assert (folder / "files" / "app.py").exists() and _builds(fleet).manifest(source.digest)
    assert [path.name for path in (fleet.root / "images").iterdir() if path.is_dir()] == [folder.name]


def test_the_manifest_is_written_when_all_the_rest_is_on_disk(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise an image that lost files with the power counts as built."""
    synced: list[str] = []
    really = os.fsync

    def sync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    folder = _builds(fleet).build(ImageFolder(fleet.images).load("base-1"))
    here = [path.partition(".build-")[2].partition("/")[2] for path in synced]
    files = {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and _real(path, folder)
    }
    assert files - {"image.json"} <= set(here[: here.index("image.json.tmp")])
    assert synced[-1] == str(fleet.root / "images")


def _real(path: Path, root: Path) -> bool:
    """Not reached through a symbolic link."""
    return not any(each.is_symlink() for each in (path, *path.parents) if each.is_relative_to(root))


@pytest.mark.parametrize(
    "text", ["sha256:../../../../tmp/evil", "sha256:", "sha256:" + "A" * 64, f"sha256:{'0' * 64}\n"]
)
def test_a_digest_is_no_path(fleet: Fleet, text: str) -> None:
    """Otherwise whoever names an image decides which program is started."""
    with pytest.raises(Invalid, match="64 digits of 0-9 and a-f"):
        fleet.provider.patcher.resolve(fleet.service(), text)
    with pytest.raises(Invalid, match="64 digits of 0-9 and a-f"):
        _builds(fleet).path(text)


def test_two_builds_at_once_make_one(fleet: Fleet) -> None:
    """Otherwise two services that are patched together spoil each other's image."""
    source = ImageFolder(fleet.images).load("base-1")
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: _builds(fleet).build(source), range(4)))
    assert len(set(folders)) == 1
    assert [path.name for path in (fleet.root / "images").iterdir() if path.is_dir()] == [folders[0].name]


def test_a_folder_that_changed_since_the_plan_is_refused(fleet: Fleet) -> None:
    """Otherwise something else is rolled out than what was approved."""
    service = fleet.up()
    fleet.image("base-2", lock="# planned\n")
    patch = fleet.provider.patcher.resolve(service, "base-2")
    fleet.provider.compute.mirror(service, "blue", "green", patch.image, "r1", "mirror")
    fleet.image("base-2", lock="# edited\n")
    with pytest.raises(Invalid, match="base-2 changed since it was planned"):
        fleet.provider.patcher.apply(service, "green", patch, "apply")


def test_a_built_image_outlives_its_folder(fleet: Fleet) -> None:
    """Otherwise a rollback needs files that somebody has edited meanwhile."""
    service = fleet.up()
    patch = fleet.provider.patcher.resolve(service, "base-1")
    fleet.image("base-1", app="pass")
    assert fleet.provider.patcher.resolve(service, patch.image).image == patch.image
    fleet.provider.compute.scale(service, "blue", 2, "more")
    wait_until(lambda: fleet.all_running(service, 2), "the second one never ran")
