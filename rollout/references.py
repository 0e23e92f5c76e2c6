"""Secrets that the options of a check refer to: read when the check is asked, and kept out of what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from healthchecks.base import Verdict
from rollout.fleetfile.secrets import is_reference
from rollout.notify.target import read_secret

SHORTEST = 4
"""What is shorter is in every other sentence, and cannot be kept out of one."""
HIDDEN = CUT = "…"
LONGEST_CUT = 300


@dataclass(frozen=True, slots=True)
class Resolved:
    """Options with text where references were. `hidden` are the texts, the longest first."""

    options: Mapping[str, Any]
    hidden: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Resolved({len(self.hidden)} secrets)"

    def without(self, verdict: Verdict) -> Verdict:
        """The verdict, in which none of the secrets stands: the journal keeps it for ever."""
        if not self.hidden:
            return verdict
        return replace(verdict, summary=self.cleaned(verdict.summary), evidence=self.cleaned(dict(verdict.evidence)))

    def cleaned(self, value: Any) -> Any:
        """Plain data without the secrets."""
        if isinstance(value, str):
            for secret in self.hidden:
                value = _without(value, secret)
            return value
        if isinstance(value, Mapping):
            return {self.cleaned(key): self.cleaned(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.cleaned(inner) for inner in value]
        return value


def _without(text: str, secret: str) -> str:
    text = text.replace(secret, HIDDEN)
    if CUT in text:  # what a check had cut off may be the rest of it
        for length in range(min(len(secret) - 1, LONGEST_CUT), SHORTEST - 1, -1):
            text = text.replace(secret[:length] + CUT, CUT)
    return text


def resolved(options: Mapping[str, Any]) -> Resolved:
    """With every {env: NAME} and {file: PATH} read now; raises SecretMissing, which names the reference only."""
    found = set[str]()
    read = {key: _read(value, found) for key, value in options.items()}
    return Resolved(read, tuple(sorted((each for each in found if len(each) >= SHORTEST), key=len, reverse=True)))


def _read(value: Any, found: set[str]) -> Any:
    if is_reference(value):
        secret = read_secret(value)
        found.add(secret)
        return secret
    if isinstance(value, Mapping):
        return {key: _read(inner, found) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_read(inner, found) for inner in value]
    return value
