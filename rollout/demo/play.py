"""`rollout demo`: the main job on this machine, with real processes, packages, balancer and load."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rollout import exits
from rollout.demo.load import Load, Tally
from rollout.demo.stage import SERVICE, Stage, set_up
from rollout.render import Screen, ledger_row
from rollout.store import Store
from rollout.telling import shares
from rollout.view.standing import advisories_line


class Unexpected(Exception):
    """The demo did not show what it promises; the message says which act."""


@dataclass
class Acts:
    """What was shown. `fixed` holds what the promoted patches fixed, and is fixed still when the demo ends."""

    rollouts: list[dict[str, Any]] = field(default_factory=list)
    fixed: set[str] = field(default_factory=set)
    remaining: set[str] = field(default_factory=set)
    introduced: set[str] = field(default_factory=set)
    requests: int = 0
    failed: int = 0
    failed_on_bad_patch: int = 0
    rollback: dict[str, Any] = field(default_factory=dict)


class Play:
    def __init__(self, screen: Screen, stage: Stage) -> None:
        self.screen, self.stage, self.acts = screen, stage, Acts()
        self.load = Load(stage.port)

    def run(self) -> None:
        self.act("0", "a service on packages with published advisories, under load")
        self.expect(self.stage.rollout("up", SERVICE, "--image", "base-1")[0] == exits.DONE, "the service came up")
        self.load.start()
        self.good("1", "a patch, step by step, with no failed request", "base-2")
        self.good("2", "the next patch, back onto the other slot", "base-3", "--end-warm")
        self.bad("3", "a patch that brings a new advisory: caught before any traffic", "base-4-introduces", "proof")
        self.bad("4", "a patch whose packages do not fit: never healthy, no traffic", "base-4-broken", "running")
        self.bad("5", "a patch that only real traffic breaks: put back by itself", "base-5-strict", "live", live=True)
        self.good("6", "the corrected patch", "base-6")
        self.put_back("7", "3 a.m.: somebody wants the old side back")
        self.load.stop()

    def act(self, number: str, title: str) -> None:
        self.screen.say(f"\n── Act {number}: {title}")

    def expect(self, held: bool, what: str) -> None:
        if not held:
            raise Unexpected(what)

    def good(self, number: str, title: str, image: str, *more: str) -> None:
        """A rollout that is promoted without a failed request."""
        self.act(number, title)
        code, summary = self.stage.rollout("start", SERVICE, "--image", image, *more)
        self.record(summary)
        self.expect(code == exits.DONE, f"act {number}: {image} is promoted (exit {code})")
        tally = self.served()
        self.expect(tally.failed == 0, f"act {number}: no request fails ({dict(tally.failures)})")

    def bad(self, number: str, title: str, image: str, where: str, *, live: bool = False) -> None:
        """A rollout that turns back by itself, and where it has to be caught."""
        self.act(number, title)
        more = ("--end-warm",) if number == "3" else ()
        code, summary = self.stage.rollout("start", SERVICE, "--image", image, *more)
        self.record(summary)
        self.expect(code == exits.ROLLED_BACK, f"act {number}: {image} is rolled back (exit {code})")
        self.expect(summary["reason"].startswith(where), f"act {number}: caught at {where} ({summary['reason']})")
        tally = self.served(on_bad_patch=live)
        self.expect(live or tally.failed == 0, f"act {number}: no request fails ({dict(tally.failures)})")
        self.expect(live == (len(tally.served) == 2), f"act {number}: answered by {sorted(tally.served)}")

    def put_back(self, number: str, title: str) -> None:
        self.act(number, title)
        code, answer = self.stage.rollout("rollback", SERVICE, "--reason", "checkout looks odd")
        self.acts.rollback = answer
        self.expect(code == exits.DONE, f"act {number}: traffic is put back (exit {code})")
        self.screen.say(f"    traffic: {shares(answer['traffic'])}, after {answer['seconds']} s with the reading back")
        code, summary = self.stage.rollout("resume", answer["id"])
        self.expect(summary["outcome"] == "rolled_back", f"act {number}: the rest is given up")
        self.acts.rollouts[-1] = summary
        came_back = {found["id"] for found in summary["advisories"]["fixed"]}
        self.acts.fixed -= came_back
        self.screen.say(f"    with the old side {len(came_back)} advisories came back: {', '.join(sorted(came_back))}")
        tally = self.served()
        self.expect(tally.failed == 0, f"act {number}: no request fails ({dict(tally.failures)})")

    def record(self, summary: dict[str, Any]) -> None:
        self.expect("id" in summary, "the command told how the rollout ended")
        self.acts.rollouts.append(summary)
        ledger = summary.get("advisories")
        if not ledger:
            return
        self.screen.say(f"    security: {advisories_line(ledger)}")
        if summary["outcome"] == "promoted":
            self.acts.fixed.update(found["id"] for found in ledger["fixed"])
        self.acts.remaining.update(found["id"] for found in ledger["remaining"])
        self.acts.introduced.update(found["id"] for found in ledger["introduced"])
        for part in ("fixed", "remaining", "introduced"):
            for found in ledger[part][:3]:
                advisory, packages, versions, what = ledger_row(found)
                self.screen.say(f"      {part:10} {advisory}  {packages} {versions}  {what}")

    def served(self, *, on_bad_patch: bool = False) -> Tally:
        tally = self.load.taken()
        self.acts.requests += tally.requests
        if on_bad_patch:
            self.acts.failed_on_bad_patch += tally.failed
        else:
            self.acts.failed += tally.failed
        slots = ", ".join(f"{count} by {slot}" for slot, count in sorted(tally.served.items()))
        how = f" ({', '.join(f'{count} × {what}' for what, count in tally.failures.items())})" if tally.failed else ""
        self.screen.say(f"    clients: {tally.requests} requests, {tally.failed} failed{how}; answered {slots}")
        return tally


def play(screen: Screen, keep: Path | None) -> int:
    """The exit code. With --json the last line of stdout is one object."""
    began = time.monotonic()
    folder = (keep or Path(tempfile.mkdtemp(prefix="rollout-demo-"))).absolute()
    stage = set_up(folder, screen.say)
    shown = Play(screen, stage)
    problem = ""
    try:
        shown.run()
        _expect_ledger(shown.acts)
    except Unexpected as error:
        problem = str(error)
    finally:
        shown.load.stop()
        stage.rollout("down", SERVICE, "--yes", SERVICE)
    result = _result(shown.acts, folder, time.monotonic() - began)
    result["problem"] = problem
    result["exit_code"] = exits.PERSON_NEEDED if problem else exits.DONE
    screen.document(result, _text(result))
    return int(result["exit_code"])


def _expect_ledger(acts: Acts) -> None:
    for part in ("fixed", "remaining", "introduced"):
        if not getattr(acts, part):
            raise Unexpected(f"some advisories are {part}")


def _result(acts: Acts, folder: Path, seconds: float) -> dict[str, Any]:
    store = Store(folder / ".rollout" / "rollout.db")
    return {
        "requests": acts.requests,
        "failed": acts.failed,
        "failed_on_bad_patch": acts.failed_on_bad_patch,
        "rollouts": acts.rollouts,
        "advisories_fixed": sorted(acts.fixed),
        "advisories_remaining": sorted(acts.remaining),
        "advisories_introduced": sorted(acts.introduced),
        "rollback": acts.rollback,
        "swaps": [swap for rollout in acts.rollouts for swap in _swaps(store, rollout["id"])],
        "journal": str(folder / ".rollout" / "rollout.db"),
        "fleet": str(folder / "fleet.yaml"),
        "seconds": round(seconds, 1),
    }


def _swaps(store: Store, rollout: str) -> list[dict[str, Any]]:
    """How long each change of weights took, from its journalled intent to its journalled result."""
    intended: dict[str, float] = {}
    found = []
    for entry in store.entries(rollout):
        if entry.kind == "intended":
            intended[entry.step] = entry.at
        elif entry.kind == "done" and "swap:" in entry.step and entry.step in intended:
            milliseconds = round((entry.at - intended[entry.step]) * 1000, 1)
            found.append({"rollout": rollout, "step": entry.step, "milliseconds": milliseconds})
    return found


def _text(result: dict[str, Any]) -> str:
    times = [swap["milliseconds"] for swap in result["swaps"]]
    swaps = f"{len(times)} swaps, {min(times)} to {max(times)} ms each" if times else "no swaps"
    lines = [
        "",
        f"served    {result['requests']} requests in {result['seconds']} s",
        f"failed    {result['failed']}, and {result['failed_on_bad_patch']} on the patch that only traffic could break",
        f"fixed     {len(result['advisories_fixed'])} advisories: {', '.join(result['advisories_fixed'])}",
        f"came in   {', '.join(result['advisories_introduced'])}: with patches that were refused",
        f"traffic   {swaps}, from journalled intent to journalled result",
        f"journal   rollout journal show {SERVICE} --config {result['fleet']}",
    ]
    return "\n".join([*lines, f"NOT AS PROMISED: {result['problem']}"] if result["problem"] else lines)
