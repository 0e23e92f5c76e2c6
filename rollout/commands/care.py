"""doctor · repair · store · journal verify · journal checkpoint: keeping the installation well."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollout import exits
from rollout.actor import this_actor
from rollout.commands.look import journal
from rollout.commands.options import Config, Json, Usage, complete_rollout, complete_service, find_installation
from rollout.render import Screen
from rollout.wiring import SystemClock

if TYPE_CHECKING:
    from rollout.care.checkpoint import CheckpointFile
    from rollout.wiring import Installation

commands = typer.Typer()
store = typer.Typer(help="Back the store up, put a backup back, archive.", no_args_is_help=True, rich_markup_mode=None)
commands.add_typer(store, name="store")

Against = Annotated[
    Path | None, typer.Option("--against", metavar="FILE", help="Checkpoints that were kept elsewhere.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
KEPT_FOR = "400d"


@commands.command()
def doctor(
    send_test: Annotated[bool, typer.Option("--send-test", help="Send each receiver of news a test.")] = False,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Look at everything that could keep a rollout or a rollback from working; each finding says its fix."""
    from dataclasses import asdict

    from rollout.care.doctor import examine
    from rollout.care.findings import findings_text

    found = examine(find_installation(config), send_test=send_test)
    problems = sum(each.level == "problem" for each in found)
    document = {"findings": [asdict(each) for each in found], "problems": problems}
    Screen(as_json=json_out).document(document, findings_text(found))
    if problems:
        raise typer.Exit(exits.PERSON_NEEDED)


