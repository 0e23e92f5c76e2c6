"""plan · start · resume · abort · rollback: one rollout and its turns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollout import exits
from rollout.actor import this_actor
from rollout.commands.ci import Junit, StepSummary, left_for_ci
from rollout.commands.delivery import news_delivered
from rollout.commands.options import (
    Config,
    DetailedExitcode,
    Image,
    Json,
    Name,
    Quiet,
    Reason,
    Ref,
    Stranded,
    Timeout,
    Usage,
    Wait,
    Which,
    complete_service,
    find_installation,
    live_summary,
    raise_if_nobody_serves,
    server_of,
)
from rollout.render import Screen, plan_text

if TYPE_CHECKING:
    from rollout.rows import Row
    from rollout.wiring import Installation

commands = typer.Typer()


@commands.command()
def plan(
    service: Name,
    image: Image = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Save it for start --plan.")] = None,
    detailed_exitcode: DetailedExitcode = False,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Show what a rollout would do, against the service as it is now."""
    from rollout.control import denials, make_plan
    from rollout.plan import changes_nothing, raise_if_unsafe, what_blocks
    from rollout.tell.writing import write_out

    installation, screen = find_installation(config), Screen(as_json=json_out)
    made = make_plan(installation, service, image)
    raise_if_unsafe(replace(made, concerns=()), denials(installation, service))
    changes, blocked = not changes_nothing(made), what_blocks(made)
    document = {"plan": made.to_json(), "hash": made.hash, "changes": changes, "blocked": bool(blocked)}
    if out and not blocked:
        write_out(out, json.dumps(document, indent=2, sort_keys=True) + "\n")
    screen.document(document, plan_text(made.to_json(), made.hash, changes))
    if blocked:  # after the plan: who has to make room sees all that is to know
        screen.problem(f"rollout: {blocked}" + (f"; {out} was not written" if out else ""))
        raise typer.Exit(exits.USAGE)
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
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Stay until it is promoted, or leave it to rollout serve.")
    ] = True,
    timeout: Timeout = None,
    end_warm: Annotated[
        bool, typer.Option("--end-warm", help="Give up the way back of the last rollout first.")
    ] = False,
    outside_window: Annotated[
        bool, typer.Option("--outside-window", help="Although no window of it is open; needs --reason.")
    ] = False,
    cold: Annotated[
        bool, typer.Option("--cold", help="Back to an earlier --image in a hurry: health checks only; needs --reason.")
    ] = False,
    reason: Reason = "",
    ref: Ref = "",
    config: Config = None,
    junit: Junit = None,
    step_summary: StepSummary = None,
    json_out: Json = False,
    quiet: Quiet = False,
) -> None:
    """Patch a service: mirror, patch, prove, move traffic, watch, keep the old side warm."""
    from rollout import control, follow

    _raise_if_unclear(image, plan, cold)
    for option in [name for name, wanted in (("--outside-window", outside_window), ("--cold", cold)) if wanted]:
        if not reason.strip():
            raise Usage(f"{option} goes on record with its reason: say --reason TEXT")
    if (junit or step_summary) and not wait:
        raise Usage("--junit and --step-summary tell how it ended: not with --no-wait. Later: rollout report ID")
    installation, screen = find_installation(config), Screen(as_json=json_out, quiet=quiet)
    if not wait:
        raise_if_nobody_serves(installation)
    saved = _saved_plan(plan) if plan else None
    warm = _warm_to_end(installation, service, end_warm, key)
    if warm:  # no way back is given up for a start that fails
        control.plan_to_start(installation, service, image, saved, outside_window=outside_window, cold=cold)
        _end_warm(installation, warm, screen, timeout)
    said: Any = {"actor": this_actor(), "reason": reason, "ref": ref, "outside_window": outside_window}
    started = control.start(installation, service, image=image, saved=saved, key=key, cold=cold, **said)
    if started.again:
        screen.say(f"{key}: this key opened {started.row.id} already; going on with it")
    if not wait:
        hand_over(installation, started.row, screen)
    if not server_of(installation):
        screen.say(
            f"{started.row.id}: driven from here; nothing watches it when this command ends (Ctrl-C puts traffic back)"
        )
    with left_for_ci(installation, started.row, screen, junit, step_summary):
        _follow(installation, started.row, screen, timeout, finished=follow.is_accepted)


def _raise_if_unclear(image: str | None, plan: Path | None, cold: bool) -> None:
    if image and plan:
        raise Usage("--image and --plan exclude each other: a saved plan says its image")
    if cold and (plan or not image):
        raise Usage("--cold goes back to an image that has to be named, without a saved plan: say --image REF")


