"""The entries of a journal as sentences, also those that this release has no sentence for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from rollout.journal import Entry
from rollout.telling import brief, sentence

SILENT = ("intended", "waiting", "done", "ended")
"""Kinds of which only some entries say anything to a person."""
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")
_WHO = ("actor", "by")
_SAID = (*_WHO, "reason", "ref")


def told(entry: Entry) -> str | None:
    """What an entry says; a kind that is new to this release, and a damaged entry, are told by their names."""
    try:
        text = sentence(entry)
    except (KeyError, TypeError, AttributeError, ValueError):
        return brief(f"{words(entry.kind)} {entry.step} (its data has not the usual shape)")
    return text if text or entry.kind in SILENT else generic(entry)


def story(entries: Iterable[Entry]) -> list[tuple[float, str]]:
    """When what was said, oldest first."""
    return [(entry.at, text) for entry in entries if (text := told(entry))]


def generic(entry: Entry) -> str:
    """Any entry in words: its kind, who, why, and what else is plain in it."""
    by, why, more = who(entry.data), str(entry.data.get("reason") or ""), extras(entry.data)
    text = f"{words(entry.kind)}{f' {entry.step}' if entry.step else ''}{f' by {by}' if by else ''}"
    return brief(f"{text}{f': {why}' if why else ''}{f' ({more})' if more else ''}")


def words(kind: str) -> str:
    return kind.replace("_", " ")


def short(image: str) -> str:
    """A digest in the length in which people compare them; other names as they are."""
    return _DIGEST.sub(r"\1", image)


def who(data: Mapping[str, Any]) -> str:
    """Who did it, under whichever name it was kept."""
    return next((str(data[key]) for key in _WHO if data.get(key)), "")


def extras(data: Mapping[str, Any]) -> str:
    """What is plain in an entry besides who and why."""
    plain = ((key, value) for key, value in sorted(data.items()) if key not in _SAID)
    return ", ".join(f"{words(str(key))} {_value(value)}" for key, value in plain if _is_told(value))


def _is_told(value: Any) -> bool:
    plain_list = isinstance(value, list) and all(isinstance(each, str | int | float) for each in value)
    return value not in (None, "", [], {}) and (isinstance(value, str | int | float) or plain_list)


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
