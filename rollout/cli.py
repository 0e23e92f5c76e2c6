"""The command line: parse, one call, render. Exit codes are a contract (rollout/exits.py)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from rollout import exits
from rollout.actor import this_person
from rollout.render import Screen, ledger_text, plan_text, standing
from rollout.state_dir import StateUnreadable, find_fleet_file
from rollout.store import Claimed, Row, StoreError
from rollout.summary import summarise
from rollout.wiring import Installation, UnknownService, thin_rollback

app = typer.Typer(
    name="rollout",
    help="Patch services without ever changing a live system.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
journal = typer.Typer(help="The record of everything done.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(journal, name="journal")


class Usage(Exception):
    """The command line asks for what cannot be; exit 2."""


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("rollout-manager"))
        raise typer.Exit


def complete_service(incomplete: str) -> list[str]:
    """Service names for the shell."""
    try:
        installation = _installation(None)
        return [name for name in installation.fleet.services if name.startswith(incomplete)]
    except Exception:
        return []


def complete_rollout(incomplete: str) -> list[str]:
    """Ids and service names for the shell."""
    try:
        rows = _installation(None).store.rollouts(limit=50)
        return [name for row in rows for name in (row.id, row.service) if name.startswith(incomplete)]
    except Exception:
        return []


Config = Annotated[Path | None, typer.Option("--config", help="Fleet file; else ROLLOUT_CONFIG, ./fleet.yaml, yours.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout; while something runs, a line an event.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.")]
Name = Annotated[str, typer.Argument(metavar="SERVICE", autocompletion=complete_service)]
Which = Annotated[str, typer.Argument(metavar="ID|SERVICE", autocompletion=complete_rollout)]
Image = Annotated[str | None, typer.Option("--image", metavar="REF", help="What to patch to; else the fleet file's.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Goes into the journal.")]
Timeout = Annotated[float | None, typer.Option("--timeout", metavar="SECONDS", help="Leave with 7 if it still runs.")]


@app.callback()
def main_options(
    config: Config = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    if config:
        os.environ["ROLLOUT_CONFIG"] = str(config)  # `rollout --config FILE status` is `rollout status --config FILE`


def _installation(config: Path | None) -> Installation:
    found = find_fleet_file(str(config) if config else None, os.environ, Path.cwd())
    if found is None:
        raise Usage("no fleet file: name one with --config FILE or ROLLOUT_CONFIG, or make ./fleet.yaml")
    return Installation(found)


@app.command()
def up(service: Name, image: Image = None, config: Config = None, json_out: Json = False) -> None:
    """Stand a service up for the first time on its blue slot."""
    from rollout import bootstrap

    installation, screen = _installation(config), Screen(as_json=json_out)
    screen.say(f"{service}: standing up blue")
    data = bootstrap.stand_up(installation, service, image)
    screen.document(data, f"{service} runs {data['image']} on blue, {data['healthy']} healthy")


@app.command()
def down(
    service: Name,
    yes: Annotated[str, typer.Option("--yes", metavar="SERVICE", help="Say the service's name: it will be gone.")] = "",
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Stop everything of a service on this machine and remove its files; the journal stays."""
    from rollout import bootstrap

    if yes != service:
        raise Usage(f"this stops {service} for good; to confirm: rollout down {service} --yes {service}")
    bootstrap.tear_down(_installation(config), service)
    Screen(as_json=json_out).document({"service": service, "down": True}, f"{service} is gone from this machine")


@app.command()
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
    from rollout.control import make_plan
    from rollout.plan import changes_nothing, raise_if_unsafe

    installation = _installation(config)
    made = make_plan(installation, service, image)
    raise_if_unsafe(made, installation.store.denials(service))
    changes = not changes_nothing(made)
    document = {"plan": made.to_json(), "hash": made.hash, "changes": changes}
    if out:
        out.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    Screen(as_json=json_out).document(document, plan_text(made.to_json(), made.hash, changes))
    if detailed_exitcode and changes:
        raise typer.Exit(exits.CHANGES_PENDING)


@app.command()
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
    from rollout import control

    if image and plan:
        raise Usage("--image and --plan exclude each other: a saved plan says its image")
    if not wait:
        raise Usage("nothing would drive it: no `rollout serve` is running here. Leave --no-wait out")
    installation, screen = _installation(config), Screen(as_json=json_out, quiet=quiet)
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
    _follow(installation, started.row, screen, timeout)


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

    rows = installation.store.rollouts(service, open_only=True)
    if not rows or not follow.is_promoted(rows[0]) or (key is not None and rows[0].key == key):
        return
    row = rows[0]
    over = (_summary(installation, row)["way_back_until"]) is None
    if not wanted and not over:
        return
    if not over:
        screen.say(f"{row.id}: giving up its way back to {row.plan['original']} ({row.plan['original_image'][:19]})")
        control.end_warm(installation, row, this_person())
    _follow(installation, row, screen, None, to_end=True, go_on=True)