def _saved_plan(path: Path) -> Any:
    from rollout.journal import canonical
    from rollout.plan import Plan

    try:
        document = json.loads(path.read_text())
        saved = Plan.from_json(document["plan"])
        is_whole = hashlib.sha256(canonical(document["plan"]).encode()).hexdigest() == document.get("hash")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Usage(f"{path} is not a plan that `rollout plan --out` saved: {error!r}") from error
    if not is_whole:
        raise Usage(f"{path} was changed since it was saved: its hash does not match")
    return saved


def _warm_to_end(installation: Installation, service: str, wanted: bool, key: str | None) -> Row | None:
    """The warm rollout to be retired before another begins: that was asked for, or its window is over."""
    from rollout import follow
    from rollout.interventions import NotPossible
    from rollout.journal import Journal
    from rollout.summary import is_way_back_open

    rows = installation.store.rollouts(service)
    open_now = next((row for row in rows if row.closed_at is None), None)
    if open_now is None or not follow.is_promoted(open_now):
        return None
    if key is not None and any(row.key == key for row in rows):
        return None  # the start that is asked for is known already
    journal = Journal(installation.store.entries(open_now.id))
    if not wanted and is_way_back_open(open_now, journal, installation.clock.now()):
        return None
    if journal.paused:
        raise NotPossible(
            f"{open_now.id} is paused by {journal.paused.data['by']}, so its old side is not given up. "
            f"First: rollout resume {open_now.id}"
        )
    return open_now


def _end_warm(installation: Installation, row: Row, screen: Screen, timeout: float | None) -> None:
    """Retire what is warm."""
    from rollout import interventions
    from rollout.journal import Journal
    from rollout.summary import is_way_back_open

    if is_way_back_open(row, Journal(installation.store.entries(row.id)), installation.clock.now()):
        screen.say(f"{row.id}: giving up its way back to {row.plan['original']} ({row.plan['original_image'][:19]})")
        interventions.end_warm(installation, row, this_actor())
    _follow(installation, row, screen, timeout, to_end=True, go_on=True)


def _listener(installation: Installation, row: Row, screen: Screen) -> Any:
    from rollout.engine.local import Listener
    from rollout.log import job_log

    note_job = job_log(installation.state_dir, installation.clock, row.service)
    return Listener(
        screen.entry, lambda wait: screen.wait(wait, row.id), lambda holder: screen.elsewhere(holder, row.id), note_job
    )


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
    from rollout.commands.views import driving
    from rollout.store import StoreError
    from rollout.view.standing import standing

    for merged in control.merge_spool(installation):
        screen.say(merged)
    listener = _listener(installation, row, screen)
    follower = follow.Follower(installation, row.id, listener, screen.say, this_actor(), timeout)
    try:
        with driving(installation, row, screen), news_delivered(installation, screen):
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


def hand_over(installation: Installation, row: Row, screen: Screen) -> None:
    """`rollout serve` drives it: say so, and end with 0."""
    summary = {**live_summary(installation, installation.store.rollout(row.id)), "exit_code": exits.DONE}
    screen.document(
        summary, f"{row.id}: handed over to {server_of(installation)}; watch: rollout status {row.id} --watch"
    )
    raise typer.Exit(exits.DONE)


@commands.command()
def resume(
    which: Which,
    timeout: Timeout = None,
    wait: Wait = True,
    after_rollback: Annotated[bool, typer.Option("--after-rollback", hidden=True)] = False,
    config: Config = None,
    json_out: Json = False,
    quiet: Quiet = False,
) -> None:
    """Drive a rollout on from here: after a crash, or after a halt whose cause was put right."""
    from rollout import control, interventions

    installation, screen = find_installation(config), Screen(as_json=json_out, quiet=quiet)
    if not wait:
        raise_if_nobody_serves(installation)
    with _the_rest_may_wait(screen) if after_rollback else nullcontext():
        if after_rollback:
            _raise_if_there_is_no_store(installation)
        row = control.find(installation, which)
        if after_rollback:
            screen.say("the rest: giving the patched side up (safe to interrupt; rollout resume goes on)")
        put_back_asked = after_rollback or _is_turning_back_for_a_person(installation, row)
        interventions.resume(installation, row, this_actor())
        if not wait:
            hand_over(installation, row, screen)
        if control.clear_left_over_mark(installation, row):
            screen.say(f"{row.id}: cleared the hold mark that it had left")
        row = installation.store.rollout(row.id)
        _follow(installation, row, screen, timeout, to_end=after_rollback, put_back_asked=put_back_asked)


