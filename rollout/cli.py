"""The command line: parse, one call, render. Exit codes are a contract (rollout/exits.py)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollout import exits
from rollout.commands import bake, begin, care, guard, keep, look, run, server, tell, wave, when, worker
from rollout.commands.options import Config, Stranded, Usage
from rollout.render import Screen

if TYPE_CHECKING:
    from rollout.store import Claimed

app = typer.Typer(
    name="rollout",
    help="Patch services without ever changing a live system.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for part in (begin, run, wave, guard, look, tell, server, worker, care, keep, bake, when):
    app.add_typer(part.commands)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("rollout-manager"))
        raise typer.Exit


@app.callback()
def main_options(
    config: Config = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    if config:
        os.environ["ROLLOUT_CONFIG"] = str(config)  # `rollout --config FILE status` is `rollout status --config FILE`


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
        Screen(as_json="--json" in arguments).event("error", text=str(usage), exit_code=exits.USAGE)
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
        screen.event("error", text=text, exit_code=code, **_in_full(error))
        return code


def _explain(error: Exception) -> tuple[int, str]:
    """The exit code, and what happened in words."""
    for kinds, code, advice in _known_errors():
        if isinstance(error, kinds):
            return code, f"{error}{advice(error)}"
    import traceback

    trace = traceback.format_exc()
    return exits.INTERNAL, f"{trace}internal error (above); nothing is lost. See where things are with: rollout status"


def _in_full(error: Exception) -> dict[str, Any]:
    """What a program is better told as data than in a sentence."""
    procedure = getattr(error, "procedure", None)
    return {} if procedure is None else {"procedure": list(procedure)}


def _known_errors() -> list[tuple[Any, int, Callable[[Any], str]]]:
    from providers.base import ProviderError
    from rollout.bootstrap import DidNotComeUp
    from rollout.campaign.register import Running
    from rollout.care.backup import BadBackup, StillDriven
    from rollout.commands.bake import NotBaked
    from rollout.control import NothingToDo, StoreBehind
    from rollout.decide import CannotTurnBack
    from rollout.engine.job import UnknownStory
    from rollout.exposed import BadAddress
    from rollout.follow import LeftAtOnce
    from rollout.freeze import Frozen
    from rollout.holds import Busy, Taken
    from rollout.interventions import NotAdoptable
    from rollout.plan import StalePlan
    from rollout.presence import AlreadyServed
    from rollout.store import Claimed, Held, LeaseHeld, StoreError

    settings = sys.modules.get("rollout.settings")

    def nothing(error: Any) -> str:
        return ""

    return [
        (_refused(), exits.USAGE, nothing),
        (getattr(settings, "SettingsErrors", ()), exits.USAGE, nothing),
        (NothingToDo, exits.DONE, nothing),
        (BadAddress, exits.USAGE, nothing),
        (Claimed, exits.LOCKED, _claimed_advice),
        ((Held, Taken), exits.LOCKED, _held_advice),
        (Frozen, exits.LOCKED, _frozen_advice),
        (Busy, exits.LOCKED, _busy_advice),
        (Running, exits.LOCKED, lambda error: f". Look: rollout wave status {error.run.campaign}"),
        (StillDriven, exits.LOCKED, nothing),
        (BadBackup, exits.PERSON_NEEDED, nothing),
        (AlreadyServed, exits.LOCKED, lambda error: f", since {_when(error.server.since)}; one is enough"),
        (LeaseHeld, exits.LOCKED, lambda error: ". Try again in a moment"),
        (StalePlan, exits.STALE_PLAN, nothing),
        (
            (CannotTurnBack, DidNotComeUp, UnknownStory, Stranded, NotAdoptable, StoreBehind, NotBaked),
            exits.PERSON_NEEDED,
            nothing,
        ),
        (LeftAtOnce, exits.INTERRUPTED, nothing),
        (ProviderError, exits.USAGE, lambda error: "; nothing was changed"),
        (StoreError, exits.INTERNAL, lambda error: ". rollout rollback works without the store; see: rollout doctor"),
    ]


def _refused() -> tuple[type[Exception], ...]:
    """What the command line, the fleet file or the state of things does not allow; nothing was changed."""
    from rollout.calendar.zones import UnknownZone
    from rollout.campaign.beginning import UnknownCampaign
    from rollout.campaign.pins import CannotPin
    from rollout.campaign.register import NotNow, UnknownRun
    from rollout.control import RefMissing, UnknownRollout
    from rollout.freeze import BadScope
    from rollout.interventions import NotApprovable, NotPossible
    from rollout.opening import OutsideWindow
    from rollout.plan import UnsafePlan
    from rollout.starter import CannotBegin
    from rollout.state_dir import StateUnreadable
    from rollout.tell.writing import CannotWrite
    from rollout.times import BadTime
    from rollout.wiring import UnknownService

    campaigns = (CannotPin, NotNow, UnknownCampaign, UnknownRun)
    words = (*campaigns, Usage, CannotBegin, RefMissing, BadTime, UnknownService, UnknownRollout)
    untimely = (BadScope, OutsideWindow, UnknownZone)
    return (*words, *untimely, CannotWrite, NotApprovable, NotPossible, StateUnreadable, UnsafePlan)


def _busy_advice(error: Any) -> str:
    return (
        f". Wait until it is done (rollout status {error.rollout} --watch); where nobody drives it, go on with it: "
        f"rollout resume {error.rollout}"
    )


def _held_advice(error: Any) -> str:
    hold = error.hold
    until = f"until {_when(hold.until)}" if hold.until else "until it is released"
    return f" (since {_when(hold.at)}, {until}). End it with: rollout hold {hold.service} --release"


def _frozen_advice(error: Any) -> str:
    freeze = error.freeze
    until = f"until {_when(freeze.until)}" if freeze.until else "until it is lifted"
    return f" (since {_when(freeze.at)}, {until}). Ways back are open. Lift it with: rollout freeze off {freeze.scope}"


def _when(at: float) -> str:
    from rollout.telling import minute

    return minute(at)


def _claimed_advice(error: Claimed) -> str:
    row = error.rollout
    if row.outcome == "promoted":
        return (
            f", kept warm for a rollback to {row.plan['original']}. "
            f"To give that way back up: rollout start {row.service} --end-warm"
        )
    return f", opened by {row.actor}. Look: rollout status {row.id}; go on with it: rollout resume {row.id}"
