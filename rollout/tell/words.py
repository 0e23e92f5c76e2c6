"""How a rollout stands, or stood, in words for a person at three in the morning. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from rollout.tell.clean import clean
from rollout.tell.moments import lasted, local
from rollout.tell.sentences import short

HEADLINES = {
    "closed_promoted": "is over: it was promoted, and {replacement} serves",
    "closed_rolled_back": "is over: it was rolled back, and {original} serves",
    "closed_aborted": "is over: it was aborted",
    "closed_by_hand": "is over: somebody closed it",
    "adopted": "is over: what served was taken as it was",
    "halted": "is HALTED: only a person can decide how it goes on",
    "adopting": "is being ended: what serves is taken as it is",
    "rolling_back": "is turning back to {original}",
    "paused": "is paused",
    "held": "stands still: somebody holds the service",
    "frozen": "stands still: somebody froze it, or the part of the fleet that it is in",
    "waiting_approval": "waits for a second person's approval",
    "warm": "was promoted: {replacement} serves, and {original} stays warm as the way back",
    "warm_over": "was promoted: {replacement} serves, and the time of the way back to {original} is over",
    "retiring": "was promoted, and {original} is being given up",
    "gate": "is being proven at gate {step}",
    "waiting": "is under way, and waits",
    "acting": "is under way",
}
SHOWN = 600  # characters of one sentence of evidence


def words_of(told: Mapping[str, Any], columns: int = 80) -> str:
    """What `standing_of` found, as short paragraphs under headings."""
    lines = [*_headline(told), *_traffic(told)]
    lines += _part("Why", [*told["why"], *_evidence(told["evidence"]), *_rule(told["gate"])])
    lines += _part("Done", [f"{local(each['at'], zone=False)[11:]}  {each['text']}" for each in told["done"]])
    lines += _part("Next, by itself" if not told["past"] else "What was to come next, by itself", _next(told))
    lines += _part("What undoes this phase", _undo(told))
    if told["last_actor"]:
        last = told["last_actor"]
        lines += _part("Who acted last", [f"{last['who']}: {last['did']}, {local(last['at'])}"])
    if told["hold"]:
        lines += _part("Hold", [_hold(told["hold"])])
    told_lines = [_wrapped(line, columns) for line in lines]
    return "\n".join([*told_lines, *_commands(told["commands"], columns)])


def nothing_told(told: Mapping[str, Any], columns: int = 80) -> str:
    """For a service of which no rollout had begun by then."""
    lines = [f"{told['service']}: no rollout of it had begun by {local(told['at'])}"]
    if told["first"]:
        first = told["first"]
        lines.append(f"The first one, {first['id']}, began {local(first['opened_at'])}")
        lines.append(f"and found {short(clean(first['image']))} on {first['slot']}.")
    if told["last_actor"]:
        last = told["last_actor"]
        lines.append(f"Who acted last: {last['who']}: {last['did']}, {local(last['at'])}")
    if told["hold"]:
        lines.append(_hold(told["hold"]))
    return "\n".join(_wrapped(clean(line), columns) for line in lines)


def _headline(told: Mapping[str, Any]) -> list[str]:
    step = told["gate"]["step"] if told["gate"] else ""
    text = HEADLINES.get(told["situation"], "is over").format(**{**told, "step": step})
    before = f"At {local(told['at'])}: " if told["past"] else ""
    ago = lasted(max(0.0, told["at"] - told["since"]))
    by_then = "by then for" if told["past"] else "for"
    return [f"{before}{told['id']} {text}", f"since {local(told['since'])}, {by_then} {ago} (phase {told['phase']})"]


def _traffic(told: Mapping[str, Any]) -> list[str]:
    if not told["traffic"]:
        return [
            f"traffic  not read yet; the plan was made with all of it on {told['original']} ({short(told['image'])})"
        ]
    read = "read now" if told["traffic_read"] == "live" else "as last journalled"
    sides = (
        f"{slot} {share} % ({short(str(told['images'].get(slot)))})" for slot, share in sorted(told["traffic"].items())
    )
    return [f"traffic  {', '.join(sides)}, {read}"]


def _part(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title, *(f"  {clean(line, SHOWN)}" for line in lines)] if lines else []


def _evidence(found: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = list[str]()
    for each in found:
        on, beside = each["on"], each["beside"]
        line = f"check {each['check']}: {each['finding']} on {on['slot']}: {on['summary']}"
        if beside:
            line += f"; at the same time {beside['answer']} on {beside['slot']}: {beside['summary']}"
        lines.append(line)
    return lines


def _rule(gate: Mapping[str, Any] | None) -> list[str]:
    return [f"the rule of gate {gate['gate']}: {gate['rule']}"] if gate else []


def _next(told: Mapping[str, Any]) -> list[str]:
    lines = [told["next"]]
    if told["until"] is not None:
        left = told["until"] - told["at"]
        lines.append(f"until {local(told['until'])} ({f'{lasted(left)} left' if left > 0 else 'that time has passed'})")
    if not told["past"] and not _is_over(told) and told["situation"] != "halted":
        nobody = f"but nobody drives it now, so nothing happens: rollout resume {told['id']} (or rollout serve)"
        if told["situation"] in ("paused", "held", "frozen"):
            nobody = "nobody drives it now, so nothing watches it (rollout serve would)"
        lines.append(f"driven by {told['driven_by']}" if told["driven_by"] else nobody)
    return lines


def _is_over(told: Mapping[str, Any]) -> bool:
    return bool(told["situation"] == "adopted" or told["situation"].startswith("closed"))


def _undo(told: Mapping[str, Any]) -> list[str]:
    if _is_over(told):
        return [told["undo"]]
    limit = told["undo_limit_s"]
    return [told["undo"], *([f"a wait of this phase is given up after {lasted(limit)}"] if limit is not None else [])]


def _hold(hold: Mapping[str, Any]) -> str:
    until = f" until {local(hold['until'])}" if hold["until"] is not None else ""
    return f"{hold['by']} holds the service{until}: {hold['reason'] or 'no reason given'}"


def _commands(found: Sequence[Mapping[str, str]], columns: int) -> list[str]:
    """Never folded: they are to be typed or copied."""
    if not found:
        return []
    width = max(len(each["command"]) for each in found)
    beside = all(width + 4 + len(each["does"]) <= columns for each in found)
    between = "  " if beside else "\n      "
    told = [f"  {clean(each['command']):{width if beside else 0}}{between}{clean(each['does'])}" for each in found]
    return ["", "You can", *told]


def _wrapped(line: str, columns: int) -> str:
    """Harmless, and folded with an indent."""
    line = _clean(line)
    if len(line) <= columns:
        return line
    after = " " * (len(line) - len(line.lstrip()) + 2)
    return "\n".join(textwrap.wrap(line, columns, subsequent_indent=after, break_on_hyphens=False))


def _clean(line: str) -> str:
    """Harmless, with its indent and the blanks inside of it."""
    return "  ".join(clean(piece) for piece in line.split("  ")).rstrip()
