"""What keeps a check from ending anything but itself: trouble while asking is an unknown verdict.

`guarded` wraps a check's `ask`; `verdict_of` does the same for code of others and looks at the answer too.
Only what derives from BaseException alone (control flow of the engine, an interrupt) passes through.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import TypeVar

from healthchecks.base import Subject, Verdict
from providers.base import ProviderError

EVIDENCE_BYTES = 256 * 1024
"""More evidence than this is replaced by a note: the journal keeps every verdict."""

Options = TypeVar("Options")


def guarded(ask: Callable[[Options, Subject], Verdict]) -> Callable[[Options, Subject], Verdict]:
    """`ask`, with anything that it raises turned into an unknown verdict."""

    @wraps(ask)
    def safe(options: Options, subject: Subject) -> Verdict:
        return verdict_of(lambda: ask(options, subject))

    return safe


def verdict_of(ask: Callable[[], object]) -> Verdict:
    """What `ask` answers, if it is an answer; else why it is unknown."""
    try:
        return _sound(ask())
    except ProviderError as error:
        kind = type(error).__name__
        return Verdict.unknown(f"could not be read ({kind}): {short(error)}", error=kind)
    except Exception as error:
        kind = type(error).__name__
        return Verdict.unknown(f"check crashed: {kind}: {short(error)}", error=kind)


def _sound(verdict: object) -> Verdict:
    answer = getattr(verdict, "answer", None)
    if not isinstance(verdict, Verdict) or answer not in ("pass", "fail", "unknown"):
        return Verdict.unknown(f"check crashed: it answered {short(repr(verdict))}, which is no verdict")
    try:
        size = len(json.dumps(dict(verdict.evidence), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        return Verdict.unknown(f"check crashed: its evidence is not plain data: {short(error)}")
    if size > EVIDENCE_BYTES:
        return replace(verdict, evidence={"evidence_cut": f"{size} bytes were too many"})
    return verdict


def short(value: object, length: int = 200) -> str:
    """At most `length` characters of it, on one line."""
    text = " ".join(str(value).split())
    return text if len(text) <= length else text[: length - 1] + "…"
