"""history · report · explain: what happened, to people and files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollout.commands.options import Config, Json, Usage, Which, complete_service, find_installation, live_route
from rollout.render import Screen

if TYPE_CHECKING:
    from rollout.journal import Entry
    from rollout.rows import Row
    from rollout.tell.case import Case
    from rollout.wiring import Installation

commands = typer.Typer()

MOST = 100
EVERYTHING = 1_000_000
TRIES = 10
FORMATS = ("html", "markdown", "junit")


@commands.command()
def history(
    service: Annotated[str | None, typer.Argument(metavar="[SERVICE]", autocompletion=complete_service)] = None,
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="A span ago (7d), or ISO 8601.")] = "30d",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many, the newest.")] = MOST,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Who did what, when, why, with what effect: rollouts, holds, denials and the rest, newest first."""
    from rollout.fleet_journal import FleetJournal
    from rollout.tell.case import case_of
    from rollout.tell.past import events_of, table_of

    installation = find_installation(config)
    begin = _moment(since, installation.clock.now())
    events, left_off = list[dict[str, Any]](), 0
    if installation.has_store:
        store = installation.store
        rows = store.rollouts(service, limit=EVERYTHING)
        fleet = FleetJournal(store.db).entries(since=begin)
        ours = [entry for entry in fleet if service is None or entry.step in (service, "")]
        events, left_off = events_of(rows, ours, begin, limit, lambda row: case_of(row, store.entries(row.id)))
    if service is not None and not events:
        _raise_if_unheard_of(installation, service)
    document = {"since": begin, "events": events, "left_off": left_off}
    columns = max(80, shutil.get_terminal_size().columns)
    text = table_of(events, columns) if events else f"nothing happened since {since}; longer ago: --since 365d"
    more = f"\n{left_off} older ones are left off; to see more: --limit N" if left_off else ""
    Screen(as_json=json_out).document(document, text + more)


def _raise_if_unheard_of(installation: Installation, service: str) -> None:
    """A name that neither the store nor the fleet file knows was mistyped."""
    if not installation.has_store or not installation.store.rollouts(service, limit=1):
        installation.service(service)


def _moment(text: str, now: float) -> float:
    from rollout.tell.moments import BadMoment, parse_moment

    try:
        return parse_moment(text, now)
    except BadMoment as error:
        raise Usage(str(error)) from error


