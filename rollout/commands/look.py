"""status · ledger · journal: what is, and what was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollout.commands.options import (
    Config,
    Json,
    Usage,
    Which,
    complete_rollout,
    find_installation,
    live_readings,
    live_summary,
    not_serving,
)
from rollout.render import Screen, ledger_text

if TYPE_CHECKING:
    from rollout.rows import Row
    from rollout.wiring import Installation

commands = typer.Typer()
journal = typer.Typer(help="The record of everything done.", no_args_is_help=True, rich_markup_mode=None)
commands.add_typer(journal, name="journal")


@commands.command()
def status(
    which: Annotated[str | None, typer.Argument(metavar="[ID|SERVICE]", autocompletion=complete_rollout)] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on showing it until it is closed; changes nothing.")
    ] = False,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """How a rollout stands and where traffic is; without a name, all of the last 24 hours and how to put them back."""
    installation, screen = find_installation(config), Screen(as_json=json_out)
    if watch:
        from rollout.commands.views import watch_all, watch_one

        raise typer.Exit(watch_one(installation, which, screen) if which else watch_all(installation, screen))
    if which is not None:
        from rollout.control import UnknownRollout, find
        from rollout.view.standing import standing

        try:
            summary = live_summary(installation, find(installation, which))
        except UnknownRollout:
            if which not in installation.fleet.services:
                raise
            screen.document(*_never_rolled_out(installation, which))
            return
        screen.document(summary, standing(summary))
        return
    from rollout.view.overview import nothing, overview, text_of

    listed = nothing()
    if installation.has_store:
        from rollout.view.listing import list_all

        now = installation.clock.now()
        readings: dict[str, Mapping[str, Any]] = {}

        def routes(rows: Sequence[Row]) -> dict[str, Mapping[str, int]]:
            readings.update(live_readings(installation, rows))
            return {rollout: seen["weights"] for rollout, seen in readings.items()}

        listed = list_all(installation.store, now, routes, installation.state_dir / "drills")
        journal_file = installation.store_name
        listed["rollouts"] = [
            {**each, "not_serving": not_serving(each, readings.get(each["id"])), "journal": journal_file}
            for each in listed["rollouts"]
        ]
    screen.document(listed, text_of(overview(listed)))


def _never_rolled_out(installation: Installation, name: str) -> tuple[dict[str, Any], str]:
    """A service that stands, or not yet, and has no rollout: as data and in words."""
    from providers.base import NotFound, ProviderError, Service
    from rollout.telling import shares

    settings = installation.service(name)
    service = Service(name, dict(settings.options))
    data: dict[str, Any] = {"service": name, "rollout": None, "traffic": None, "healthy": None}
    try:
        seen = installation.provider(settings.provider).traffic.observe([service])[name]
    except (NotFound, KeyError) as error:
        raise Usage(
            f"{name} has no rollout yet, and cannot be read ({error}). To stand it up: rollout up {name} --image REF"
        ) from error
    except ProviderError as error:
        raise Usage(f"{name} has no rollout yet, and cannot be read: {error}. Its fix: rollout doctor") from error
    data["traffic"] = dict(seen.route.weights)
    data["healthy"] = {slot: targets.healthy for slot, targets in seen.targets.items()}
    healthy = ", ".join(f"{count} healthy on {slot}" for slot, count in data["healthy"].items() if count)
    where = f"{shares(data['traffic'])}; {healthy or 'no host is healthy'}"
    return data, f"{name}  no rollout yet: rollout plan {name}\n  traffic  {where}"


@commands.command()
def ledger(
    which: Which,
    format: Annotated[str, typer.Option("--format", help="table or json")] = "table",
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Which advisories a rollout fixes, which remain, which came in, host by host."""
    from rollout.control import find
    from rollout.journal import Journal
    from rollout.summary import advisories

    if format not in ("table", "json"):
        raise Usage(f"--format {format}: allowed are table and json")
    installation = find_installation(config)
    row = find(installation, which)
    found = advisories(Journal(installation.store.entries(row.id)))
    if found is None and row.pruned_at is not None:
        raise Usage(f"{row.id} was archived, and its ledger with it; where to: rollout journal show {row.id}")
    if found is None:
        raise Usage(f"{row.id} has no ledger: its vulnerabilities check was not asked (yet, or is not configured)")
    Screen(as_json=json_out or format == "json").document({"id": row.id, **found}, ledger_text(found))


@journal.command("show")
def journal_show(which: Which, config: Config = None, json_out: Json = False) -> None:
    """Every entry of one rollout."""
    from rollout.control import find
    from rollout.telling import clock_time

    installation, screen = find_installation(config), Screen(as_json=json_out)
    row = find(installation, which)
    entries = installation.store.entries(row.id)
    _say_if_pruned(installation, row, screen)
    lines = [f"{e.seq:4} {clock_time(e.at)} epoch {e.epoch:3} {e.kind:18} {e.step}" for e in entries]
    screen.document({"entries": [_entry_json(entry) for entry in entries]}, "\n".join(lines))


@journal.command("export")
def journal_export(which: Which, config: Config = None, json_out: Json = True) -> None:
    """One rollout's journal as JSON lines, hashes included, to keep elsewhere."""
    from rollout.control import find

    installation, screen = find_installation(config), Screen(as_json=True)
    row = find(installation, which)
    _say_if_pruned(installation, row, screen)
    for entry in installation.store.entries(row.id):
        screen.document(_entry_json(entry), "")


def _say_if_pruned(installation: Installation, row: Row, screen: Screen) -> None:
    """An archived journal is not an empty one."""
    if row.pruned_at is not None:
        from rollout.care.retention import pruned_note

        screen.problem(f"{row.id}: {pruned_note(installation, row)}")


def _entry_json(entry: Any) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__slots__}
