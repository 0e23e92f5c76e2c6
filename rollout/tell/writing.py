"""A report into a file: complete or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class CannotWrite(Exception):
    """The file cannot be written; what was there before is untouched."""


def write_out(path: Path, text: str) -> int:
    """Write aside, flush, rename; bytes written. An earlier file is replaced, all else is refused: CannotWrite."""
    data, aside = text.encode(), path.with_name(f".{path.name}.{os.getpid()}") if path.name else path
    try:
        _raise_if_no_file(path)
        with aside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        if not isinstance(error, FileExistsError):
            with suppress(OSError):
                aside.unlink(missing_ok=True)
        raise CannotWrite(f"{path} cannot be written ({error.strerror or error}); nothing was changed there") from error
    return len(data)


def _raise_if_no_file(path: Path) -> None:
    if path.is_dir():
        raise CannotWrite(f"{path} is a folder: name a file in it, such as --out {path / 'report.html'}")
    if path.exists() and not path.is_file():
        raise CannotWrite(f"{path} is no file: leave --out away to have the report on stdout")
