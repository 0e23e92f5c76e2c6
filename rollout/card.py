"""The rollback card: the precomputed way back of one service, kept as a plain file beside the store's record.

Standard library only: the emergency path reads it, and a person with nothing but a text viewer can.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Card:
    """Where traffic goes back to, and what must be true there.

    `target` is what `providers/<provider>/rollback.py` needs; `capacity` the units that the original must have;
    `write_timeout_s` how long a write in flight may still land; `valid_until` (seconds since 1970) is None until
    the rollout is promoted.
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
    valid_until: float | None = None
    closed: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Card:
        return cls(**data)

    @property
    def way_back(self) -> dict[str, int]:
        """The weights that put traffic back."""
        return {self.original: 100, self.replacement: 0}


class CardUnreadable(ValueError):
    """A card file that is damaged, or written by another release; the message names it."""


class CardFolder:
    """The cards of a fleet, one file a service; a write is complete or did not happen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, service: str) -> Path:
        return self.folder / f"{service}.json"

    def write(self, card: Card) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = self.folder / f".{card.service}.{os.getpid()}"
        with aside.open("w") as file:
            json.dump(card.to_json(), file, indent=2, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self.path(card.service))
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, service: str) -> Card | None:
        try:
            return Card.from_json(json.loads(self.path(service).read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise CardUnreadable(f"the rollback card {self.path(service)} cannot be read: {error}") from error

    def all(self) -> list[Card]:
        return [card for path in sorted(self.folder.glob("*.json")) if (card := self.read(path.stem))]