def _listener(screen: Screen) -> Any:
    from rollout.engine.local import Listener

    return Listener(screen.entry, screen.wait, screen.elsewhere)


def _follow(
    installation: Installation,
    row: Row,
    screen: Screen,
    timeout: float | None,
    *,
    to_end: bool = False,
    go_on: bool = False,
) -> None:
    """Drive until the command's end (or the rollout's), show the result, and exit with its code.

    `go_on`: return instead when the rollout was closed, because the command has more to do.
    """
    from rollout import follow

    follower = follow.Follower(installation, row.id, _listener(screen), screen.say, this_person(), timeout)
    now, code = follower.until(follow.is_closed if to_end else follow.finish_line(row))
    if go_on and now.closed_at is not None and code is None:
        return
    summary = _summary(installation, now)
    summary["exit_code"] = code if code is not None else summary["exit_code"]
    screen.document(summary, standing(summary))
    raise typer.Exit(summary["exit_code"])


@app.command()
def status(
    which: Annotated[str | None, typer.Argument(metavar="[ID|SERVICE]", autocompletion=complete_rollout)] = None,
    config: Config = None,
    json_out: Json = False,
) -> None:
    """How a rollout stands and where traffic is; without a name, the latest of each service."""
    installation, screen = _installation(config), Screen(as_json=json_out)
    if which is not None:
        from rollout.control import find

        summary = _summary(installation, find(installation, which))
        screen.document(summary, standing(summary))
        return
    latest: dict[str, Row] = {}
    if installation.store_path.exists():
        for row in installation.store.rollouts():
            latest.setdefault(row.service, row)
    found = [_summary(installation, row) for row in latest.values()]
    empty = "no rollouts yet; begin with: rollout plan SERVICE"
    screen.document({"rollouts": found}, "\n\n".join(standing(summary) for summary in found) or empty)


def _summary(installation: Installation, row: Row) -> dict[str, Any]:
    """How it stands, with traffic read live through the card where that is possible."""
    from rollout.telling import waiting

    store, now = installation.store, installation.clock.now()
    card, route = installation.cards.read(row.service), None
    if card and row.plan["provider"] == card.provider:
        try:
            route = thin_rollback(card.provider).read(card.target)["weights"]
        except Exception:
            route = None  # then it is told as last journalled, and said so
    summary = summarise(row, store.entries(row.id), now=now, route=route)
    wait, lease = store.wait(row.id), store.lease(row.service)
    summary["waits_for"] = waiting(wait, now) if wait and row.closed_at is None else None
    summary["driven_by"] = str(lease[0]) if lease and lease[1] > now else None
    summary["journal"] = str(installation.store_path)
    return summary


@app.command()
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

    installation, screen = _installation(config), Screen(as_json=json_out, quiet=quiet)
    row = control.find(installation, which)
    if after_rollback:
        screen.say("the rest: giving the patched side up (safe to interrupt; rollout resume goes on)")
    control.resume(installation, row, this_person())
    try:
        _follow(installation, installation.store.rollout(row.id), screen, timeout, to_end=after_rollback)
    except typer.Exit as ended:
        # The on-call engineer asked for a rollback and has it: that is success.
        raise typer.Exit(
            exits.DONE if after_rollback and ended.exit_code == exits.ROLLED_BACK else ended.exit_code
        ) from None


@app.command()
def approve(which: Which, config: Config = None, json_out: Json = False) -> None:
    """Let a rollout that waits for approval go on."""
    from rollout import control

    installation = _installation(config)
    row = control.find(installation, which)
    control.approve(installation, row, this_person())
    Screen(as_json=json_out).document({"id": row.id, "approved": True}, f"approved {row.id}; whoever drives it goes on")


@app.command()
def abort(which: Which, reason: Reason, config: Config = None, json_out: Json = False, quiet: Quiet = False) -> None:
    """Stop a rollout and put everything back."""
    from rollout import control

    installation, screen = _installation(config), Screen(as_json=json_out, quiet=quiet)
    row = control.find(installation, which)
    if row.closed_at is not None:
        raise Usage(f"{row.id} is closed already ({row.outcome})")
    ready = control.turn_back(installation, row, "abort", reason=reason, actor=this_person())
    screen.say(f"{row.id}: {ready.why}")
    try:
        _follow(installation, installation.store.rollout(row.id), screen, None, to_end=True)
    except typer.Exit as ended:
        raise typer.Exit(exits.DONE if ended.exit_code == exits.ROLLED_BACK else ended.exit_code) from None


@app.command()
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


