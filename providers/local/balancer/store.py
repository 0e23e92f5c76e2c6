"""The state on disk: on it before a change is acknowledged, and never half written.

`state.json` is the truth, `state.json.previous` the generation before it, `state.lock` fences a worker that
still has to die against the one that follows it.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from providers.local.balancer.state import State, parse_state

STATE, PREVIOUS, CORRUPT, LOCK = "state.json", "state.json.previous", "state.json.corrupt", "state.lock"


class StateUnusable(Exception):
    """Neither the state nor the generation before it can be read; the message says why and what to do."""


def write_atomic(path: Path, content: bytes) -> None:
    """Replace `path` (0600) so that after a crash it holds the old content or the new one. Raises OSError."""
    temporary = _write_aside(path, content)
    temporary.replace(path)
    sync_folder(path.parent)


def create(directory: Path, weights: Mapping[str, int], targets: Mapping[str, Sequence[str]]) -> State:
    """Write the first state of a new balancer; one that is there already is kept and returned.

    Makes `directory` (0700) if needed. Raises InvalidState or Unservable for an unusable route, StateUnusable
    when what is there cannot be read.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (directory / STATE).exists() or (directory / PREVIOUS).exists():
        return load(directory)[0]
    first = {"revision": 1, "weights": dict(weights), "targets": dict(targets), "token": None}
    state = parse_state(first)
    write_atomic(directory / STATE, _encode(state))
    return state


def load(directory: Path) -> tuple[State, str | None]:
    """(state, notice). The notice says why the previous generation had to be used, else it is None.

    Reads only. Raises StateUnusable: there is never an empty or invented route.
    """
    try:
        return _read(directory / STATE), None
    except (OSError, ValueError) as broken:
        why = _reason(broken)
    try:
        previous = _read(directory / PREVIOUS)
    except (OSError, ValueError) as broken:
        raise StateUnusable(
            f"{directory / STATE} cannot be used ({why}), nor can {PREVIOUS} ({_reason(broken)}); "
            "restore one of them or create the balancer anew"
        ) from None
    return previous, f"{STATE} could not be used ({why}); fell back to revision {previous.revision}"


def previous(directory: Path) -> State | None:
    """The generation before the one in force, if it can be read."""
    try:
        return _read(directory / PREVIOUS)
    except (OSError, ValueError):
        return None


class StateStore:
    """The state of one running worker: `state` is what is on disk and in force.

    Holds `state.lock` from `open` to `close`.
    """

    def __init__(self, directory: Path, lock: int, state: State, notice: str | None) -> None:
        self.state = state
        self.notice = notice
        self._directory = directory
        self._lock = lock

    @classmethod
    def open(cls, directory: Path, timeout_s: float) -> StateStore:
        """Take the lock and read the state again; a corrupt one is set aside and replaced by the previous.

        Raises TimeoutError when an earlier worker keeps the lock, StateUnusable, OSError.
        """
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            lock_within(lock, timeout_s, "another process still holds the state")
            state, notice = load(directory)
            store = cls(directory, lock, state, notice)
            if notice is not None:
                store._put_previous_in_force()
        except BaseException:
            os.close(lock)
            raise
        return store

    @property
    def seized(self) -> bool:
        """Whether somebody went over our lock, with `seize`: nothing may be saved any more."""
        try:
            return (self._directory / LOCK).stat().st_ino != os.fstat(self._lock).st_ino
        except FileNotFoundError:
            return True

    def save(self, state: State) -> None:
        """Make `state` the truth: on disk first, then in `self.state`. Raises OSError: nothing is promised.

        After an error `self.state` is what a restart would read, so that memory and disk agree.
        """
        try:
            self._write(state)
        except OSError:
            self.state = load(self._directory)[0]
            raise
        self.state = state

    def close(self) -> None:
        os.close(self._lock)

    def _put_previous_in_force(self) -> None:
        broken = self._directory / STATE
        if broken.exists():
            broken.replace(self._directory / CORRUPT)
        # The lost generation had the next number, and someone may have seen it: it is not given out twice.
        state = self.state
        self._write(State(state.revision + 2, state.weights, state.targets, state.token))
        self.state = load(self._directory)[0]

    def _write(self, state: State) -> None:
        current, previous = self._directory / STATE, self._directory / PREVIOUS
        temporary = _write_aside(current, _encode(state))
        if current.exists():
            link = previous.with_name(previous.name + ".tmp")
            link.unlink(missing_ok=True)
            link.hardlink_to(current)
            link.replace(previous)
        temporary.replace(current)
        sync_folder(self._directory)


def seize(directory: Path) -> None:
    """Take the lock away from whoever holds it and does not go on; the next `open` gets another one."""
    aside = directory / f"{LOCK}.{os.getpid()}"
    os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    aside.replace(directory / LOCK)


def lock_within(descriptor: int, timeout_s: float, complaint: str) -> None:
    """Take an exclusive flock, waiting at most `timeout_s`. Raises TimeoutError(complaint)."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError(complaint) from None
            time.sleep(0.01)


def _encode(state: State) -> bytes:
    return json.dumps(state.to_json(), indent=1).encode() + b"\n"


def _read(path: Path) -> State:
    return parse_state(json.loads(path.read_bytes()))


def _reason(error: Exception) -> str:
    return "missing" if isinstance(error, FileNotFoundError) else str(error)


def _write_aside(path: Path, content: bytes) -> Path:
    temporary = path.with_name(path.name + ".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
