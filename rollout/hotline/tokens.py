"""The tokens of those who may ask for a rollback from another machine: a file, a line each, read anew at each request.

A line is `TOKEN`, or `NAME TOKEN` so that the journal says who it was. What is secret is never shown.
"""

from __future__ import annotations

import hmac
import os
import re
import stat
from pathlib import Path

SHORTEST = 24
MOST_BYTES = 64 * 1024
NOBODY_IN_PARTICULAR = "token"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


class BadTokens(ValueError):
    """The file cannot be relied on; the message says why, and shows nothing of it."""


class Tokens:
    def __init__(self, path: Path) -> None:
        self.path = path

    def owner(self, token: str) -> str | None:
        """Whose token it is, None where nobody has it. Takes the same time for every wrong one. Raises BadTokens."""
        found: str | None = None
        given = token.encode("utf-8", "replace")
        for name, known in self.read():
            if hmac.compare_digest(known.encode(), given):
                found = name
        return found

    def read(self) -> list[tuple[str, str]]:
        """Names and tokens. Raises BadTokens, also where others may read the file."""
        try:
            with self.path.open("rb") as file:
                seen = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                raw = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise BadTokens(f"the token file {self.path} cannot be read: {error.strerror}") from None
        if seen & 0o027:
            raise BadTokens(f"the token file {self.path} is open to others (mode {seen:04o}): chmod 600 {self.path}")
        if len(raw) > MOST_BYTES:
            raise BadTokens(f"the token file {self.path} is too large")
        found = [_entry(self.path, at, line) for at, line in enumerate(_text(self.path, raw).splitlines(), start=1)]
        tokens = [entry for entry in found if entry]
        if not tokens:
            raise BadTokens(f"the token file {self.path} has no token; make one: openssl rand -hex 32")
        return tokens


def _text(path: Path, raw: bytes) -> str:
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        pass
    raise BadTokens(f"the token file {path} is not plain text")  # out here: the cause would quote the content


def _entry(path: Path, at: int, line: str) -> tuple[str, str] | None:
    words = line.split()
    if not words or words[0].startswith("#"):
        return None
    if len(words) > 2 or (len(words) == 2 and not _NAME.fullmatch(words[0])):
        raise BadTokens(f"the token file {path}, line {at}: TOKEN, or NAME TOKEN, is wanted")
    if len(words[-1]) < SHORTEST:
        raise BadTokens(f"the token file {path}, line {at}: shorter than {SHORTEST} characters; openssl rand -hex 32")
    return (words[0] if len(words) == 2 else NOBODY_IN_PARTICULAR), words[-1]