@commands.command()
def repair(
    service: Annotated[str | None, typer.Argument(metavar="[SERVICE]", autocompletion=complete_service)] = None,
    dry_run: DryRun = False,
    restored: Annotated[bool, typer.Option("--restored", help="After a backup was put back.")] = False,
    against: Against = None,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Put right what can be put right without moving traffic, and say what is left for a person."""
    installation, screen = find_installation(config), Screen(as_json=json_out)
    if restored:
        if service:
            raise Usage("--restored is for the whole store; leave the service out")
        _rejoin(installation, screen, against, dry_run)
        return
    from rollout.care.repair import repair as put_right

    told = put_right(installation, service, by=this_actor(), dry_run=dry_run)
    _tell(screen, {"done": told.done, "left": told.left, "dry_run": dry_run}, [])


def _rejoin(installation: Installation, screen: Screen, against: Path | None, dry_run: bool) -> None:
    from rollout.care.rejoin import rejoin

    held = _checkpoints(against or _kept_checkpoints(installation))
    told = rejoin(installation, by=this_actor(), held=held, dry_run=dry_run)
    document = {"shown": told.shown, "done": told.done, "left": told.left, "over": told.over, "dry_run": dry_run}
    _tell(screen, document, told.shown)


def _tell(screen: Screen, document: dict[str, Any], shown: list[str]) -> None:
    """What was found and done, and last what is left; exit 5 when a person is needed."""
    verb = "would " if document["dry_run"] else ""
    lines = [*shown, *(f"{verb}{'do' if verb else 'done'}: {text}" for text in document["done"])]
    lines += [f"left: {text}" for text in document["left"]] or ["nothing is left to do"]
    screen.document(document, "\n".join(lines))
    if document["left"]:
        raise typer.Exit(exits.PERSON_NEEDED)


def _kept_checkpoints(installation: Installation) -> Path | None:
    """The file that `rollout serve` writes, where the fleet file has a folder for it."""
    from rollout.care.checkpoint import FILE

    folder = installation.fleet.keep.checkpoints
    path = installation.fleet_file.absolute().parent / folder / FILE if folder else None
    return path if path and path.is_file() else None


def _checkpoints(path: Path | None) -> CheckpointFile | None:
    from rollout.care.checkpoint import read_checkpoints

    if path is not None and not path.is_file():
        raise Usage(f"there is no file of checkpoints {path}")
    return read_checkpoints(path) if path else None


@store.command("backup")
def store_backup(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Copy the store to FILE while rollouts go on, and verify the copy."""
    from rollout.care.backup import back_up

    try:
        made = back_up(find_installation(config), file, by=this_actor(), force=force)
    except OSError as error:
        raise Usage(f"no backup was made: {error}") from error
    text = f"{made['file']}: {made['rollouts']} rollouts, {made['entries']} entries, verified"
    Screen(as_json=json_out).document(made, text)


@store.command("restore")
def store_restore(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    yes: Annotated[bool, typer.Option("--yes", help="The present store is put aside.")] = False,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Put a backup in the store's place. Nothing moves forward until `rollout repair --restored`."""
    from rollout.care.backup import restore

    installation = find_installation(config)
    if not yes:
        raise Usage(f"this puts {file} in the place of {installation.store_name}; to confirm, add --yes")
    done = restore(installation, file, by=this_actor())
    screen = Screen(as_json=json_out)
    if done.unsure:
        screen.problem(done.unsure)
    aside = f"the store from before is {done.aside}\n" if done.aside else ""
    text = f"{aside}{file} was restored: {done.rollouts} rollouts. It is rollback-only until: rollout repair --restored"
    document = {"restored": str(file), "aside": str(done.aside) if done.aside else None, "rollouts": done.rollouts}
    screen.document({**document, "taken_at": done.taken_at, "next": "rollout repair --restored"}, text)


@store.command("move")
def store_move(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="WHERE",
            help="env:NAME or file:PATH for a postgresql:// address, the address itself, or sqlite.",
        ),
    ],
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Move the store to PostgreSQL, for many machines, or back to the file; nobody may serve or drive meanwhile."""
    from rollout.stores.address import read_written, store_of
    from rollout.stores.moving import CannotMove, move

    installation = find_installation(config)
    target, line = read_written(to, installation.fleet_file)
    try:
        done = move(store_of(installation.fleet_file), target, by=this_actor(), now=SystemClock().now())
    except CannotMove as error:
        raise Usage(str(error)) from error
    rows = sum(done.rows.values())
    text = (
        f"{done.target} has all of {done.source} now: {done.rows['rollouts']} rollouts, {rows} rows, compared one by "
        f"one. {done.source} is closed, and is not needed any more.\nNow, in {installation.fleet_file}: {line}"
    )
    Screen(as_json=json_out).document({"from": done.source, "to": done.target, "rows": done.rows, "next": line}, text)


@store.command("prune")
def store_prune(
    archive: Annotated[
        Path | None, typer.Option("--archive", metavar="DIR", help="Gets the journals; else keep.archive.")
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="SPAN", help=f"Closed so long ago: {KEPT_FOR}, or keep.journals."),
    ] = None,
    dry_run: DryRun = False,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Move the journals of old rollouts to an archive; heads and hashes stay, so that chains stay whole."""
    from rollout.care.retention import prune
    from rollout.durations import BadDuration, parse_duration

    installation = find_installation(config)
    keep = installation.fleet.keep
    if archive is None and keep.archive is None:
        raise Usage("where to? Say --archive DIR, or set keep.archive in the fleet file")
    into = archive or installation.fleet_file.absolute().parent / str(keep.archive)
    try:
        kept_s = keep.journals_s if older_than is None else None
        older_than_s = kept_s or parse_duration(older_than or KEPT_FOR, _LONGEST_S)
    except BadDuration as error:
        raise Usage(f"--older-than {older_than}: {error}") from error
    try:
        done = prune(installation, older_than_s, into, dry_run=dry_run)
    except OSError as error:
        raise Usage(f"the archive cannot be written: {error}; what was not archived is in the store still") from error
    document = {
        "pruned": [{"id": each.rollout, "entries": each.entries, "file": each.file} for each in done.pruned],
        "left": list(done.left),
        "dry_run": dry_run,
    }
    lines = [f"kept: {text}" for text in done.left]
    verb = "would be archived" if dry_run else "archived"
    lines += [f"{each.rollout}: {each.entries} entries {verb} in {into / each.file}" for each in done.pruned]
    lines.append(f"{len(done.pruned)} rollouts {verb}")
    Screen(as_json=json_out).document(document, "\n".join(lines))


_LONGEST_S = 10 * 366 * 86_400.0


@journal.command("checkpoint")
def journal_checkpoint(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Best on another disk; else keep.checkpoints.")
    ] = None,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Write the heads of all journals down, so that what is cut or rewritten later is found."""
    from rollout.care.checkpoint import FILE, append_checkpoint, read_checkpoints

    installation = find_installation(config)
    if out is None:
        if installation.fleet.keep.checkpoints is None:
            raise Usage("where to? Say --out FILE, best on another disk, or set keep.checkpoints in the fleet file")
        out = installation.fleet_file.absolute().parent / installation.fleet.keep.checkpoints / FILE
    path = out / FILE if out.is_dir() else out
    try:
        append_checkpoint(installation.store.db, path, installation.clock.now())
        held = read_checkpoints(path)
    except OSError as error:
        raise Usage(f"no checkpoint was written: {error}") from error
    last = held.checkpoints[-1]
    document = {"file": str(path), "line": len(held.checkpoints), "at": last.at, "hash": last.hash}
    rollouts = len(last.heads) + last.settled
    Screen(as_json=json_out).document(document, f"{path}: checkpoint {len(held.checkpoints)}, {rollouts} rollouts")


@journal.command("verify")
def journal_verify(
    which: Annotated[str | None, typer.Argument(metavar="[ID|SERVICE]", autocompletion=complete_rollout)] = None,
    against: Against = None,
    archive: Annotated[
        Path | None, typer.Option("--archive", metavar="FILE", help="A journal that was archived.")
    ] = None,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Recompute the hash chains; exit 5 when one was tampered with. Checkpoints also reveal what was cut."""
    installation, screen = find_installation(config), Screen(as_json=json_out)
    if archive is not None:
        _verify_archive(installation, archive, screen)
        return
    from rollout.care.verify import verify, verify_text

    if against is not None and not against.is_file():
        raise Usage(f"there is no file of checkpoints {against}")
    verified = verify(installation, which, against)
    screen.document(verified, verify_text(verified))
    if verified["broken"]:
        raise typer.Exit(exits.PERSON_NEEDED)


def _verify_archive(installation: Installation, file: Path, screen: Screen) -> None:
    from rollout.care.retention import BadArchive, verify_archive

    if not file.is_file():
        raise Usage(f"there is no archive {file}")
    try:
        seen = verify_archive(installation, file)
    except BadArchive as error:
        seen = {"rollout": None, "problem": str(error)}
    where = "as the store has it on record" if seen.get("on_record") else "and this store does not know it"
    text = seen["problem"] or f"{file}: {seen['rollout']} is whole, {seen['entries']} entries, {where}"
    screen.document({**seen, "file": str(file)}, text)
    if seen["problem"]:
        raise typer.Exit(exits.PERSON_NEEDED)
