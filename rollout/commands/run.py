"""plan · start · resume · approve · abort · rollback: one rollout and its turns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollout import exits
from rollout.actor import this_person
from rollout.commands.options import (
    Config,
    Image,
    Json,
    Name,
    Quiet,
    Reason,
    Stranded,
    Timeout,
    Usage,
    Which,
    complete_service,
    find_installation,
    live_summary,
)
from rollout.render import Screen, plan_text, standing

if TYPE_CHECKING:
    from rollout.rows import Row
    from rollout.wiring import Installation

commands = typer.Typer()


@commands.command()
def plan(
    service: Name,
    image: Image = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Save it for start --plan.")] = None,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="10 when something would change.")
    ] = False,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Show what a rollout would do, against the service as it is now."""
    from rollout.control import denials, make_plan
    from rollout.plan import changes_nothing, raise_if_unsafe

    installation = find_installation(config)
    made = make_plan(installation, service, image)
    raise_if_unsafe(made, denials(installation, service))
    changes = not changes_nothing(made)
    document = {"plan": made.to_json(), "hash": made.hash, "changes": changes}
    if out:
        out.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    Screen(as_json=json_out).document(document, plan_text(made.to_json(), made.hash, changes))
    if detailed_exitcode and changes:
        raise typer.Exit(exits.CHANGES_PENDING)


@commands.command()
def start(
    service: Name,
    image: Image = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="Carry out exactly this saved plan.")
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="The same key again is the same rollout.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Drive it from here until it is promoted.")] = True,
    timeout: Timeout = None,
    end_warm: Annotated[
        bool, typer.Option("--end-warm", help="Give up the way back of the last rollout first.")
    ] = False,
    reason: Reason = "",
    config: Config = None,
    json_out: Json = False,
    quiet: Quiet = False,
) -> None:
    """Patch a service: mirror, patch, prove, move traffic, watch, keep the old side warm."""
    from rollout import control, follow

    if image and plan:
        raise Usage("--image and --plan exclude each other: a saved plan says its image")
    if not wait:
        raise Usage("nothing would drive it: no `rollout serve` is running here. Leave --no-wait out")
    installation, screen = find_installation(config), Screen(as_json=json_out, quiet=quiet)
    saved = _saved_plan(plan) if plan else None
    _end_warm(installation, service, end_warm, screen, key)
    started = control.start(
        installation, service, image=image, saved=saved, key=key, actor=this_person(), reason=reason
    )
    if started.again:
        screen.say(f"{key}: this key opened {started.row.id} already; going on with it")
    screen.say(
        f"{started.row.id}: driven from here; nothing watches it when this command ends (Ctrl-C puts traffic back)"
    )
    _follow(installation, started.row, screen, timeout, finished=follow.is_accepted)


