"""A promoted service on AWS in a bad night, and the ways in which its store is broken; each can be put right again."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from providers.aws import marks
from providers.base import HoldMark
from tests.aws.account import CREDENTIALS
from tests.e2e.aws_kit import AwsFleet
from tests.e2e.kit import PROGRAM, Running, environment

BACK = {"blue": 100, "green": 0}
FORWARD = {"blue": 0, "green": 100}
REASON = "checkout fails"
T = 1.0
"""Seconds that a write in flight may still land: no test waits for fifteen."""

OBEYS_MODES = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: root without them may do what file modes say
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
LOCKS = """
import signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute(f"PRAGMA locking_mode = {sys.argv[2]}")
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
signal.pause()
"""


class Warm:
    """A promoted service, and all that it takes to have it so again after a test broke something."""

    def __init__(self, fleet: AwsFleet) -> None:
        self.fleet, self.store = fleet, fleet.state / "rollout.db"
        self.copies = fleet.folder / "copies"
        self.copies.mkdir()
        self.listener, self.elbv2 = fleet.options.routes[0].listener, fleet.account.client("elbv2")
        assert fleet.rollout("hold", fleet.name, "--reason", "there is a store from now on").code == 0
        self.back_up("before")
        assert fleet.rollout("hold", fleet.name, "--release").code == 0
        starting = fleet.begin("start", fleet.name, "--image", fleet.image("base-2"), "--json")
        fleet.wait_reached("waiting", "live:1:50", starting)
        self.back_up("meanwhile")
        done = starting.wait()
        assert done.code == 0 and fleet.weights == FORWARD, done
        self.rollout = done.last["id"]
        card = fleet.state / "cards" / f"{fleet.name}.json"
        card.write_text(json.dumps({**json.loads(card.read_text()), "write_timeout_s": T}))
        shutil.copytree(fleet.state, self.copies / "warm")

    def back_up(self, name: str) -> None:
        done = self.fleet.rollout("store", "backup", str(self.copies / name))
        assert done.code == 0, done

    def rollback(self, *more: str, first: tuple[str, ...] = ()) -> Running:
        command = [*first, *PROGRAM, "rollback", self.fleet.name, "--reason", REASON, *more]
        own = {**environment(self.fleet.folder), **CREDENTIALS}
        running = Running([*command, "--config", str(self.fleet.config)], self.fleet.folder, own)
        self.fleet.children.append(running)
        return running

    @property
    def tags(self) -> dict[str, str]:
        """Of the listener."""
        (told,) = self.elbv2.describe_tags(ResourceArns=[self.listener])["TagDescriptions"]
        return {each["Key"]: each["Value"] for each in told["Tags"]}

    @property
    def mark(self) -> HoldMark | None:
        return marks.mark_of(self.tags)

    def again(self) -> None:
        """As it was promoted: traffic, tags, state folder, and no process of ours."""
        self.fleet.close()
        self.fleet.line.clear()
        shutil.rmtree(self.fleet.state)
        shutil.copytree(self.copies / "warm", self.fleet.state)
        route = self.fleet.options.routes[0]
        groups = [{"TargetGroupArn": route.blue, "Weight": 0}, {"TargetGroupArn": route.green, "Weight": 100}]
        actions = [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]
        self.elbv2.modify_listener(ListenerArn=self.listener, DefaultActions=actions)
        self.elbv2.remove_tags(ResourceArns=[self.listener], TagKeys=list(marks.KEYS))

    def assert_is_back(self) -> None:
        """Where traffic is, and what whoever drives obeys: both as the account says."""
        assert self.fleet.weights == BACK
        mark = self.mark
        assert mark is not None
        assert (mark.rollout, mark.active, mark.reason) == (self.rollout, "blue", REASON)


Broken = Callable[[Warm], AbstractContextManager[tuple[str, ...]]]
"""Yields what the command has to begin with, if anything."""


@contextmanager
def deleted(warm: Warm) -> Iterator[tuple[str, ...]]:
    for path in warm.fleet.state.glob("rollout.db*"):
        path.unlink()
    yield ()


@contextmanager
def corrupt(warm: Warm) -> Iterator[tuple[str, ...]]:
    warm.store.write_bytes(b"not a database" * 400)
    yield ()


@contextmanager
def _locked(warm: Warm, mode: str) -> Iterator[tuple[str, ...]]:
    command = [sys.executable, "-c", LOCKS, str(warm.store), mode]
    other = Running(command, warm.fleet.folder, environment(warm.fleet.folder))
    try:
        other.wait_for("locked")
        yield ()
    finally:
        other.kill()


def locked_for_writers(warm: Warm) -> AbstractContextManager[tuple[str, ...]]:
    return _locked(warm, "NORMAL")


def locked_for_all(warm: Warm) -> AbstractContextManager[tuple[str, ...]]:
    return _locked(warm, "EXCLUSIVE")


def _set_modes(folder: Path, of_folders: int, of_files: int) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(of_folders if path.is_dir() else of_files)


@contextmanager
def read_only(warm: Warm) -> Iterator[tuple[str, ...]]:
    """Folder, store, cards, all of it; the command runs as somebody whom file modes stop."""
    _set_modes(warm.fleet.state, 0o555, 0o444)
    try:
        yield (sys.executable, "-c", OBEYS_MODES)
    finally:
        _set_modes(warm.fleet.state, 0o755, 0o644)


@contextmanager
def older(warm: Warm) -> Iterator[tuple[str, ...]]:
    """Somebody copied a backup over it that was made before the rollout began."""
    shutil.copy(warm.copies / "before", warm.store)
    yield ()


@contextmanager
def a_little_older(warm: Warm) -> Iterator[tuple[str, ...]]:
    """The same, made when half of the traffic had moved."""
    shutil.copy(warm.copies / "meanwhile", warm.store)
    yield ()
