"""Doctor: is all still there that open ways back stand on, and was each of them ever tried?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from providers.base import ProviderError
from rollout.care.findings import Finding, ok, problem, warning
from rollout.drills import FOLDER, last_drills
from rollout.journal import Journal
from rollout.plan import Plan
from rollout.summary import is_way_back_open
from rollout.telling import age
from rollout.way_back import lacks

if TYPE_CHECKING:
    from rollout.rows import Row
    from rollout.wiring import Installation


def ways_back(installation: Installation) -> Iterator[Finding]:
    """Asked of the platforms now."""
    store, now = installation.store, installation.clock.now()
    rows = [row for row in store.rollouts(open_only=True) if is_way_back_open(row, Journal(store.entries(row.id)), now)]
    found = [each for row in rows for each in (*_whole(installation, row), *_tried(installation, row, now))]
    yield from found
    if not found:
        yield ok("ways back", f"{len(rows)} are open, with all that they stand on")


def _whole(installation: Installation, row: Row) -> Iterator[Finding]:
    plan = Plan.from_json(row.plan)
    try:
        found = lacks(installation.provider(plan.provider), plan)
    except ProviderError as error:
        text = f"whether the way back of {row.id} is whole cannot be asked: {error}"
        yield warning("ways back", text, "see the message; rollout rollback asks for less")
        return
    for each in found:
        fix = f"bring it back, or go back while its hosts live: rollout rollback {row.service}"
        yield problem("ways back", f"the way back of {row.id} to {plan.original}: {each}", fix)


def _tried(installation: Installation, row: Row, now: float) -> Iterator[Finding]:
    drill = last_drills(installation.store.db, installation.state_dir / FOLDER).get(row.service)
    if drill is not None and not drill.ok and drill.rollout == row.id:
        text = f"the drill of {row.service} {age(now - drill.at)} ago failed: {drill.why}"
        yield problem("ways back", text, f"rollout rollback {row.service} --drill, once that is mended")
