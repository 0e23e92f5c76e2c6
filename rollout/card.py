"""The rollback card: the precomputed way back of one service, kept as a plain file beside the store's record.

Standard library only: the emergency path reads it, and a person with nothing but a text viewer can.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rollout.state_dir import make_folder, share


@dataclass(frozen=True, slots=True)
class Card:
    """Where traffic goes back to, and what must be true there.

    `target` is what `providers/<provider>/rollback.py` needs; `capacity` the units that the original must have;
    `write_timeout_s` how long a write in flight may still land; `valid_until` (seconds since 1970) is None until
    the rollout is promoted. `was_healthy`: all that the original needs was healthy when the card was written.
    `epoch` is the service's at the last writing: a store that is behind it was put back from a backup. `wave`: the
    campaign and wave (`monthly/canary`) that it is patched in, so that a wave is found without the store.
    """

    rollout: str
    service: str
    provider: str
    original: str
    replacement: str
    target: Mapping[str, Any]
    capacity: int
    write_timeout_s: float
    app_version: str | None
    written_at: float
    was_healthy: bool = False
    valid_until: float | None = None
    closed: str = ""
    epoch: int = 0
    wave: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Card:
        """Raises TypeError for what is missing or of another kind; what a later release added is left out."""
        card = cls(**{name: data[name] for name in cls.__slots__ if name in data})
        for name, kinds in _KINDS.items():
            value = getattr(card, name)
            if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
                raise TypeError(f"its {name} is {value!r}"[:200])
        if {card.original, card.replacement} != {"blue", "green"}:
            raise TypeError(f"it leads from {card.replacement!r} to {card.original!r}"[:200])
        return card

    @property
    def way_back(self) -> dict[str, int]:
        """The weights that put traffic back."""
        return {self.original: 100, self.replacement: 0}


_NUMBER, _NO = (int, float), type(None)
_KINDS: Mapping[str, Any] = {
    **dict.fromkeys(("rollout", "service", "provider", "original", "replacement", "closed", "wave"), str),
    **dict.fromkeys(("write_timeout_s", "written_at"), _NUMBER),
    **dict.fromkeys(("capacity", "epoch"), int),
    "target": Mapping,
    "app_version": (str, _NO),
    "was_healthy": bool,
    "valid_until": (*_NUMBER, _NO),
}


class CardUnreadable(ValueError):
    """A card file that is damaged, or written by another release; the message names it."""


class CardSuperseded(Exception):
    """The file holds the card of a later rollout: whoever still writes the earlier one is late."""


class CardFolder:
    """The cards of a fleet, one file a service; a write is complete or did not happen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, service: str) -> Path:
        return self.folder / f"{service}.json"

    def write(self, card: Card, begun: str = "") -> None:
        """The card, and its sheet for people; `begun`: by whom the rollout was, for them to know.

        Raises CardSuperseded rather than overwrite the card of a rollout that began later.
        """
        make_folder(self.folder)
        path = self.folder / f".{card.service}.lock"
        with path.open("w") as lock:
            share(path)
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._raise_if_superseded(card)
            aside = self.folder / f".{card.service}.{os.getpid()}"
            with aside.open("w") as file:
                json.dump(card.to_json(), file, indent=2, sort_keys=True)
                file.flush()
                os.fsync(file.fileno())
            share(aside)
            aside.replace(self.path(card.service))
            self._write_sheet(card, begun)
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, service: str) -> None:
        """The card and its sheet, if they are there."""
        self.path(service).unlink(missing_ok=True)
        self.sheet(service).unlink(missing_ok=True)

    def sheet(self, service: str) -> Path:
        """The card in plain words, for a person who has nothing else."""
        return self.folder / f"{service}.txt"

    def _write_sheet(self, card: Card, begun: str) -> None:
        """After the card, which is what counts: a sheet that cannot be written stops nothing."""
        from rollout.sheet import sheet_of  # only for whoever writes

        path = self.sheet(card.service)
        aside = self.folder / f".{card.service}.txt.{os.getpid()}"
        try:
            aside.touch(mode=0o600)
            aside.write_text(sheet_of(card, begun), encoding="utf-8")
            share(aside)
            aside.replace(path)
        except OSError:
            aside.unlink(missing_ok=True)
            path.unlink(missing_ok=True)  # an earlier one would mislead

    def _raise_if_superseded(self, card: Card) -> None:
        try:
            present = self.read(card.service)
        except CardUnreadable:
            return
        if present and present.rollout != card.rollout and present.written_at > card.written_at:
            raise CardSuperseded(f"{self.path(card.service)} is the card of {present.rollout}, which began later")

    def read(self, service: str) -> Card | None:
        try:
            card = Card.from_json(json.loads(self.path(service).read_text()))
            if card.service != service:
                raise TypeError(f"it is of {card.service!r}")
            return card
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise CardUnreadable(f"the rollback card {self.path(service)} cannot be read: {error}") from error

    def all(self) -> tuple[list[Card], list[str]]:
        """The cards that can be read, and what is wrong with the others."""
        cards, problems = [], []
        for path in sorted(self.folder.glob("*.json")):
            try:
                card = self.read(path.stem)
            except CardUnreadable as error:
                problems.append(str(error))
            else:
                cards += [card] if card else []
        return cards, problems
