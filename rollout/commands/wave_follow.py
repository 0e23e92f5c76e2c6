"""Follow a run of a campaign: a live table on a terminal, else a line for each thing that changes; then the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rollout import exits
from rollout.render import Screen, page_columns
from rollout.wiring import Installation, steady

if TYPE_CHECKING:
    from rollout.campaign.model import Run
    from rollout.view.stream import Picture

LOOK_S = 1.0
GLANCE_S = 0.1
"""How soon a Ctrl-C is heeded."""


def draw(picture: Picture, now: float, width: int, height: int) -> Any:
    from rollout.view.wave import board

    return board(picture.listed, now=now, width=width, height=height)


def follow(installation: Installation, run: Run, screen: Screen, timeout_s: float | None, *, live: bool = False) -> int:
    """Until it is over or at rest: its exit code; 7 (or 3, where a person's word is waited for) after the time-out.

    130 after a Ctrl-C: the campaign goes on. `live`: to watch it is all that was wanted.
    """
    from rollout.campaign import register
    from rollout.campaign.heard import Heard
    from rollout.campaign.look import members_of
    from rollout.campaign.standing import is_settled, stand_of
    from rollout.follow import Interrupts
    from rollout.view.stream import Event

    began, heard, told = steady(), Heard(installation.store.db), Told()
    with Interrupts().caught() as asked, screen.live(draw) as shown:
        while True:
            now = register.newest(installation.store.db, run.id) or run
            standing = stand_of(installation, now, heard)
            if shown:
                screen.tell(Event("listed", standing, at=installation.clock.now()))
            for kind, data, text in told.news(standing):
                screen.event(kind, **data)
                if not screen.as_json:
                    screen.say(text)
            if is_settled(now, members_of(installation, now, heard)):
                break
            if timeout_s is not None and steady() - began >= timeout_s:
                _show(standing, screen, installation)
                screen.say(f"{run.id} goes on; watch: rollout wave status {run.campaign} --watch")
                return int(standing["exit_code"])
            if _left(asked, screen, installation, LOOK_S):
                screen.end(leave=True)
                return exits.INTERRUPTED if asked.count else exits.DONE
    _show(standing, screen, installation)
    return exits.DONE if live and standing["exit_code"] == exits.TIMED_OUT else int(standing["exit_code"])


def _left(asked: Any, screen: Screen, installation: Installation, seconds: float) -> bool:
    """Wait for the next look; True when nobody waits any more."""
    ends_at = steady() + seconds
    while steady() < ends_at:
        if asked.count or screen.deserted:
            return True
        installation.clock.sleep(GLANCE_S)
    return False


def _show(standing: Mapping[str, Any], screen: Screen, installation: Installation) -> None:
    from rollout.view.wave import lines

    text = "" if screen.as_json else "\n".join(lines(standing, now=installation.clock.now(), width=page_columns()))
    screen.document(standing, text)


class Told:
    """What was told already; only what is new since is told."""

    def __init__(self) -> None:
        self._state = ""
        self._waves: dict[str, tuple[str, str]] = {}
        self._services: dict[str, tuple[str, str]] = {}

    def news(self, standing: Mapping[str, Any]) -> list[tuple[str, dict[str, Any], str]]:
        """(kind of event, its data, a line for people) for each thing that is different from the last time."""
        found: list[tuple[str, dict[str, Any], str]] = []
        run = str(standing["id"])
        for each in standing["services"]:
            now = (str(each["progress"]), str(each["phase"]))
            if now != self._services.get(each["service"], ("waiting", "")):
                self._services[each["service"]] = now
                data = {key: each[key] for key in ("service", "wave", "progress", "phase", "outcome", "rollout")}
                data |= {"run": run, "why": each["waits"]}
                found.append(("member", data, _line(each)))
        for each in standing["waves"]:
            now = (str(each["state"]), str(each["waits_kind"] or ""))
            if now != self._waves.get(each["name"]):
                self._waves[each["name"]] = now
                data = {key: each[key] for key in ("state", "waits", "until", "counts", "soak_until")}
                waits = f": {each['waits']}" if each["waits"] else ""
                found.append(
                    ("wave", {"run": run, "wave": each["name"], **data}, f"wave {each['name']} {now[0]}{waits}")
                )
        if standing["state"] != self._state:
            self._state = str(standing["state"])
            said = f": {standing['said']}" if standing["said"] else ""
            data = {"run": run, "campaign": standing["campaign"], "state": self._state, "said": standing["said"]}
            found.append(("campaign", data, f"{standing['campaign']} is {self._state}{said}"))
        return found


def _line(service: Mapping[str, Any]) -> str:
    if service["progress"] == "skipped":
        return f"{service['service']} is left out: {service['waits']}"
    how = service["progress"] if service["progress"] in ("failing", "failed", "accepted") else ""
    return f"{service['service']}  {service['phase']}{f', {how}' if how else ''}"
