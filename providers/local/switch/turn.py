"""One switch from a side to the other: first the one off, then the other on; never both, and never none for good.

What is about to be run is on disk before it runs (turn.json), so that whoever comes next finds what was interrupted,
ends what is left of it, asks the sides what they are, and goes on or back. Standard library only.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from providers.local.balancer import store
from providers.local.switch import command
from providers.local.switch.command import Ended
from providers.local.switch.sides import Said, Sides

TURN, LOG = "turn.json", "switch.log"
LOG_LIMIT = 1 << 20
AGAIN_S = 0.3
SLOTS = ("blue", "green")


class Stopped(Exception):
    """The switch was not carried out. `settled`: one side is enabled and the other is not, so that nothing is open."""

    def __init__(self, message: str, *, settled: bool) -> None:
        super().__init__(message)
        self.settled = settled


class Overtaken(Exception):
    """Somebody who did not wait for us took the lock meanwhile."""


@dataclass(frozen=True)
class Begun:
    """What turn.json says. revision: that the state has when it is done. tag, group: of the command that runs.

    stopped_at: unix seconds since which no side takes new work. trouble: why it stands as it does.
    """

    revision: int
    goal: str
    token: str
    tag: str = ""
    group: int | None = None
    stopped_at: float | None = None
    trouble: str = ""


def read(directory: Path) -> Begun | None:
    """The switch that was begun and not ended, if there is one; an unreadable one counts as begun."""
    try:
        document = json.loads((directory / TURN).read_bytes())
        return Begun(**document)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Begun(1 << 62, "", "", trouble=f"{TURN} cannot be read ({error})")


class Turn:
    """Made under the state's lock. forced: a person's word at night; what a command's exit code says then counts where
    the status command says nothing."""

    def __init__(self, held: store.StateStore, directory: Path, sides: Sides, token: str, *, forced: bool) -> None:
        self._held, self._directory, self._sides, self._forced = held, directory, sides, forced
        self._token, self._revision = token, held.state.revision + 1
        self._goal = ""
        self._stopped_at: float | None = None

    def to(self, goal: str) -> float:
        """Have exactly this side enabled; for how many seconds no side took new work. Raises Stopped, Overtaken."""
        self._goal = goal
        other = _other(goal)
        self._end_left_over()
        before = {slot: self._sides.ask(slot) for slot in SLOTS}
        if any(said.on for said in before.values()):
            self._stopped_at = None  # what was interrupted had not taken the side off
        unknown = [said.why for said in before.values() if said.word == "unknown"]
        if unknown and not self._forced:
            raise Stopped(f"{'; '.join(unknown)}. Nothing was switched", settled=False)
        if before[goal].word == "dead" and not self._forced:
            raise Stopped(f"{goal} has no living process. Nothing was switched", settled=False)
        if before[goal].word != "enabled" or not before[other].off:
            self._take_off(other, before)
            self._put_on(goal, other)
        waited = 0.0 if self._stopped_at is None else time.time() - self._stopped_at
        self._save({goal: 100, other: 0}, self._token)
        return max(waited, 0.0)

    def enable_again(self, slot: str) -> None:
        """For new processes of the side that is enabled. Raises Stopped."""
        self._goal = slot
        said, why = self._switched("enable", slot)
        self._forget()
        if said.word != "enabled":
            raise Stopped(f"the new processes of {slot} could not be enabled: {why}", settled=False)

    def settle(self) -> None:
        """End what is left of an interrupted command; forget it where the sides are as they were declared."""
        self._end_left_over()
        declared = next(slot for slot in SLOTS if self._held.state.weights[slot])
        if self._sides.ask(declared).word == "enabled" and self._sides.ask(_other(declared)).off:
            self._forget()

    def keep_off(self, slot: str) -> None:
        """Disable a side that has no process yet, so that those to come start disabled; it may not be able to."""
        self._goal = _other(slot)
        self._command("disable", slot)
        self._forget()

    def _take_off(self, slot: str, before: Mapping[str, Said]) -> None:
        if before[slot].word == "dead":
            self._command("disable", slot)  # nothing there takes work; what it is registered with may count on it
        if before[slot].off:
            return
        said, why = self._switched("disable", slot)
        if said.off:
            return
        if before[self._goal].on:
            self._keep(f"both sides are enabled, and {slot} could not be disabled")
            raise Stopped(f"both sides are enabled, and {slot} could not be disabled: {why}", settled=False)
        if said.word == "unknown" and self._forced:
            self._keep(f"whether {slot} is disabled is not known")
            raise Stopped(
                f"whether {slot} is disabled is not known: {why}. {self._goal} was not enabled, for never may both be. "
                f"End the processes of {slot}, then run this command again",
                settled=False,
            )
        settled, back = self._give_back(slot)
        raise Stopped(f"{slot} could not be disabled: {why}. {back}", settled=settled)

    def _put_on(self, slot: str, other: str) -> None:
        said, why = self._switched("enable", slot)
        if said.word == "enabled":
            return
        off, _ = self._switched("disable", slot)
        if not off.off:
            self._keep(f"{slot} could not be enabled, nor is it known to be disabled")
            raise Stopped(f"{slot} could not be enabled ({why}), nor is it known to be disabled", settled=False)
        settled, back = self._give_back(other)
        raise Stopped(f"{slot} could not be enabled: {why}. {back}", settled=settled)

    def _give_back(self, slot: str) -> tuple[bool, str]:
        """Enable the side again that was, or may have been, taken off; whether that worked, and in words."""
        said, why = self._switched("enable", slot)
        if said.word == "enabled":
            self._save({slot: 100, _other(slot): 0}, f"{self._token[:200]}/back")
            return True, f"{slot} is enabled, as before"
        self._keep(f"neither side is known to be enabled: {why}")
        return False, f"Nor could {slot} be enabled again ({why}): NEITHER SIDE is known to work"

    def _switched(self, action: str, slot: str) -> tuple[Said, str]:
        """Run the command, once more where it said no, and ask: what the side is, and why that may be."""
        ended = self._command(action, slot)
        if ended.code is not None and not ended.good:
            time.sleep(AGAIN_S)
            ended = self._command(action, slot)
        said = self._sides.ask(slot)
        if said.word == "unknown" and ended.good and self._forced:
            said = Said("enabled" if action == "enable" else "disabled")
        return said, "; ".join(each for each in (_told(action, ended), _word(slot, said)) if each)

    def _command(self, action: str, slot: str) -> Ended:
        """Intent on disk, then the command."""
        if action == "disable" and self._stopped_at is None:
            self._stopped_at = time.time()
        tag = f"{self._directory}#{secrets.token_hex(8)}"
        begun = self._begun(tag)
        self._note(begun)

        def began(pid: int) -> None:
            self._note(self._begun(tag, pid))

        self._raise_if_overtaken()
        ended = self._sides.act(action, slot, tag, self._revision, began)
        self._raise_if_overtaken()
        self._note(self._begun())
        self._log(action=action, slot=slot, code=ended.code, why=ended.why, seconds=round(ended.seconds, 3))
        return ended

    def _begun(self, tag: str = "", group: int | None = None, trouble: str = "") -> Begun:
        return Begun(self._revision, self._goal, self._token, tag, group, self._stopped_at, trouble)

    def _end_left_over(self) -> None:
        """A command of somebody who was killed, or overtaken, must not come true after ours."""
        found = read(self._directory)
        if found is None:
            return
        self._stopped_at = found.stopped_at
        if found.tag and not command.end_left_over(found.tag, found.group):
            raise Stopped("a command of an earlier switch cannot be ended", settled=False)

    def _keep(self, trouble: str) -> None:
        self._note(self._begun(trouble=trouble))

    def _note(self, begun: Begun) -> None:
        self._raise_if_overtaken()
        store.write_atomic(self._directory / TURN, json.dumps(asdict(begun)).encode() + b"\n")

    def _save(self, weights: dict[str, int], token: str) -> None:
        self._raise_if_overtaken()
        self._held.save(self._held.state.with_weights(weights, token))
        self._forget()
        self._log(enabled=next(slot for slot in SLOTS if weights[slot]), token=token)

    def _forget(self) -> None:
        (self._directory / TURN).unlink(missing_ok=True)

    def _raise_if_overtaken(self) -> None:
        if self._held.seized:
            raise Overtaken

    def _log(self, **said: Any) -> None:
        path = self._directory / LOG
        if path.exists() and path.stat().st_size > LOG_LIMIT:
            path.replace(path.with_name(f"{LOG}.1"))
        with path.open("a") as file:
            file.write(json.dumps({"at": round(time.time(), 3), "revision": self._revision, **said}) + "\n")


def _other(slot: str) -> str:
    return "green" if slot == "blue" else "blue"


def _told(action: str, ended: Ended) -> str:
    return f"its {action} command {ended.why}" if ended.why else ""


def _word(slot: str, said: Said) -> str:
    if said.word == "unknown":
        return said.why
    return {"dead": f"{slot} has no living process", "mixed": f"only some of {slot} are enabled"}.get(
        said.word, f"its status is {said.word}"
    )
