"""status · ledger · journal: what is, and what was."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollout import exits
from rollout.commands.options import Config, Json, Usage, Which, complete_rollout, find_installation, live_summary
from rollout.render import Screen, ledger_text, standing

if TYPE_CHECKING:
    from rollout.rows import Row

commands = typer.Typer()
journal = typer.Typer(help="The record of everything done.", no_args_is_help=True, rich_markup_mode=None)
commands.add_typer(journal, name="journal")


@commands.command()
def status(
    which: Annotated[str | None, typer.Argument(metavar="[ID|SERVICE]", autocompletion=complete_rollout)] = None,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """How a rollout stands and where traffic is; without a name, the latest of each service."""
    installation, screen = find_installation(config), Screen(as_json=json_out)
    if which is not None:
        from rollout.control import find

        summary = live_summary(installation, find(installation, which))
        screen.document(summary, standing(summary))
        return
    latest: dict[str, Row] = {}
    if installation.store_path.exists():
        for row in installation.store.rollouts():
            latest.setdefault(row.service, row)
    found = [live_summary(installation, row) for row in latest.values()]
    empty = "no rollouts yet; begin with: rollout plan SERVICE"
    screen.document({"rollouts": found}, "\n\n".join(standing(summary) for summary in found) or empty)


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
    if found is None:
        raise Usage(f"{row.id} has no ledger: its vulnerabilities check was not asked (yet, or is not configured)")
    Screen(as_json=json_out or format == "json").document({"id": row.id, **found}, ledger_text(found))


@journal.command("show")
def journal_show(which: Which, config: Config = None, json_out: Json = False) -> None:
    """Every entry of one rollout."""
    from rollout.control import find

    installation = find_installation(config)
    entries = installation.store.entries(find(installation, which).id)
    lines = [f"{e.seq:4} {_when(e.at)} epoch {e.epoch:3} {e.kind:18} {e.step}" for e in entries]
    Screen(as_json=json_out).document({"entries": [_entry_json(entry) for entry in entries]}, "\n".join(lines))


@journal.command("export")
def journal_export(which: Which, config: Config = None) -> None:
    """One rollout's journal as JSON lines, hashes included, to keep elsewhere."""
    from rollout.control import find

    installation, screen = find_installation(config), Screen(as_json=True)
    for entry in installation.store.entries(find(installation, which).id):
        screen.document(_entry_json(entry), "")


@journal.command("verify")
def journal_verify(
    which: Annotated[str | None, typer.Argument(metavar="[ID|SERVICE]", autocompletion=complete_rollout)] = None,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Recompute the hash chains; exit 5 when one was tampered with."""
    from rollout import bootstrap

    verified = bootstrap.verify(find_installation(config), which)
    Screen(as_json=json_out).document(verified, bootstrap.verify_text(verified))
    if verified["broken"]:
        raise typer.Exit(exits.PERSON_NEEDED)


def _entry_json(entry: Any) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__slots__}


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
