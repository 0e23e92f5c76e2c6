"""wave: campaigns. Describe them once in the fleet file; `rollout serve` carries them out in their windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollout import exits
from rollout.actor import this_actor
from rollout.commands.options import (
    Config,
    DetailedExitcode,
    Image,
    Json,
    Quiet,
    Reason,
    Ref,
    Timeout,
    Usage,
    complete_campaign,
    find_installation,
    raise_if_nobody_serves,
    server_of,
)
from rollout.commands.options import Name as Service
from rollout.render import Screen, page_columns

if TYPE_CHECKING:
    from rollout.campaign.model import Run
    from rollout.wiring import Installation

commands = typer.Typer()
wave = typer.Typer(help="Campaigns: services patched wave by wave.", no_args_is_help=True, rich_markup_mode=None)
commands.add_typer(wave, name="wave")


Name = Annotated[str, typer.Argument(metavar="NAME", autocompletion=complete_campaign)]


@wave.command("plan")
def wave_plan(
    name: Name,
    image: Image = None,
    detailed_exitcode: DetailedExitcode = False,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Show what a campaign would do now, service by service, and what it costs; changes nothing."""
    from rollout.campaign.preview import preview
    from rollout.view.wave import plan_lines

    installation, screen = find_installation(config), Screen(as_json=json_out)
    found = preview(installation, name, image)
    screen.document(found, "" if json_out else "\n".join(plan_lines(found, page_columns())))
    if found["denied"]:
        raise typer.Exit(exits.USAGE)
    if detailed_exitcode and found["changes"]:
        raise typer.Exit(exits.CHANGES_PENDING)


@wave.command("start")
def wave_start(
    name: Name,
    image: Image = None,
    key: Annotated[str | None, typer.Option("--key", help="The same key again is the same run.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it to its end.")] = False,
    timeout: Timeout = None,
    reason: Reason = "",
    ref: Ref = "",
    config: Config = None,
    json_out: Json = False,
    quiet: Quiet = False,
) -> None:
    """Start a campaign now: its image is pinned once, and `rollout serve` carries it out in its windows."""
    from rollout.campaign import beginning
    from rollout.commands.wave_follow import follow

    installation, screen = find_installation(config), Screen(as_json=json_out, quiet=quiet)
    raise_if_nobody_serves(installation, "")
    run, again = beginning.start(installation, name, image=image, key=key, actor=this_actor(), reason=reason, ref=ref)
    if again:
        screen.say(f"{key}: this key started {run.id} already")
    if wait:
        raise typer.Exit(follow(installation, run, screen, timeout))
    told = f"{run.id}: handed over to {server_of(installation)}; watch: rollout wave status {name} --watch"
    _document(installation, run, screen, told, exit_code=exits.DONE)


@wave.command("status")
def wave_status(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", autocompletion=complete_campaign)] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it until it is over.")] = False,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """How a campaign stands: its waves, its services, what each waits for; without a name, all campaigns."""
    from rollout.commands.wave_follow import follow

    installation, screen = find_installation(config), Screen(as_json=json_out)
    if name is None:
        _list(installation, screen)
        return
    run = _run(installation, name)
    if watch:
        raise typer.Exit(follow(installation, run, screen, None, live=True))
    _document(installation, run, screen)


