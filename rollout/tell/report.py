"""A report's data as a document: the same for a page and for Markdown. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rollout.tell.document import Cell, Chart, Document, Facts, Lines, Listing, Ours, Paragraph, Section, Table
from rollout.tell.evidence import gate_sections, plan_section, security_section
from rollout.tell.moments import lasted
from rollout.tell.sentences import words
from rollout.telling import shares

OUTCOMES = {
    "promoted": "promoted: the patched side was accepted",
    "rolled_back": "rolled back: traffic was put back on the original side",
    "aborted": "aborted: ended before the patched side was accepted",
    "halted": "halted: only a person can decide how it goes on",
    "waiting_approval": "open: it waits for a second person's approval",
    "running": "open: it has not ended yet",
}
DECISIONS = {
    "gate": "a failed gate, step or deadline",
    "mark": "a hold mark that was left with the traffic",
    "abort": "a person's abort",
    "rollback": "a person's rollback",
    "interrupt": "an interrupt of the command that drove it",
}
FOUND = {"captured": "as found at the beginning", "declared": "declared by this rollout", "found": "found there"}


def document_of(data: Mapping[str, Any]) -> Document:
    """Everything that `dossier` returns, for a reader who has not this program."""
    sections = [
        Section("Summary", [_summary(data)]),
        Section("What went wrong, and why it was decided so", _wrong(data)),
        Section("Way back", _way_back(data["way_back"])),
        *([Section("By hand, without this program", _by_hand(data["by_hand"]))] if data["by_hand"] else []),
        security_section(data["security"]),
        Section("Traffic", _traffic(data["traffic"])),
        *gate_sections(data["gates"]),
        plan_section(data["plan"]),
        Section("Timeline", [Table(("time", "what happened"), [(Ours(e["at"]), e["text"]) for e in data["timeline"]])]),
        Section("Record", _record(data["integrity"], data["summary"])),
    ]
    return Document("Report of rollout", data["id"], sections)


def brief_document_of(data: Mapping[str, Any]) -> Document:
    """What a pipeline's page has room for: how it ended, why, what it fixes, and the commands for what comes next."""
    told = data["summary"]
    sections = [
        Section("Summary", [_summary(data)]),
        *([Section("What went wrong, and why it was decided so", _wrong(data))] if data["wrong"] else []),
        security_section(data["security"]),
        Section("Next", [Lines([f"rollout status {data['id']}", f"rollout report {data['id']}"])]),
    ]
    return Document(f"Patch of {data['service']} {words(told['phase'])}: rollout", data["id"], sections)


def _summary(data: Mapping[str, Any]) -> Facts:
    told = data["summary"]
    ticket: Cell = told["ref"] or Ours("–")
    outcome = OUTCOMES.get(told["outcome"], told["outcome"])
    ended = f" (closed {told['closed_at']})" if told["closed_at"] else " (still open)"
    rows: list[tuple[str, Cell]] = [
        ("Service", data["service"]),
        ("Outcome", Ours(f"{outcome}; phase {words(told['phase'])}")),
        ("Patch", told["patch"]),
        ("Original", _side(told["original"])),
        ("Replacement", _side(told["replacement"])),
        ("Platform", told["provider"]),
        ("Started by", told["actor"]),
        ("Why", told["reason"] or Ours("no reason was given")),
        ("Ticket", ticket),
        ("Approval", _approvals(told)),
        ("Began", Ours(f"{told['opened_at']}{ended}")),
        ("Lasted", Ours(lasted(told["duration_s"]))),
    ]
    if told["promoted_at"]:
        rows.append(("Promoted", Ours(told["promoted_at"])))
    if told["turned_back_at"]:
        rows.append(("Turned back", Ours(told["turned_back_at"])))
        rows.append(("Traffic back after", Ours(_back(told))))
    rows.append(("Traffic, as last journalled", Ours(shares(told["traffic"]) if told["traffic"] else "not known")))
    return Facts(rows)


def _side(side: Mapping[str, Any]) -> Cell:
    """Slot, and every image with the platform part that it is for."""
    told: list[str] = [Ours(f"{side['slot']}: ")]
    for number, (member, image) in enumerate(sorted(side["images"].items())):
        told += [*([Ours(", ")] if number else []), *([member, Ours(" ")] if member else []), image or Ours("–")]
    return (*told, Ours(", application version "), str(side["version"])) if side.get("version") else tuple(told)


def _approvals(told: Mapping[str, Any]) -> Cell:
    if not told["approvals"]:
        return Ours("asked for, and not given (yet)" if told["approval_asked"] else "the plan asks for none")
    said = list[str]()
    for each in told["approvals"]:
        bound = "" if each["of_this_plan"] else ", but of another plan"
        said += [*([Ours("; ")] if said else []), each["by"], Ours(f" at {each['at']}{bound}")]
        said += [Ours(", ticket "), each["ref"]] if each["ref"] else []
    return tuple(said)


def _back(told: Mapping[str, Any]) -> str:
    if told["back_s"] is None:
        return "no traffic had moved, or it is not back yet"
    seen = f"; seen to have arrived after {lasted(told['confirmed_s'])}" if told["confirmed_s"] is not None else ""
    how = "at most, for it was found back: " if told["back_within"] else ""
    return f"{how}{lasted(told['back_s'])} from the decision to the journalled result{seen}"


def _wrong(data: Mapping[str, Any]) -> list[Paragraph | Table]:
    if not data["wrong"]:
        return [Paragraph(Ours("Nothing: every step was done, every gate passed, nobody turned it back."))]
    rows = [(Ours(each["at"]), _what(each), _decided(each)) for each in data["wrong"]]
    return [Table(("time", "what", "decided"), rows)]


