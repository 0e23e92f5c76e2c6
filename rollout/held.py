"""Traffic that was put back is read back for as long as a late write of ours could land."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from providers.base import Weights
from rollout.flow import NotYet
from rollout.means import Act

if TYPE_CHECKING:
    from rollout.run import Run


def hold(run: Run, step: str, wanted: Weights, put_back: Callable[[str], Act], until_at: float) -> None:
    """Read the route back until `until_at`; a late write of ours is put right, a stranger's halts.

    What was put right is watched again for as long: clients may follow the late write for a moment.
    """
    again = run.visit_all(f"{step}:again:")
    if run.recall(step):
        return
    timeout_s = run.provider.write_timeout_s
    # Only a clock that was set back finds the decision in the future: reckon from what is journalled now instead.
    set_back = until_at - timeout_s > run.clock.now()
    route = run.guard()
    if dict(route.weights) != dict(wanted) or (set_back and not _put_right(run, step)):
        run.once(put_back(f"{step}:again:{len(again) + 1}"))
    now = run.clock.now()
    # The emergency path marks anew what it has put right, which is then not seen from here.
    marked = [route.mark.at] if route.mark and route.mark.rollout == run.id and route.mark.at <= now else []
    quiet_since = [*_put_right(run, step)[-1:], *marked]
    until_at = max(0.0 if set_back else until_at, *(at + timeout_s for at in quiet_since), 0.0)
    if now < until_at:
        raise NotYet(f"{step}: reading the route back", min(until_at, now + 0.5))
    run.note("done", step, {"value": dict(wanted)})


def _put_right(run: Run, step: str) -> list[float]:
    """When a held route was put right, as far as this clock can tell."""
    at = (entry.at for entry in run.journal.entries if entry.step.startswith(f"{step}:again:"))
    return [each for each in at if each <= run.clock.now()]