@wave.command("pause")
def wave_pause(
    name: Name,
    rollouts: Annotated[bool, typer.Option("--rollouts", help="What was begun takes no further step either.")] = False,
    reason: Reason = "",
    ref: Ref = "",
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Begin nothing more; what was begun goes on, unless --rollouts is given. Ways back are always open."""
    from rollout.campaign import register

    installation, screen = find_installation(config), Screen(as_json=json_out)
    said: Any = {"rollouts": rollouts, "ref": ref}
    now = installation.clock.now()
    run = register.pause(installation.store.db, name, this_actor(), reason or "no reason given", now, **said)
    more = ", and what was begun takes no further step" if rollouts else "; what was begun goes on"
    told = f"{run.id} is paused{more}{_unless_served(installation, rollouts)}. Go on with: rollout wave resume {name}"
    _document(installation, run, screen, told, exit_code=exits.DONE)


@wave.command("resume")
def wave_resume(name: Name, reason: Reason = "", ref: Ref = "", config: Config = None, json_out: Json = False) -> None:
    """Let a paused or stopped campaign go on; the failures so far stop it no more."""
    from rollout.campaign import register

    installation, screen = find_installation(config), Screen(as_json=json_out)
    now = installation.clock.now()
    run = register.resume(installation.store.db, name, this_actor(), reason, now, ref=ref)
    _document(installation, run, screen, f"{run.id} goes on{_unless_served(installation, True)}", exit_code=exits.DONE)


@wave.command("abort")
def wave_abort(
    name: Name,
    reason: Reason,
    keep: Annotated[bool, typer.Option("--keep", help="What was begun goes on; only nothing more is begun.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until all is put back.")] = False,
    ref: Ref = "",
    config: Config = None,
    json_out: Json = False,
    quiet: Quiet = False,
) -> None:
    """End a campaign, and put back what was begun and not promoted yet; what was promoted stays."""
    from rollout.campaign import register
    from rollout.commands.wave_follow import follow

    installation, screen = find_installation(config), Screen(as_json=json_out, quiet=quiet)
    if wait:
        raise_if_nobody_serves(installation, ", or leave --wait out")
    said: Any = {"rollouts": not keep, "ref": ref}
    run = register.abort(installation.store.db, name, this_actor(), reason, installation.clock.now(), **said)
    if wait:
        code = follow(installation, run, screen, None)
        raise typer.Exit(exits.DONE if code == exits.ROLLED_BACK else code)
    more = "what was begun goes on" if keep else "what was begun and not promoted is put back"
    told = f"{run.id} is aborted: {more}{_unless_served(installation, True)}. Look: rollout wave status {name}"
    _document(installation, run, screen, told, exit_code=exits.DONE)


@wave.command("go-on")
def wave_go_on(name: Name, reason: Reason = "", ref: Ref = "", config: Config = None, json_out: Json = False) -> None:
    """Let the next wave begin, after one that asks for a person's word."""
    from rollout.campaign import register

    installation, screen = find_installation(config), Screen(as_json=json_out)
    waves = register.go_on(installation.store.db, name, this_actor(), reason, installation.clock.now(), ref=ref)
    told = f"{name} goes on after {', '.join(waves)}{_unless_served(installation, True)}"
    _document(installation, _run(installation, name), screen, told, exit_code=exits.DONE)


@wave.command("skip")
def wave_skip(
    name: Name,
    service: Service,
    reason: Reason,
    ref: Ref = "",
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Leave a service out of the campaign that is under way, as one that is held for long: the others go on without."""
    from rollout.campaign import register

    installation, screen = find_installation(config), Screen(as_json=json_out)
    now = installation.clock.now()
    run, fresh = register.skip(installation.store.db, name, service, this_actor(), reason, now, ref=ref)
    told = f"{service} is left out of {run.id}" if fresh else f"{service} was left out of {run.id} before"
    told += f". To patch it later: rollout start {service} --image REF, or the next run of {run.campaign}"
    _document(installation, run, screen, told, exit_code=exits.DONE)


def _unless_served(installation: Installation, needed: bool) -> str:
    """Nobody but a serving process does anything about it."""
    return "" if not needed or server_of(installation) else ", as soon as `rollout serve` runs: nobody serves now"


def _run(installation: Installation, name: str) -> Run:
    """The newest run of a campaign; a wave of one (`monthly/canary`) is shown with it."""
    from rollout.campaign import register
    from rollout.campaign.beginning import campaign_of

    name = name.partition("/")[0]
    run = register.newest(installation.store.db, name) if installation.has_store else None
    if run is None:
        campaign_of(installation, name)
        raise Usage(f"campaign {name} has never run; begin with: rollout wave plan {name}")
    return run


def _document(
    installation: Installation, run: Run, screen: Screen, told: str = "", exit_code: int | None = None
) -> None:
    """The run's standing as JSON, or one sentence, or all of it in words."""
    from rollout.campaign.standing import stand_of

    standing = stand_of(installation, run)
    if exit_code is not None:
        standing["exit_code"] = exit_code
    standing["served_by"] = server_of(installation) or None
    if screen.as_json or told:
        screen.document(standing, told)
        return
    from rollout.view.wave import lines

    text = lines(standing, now=installation.clock.now(), width=page_columns())
    if standing["ended_at"] is None and not standing["served_by"]:
        text.append("  driven   by nobody, so that nothing of it goes on: rollout serve")
    screen.document(standing, "\n".join(text))


def _list(installation: Installation, screen: Screen) -> None:
    """Every campaign of the file, and every one that is under way though it is not in the file any more."""
    from rollout.campaign import register
    from rollout.campaign.standing import stand_of

    db = installation.store.db if installation.has_store else None
    names = list(installation.fleet.campaigns)
    if db is not None:
        names += [run.campaign for run in register.runs(db) if run.campaign not in names]
    found, told = [], []
    for name in names:
        run = register.newest(db, name) if db is not None else None
        if run is None:
            found.append({"campaign": name, "state": "never"})
            told.append(f"{name}  has never run; rollout wave plan {name}")
            continue
        standing = stand_of(installation, run)
        standing.pop("services")
        found.append(standing)
        counts = ", ".join(f"{count} {key}" for key, count in standing["counts"].items() if count)
        told.append(f"{name}  {standing['state']}  {run.plan.reference}  {counts}  {run.id}")
    screen.document({"campaigns": found}, "\n".join(told) or "no campaigns: write `campaigns` into the fleet file")