@commands.command()
def report(
    which: Which,
    format: Annotated[str | None, typer.Option("--format", help="html, markdown or junit; else as --out ends.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Into a file, not on stdout.")] = None,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """All of one rollout in a document that needs no tool: what, who, why, with what evidence, and by hand."""
    from rollout.control import find
    from rollout.tell.dossier import dossier
    from rollout.tell.writing import CannotWrite, write_out

    wanted = format or _format_of(out)
    if wanted not in FORMATS:
        raise Usage(f"--format {wanted}: allowed are {', '.join(FORMATS)} (and --json, for the data)")
    installation, screen = find_installation(config), Screen(as_json=json_out)
    row = find(installation, which)
    card, by_hand, problem = _card(installation, row)
    data = dossier(case_now(installation, row), card, by_hand)
    for trouble in filter(None, (problem, data["integrity"]["problem"])):
        screen.problem(f"{row.id}: {trouble}")
    if out is None:
        screen.document(data, "" if json_out else _written(data, wanted).rstrip("\n"))
        return
    try:
        size = write_out(out, _written(data, wanted))
    except CannotWrite as error:
        raise Usage(str(error)) from error
    screen.say(f"{row.id}: wrote {out} ({wanted}, {size} bytes)")
    if json_out:
        screen.document({"id": row.id, "out": str(out), "format": wanted, "bytes": size}, "")


def _format_of(out: Path | None) -> str:
    return {".html": "html", ".htm": "html", ".xml": "junit"}.get(out.suffix.lower() if out else "", "markdown")


def case_now(installation: Installation, row: Row) -> Case:
    """Row, entries and wait of one moment, also while somebody drives it."""
    from rollout.tell.case import case_of

    store = installation.store
    for _ in range(TRIES):
        row, entries, wait = store.rollout(row.id), store.entries(row.id), store.wait(row.id)
        if store.rollout(row.id).head_seq == row.head_seq:
            break
    return case_of(row, entries, wait)


def _written(data: dict[str, Any], wanted: str) -> str:
    from rollout.tell.report import document_of

    if wanted == "html":
        from rollout.tell.html import page

        return page(document_of(data))
    if wanted == "junit":
        from rollout.tell.junit import junit_of

        return junit_of(data)
    from rollout.tell.markdown import text_of

    return text_of(document_of(data))


def _card(installation: Installation, row: Row) -> tuple[Any, list[str], str]:
    """This rollout's rollback card, the platform's own commands for it, and what is wrong with either."""
    from rollout.card import CardUnreadable
    from rollout.wiring import thin_rollback

    try:
        card = installation.cards.read(row.service)
    except CardUnreadable as error:
        return None, [], str(error)
    if card is None or card.rollout != row.id:
        return None, [], ""
    try:
        by_hand = getattr(thin_rollback(card.provider), "by_hand", None)
        return card, list(by_hand(card.target, card.way_back)) if by_hand else [], ""
    except Exception as error:  # a report is no place to fail over a platform's module: the target is shown instead
        return card, [], f"the commands of {card.provider} could not be made: {error}"


@commands.command()
def explain(
    which: Which,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="As it was: ISO 8601, or a span ago.")] = None,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Where a rollout stands, why, what comes next by itself, and what you can do; or how it was at a time."""
    from rollout.control import find
    from rollout.tell.standing import standing_of
    from rollout.tell.words import words_of

    installation, screen = find_installation(config), Screen(as_json=json_out)
    now, columns = installation.clock.now(), max(80, min(shutil.get_terminal_size().columns, 110))
    if at is not None:
        told, text = _as_it_was(installation, which, _moment(at, now), columns)
        screen.document(told, text)
        return
    row, store = find(installation, which), installation.store
    driver = store.driver(row.id, now) if row.closed_at is None else None
    told = standing_of(
        case_now(installation, row),
        now,
        route=live_route(installation, row),
        driver=str(driver) if driver else None,
        fleet=_fleet(installation, row.service, now),
    )
    screen.document(told, words_of(told, columns))


def _fleet(installation: Installation, service: str, until: float) -> list[Entry]:
    from rollout.fleet_journal import FleetJournal

    return [each for each in FleetJournal(installation.store.db).entries(subject=service) if each.at <= until]


def _as_it_was(installation: Installation, which: str, at: float, columns: int) -> tuple[dict[str, Any], str]:
    """An id is that rollout; a service the one that was open then, or else the last before."""
    from rollout.control import find
    from rollout.tell.case import case_at
    from rollout.tell.moments import local
    from rollout.tell.standing import hold_of, last_actor, rollout_at, standing_of
    from rollout.tell.words import nothing_told, words_of

    store = installation.store
    named = find(installation, which)
    fleet = _fleet(installation, named.service, at)
    rows = [named] if named.id == which else store.rollouts(named.service, limit=EVERYTHING)
    row = rollout_at(rows, at)
    if row is not None:
        told = standing_of(case_at(row, store.entries(row.id), at), at, past=True, fleet=fleet)
        return told, words_of(told, columns)
    if named.id == which:
        raise Usage(f"{which} had not begun at {local(at)}: it was opened {local(named.opened_at)}")
    first = rows[-1]
    found = {"id": first.id, "opened_at": first.opened_at, "slot": first.plan["original"]}
    nothing = {
        "service": named.service,
        "at": at,
        "past": True,
        "situation": "none",
        "first": {**found, "image": first.plan["original_image"]},
        "last_actor": last_actor(fleet),
        "hold": hold_of(fleet, at),
    }
    return nothing, nothing_told(nothing, columns)
