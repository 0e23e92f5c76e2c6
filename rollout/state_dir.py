"""Find the fleet file and its state folder with the standard library alone, for what has to answer at once.

`rollout rollback` and `rollout status` must not wait for a YAML library. This reads two lines, `state:` and `store:`,
of a file that may be broken elsewhere. The full reader (`rollout.settings`) refuses a file for which `written_state`
or `written_store` would read anything else than YAML does, so that both always name the same places.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

DEFAULT_STATE = ".rollout"
ALLOWED_STATE = "one line of its own that begins with `state:`, then a folder, plain or in quotes"
GLANCED_BYTES = 1024 * 1024
"""So much of a fleet file is looked at; `state:` and `store:` have to stand in it."""
ALLOWED_STORE = (
    "one line of its own that begins with `store:`, then {env: NAME} or {file: PATH} for a postgresql:// address, "
    "or the address itself where it has no password"
)
_LINE = re.compile(r"""^(state|store|"state"|'state'|"store"|'store')[ \t]*:(?:[ \t]+(.*))?$""")
_REFERENCE = re.compile(
    r"""\{[ ]*(env|file):[ ]+('[^']+'|"[^"\\]+"|[^\s\-?:,\[\]{}#&*!|>'"%@`][^\s:,\[\]{}#'"]*)[ ]*\}"""
)
_COMMENT = re.compile(r"[ \t]*(?:[ \t]#.*)?")
_SINGLE = re.compile(r"'((?:[^']|'')*)'[ \t]*(?:[ \t]#.*)?")
_DOUBLE = re.compile(r'"([^"\\]*)"[ \t]*(?:[ \t]#.*)?')
_PLAIN = re.compile(r"""[^\s\-?:,\[\]{}#&*!|>'"%@`](?:[^#:]|(?<![ \t])#|:(?![ \t]|$))*""")


class StateUnreadable(ValueError):
    """The `state:` line is not written as one plain or quoted folder, or `store:` not as one address or reference."""


def find_fleet_file(explicit: str | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """--config, else ROLLOUT_CONFIG, else ./fleet.yaml, else the user's own; None if there is none.

    A file that was named is returned whether or not it exists: falling back would act on another fleet.
    """
    if named := explicit or environ.get("ROLLOUT_CONFIG"):
        return cwd / named
    home = environ.get("XDG_CONFIG_HOME") or (f"{environ['HOME']}/.config" if environ.get("HOME") else "")
    places = [cwd / "fleet.yaml", *([Path(home) / "rollout" / "fleet.yaml"] if Path(home).is_absolute() else [])]
    return next((place for place in places if place.is_file()), None)


def head_of(fleet_file: Path) -> str:
    """The text of a fleet file, as much of it as is looked at. Raises OSError."""
    with fleet_file.open("rb") as file:
        return file.read(GLANCED_BYTES).decode("utf-8-sig", "surrogateescape")


def state_dir_of(fleet_file: Path) -> Path:
    """The absolute state folder of a fleet file. Raises OSError, or StateUnreadable."""
    state = written_state(head_of(fleet_file))
    return fleet_file.absolute().parent / (DEFAULT_STATE if state is None else state)


def written_state(text: str) -> str | None:
    """What the `state:` line says, None without one. The whole line counts, and there may be only one."""
    line = _only(text, "state", ALLOWED_STATE)
    if line is None:
        return None
    state = _scalar(line)
    if not state:
        raise StateUnreadable(ALLOWED_STATE)
    return state


def written_store(text: str) -> str | dict[str, str] | None:
    """What the `store:` line says: an address, a reference to one, or None without such a line."""
    line = _only(text, "store", ALLOWED_STORE)
    if line is None:
        return None
    if (found := _REFERENCE.match(line)) and _COMMENT.fullmatch(line, found.end()):
        return {found[1]: found[2].strip("'\"")}
    store = _scalar(line)
    if not store:
        raise StateUnreadable(ALLOWED_STORE)
    return store


def _only(text: str, key: str, allowed: str) -> str | None:
    """The value of a key as it is written, None without it. Raises StateUnreadable where it is there twice."""
    found = [match for line in text.split("\n") if (match := _LINE.match(line.removesuffix("\r")))]
    values = [match[2] or "" for match in found if match[1].strip("'\"") == key]
    if len(values) > 1:
        raise StateUnreadable(allowed)
    return values[0] if values else None


def _scalar(written: str) -> str | None:
    if quoted := _SINGLE.fullmatch(written):
        return quoted[1].replace("''", "'")
    if quoted := _DOUBLE.fullmatch(written):
        return quoted[1]
    plain = _PLAIN.match(written)
    if plain and (plain.end() == len(written) or written[plain.end()] == "#"):
        return plain[0].rstrip(" \t")
    return None


def store_file_of(fleet_file: Path) -> Path:
    """The SQLite file of a fleet."""
    return state_dir_of(fleet_file) / "rollout.db"


def make_folder(folder: Path) -> None:
    """Private to who makes it; inside a folder that was made for a group, as open to that group as it is."""
    if folder.is_dir():
        return
    shared = folder.parent.is_dir() and is_for_group(folder.parent)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if shared:
        folder.chmod(0o2770)


def share(file: Path) -> None:
    """A file in a folder that was made for a group is the group's, too, whatever the umask of its maker."""
    if is_for_group(file.parent) and file.stat().st_uid == os.getuid():
        file.chmod(0o660)


def is_for_group(folder: Path) -> bool:
    return folder.stat().st_mode & 0o2070 == 0o2070
