"""Has the platform room for a standby, and does nothing that is known of stand in its way?

For the preflight gate, about the original. What blocks fails, what cannot be told is unknown, and what a person should
know of is evidence. Severity: always 1, for one thing that blocks is enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from healthchecks.base import Subject, Verdict
from healthchecks.guard import guarded, short
from providers.base import Concern, Patch

SHOWN = 20  # concerns of a kind in the evidence
TEXT = 600  # characters of each
NOT_YET_KNOWN = Patch("", {})
KINDS = ("blocks", "unknown", "notice")


@dataclass(frozen=True)
class Options:
    """`ahead_s`: how far ahead is looked for what would disturb, such as scheduled actions; about as long as both
    sides will be there.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    ahead_s: float = 86400.0

    def __post_init__(self) -> None:
        if not 0 <= self.ahead_s <= 366 * 86400:
            raise ValueError("ahead_s is 0 to a year")


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    original = subject.slot if subject.role == "original" else subject.beside
    patch = subject.patch or NOT_YET_KNOWN
    found = subject.readings.concerns(original, patch, subject.capacity, subject.now + options.ahead_s)
    if not isinstance(found, list | tuple) or any(one.kind not in KINDS for one in found):
        return Verdict.unknown("the platform's concerns are none that are known")
    return _judge({kind: [one for one in found if one.kind == kind] for kind in KINDS})


def _judge(found: Mapping[str, Sequence[Concern]]) -> Verdict:
    evidence: dict[str, Any] = {kind: [short(one.text, TEXT) for one in found[kind][:SHOWN]] for kind in KINDS}
    if found["blocks"]:
        return Verdict.failed(_told("in the way", found["blocks"]), **evidence)
    if found["unknown"]:
        return Verdict.unknown(_told("cannot be told", found["unknown"]), **evidence)
    notices = f"; {len(found['notice'])} to know of" if found["notice"] else ""
    return Verdict.passed(f"nothing in the way of a standby{notices}", **evidence)


def _told(what: str, found: Sequence[Concern]) -> str:
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{what}: {short(found[0].text, 400)}{more}"
