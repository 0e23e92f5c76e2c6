"""A first fleet in a folder: a commented fleet file, its JSON Schema, and an image that runs without any network."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rollout import resources

SCHEMA = "fleet.schema.json"
_PACKAGED = "starter/"
_SERVICE = "{service}"  # stands in the packaged fleet file


class CannotBegin(Exception):
    """No first fleet can be written there; nothing was."""


@dataclass(frozen=True, slots=True)
class Begun:
    """`files` as they were written; `commands` to type next, in this order."""

    folder: Path
    files: tuple[Path, ...]
    commands: tuple[str, ...]


def begin(folder: Path, service: str) -> Begun:
    """Write a first fleet into `folder`, which is made if needed. All of it, or CannotBegin and nothing."""
    contents = _contents(service)
    files = {folder / name: text for name, text in contents.items()}
    there = [str(path) for path in files if os.path.lexists(path)]
    if there:
        raise CannotBegin(f"nothing was written, because there is already: {', '.join(there)}. Choose another folder")
    _write(files)
    return Begun(folder, tuple(files), _next_commands(folder, service))


def _contents(service: str) -> Mapping[str, str]:
    """Each file's name in the folder and what is in it."""
    from rollout.fleetfile.problems import SERVICE_NAME, SERVICE_NAME_ALLOWED

    if not re.fullmatch(SERVICE_NAME, service):
        raise CannotBegin(f"--service {service!r}: allowed: {SERVICE_NAME_ALLOWED}")
    names = [name for name in resources.names() if name.startswith(_PACKAGED)]
    starter = {name.removeprefix(_PACKAGED): resources.read_text(name) for name in names}
    fleet_file = starter.pop("fleet.yaml").replace(_SERVICE, service)
    return {"fleet.yaml": fleet_file, SCHEMA: resources.read_text(SCHEMA), **starter}


def _write(files: Mapping[Path, str]) -> None:
    """All files, none over another; what was written goes again when one cannot be."""
    made: list[Path] = []
    try:
        for path, text in files.items():
            for folder in reversed([each for each in path.parents if not each.exists()]):
                folder.mkdir()
                made.append(folder)
            with path.open("x", encoding="utf-8") as file:
                made.append(path)
                file.write(text)
    except OSError as error:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        where = error.filename or next(iter(files)).parent
        raise CannotBegin(f"nothing was written: {where}: {error.strerror or error}") from error


def _next_commands(folder: Path, service: str) -> tuple[str, ...]:
    """A first rollout. A copy that is equal would be the same image, so that something in its lock is changed."""
    go_there = () if folder.resolve() == Path.cwd() else (f"cd {shlex.quote(str(folder))}",)
    return (
        *go_there,
        f"rollout up {service} --image v1",
        "curl http://127.0.0.1:8080/",
        "cp -r images/v1 images/v2 && echo '# patched' >> images/v2/requirements.lock",
        f"rollout start {service} --image v2",
        f"rollout rollback {service}",
    )
