"""The proving parts of a report: security ledger, gates and plan. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rollout.tell.document import Block, Cell, Facts, Ours, Paragraph, Section, Table, listed
from rollout.tell.moments import lasted

GATE_OUTCOMES = {"open": "not decided yet", "left": "left undecided: the rollout was turned or halted meanwhile"}


def security_section(told: Mapping[str, Any] | None) -> Section:
    """Advisories host by host, then one by one."""
    title = "Security: what the patch fixes"
    if told is None:
        text = "No check compared the advisories of both sides: the gain of this patch is not proven here."
        return Section(title, [Paragraph(Ours(text))])
    counts = ", ".join(f"{number} {part}" for part, number in told["counts"].items())
    blocks: list[Block] = [Paragraph(Ours(f"{counts}."))]
    if told["cut"]:
        blocks.append(
            Paragraph(Ours("The lists are cut, for the evidence was too large to keep; the counts are whole."))
        )
    if told["hosts"]:
        blocks.append(_hosts(told["hosts"]))
    if told["advisories"]:
        rows = [_advisory(each) for each in told["advisories"]]
        blocks.append(Table(("", "advisory", "package, from → to", "what", "on original", "on replacement"), rows))
    if told["unknown"]:
        gaps = [
            (each["side"] or Ours("–"), listed(each["hosts"]), each["subject"] or Ours("–"), each["reason"])
            for each in told["unknown"]
        ]
        blocks += [Paragraph(Ours("What could not be judged:")), Table(("side", "hosts", "what", "why"), gaps)]
    database = told["database"]
    if database.get("digest"):
        rest = f"{database['records']} records, the newest of {database['newest']}"
        blocks.append(Paragraph((Ours("Advisory data: "), rest, Ours(", digest "), str(database["digest"]))))
    return Section(title, blocks)


def _hosts(hosts: Sequence[Mapping[str, Any]]) -> Table:
    headers = ("host", "side", "fixed", "remaining", "introduced", "unknown or undecided")
    rows = [
        (
            each["host"],
            (each["side"], Ours(" "), each["slot"]) if each["slot"] else each["side"],
            listed(each["fixed"]),
            Ours(str(len(each["remaining"]))),
            listed(each["introduced"]),
            listed([*each["unknown"], *each["undecided"]]),
        )
        for each in hosts
    ]
    return Table(headers, rows)


def _advisory(each: Mapping[str, Any]) -> tuple[Cell, ...]:
    return (
        Ours(each["part"]),
        each["id"],
        listed(each["packages"]),
        each["summary"],
        listed(each["original_hosts"]),
        listed(each["replacement_hosts"]),
    )


def gate_sections(gates: Sequence[Mapping[str, Any]]) -> list[Section]:
    """One part for each attempt at a gate."""
    if not gates:
        return [Section("Gates", [Paragraph(Ours("No gate was reached."))])]
    return [Section("Gates", []), *(_gate(each) for each in gates)]


def _gate(told: Mapping[str, Any]) -> Section:
    outcome = GATE_OUTCOMES.get(told["outcome"], told["outcome"])
    why: tuple[str, ...] = (Ours(": "), told["why"]) if told["why"] else ()
    facts: list[tuple[str, Cell]] = [
        ("Outcome", (Ours(outcome), *why)),
        ("Asked about", told["on"]),
        ("Began", Ours(f"{told['started_at']}, lasted {lasted(told['lasted_s'])}")),
    ]
    if told["outcome"] != "passed":
        facts.append(("Rule", Ours(told["rule"])))
    blocks: list[Block] = [Facts(facts)]
    if told["verdicts"]:
        blocks.append(_verdicts(told["verdicts"]))
    elif told["changes"]:
        rows = [(Ours(each["at"]), each["check"], each["answer"], each["summary"]) for each in told["changes"]]
        blocks.append(Table(("time", "check", "answer", "what it saw"), rows))
    return Section(told["step"], blocks, level=3)


def _verdicts(verdicts: Sequence[Mapping[str, Any]]) -> Table:
    rows = list[Sequence[Cell]]()
    for each in verdicts:
        for side in filter(None, (each["on"], each["beside"])):
            answer = side["answer"] if side is each["beside"] else each["finding"]
            rows.append((each["check"], side["slot"], answer, side["summary"], side["evidence"] or Ours("–")))
    return Table(("check", "side", "answer", "what it saw", "evidence"), rows)


def plan_section(plan: Mapping[str, Any]) -> Section:
    """What was to be done, as it was decided before anything was."""
    deadlines = ", ".join(f"{name} {lasted(value)}" for name, value in sorted((plan["deadlines"] or {}).items()))
    steps = " → ".join(f"{step} %" for step in plan["steps"] or ())
    facts: list[tuple[str, Cell]] = [
        ("Hash", plan["hash"]),
        ("Traffic steps", Ours(steps)),
        ("Capacity of each side", Ours(str(plan["capacity"]))),
        ("May two sides run at once", plan["coexist"] or Ours("–")),
        ("Connections on a rollback", plan["on_rollback"] or Ours("–")),
        ("Approval", plan["approval"] or Ours("–")),
        ("Settles for", Ours(lasted(plan["settle_s"]))),
        ("Kept warm for", Ours(lasted(plan["keep_warm_s"]))),
        ("Waits are given up after", Ours(deadlines)),
        ("Options (references stay references)", _json(plan["options"])),
    ]
    rows = [
        (name, check["label"], _json(check.get("options") or {}))
        for name, gate in plan["gates"].items()
        for check in gate["checks"]
    ]
    facts += [(f"Foreseen ({found['kind']})", found["text"]) for found in plan.get("concerns") or ()]
    rules = Facts([(f"Gate {name}", Ours(gate["rule"])) for name, gate in plan["gates"].items()])
    return Section("Plan", [Facts(facts), rules, Table(("gate", "check", "options"), rows)])


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