@app.command()
def deny(
    service: Name,
    image: Annotated[str | None, typer.Argument(metavar="[REF]")] = None,
    lift: Annotated[bool, typer.Option("--lift", help="Allow it again.")] = False,
    reason: Reason = "",
    config: Config = None,
    json_out: Json = False,
) -> None:
    """Keep an image from a service (list them without REF), or allow it again."""
    from rollout import bootstrap

    installation, screen = _installation(config), Screen(as_json=json_out)
    if image is not None:
        bootstrap.deny(installation, service, image, reason=reason or f"denied by {this_person()}", lift=lift)
    denied = dict(installation.store.denials(service))
    text = "\n".join(f"{name}  {why}" for name, why in denied.items()) or f"no image is denied for {service}"
    screen.document({"service": service, "denied": denied}, text)


@app.command()
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
    installation = _installation(config)
    row = find(installation, which)
    found = advisories(Journal(installation.store.entries(row.id)))
    if found is None:
        raise Usage(f"{row.id} has no ledger: its vulnerabilities check was not asked (yet, or is not configured)")
    Screen(as_json=json_out or format == "json").document({"id": row.id, **found}, ledger_text(found))


@journal.command("show")
def journal_show(which: Which, config: Config = None, json_out: Json = False) -> None:
    """Every entry of one rollout."""
    from rollout.control import find

    installation = _installation(config)
    entries = installation.store.entries(find(installation, which).id)
    lines = [f"{e.seq:4} {_when(e.at)} epoch {e.epoch:3} {e.kind:18} {e.step}" for e in entries]
    Screen(as_json=json_out).document({"entries": [_entry_json(entry) for entry in entries]}, "\n".join(lines))


@journal.command("export")
def journal_export(which: Which, config: Config = None) -> None:
    """One rollout's journal as JSON lines, hashes included, to keep elsewhere."""
    from rollout.control import find

    installation, screen = _installation(config), Screen(as_json=True)
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

    verified = bootstrap.verify(_installation(config), which)
    Screen(as_json=json_out).document(verified, bootstrap.verify_text(verified))
    if verified["broken"]:
        raise typer.Exit(exits.PERSON_NEEDED)


def _entry_json(entry: Any) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__slots__}


def _when(at: float) -> str:
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


@app.command()
def demo(
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Leave fleet, state and logs there.")
    ] = None,
    json_out: Json = False,
) -> None:
    """The main job on this machine: real processes, packages, balancer and load. Under three minutes."""
    from rollout.demo.play import play

    raise typer.Exit(play(Screen(as_json=json_out), keep))


def main(arguments: list[str]) -> int:
    """Run one command line; every expected failure becomes a message and its exit code."""
    try:
        code = app(args=arguments, standalone_mode=False, prog_name="rollout")
        return code if isinstance(code, int) else exits.DONE
    except typer.Exit as ended:
        return ended.exit_code
    except typer.TyperException as usage:
        show = getattr(usage, "show", None)
        show() if show else Screen(as_json=False).problem(str(usage))
        return exits.USAGE
    except (typer.Abort, KeyboardInterrupt):
        return exits.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return exits.DONE
    except Exception as error:
        code, text = _explain(error)
        screen = Screen(as_json="--json" in arguments)
        screen.problem(f"rollout: {text}")
        screen.event("error", text=text, exit_code=code)
        return code


def _explain(error: Exception) -> tuple[int, str]:
    """The exit code, and what happened in words."""
    for kinds, code, advice in _known_errors():
        if isinstance(error, kinds):
            return code, f"{error}{advice(error)}"
    import traceback

    trace = traceback.format_exc()
    return exits.INTERNAL, f"{trace}internal error (above); nothing is lost. See where things are with: rollout status"


def _known_errors() -> list[tuple[Any, int, Callable[[Any], str]]]:
    from providers.base import ProviderError
    from rollout.control import NothingToDo, UnknownRollout
    from rollout.decide import CannotTurnBack
    from rollout.follow import LeftAtOnce
    from rollout.plan import StalePlan, UnsafePlan

    settings = sys.modules.get("rollout.settings")

    def nothing(error: Any) -> str:
        return ""

    return [
        ((Usage, UnknownService, UnknownRollout, StateUnreadable, UnsafePlan), exits.USAGE, nothing),
        (getattr(settings, "SettingsErrors", ()), exits.USAGE, nothing),
        (NothingToDo, exits.DONE, nothing),
        (Claimed, exits.LOCKED, _claimed_advice),
        (StalePlan, exits.STALE_PLAN, lambda error: "\nMake a new plan: rollout plan SERVICE --out FILE"),
        (CannotTurnBack, exits.PERSON_NEEDED, nothing),
        (LeftAtOnce, exits.INTERRUPTED, nothing),
        (ProviderError, exits.USAGE, lambda error: "; nothing was changed"),
        (StoreError, exits.INTERNAL, lambda error: "; traffic is untouched. rollout rollback works without the store"),
    ]


def _claimed_advice(error: Claimed) -> str:
    row = error.rollout
    if row.outcome == "promoted":
        return (
            f", kept warm for a rollback to {row.plan['original']}. "
            f"To give that way back up: rollout start {row.service} --end-warm"
        )
    return f", opened by {row.actor}. Look: rollout status {row.id}; go on with it: rollout resume {row.id}"
