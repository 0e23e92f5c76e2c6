"""A campaign at a glance: its waves, then its services as rows with the phases as columns. Pure.

What fails or moves comes first; of thousands, only so many rows are shown as there is room for, and the rest is
counted. The same lines are `rollout wave status` on paper and, cut to the terminal, its live view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from rollout.telling import brief, clock_time, short
from rollout.view.panel import line

PHASES = ("preparing", "mirroring", "patching", "proving", "shifting", "baking", "warm")
WIDE = 130
"""Columns from which the phases have their whole names."""
DONE, NOW, TO_DO, FAILED = "█", "▒", "░", "×"
ROWS = 40
"""Services that are listed where nothing limits the height."""
WAVES = 8
_RANK = {"failing": 0, "moving": 1, "failed": 2, "waiting": 4, "accepted": 5, "skipped": 6}
_STYLE = {"failing": "bold red", "failed": "red", "moving": "bold", "accepted": "green", "skipped": "yellow"}
_STATES = {"stopped": "bold red", "paused": "yellow", "aborting": "yellow", "aborted": "yellow", "ended": "green"}
_COUNTED = ("waiting", "moving", "accepted", "failing", "failed", "skipped")
_TOLD = {"failing": "turning back or halted", "failed": "put back", "skipped": "left out", "accepted": "patched"}


def board(standing: Mapping[str, Any], *, now: float, width: int, height: int | None = None) -> RenderableType:
    """At most `height` rows of `width` cells; without a height as many as there is something to say of."""
    if not standing:
        return Text("")
    head = _header(standing)
    foot = _footer(standing, now, live=height is not None)
    waves = _waves(standing)
    services = _ordered(standing["services"])
    if height is None:
        room = ROWS
    else:
        head, foot = head[: max(1, height - 2)], foot[: max(1, height - len(head))]
        left = height - len(head) - len(foot)
        waves = waves if len(waves) < left else waves[: max(0, left)]
        room = max(0, left - len(waves) - 2)  # a line of heads, and the count of what is left out
    shown = services[:room]
    parts: list[RenderableType] = [*head, *waves]
    if shown:
        parts.append(_table(standing, shown, width))
    if len(services) > len(shown) and (height is None or room):
        parts.append(line((f"and {len(services) - len(shown)} services more: {_rest(services[len(shown) :])}", "dim")))
    return Group(*parts, *foot)


def lines(standing: Mapping[str, Any], *, now: float, width: int, height: int | None = None) -> list[str]:
    """The same as plain text."""
    console = Console(width=width, no_color=True, markup=False, emoji=False, highlight=False, force_terminal=False)
    with console.capture() as captured:
        console.print(board(standing, now=now, width=width, height=height))
    return [each.rstrip() for each in captured.get().splitlines()]


def _header(standing: Mapping[str, Any]) -> list[Text]:
    state = str(standing["state"])
    ref = f" ({brief(standing['ref'])})" if standing["ref"] else ""
    first = line(
        (brief(standing["campaign"]), "bold"),
        "  ",
        (state, _STATES.get(state, "bold")),
        f"  {brief(standing['reference'])}  {standing['id']}  by {brief(standing['actor'])}{ref}",
    )
    counts = ", ".join(f"{count} {_TOLD.get(key, key)}" for key, count in standing["counts"].items() if count)
    hosts = f"{standing['unproven_hosts']} hosts unproven, {standing['extra_instances']} extra instances"
    rows = [first, line(f"  {counts or 'no services'}; {hosts}")]
    if standing["said"]:
        by = f" by {brief(standing['said_by'])}" if standing["said_by"] not in ("", "rollout") else ""
        rows.append(line((f"  {state}{by}: {brief(standing['said'])}", _STATES.get(state, ""))))
    return rows


def _waves(standing: Mapping[str, Any]) -> list[Text]:
    """A row a wave; of many, those that are over come together."""
    waves = list(standing["waves"])
    over = [wave for wave in waves if wave["state"] == "done"]
    if len(waves) <= WAVES:
        over = []
    names = max((len(str(wave["name"])) for wave in waves), default=0)
    rows = [line((f"  {len(over)} waves are done", "dim"))] if over else []
    for wave in waves:
        if wave in over:
            continue
        counts = wave["counts"]
        through = counts["accepted"] + counts["failed"] + counts["skipped"]
        told = _wave_told(wave)
        rows.append(
            line(
                f"  {wave['name']:<{min(names, 24)}}  ",
                (f"{wave['state']:<8}", "bold" if wave["state"] in ("running", "soaking") else "dim"),
                f"{through:>6}/{wave['services']:<6} ",
                told,
            )
        )
    return rows


def _wave_told(wave: Mapping[str, Any]) -> str:
    """What it waits for comes first: of a narrow terminal the end is cut."""
    pieces = []
    if wave["state"] == "soaking":
        pieces.append(f"soaks until {clock_time(wave['soak_until'])}")
    elif wave["waits"]:
        until = f" (until {clock_time(wave['until'])})" if wave["until"] else ""
        pieces.append(f"waits: {brief(wave['waits'])}{until}")
    shown = ("failing", "failed", "moving", "skipped")
    pieces += [f"{wave['counts'][key]} {_TOLD.get(key, key)}" for key in shown if wave["counts"][key]]
    return "; ".join(pieces)


def _ordered(services: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    def rank(each: Mapping[str, Any]) -> int:
        told = each["progress"] == "waiting" and bool(each["waits"])
        return 3 if told else _RANK[each["progress"]]

    return sorted(services, key=rank)


def _table(standing: Mapping[str, Any], services: Sequence[Mapping[str, Any]], width: int) -> Table:
    wide, several = width >= WIDE, len(standing["waves"]) > 1
    table = Table(
        box=None, pad_edge=False, padding=(0, 1), collapse_padding=True, show_edge=False, expand=False, width=width
    )
    longest = max(len(str(each["service"])) for each in services)
    table.add_column("  service", no_wrap=True, overflow="ellipsis", width=max(9, min(longest + 2, 26 if wide else 20)))
    if several and width >= 100:
        table.add_column("wave", no_wrap=True, overflow="ellipsis", width=min(16, _longest_wave(services)))
    for phase in PHASES:
        table.add_column(phase if wide else phase[:3], no_wrap=True, width=len(phase) if wide else 3)
    table.add_column("hosts", no_wrap=True, justify="right", width=5)
    table.add_column("what it waits for", no_wrap=True, overflow="ellipsis", ratio=1)
    for each in services:
        style = _STYLE.get(each["progress"], "dim")
        row: list[RenderableType] = [line((f"  {brief(each['service'])}", style))]
        if several and width >= 100:
            row.append(line(str(each["wave"])))
        row += [_cell(each, phase, wide) for phase in PHASES]
        hosts = "" if each["hosts"] is None else str(each["hosts"])
        table.add_row(*row, hosts, line((_told(each), style if each["progress"] in ("failing", "failed") else "")))
    return table


def _longest_wave(services: Sequence[Mapping[str, Any]]) -> int:
    return max(4, *(len(str(each["wave"])) for each in services))


def _cell(service: Mapping[str, Any], phase: str, wide: bool) -> Text:
    """How far it is with a phase: done, at it, not yet; or where it failed."""
    size = len(phase) if wide else 3
    at = _reached(service)
    here = PHASES.index(phase)
    if service["progress"] in ("failing", "failed"):
        mark, style = FAILED, "red"
    elif here < at:
        mark, style = DONE, "green"
    elif here == at:
        mark, style = (DONE, "green") if service["progress"] == "accepted" else (NOW, "bold")
    else:
        mark, style = TO_DO, "dim"
    return Text(mark * size, style=style, no_wrap=True)


def _reached(service: Mapping[str, Any]) -> int:
    """The number of the phase that it is in; -1 before the first."""
    if service["progress"] == "accepted":
        return PHASES.index("warm")
    phase = str(service["phase"])
    return PHASES.index(phase) if phase in PHASES else -1


def _told(service: Mapping[str, Any]) -> str:
    progress, waits = service["progress"], brief(str(service["waits"] or ""))
    if progress == "failing":
        return f"{service['outcome']}: {waits}" if waits else str(service["outcome"])
    if progress == "failed":
        return f"{str(service['outcome']).replace('_', ' ')}: rollout explain {service['rollout']}"
    if progress == "accepted":
        return "patched" + (f", {service['phase']}" if service["phase"] != "warm" else ", the old side is warm")
    if progress == "skipped":
        return f"left out: {waits}"
    if service["paused"]:
        return f"paused; {waits}" if waits else "paused"
    return waits or ("its turn has not come" if progress == "waiting" else str(service["phase"]))


def _rest(services: Sequence[Mapping[str, Any]]) -> str:
    counts = {key: sum(each["progress"] == key for each in services) for key in _COUNTED}
    return ", ".join(f"{count} {_TOLD.get(key, key)}" for key, count in counts.items() if count)


def _footer(standing: Mapping[str, Any], now: float, *, live: bool) -> list[Text]:
    rows = [line(("  next     ", "dim"), str(standing["next"]))] if standing["next"] else []
    if live:
        rows.append(line((f"{clock_time(now)}  Ctrl-C ends the watching, and nothing else", "dim")))
    return rows


# What would be done


def plan_lines(plan: Mapping[str, Any], width: int) -> list[str]:
    """`rollout wave plan` as a table: what each wave would do and cost, what is left out and why, totals at the end."""
    from rollout.durations import format_duration

    console = Console(width=width, no_color=True, markup=False, emoji=False, highlight=False, force_terminal=False)
    with console.capture() as captured:
        console.print(line(f"{plan['campaign']}: {plan['reference']}  patch {plan['patch_hash'][:12]}"))
        for key, image in plan["images"].items():
            console.print(line(f"  {key}  {short(image, 60)}"))
        for wave in plan["waves"]:
            after = f", after {' and '.join(wave['after'])}" if wave["after"] else ""
            least = (
                f"at least {format_duration(round(wave['seconds'] / 60) * 60)}" if wave["seconds"] else "nothing to do"
            )
            limits = f"{wave['max_parallel']} at once, stops after {wave['stop_after_failures']} failed"
            console.print(line(f"wave {wave['name']}{after}: {limits}{_more(wave)}; {least}"))
            console.print(_plan_table(wave, width))
    told = plan["totals"]
    end = [
        f"hours    {plan['hours']}" if plan["hours"] else "",
        f"DENIED   {plan['denied']}: it would not start" if plan["denied"] else "",
        f"total    {_services(told['services'])}, {told['excluded']} left out; {told['added_instances']} instances and "
        f"{told['instance_hours']:g} instance-hours more, warm old sides included",
    ]
    return [each.rstrip() for each in captured.get().splitlines()] + [each for each in end if each]


def _services(count: int) -> str:
    return f"{count} service{'' if count == 1 else 's'}"


def _more(wave: Mapping[str, Any]) -> str:
    from rollout.durations import format_duration

    pieces = []
    if wave["max_unproven_hosts"] is not None:
        pieces.append(f"{wave['max_unproven_hosts']} hosts unproven")
    if wave["max_extra_instances"] is not None:
        pieces.append(f"{wave['max_extra_instances']} extra instances")
    if wave["one_at_a_time"] != "none":
        pieces.append(f"one {wave['one_at_a_time']} at a time")
    pieces.append(f"soak {format_duration(wave['soak_s'])}")
    if wave["go_on"] == "asked":
        pieces.append("then a person's word")
    return ", " + ", ".join(pieces)


def _plan_table(wave: Mapping[str, Any], width: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=True, show_edge=False, width=width)
    images = 28 if width >= WIDE else 14
    table.add_column("  service", no_wrap=True, overflow="ellipsis", width=20)
    table.add_column("image now", no_wrap=True, overflow="ellipsis", width=images)
    if width >= 100:
        table.add_column("then", no_wrap=True, overflow="ellipsis", width=images)
    table.add_column("hosts", no_wrap=True, justify="right", width=5)
    table.add_column("hours", no_wrap=True, justify="right", width=7)
    table.add_column("left out because", no_wrap=True, overflow="ellipsis", ratio=1)
    rows = sorted(wave["rows"], key=lambda row: bool(row["excluded"]), reverse=True)
    for row in rows[:ROWS]:
        hours = f"{row['instance_hours']:g}" if row["instance_hours"] else ""
        hosts = str(row["hosts"]) if row["hosts"] else ""
        then = [short(row["then"], images)] if width >= 100 else []
        table.add_row(f"  {brief(row['service'])}", short(row["now"], images), *then, hosts, hours, brief(row["why"]))
    if len(rows) > ROWS:
        table.add_row(f"  and {len(rows) - ROWS} more")
    told = wave["totals"]
    blank = [""] if width >= 100 else []
    sums = str(told["added_instances"]), f"{told['instance_hours']:g}"
    table.add_row(f"  {_services(told['services'])}", "", *blank, *sums, "")
    return table
