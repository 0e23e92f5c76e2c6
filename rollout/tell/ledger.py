"""What a patch did to the advisories of each host, from the evidence of the check that compared both sides. Pure.

The evidence was written by a check, which may be anybody's: what has not the expected shape is shown as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rollout.tell.case import PARTS, Case

CLASSES = ("fixed", "remaining", "introduced", "undecided")


def ledger_told(case: Case) -> dict[str, Any] | None:
    """Counts, one line an advisory, one a host; None where nobody looked at advisories."""
    ledger, counts = case.ledger, case.counts
    if ledger is None or counts is None:
        return None
    lines = [line for part in CLASSES for line in _lines(part, ledger.get(part))]
    gaps = [_gap(gap) for gap in _listed(ledger.get("unknown"))]
    unseen = [str(each) for each in _listed(ledger.get("unseen"))]
    return {
        "counts": counts,
        "hosts": _hosts(lines, gaps, case),
        "advisories": lines,
        "unknown": [*gaps, *({"side": "", "hosts": [], "subject": "", "reason": each} for each in unseen)],
        "cut": bool(ledger.get("cut")),
        "database": {key: ledger.get(f"database_{key}") for key in ("digest", "records", "newest")},
    }


def _listed(found: Any) -> Sequence[Any]:
    return found if isinstance(found, list) else ()


def _texts(found: Any) -> list[str]:
    return [str(each) for each in _listed(found)]


def _lines(part: str, found: Any) -> Iterator[dict[str, Any]]:
    for entry in _listed(found):
        if not isinstance(entry, Mapping):
            yield {**_empty(part), "id": str(entry)}
            continue
        yield {
            "part": part,
            "id": str(entry.get("id", "")),
            "packages": [_package(each) for each in _listed(entry.get("packages"))],
            "summary": str(entry.get("summary", "")),
            "original_hosts": _texts(entry.get("original_hosts")),
            "replacement_hosts": _texts(entry.get("replacement_hosts")),
        }


def _empty(part: str) -> dict[str, Any]:
    return {"part": part, "id": "", "packages": [], "summary": "", "original_hosts": [], "replacement_hosts": []}


def _package(found: Any) -> str:
    if not isinstance(found, Mapping):
        return str(found)
    old, new = ("/".join(_texts(found.get(side))) or "absent" for side in ("old", "new"))
    return f"{found.get('name')} {old} → {new}"


def _gap(found: Any) -> dict[str, Any]:
    if not isinstance(found, Mapping):
        return {"side": "", "hosts": [], "subject": "", "reason": str(found)}
    said = {key: str(found.get(key, "")) for key in ("side", "subject", "reason")}
    return {**said, "hosts": _texts(found.get("hosts"))}


def _hosts(lines: Sequence[Mapping[str, Any]], gaps: Sequence[Mapping[str, Any]], case: Case) -> list[dict[str, Any]]:
    """Each host with the ids of what concerns it: on the original fixed and remaining, on the replacement the rest."""
    slots = {"original": case.original, "replacement": case.replacement}
    found = dict[tuple[str, str], dict[str, Any]]()

    def note(side: str, host: str, part: str, what: str) -> None:
        empty = {
            "host": host,
            "side": side,
            "slot": slots.get(side, ""),
            **{each: [] for each in (*PARTS, "undecided")},
        }
        found.setdefault((side, host), empty)[part].append(what)

    for line in lines:
        for side in slots:
            for host in line[f"{side}_hosts"]:
                note(side, host, line["part"], line["id"])
    for gap in gaps:
        for host in gap["hosts"]:
            note(gap["side"], host, "unknown", gap["subject"] or gap["reason"])
    return [found[key] for key in sorted(found)]
