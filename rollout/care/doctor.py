"""`rollout doctor`: look at everything, change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from rollout.care import check_fleet, check_rollouts, check_state, check_store, check_way_back
from rollout.care.findings import Finding, problem

if TYPE_CHECKING:
    from rollout.wiring import Installation

Check = Callable[["Installation"], Iterable[Finding]]

# The providers are asked before anything that reads traffic: some start what is dead on a read.
OF_THE_FLEET: tuple[Check, ...] = (check_fleet.secrets, check_fleet.services)
OF_THE_STORE: tuple[Check, ...] = (
    check_store.server,
    check_store.heads,
    check_rollouts.held,
    check_rollouts.told,
    check_store.clock,
)
OF_BOTH: tuple[Check, ...] = (
    check_store.rollback_only,
    check_rollouts.driving,
    check_rollouts.denied,
    check_way_back.ways_back,
    check_store.checkpoints,
)


def examine(installation: Installation, *, send_test: bool = False) -> list[Finding]:
    """Every finding; a check that cannot be made is one, too."""
    found = [*_made(check_fleet.programs, installation), *_made(check_fleet.fleet_file, installation)]
    valid = not any(each.check == "fleet" and each.level == "problem" for each in found)
    found += _made(check_state.state_folder, installation)
    if valid:
        found += _all(OF_THE_FLEET, installation)
    opened = list(_made(check_store.opens, installation))
    found += opened
    usable = all(each.level == "ok" for each in opened)
    if usable:
        found += _all(OF_THE_STORE, installation)
    if usable and valid:
        found += _all(OF_BOTH, installation)
    found += _made(check_state.spool, installation)
    if valid and (usable or not installation.has_store):
        found += _made(check_state.cards, installation)
    if valid and send_test:
        found += _made(check_fleet.receivers, installation)
    return found


def _all(checks: Iterable[Check], installation: Installation) -> list[Finding]:
    return [finding for check in checks for finding in _made(check, installation)]


def _made(check: Check, installation: Installation) -> Iterator[Finding]:
    try:
        yield from check(installation)
    except Exception as error:  # one check that breaks must not hide what the others find
        name = getattr(check, "__name__", "a check")
        text = f"the check {name} could not be made: {type(error).__name__}: {error}"
        yield problem(name, text, "see the message; the other checks were made")
