"""The only place that prints. stdout is data, stderr is for people; with --json stdout is JSON, a line an event."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rollout.journal import Entry
    from rollout.lease import Holder
    from rollout.rows import Wait

_MARKS = {"failed": "31", "turning back": "33", "halted": "31", "interrupted": "33", "traffic:": "36", "promoted": "32"}


PAGE_COLUMNS = 160  # of what is piped into a file or another program
LEDGER_PARTS = ("fixed", "remaining", "introduced", "unknown")


class Screen:
    """What a command shows. Colours and the refreshed last line are for terminals only."""

    def __init__(self, *, as_json: bool, quiet: bool = False) -> None:
        self.as_json, self.quiet = as_json, quiet
        self._live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not as_json
        self._coloured = self._live and not os.environ.get("NO_COLOR")
        self._shown_wait = ""

    def say(self, text: str) -> None:
        """A line for people."""
        if not self.quiet:
            self._write(text)

    def problem(self, text: str) -> None:
        """What went wrong; never silenced."""
        self._write(text)

    def document(self, data: Mapping[str, Any], text: str) -> None:
        """The command's result: one JSON document, or its text."""
        self._clear()
        _put(sys.stdout, f"{json.dumps(data, sort_keys=True) if self.as_json else text}\n")

    def event(self, kind: str, **data: Any) -> None:
        if self.as_json:
            _put(sys.stdout, json.dumps({"event": kind, **data}, sort_keys=True) + "\n")

    # The stream of a rollout that is driven or watched

    def entry(self, entry: Entry) -> None:
        from rollout.telling import sentence

        told = sentence(entry)
        if self.as_json:
            self.event(entry.kind, id=entry.rollout, seq=entry.seq, at=entry.at, step=entry.step, text=told)
        elif told:
            self.say(f"{time.strftime('%H:%M:%S', time.localtime(entry.at))}  {told}")

    def wait(self, wait: Wait) -> None:
        """On a terminal the last line shows what is waited for; elsewhere a line each time the wait is another."""
        from rollout.telling import waiting

        text = waiting(wait, time.time())
        if self.quiet or self.as_json:
            self.event("looked", step=wait.step, seen=wait.state.get("seen"), text=None, waits=text)
            return
        if self._live:
            self._clear()
            columns = _columns()
            _put(sys.stderr, f"\r          {text}"[: columns - 1])
            self._shown_wait = text
        elif self._shown_wait != wait.step:
            self._shown_wait = wait.step
            self._write(f"          waiting: {text}")

    def elsewhere(self, holder: Holder) -> None:
        text = f"{holder} drives it; watching"
        if self._shown_wait != text:
            self._shown_wait = text
            self.say(f"          {text}")

    def _clear(self) -> None:
        if self._live and self._shown_wait:
            _put(sys.stderr, "\r\033[K")
            self._shown_wait = ""

    def _write(self, text: str) -> None:
        self._clear()
        code = next((code for word, code in _MARKS.items() if word in text), None) if self._coloured else None
        _put(sys.stderr, f"\033[{code}m{text}\033[0m\n" if code else f"{text}\n")


def _put(stream: TextIO, text: str) -> None:
    """Write at once. Where nobody reads any more (a closed terminal or pipe), what is being done goes on unheard."""
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        return 80


def standing(summary: Mapping[str, Any]) -> str:
    """How one rollout stands, the most important line last."""
    from rollout.telling import shares

    lines = [
        f"{summary['id']}  {summary['outcome']} ({summary['phase']})",
        f"  patch    {summary['patch']} onto {summary['replacement']}, beside {summary['original']}",
    ]
    if summary.get("waits_for"):
        lines.append(f"  waits    {summary['waits_for']}")
    if summary.get("driven_by"):
        lines.append(f"  driven   {summary['driven_by']}")
    if summary["reason"]:
        lines.append(f"  because  {summary['reason']}")
    if summary["advisories"]:
        lines.append(f"  security {advisories_line(summary['advisories'])}")
    if summary["way_back"]:
        until = summary["way_back_until"]
        when = f" until {time.strftime('%Y-%m-%d %H:%M', time.localtime(until))}" if until else ""
        lines.append(f"  way back {summary['way_back']}{when}")
    if summary["next"]:
        lines.append(f"  next     {summary['next']}")
    if summary["traffic"]:
        read = "" if summary["traffic_read"] == "live" else " (as last journalled)"
        lines.append(f"  traffic  {shares(summary['traffic'])}{read}")
    return "\n".join(lines)


def advisories_line(ledger: Mapping[str, Any]) -> str:
    counts = ledger.get("counts") or {part: len(ledger[part]) for part in LEDGER_PARTS}
    return ", ".join(f"{counts[part]} {part}" for part in LEDGER_PARTS)


def ledger_text(ledger: Mapping[str, Any]) -> str:
    """The ledger as a table: what was fixed, remains, came in, is unknown."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "advisory", "package", "from → to", "what", box=None, pad_edge=False)
    for part in LEDGER_PARTS:
        for found in ledger[part]:
            table.add_row(part, *ledger_row(found))
    width = max(80, _columns()) if sys.stdout.isatty() else PAGE_COLUMNS
    console = Console(width=width, no_color=not sys.stdout.isatty() or bool(os.environ.get("NO_COLOR")))
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def ledger_row(found: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Advisory, packages, their versions on both sides, and what it is; an unknown says why instead."""
    if "reason" in found:
        return "", str(found["subject"]), ", ".join(found["hosts"]), str(found["reason"])
    names = ", ".join(str(package["name"]) for package in found["packages"])
    versions = ", ".join(
        f"{'/'.join(package['old']) or 'absent'} → {'/'.join(package['new']) or 'absent'}"
        for package in found["packages"]
    )
    return str(found["id"]), names, versions, str(found["summary"])


def plan_text(plan: Mapping[str, Any], plan_hash: str, changes: bool) -> str:
    """What a plan would do, in the order in which it would do it."""
    original, replacement = plan["original"], "green" if plan["original"] == "blue" else "blue"
    images = ", ".join(f"{member} {image}" for member, image in plan["patch"]["images"].items())
    gates = {name: ", ".join(check["label"] for check in gate["checks"]) for name, gate in plan["gates"].items()}
    soak, bake = plan["gates"]["live"]["rule"]["soak_s"], plan["gates"]["bake"]["rule"]["soak_s"]
    steps = " → ".join(f"{step} %" for step in plan["steps"])
    lines = [
        f"{plan['service']['name']}: {original} serves; the mirror will be {replacement}",
        f"  1 preflight  {gates['preflight'] or 'no checks'}",
        f"  2 mirror     {plan['capacity']} × {original} into {replacement}",
        f"  3 patch      {plan['patch']['reference']} ({images})",
        f"  4 prove      {gates['replacement']}",
        f"  5 traffic    {steps}, {soak:.0f} s each under: {gates['live']}",
        f"  6 bake       {bake:.0f} s, then promote",
        f"  7 warm       {original} stays ready for {plan['keep_warm_s']:.0f} s, then is given up",
        f"  hash {plan_hash}",
        "changes are pending" if changes else f"nothing to do: {original} runs this image already",
    ]
    return "\n".join(lines)
