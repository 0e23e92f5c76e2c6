"""The locks that every script installs from."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.conftest import CHECKOUT

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
LOCKS = ["requirements.lock", "requirements-dev.lock"]


def _entries(lock: str) -> list[str]:
    """One entry for each locked version, with its hashes joined to it."""
    lines = (CHECKOUT / lock).read_text().replace("\\\n", "").splitlines()
    return [line for line in lines if line and not line.lstrip().startswith("#")]


def _versions(lock: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for entry in _entries(lock):
        name, version = re.match(r"([\w.-]+)==(\S+)", entry).groups()  # type: ignore[union-attr]
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def _asked_for(lock: str) -> list[Requirement]:
    groups = PROJECT["dependency-groups"]
    wanted = PROJECT["project"]["dependencies"] + groups["build"]
    return [Requirement(line) for line in wanted + (groups["dev"] if "dev" in lock else [])]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_has_a_hash(lock: str) -> None:
    """Otherwise a replaced file in a package index runs on the machine that patches the fleet."""
    assert _entries(lock)
    assert [entry for entry in _entries(lock) if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_and_no_folder(lock: str) -> None:
    """Otherwise an installation needs the network, or the disk, of whoever wrote the lock."""
    text = (CHECKOUT / lock).read_text()
    assert re.findall(r"^.*(?:://|--index|--extra-index|--find-links|--trusted-host| @ ).*$", text, re.M) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_follows_the_project_file(lock: str) -> None:
    """Otherwise set-up installs a program whose imports fail; `scripts/lock` puts it right."""
    locked = _versions(lock)
    for wanted in _asked_for(lock):
        assert locked.get(canonicalize_name(wanted.name)), f"{wanted} is missing in {lock}"
        for version in locked[canonicalize_name(wanted.name)]:
            assert version in wanted.specifier, f"{lock} has {version}, not {wanted}"


def test_both_locks_have_the_same_versions() -> None:
    """Otherwise the tests prove other versions than those that users run."""
    tested = _versions("requirements-dev.lock")
    for name, shipped in _versions("requirements.lock").items():
        assert tested[name] == shipped
