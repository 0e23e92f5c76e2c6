"""What happened to services: rollouts, and what concerns no one rollout, newest first. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rollout.journal import Entry
from rollout.rows import Row
from rollout.tell.case import PARTS, Case
from rollout.tell.clean import clean
from rollout.tell.moments import lasted, local
from rollout.tell.sentences import extras, short, who, words

DONE = {
    "promoted": "promoted",
    "rolled_back": "rolled back",
    "aborted": "aborted",
    "halted": "halted",
    "running": "runs",
    "waiting_approval": "waits for approval",
}


def concerns(row: Row, since: float) -> bool:
    """Was it open at any time since then?"""
    return row.closed_at is None or row.closed_at >= since


def events_of(
    rows: Iterable[Row], fleet: Iterable[Entry], since: float, limit: int | None, case: Callable[[Row], Case]
) -> tuple[list[dict[str, Any]], int]:
    """Newest first (by when they began), and how many were left off. `case` reads one rollout's journal."""
    found: list[Row | Entry] = [row for row in rows if concerns(row, since)]
    found += [entry for entry in fleet if entry.at >= since]
    found.sort(key=_newest, reverse=True)
    shown = found if limit is None else found[:limit]
    told = [_rollout(case(each)) if isinstance(each, Row) else _fleet(each) for each in shown]
    return told, len(found) - len(shown)


def _newest(each: Row | Entry) -> tuple[float, int, str]:
    return (each.opened_at, 1, each.id) if isinstance(each, Row) else (each.at, each.seq, "")


def _rollout(case: Case) -> dict[str, Any]:
    row = case.row
    return {
        "kind": "rollout",
        "at": row.opened_at,
        "id": row.id,
        "service": row.service,
        "actor": row.actor,
        "reason": row.reason,
        "ref": case.ref,
        "from_image": case.from_image,
        "to_image": case.to_image,
        "patch": case.reference,
        "phase": row.phase,
        "outcome": row.outcome,
        "opened_at": row.opened_at,
        "closed_at": row.closed_at,
        "duration_s": case.duration_s,
        "promoted_at": case.promoted_at,
        "advisories": case.counts,
        "turned_back_at": case.turned_back_at,
        "turned_back_by": who(case.journal.decision.data) if case.journal.decision else None,
        "turned_back_because": str(case.journal.decision.data.get("reason", "")) if case.journal.decision else None,
        "back_s": case.back_s,
        "back_within": case.back_within,
        "pruned_at": row.pruned_at,
    }


def _fleet(entry: Entry) -> dict[str, Any]:
    """Any kind, also one that a later release writes."""
    data = entry.data
    return {
        "kind": entry.kind,
        "at": entry.at,
        "id": None,
        "service": entry.step or None,
        "actor": who(data),
        "reason": str(data.get("reason") or ""),
        "ref": str(data.get("ref") or ""),
        "data": dict(data),
        "seq": entry.seq,
    }


_ARN = re.compile(r"\barn:[\w-]+:[\w-]*:[\w-]*:\d*:")
"""What stands before a name that is unique in the world; in a narrow column it hides the name."""


def lines_of(event: dict[str, Any]) -> list[str]:
    """What, with what effect, why: each a line."""
    told = _rollout_lines(event) if event["kind"] == "rollout" else _fleet_lines(event)
    why = ", ".join(part for part in (event["reason"], event["ref"] and f"ref {event['ref']}") if part)
    return [clean(line, 400) for line in [*told, *([f"why: {why}"] if why else [])]]


def _rollout_lines(event: dict[str, Any]) -> list[str]:
    done = DONE.get(event["outcome"], event["outcome"])
    if event["closed_at"] is None:
        done += f", open ({words(event['phase'])})"
    after = (event["promoted_at"] or event["closed_at"]) if event["outcome"] == "promoted" else event["closed_at"]
    if after is not None:
        done += f" after {lasted(after - event['opened_at'])}"
    to = event["patch"] if event["patch"] == event["to_image"] else f"{event['patch']} ({short(event['to_image'])})"
    lines = [event["id"], f"{short(event['from_image'])} → {to}: {done}"]
    if event["advisories"]:
        lines.append(", ".join(f"{event['advisories'][part]} {part}" for part in PARTS))
    if event["turned_back_at"] is not None:
        how = "within" if event["back_within"] else "in"
        back = f", traffic back {how} {lasted(event['back_s'])}" if event["back_s"] is not None else ""
        lines.append(f"turned back by {event['turned_back_by']}{back}: {event['turned_back_because']}")
    return lines


def _fleet_lines(event: dict[str, Any]) -> list[str]:
    data = event["data"]
    until = data.get("until")
    more = extras({key: value for key, value in data.items() if not _is_time(key, value)})
    text = words(event["kind"]) + (f" until {local(until, zone=False)}" if _is_time("until", until) else "")
    return [f"{text}{f' ({short(more)})' if more else ''}"]


def _is_time(key: str, value: Any) -> bool:
    return key in ("until", "at", "held_since") and isinstance(value, int | float)


def table_of(events: Sequence[dict[str, Any]], columns: int) -> str:
    """A plain table in so many columns; what does not fit is folded, nothing is cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for name, width in (("when", 16), ("service", 14), ("who", 14), ("what", None)):
        table.add_column(name, max_width=width, overflow="fold", no_wrap=name == "when")
    for event in events:
        when = local(event["at"], zone=False)[:16]
        cells = (
            when,
            clean(event["service"] or "all", 80),
            clean(_ARN.sub("", event["actor"] or "–"), 80),
            "\n".join(lines_of(event)),
        )
        table.add_row(*(Text(cell) for cell in cells))
    console = Console(width=columns, no_color=True, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
