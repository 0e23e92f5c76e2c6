"""Which writes were asked for: the same token with the same arguments is the same write, and happens once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypedDict

from providers.base import Invalid
from providers.local.files import read_json, write_json

REMEMBERED = 500
LIMITED = ("set_floor", "scale")  # these change one property of a slot, all others the whole of it


class Write(TypedDict):
    """operation, slot: what it changed. arguments: hash of everything.

    done: carried out (then result is its answer), or overtaken by a later write.
    """

    operation: str
    slot: str
    arguments: str
    done: bool
    result: Any


class Tokens:
    """The last writes of one service. Call it under the service's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, token: str, operation: str, slot: str, *arguments: object) -> Write:
        """The write as it stands; one that is not done has to be carried out, again if need be.

        Raises Invalid when the token was used with other arguments.
        """
        writes = self._read()
        digest = hashlib.sha256(json.dumps([operation, slot, *arguments]).encode()).hexdigest()
        known = writes.get(token)
        if known is not None:
            if known["arguments"] != digest:
                raise Invalid(f"token {token}: was used for another write than this {operation} of {slot}")
            return known
        for write in writes.values():
            if write["slot"] == slot and (write["operation"] == operation or operation not in LIMITED):
                write["done"] = True  # overtaken: a late repeat of it must not undo this one
        writes[token] = Write(operation=operation, slot=slot, arguments=digest, done=False, result=None)
        self._save(writes)
        return writes[token]

    def known(self, token: str) -> bool:
        return token in self._read()

    def finish(self, token: str, result: object = None) -> None:
        writes = self._read()
        if token in writes:
            writes[token]["done"], writes[token]["result"] = True, result
            self._save(writes)

    def _read(self) -> dict[str, Write]:
        return {item["token"]: item["write"] for item in read_json(self._path) or []}

    def _save(self, writes: dict[str, Write]) -> None:
        kept = list(writes.items())[-REMEMBERED:]
        write_json(self._path, [{"token": token, "write": write} for token, write in kept])