@contextmanager
def _the_rest_may_wait(screen: Screen) -> Iterator[None]:
    """Traffic was put back and read back, which is what was asked for: a store that fails, or does not know of it, is
    told and is no failure."""
    from rollout.control import UnknownRollout
    from rollout.store import StoreError

    try:
        yield
    except (StoreError, UnknownRollout, Stranded) as error:
        why = error.__cause__ if isinstance(error, Stranded) else error
        screen.problem(f"{why}. Traffic is back; the rest waits for the store. See: rollout doctor")
        raise typer.Exit(exits.DONE) from error


def _raise_if_there_is_no_store(installation: Installation) -> None:
    """An empty one in its place would hide that it is gone."""
    from rollout.store import StoreError

    if not installation.has_store:
        raise StoreError(f"there is no store at {installation.store_path}")


def _is_turning_back_for_a_person(installation: Installation, row: Row) -> bool:
    """Then to be put back is what is wanted, and a success."""
    from rollout.journal import Journal

    decision = Journal(installation.store.entries(row.id)).decision
    return row.closed_at is None and decision is not None and decision.data["kind"] in ("rollback", "abort")


@commands.command()
def abort(
    which: Which,
    reason: Reason,
    wait: Wait = True,
    ref: Ref = "",
    config: Config = None,
    json_out: Json = False,
    quiet: Quiet = False,
) -> None:
    """Stop a rollout and put everything back."""
    from rollout import control

    installation, screen = find_installation(config), Screen(as_json=json_out, quiet=quiet)
    row = control.find(installation, which)
    if row.closed_at is not None:
        raise Usage(f"{row.id} is closed already ({row.outcome}); where traffic is: rollout status {row.service}")
    if not wait:
        raise_if_nobody_serves(installation)
    ready = control.turn_back(installation, row, "abort", reason=reason, actor=this_actor(), ref=ref)
    screen.say(f"{row.id}: {ready.why}")
    if not wait:
        hand_over(installation, row, screen)
    _follow(installation, installation.store.rollout(row.id), screen, None, to_end=True, put_back_asked=True)


@commands.command()
def rollback(
    service: Annotated[
        str | None,
        typer.Argument(
            metavar="[SERVICE]",
            help="Its name, or a rollout, instance id, address, balancer or target group of it.",
            autocompletion=complete_service,
        ),
    ] = None,
    reason: Reason = "",
    ref: Ref = "",
    drill: Annotated[bool, typer.Option("--drill", help="All but the change itself.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even onto a side that is not healthy.")] = False,
    cut: Annotated[bool, typer.Option("--cut", help="End what is still open on the side that traffic leaves.")] = False,
    all_services: Annotated[bool, typer.Option("--all", help="Every service that has a way back.")] = False,
    wave: Annotated[str | None, typer.Option("--wave", metavar="NAME", help="All that a wave has begun.")] = None,
    cold: Annotated[
        bool, typer.Option("--cold/--no-cold", help="After its window: stand the earlier image up again.")
    ] = True,
    server: Annotated[
        str | None, typer.Option("--server", metavar="URL", help="Ask this server first; else ROLLOUT_SERVER.")
    ] = None,
    direct: Annotated[bool, typer.Option("--direct", help="Ask no server.")] = False,
    provider: Annotated[
        str | None,
        typer.Option("--provider", metavar="NAME", help="Without a fleet file: find SERVICE there, such as aws."),
    ] = None,
    region: Annotated[str | None, typer.Option("--region", metavar="NAME", help="With --provider: its region.")] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="NAME", help="With --provider: the credentials of this profile.")
    ] = None,
    role: Annotated[
        str | None, typer.Option("--role", metavar="ARN", help="With --provider: the role to act as.")
    ] = None,
    external_id: Annotated[
        str | None, typer.Option("--external-id", metavar="ID", help="With --role: what its owner asks for.")
    ] = None,
    endpoint_url: Annotated[
        str | None, typer.Option("--endpoint-url", metavar="URL", help="With --provider: another address of it.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Also give the patched side up (--json never does).")
    ] = True,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Put traffic back on the warm side, now."""
    raise AssertionError("the entry takes this command to the emergency path")  # here for help and completion


def follow_to_end(installation: Installation, row: Row, screen: Screen) -> None:
    """Drive or watch what a person's word began until the rollout is closed."""
    _follow(installation, installation.store.rollout(row.id), screen, None, to_end=True, put_back_asked=True)
