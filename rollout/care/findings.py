"""What a look at the installation finds: each finding with what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Level = Literal["ok", "warning", "problem"]
LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` is what was looked at; `fix` a command or a sentence, empty where nothing is to be done."""

    check: str
    level: Level
    text: str
    fix: str = ""


def ok(check: str, text: str) -> Finding:
    return Finding(check, "ok", text)


def warning(check: str, text: str, fix: str) -> Finding:
    return Finding(check, "warning", text, fix)


def problem(check: str, text: str, fix: str) -> Finding:
    return Finding(check, "problem", text, fix)


def findings_text(found: Sequence[Finding]) -> str:
    """A line a finding, with its fix below; the worst last, and the sum at the end."""
    lines = []
    for each in sorted(found, key=lambda finding: LEVELS.index(finding.level)):
        lines.append(f"{each.level:8} {each.check:12} {each.text}")
        if each.fix:
            lines.append(f"{'':21} → {each.fix}")
    counts = {level: sum(each.level == level for each in found) for level in LEVELS}
    return "\n".join([*lines, f"{counts['problem']} problems, {counts['warning']} warnings, {counts['ok']} in order"])