def _what(each: Mapping[str, Any]) -> Cell:
    kinds = {
        "roll_back_decided": "decided to turn back",
        "halted": "halted",
        "failed": "a step failed",
        "ended": "a wait failed",
        "troubled": "the platform did not answer, and was asked again",
        "warned": "warned, while warm",
        "adopted": "a person took what served as it was",
        "closed": "closed by a person",
    }
    step: tuple[str, ...] = (Ours(" at "), each["step"]) if each["step"] else ()
    reason: tuple[str, ...] = (Ours(": "), each["reason"]) if each["reason"] else ()
    return (Ours(kinds[each["kind"]]), *step, *reason)


def _decided(each: Mapping[str, Any]) -> Cell:
    if "by" not in each:
        return Ours("")
    told: list[str] = [Ours("by "), each["by"]] if each["by"] else []
    if each["decision"]:
        told += [Ours(", because of "), Ours(DECISIONS.get(each["decision"], words(each["decision"])))]
    told += [Ours(", ticket "), each["ref"]] if each["ref"] else []
    told += [Ours("; the original side then: "), each["readiness"]] if each["readiness"] else []
    told += [Ours("; forced, although the original was not seen fit")] if each["forced"] else []
    told += [Ours("; the image is denied for this service, for a check on it failed")] if each["image_denied"] else []
    return tuple(told) or Ours("")


def _way_back(told: Mapping[str, Any]) -> list[Paragraph | Lines]:
    texts = {
        "used": "It was used: traffic was put back by this rollout.",
        "over": "It is over: the earlier side was given up. To go back, start a rollout to the earlier image.",
        "not written yet": "There is none yet, and none is needed: no traffic was moved.",
    }
    if told["state"] != "open":
        return [Paragraph(Ours(texts[told["state"]]))]
    until = f"until {told['until']}" if told["until"] else "for as long as the rollout is not promoted"
    text = f"One command puts all traffic back on {told['to']}, {until}. It needs no database and no approval:"
    return [Paragraph(Ours(text)), Lines([told["command"]])]


def _by_hand(told: Mapping[str, Any]) -> list[Paragraph | Facts | Listing | Lines]:
    """The rollback card in plain words: for the night on which nothing of ours works."""
    wanted = ", ".join(f"{slot} {share} %" for slot, share in sorted(told["weights"].items()))
    steps: list[Cell] = [
        (Ours(f"See that {told['original']} has {told['capacity']} healthy units; less cannot carry the traffic."),),
        (Ours(f"Declare these weights at the platform ({told['provider']}): {wanted}."),),
        (Ours(f"Read them back for {lasted(told['write_timeout_s'])}: a write that was under way may still land."),),
        (
            Ours(
                f"Do not delete {told['replacement']}. Then note what you did and why, where this program is run from."
            ),
        ),
    ]
    facts: list[tuple[str, Cell]] = [
        ("Card written", Ours(told["written_at"])),
        ("Valid until", Ours(told["valid_until"] or "the rollout is promoted, and then for its warm time")),
        ("Original was healthy then", Ours("yes" if told["was_healthy"] else "not all of it")),
        ("Application version", told["app_version"] or Ours("not declared")),
    ]
    if told["closed"]:
        said = f"This rollout's card was closed ({words(told['closed'])}): it is no way back any more."
        return [Paragraph(Ours(said)), Facts(facts)]
    target = told["commands"] or json.dumps(told["target"], indent=2, sort_keys=True).splitlines()
    said = "Commands of the platform:" if told["commands"] else "What the weights are declared at:"
    return [Facts(facts), Listing(steps), Paragraph(Ours(said)), Lines(target)]


def _traffic(told: Mapping[str, Any]) -> list[Paragraph | Chart | Table]:
    if not told["points"]:
        return [Paragraph(Ours("No route was read: nothing was done to the traffic."))]
    routes = [
        (Ours(each["at"]), Ours(shares(each["weights"])), Ours(FOUND[each["how"]]), each["step"] or Ours("–"))
        for each in told["points"]
    ]
    blocks: list[Paragraph | Chart | Table] = [Chart(told), Table(("from", "route", "how it is known", "step"), routes)]
    if told["swaps"]:
        swaps: Sequence[Sequence[Cell]] = [
            (
                each["step"],
                Ours(shares(each["weights"])),
                Ours(lasted(each["write_s"])),
                Ours(lasted(each["followed_s"])),
            )
            for each in told["swaps"]
        ]
        blocks.append(
            Paragraph(Ours("Swaps: from journalled intent to journalled result, and until clients followed."))
        )
        blocks.append(Table(("swap", "to", "took", "followed after"), swaps))
    return blocks


def _record(told: Mapping[str, Any], summary: Mapping[str, Any]) -> list[Facts | Paragraph]:
    states = {
        "whole": "whole: every entry matches its hash and the one before it",
        "broken": "BROKEN: do not rely on this report before it is explained",
        "pruned": "pruned: this report rests on the summary that was kept",
    }
    problem: list[tuple[str, Cell]] = [("Problem", told["problem"])] if told["problem"] else []
    facts = Facts(
        [
            ("Chain of hashes", Ours(states[told["state"]])),
            *problem,
            ("Entries", Ours(str(told["entries"]))),
            ("Head", told["head"]),
            ("Last entry", Ours(summary["as_of"]["at"] or "–")),
        ]
    )
    text = (
        "This report is made from the journal and, while the rollback card is this rollout's, from the card. It has no "
        "time of its own: the same two are the same report. Compare the head with one that was kept elsewhere."
    )
    return [facts, Paragraph(Ours(text))]