def _saved_plan(path: Path) -> Any:
    from rollout.plan import Plan

    try:
        document = json.loads(path.read_text())
        saved = Plan.from_json(document["plan"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Usage(f"{path} is not a plan that `rollout plan --out` saved: {error!r}") from error
    if saved.hash != document.get("hash"):
        raise Usage(f"{path} was changed since it was saved: its hash does not match")
    return saved


def _end_warm(installation: Installation, service: str, wanted: bool, screen: Screen, key: str | None) -> None:
    """Retire what is warm, if asked for or if its window has ended anyway."""
    from rollout import control, follow
    from rollout.journal import Journal
    from rollout.summary import is_way_back_open

    rows = installation.store.rollouts(service, open_only=True)
    if not rows or not follow.is_promoted(rows[0]) or (key is not None and rows[0].key == key):
        return
    row = rows[0]
    journal = Journal(installation.store.entries(row.id))
    over = not is_way_back_open(row, journal, installation.clock.now())
    if not wanted and not over:
        return
    if not over:
        screen.say(f"{row.id}: giving up its way back to {row.plan['original']} ({row.plan['original_image'][:19]})")
        control.end_warm(installation, row, this_person())
    _follow(installation, row, screen, None, to_end=True, go_on=True)


def _listener(installation: Installation, service: str, screen: Screen) -> Any:
    from rollout.engine.local import Listener
    from rollout.log import job_log

    note_job = job_log(installation.state_dir, installation.clock, service)
    return Listener(screen.entry, screen.wait, screen.elsewhere, note_job)


def _follow(
    installation: Installation,
    row: Row,
    screen: Screen,
    timeout: float | None,
    *,
    to_end: bool = False,
    go_on: bool = False,
    put_back_asked: bool = False,
    finished: Callable[[Row], bool] | None = None,
) -> None:
    """Drive until the command's end (or the rollout's), show the result, and exit with its code.

    `go_on`: return instead when the rollout was closed, because the command has more to do. `put_back_asked`: to
    have traffic back is what the command was for, so that it is a success.
    """
    from rollout import control, follow
    from rollout.store import StoreError

    for merged in control.merge_spool(installation):
        screen.say(merged)
    listener = _listener(installation, row.service, screen)
    follower = follow.Follower(installation, row.id, listener, screen.say, this_person(), timeout)
    try:
        now, code = follower.until(finished or (follow.is_closed if to_end else follow.finish_line(row)))
    except StoreError as error:
        raise Stranded(installation, row, error) from error
    if go_on and now.closed_at is not None and code is None:
        return
    summary = live_summary(installation, now)
    if put_back_asked and summary["exit_code"] == exits.ROLLED_BACK:
        summary["exit_code"] = exits.DONE
    summary["exit_code"] = code if code is not None else summary["exit_code"]
    screen.document(summary, standing(summary))
    raise typer.Exit(summary["exit_code"])


@commands.command()
def resume(
    which: Which,
    timeout: Timeout = None,
    after_rollback: Annotated[bool, typer.Option("--after-rollback", hidden=True)] = False,
    config: Config = None,
    json_out: Json = False,
    quiet: Quiet = False,
) -> None:
    """Drive a rollout on from here: after a crash, or after a halt whose cause was put right."""
    from rollout import control

    installation, screen = find_installation(config), Screen(as_json=json_out, quiet=quiet)
    row = control.find(installation, which)
    if after_rollback:
        screen.say("the rest: giving the patched side up (safe to interrupt; rollout resume goes on)")
    control.resume(installation, row, this_person())
    if control.clear_left_over_mark(installation, row):
        screen.say(f"{row.id}: cleared the hold mark that it had left")
    row = installation.store.rollout(row.id)
    _follow(installation, row, screen, timeout, to_end=after_rollback, put_back_asked=after_rollback)


@commands.command()
def approve(which: Which, config: Config = None, json_out: Json = False) -> None:
    """Let a rollout that waits for approval go on."""
    from rollout import control

    installation = find_installation(config)
    row = control.find(installation, which)
    control.approve(installation, row, this_person())
    Screen(as_json=json_out).document({"id": row.id, "approved": True}, f"approved {row.id}; whoever drives it goes on")


@commands.command()
def abort(which: Which, reason: Reason, config: Config = None, json_out: Json = False, quiet: Quiet = False) -> None:
    """Stop a rollout and put everything back."""
    from rollout import control

    installation, screen = find_installation(config), Screen(as_json=json_out, quiet=quiet)
    row = control.find(installation, which)
    if row.closed_at is not None:
        raise Usage(f"{row.id} is closed already ({row.outcome}); where traffic is: rollout status {row.service}")
    ready = control.turn_back(installation, row, "abort", reason=reason, actor=this_person())
    screen.say(f"{row.id}: {ready.why}")
    _follow(installation, installation.store.rollout(row.id), screen, None, to_end=True, put_back_asked=True)


@commands.command()
def rollback(
    service: Annotated[str | None, typer.Argument(metavar="[SERVICE]", autocompletion=complete_service)] = None,
    reason: Reason = "",
    drill: Annotated[bool, typer.Option("--drill", help="All but the change itself.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even onto a side that is not healthy.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Also give the patched side up.")] = True,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Put traffic back on the warm side, now."""
    raise AssertionError("the entry takes this command to the emergency path")  # here for help and completion
