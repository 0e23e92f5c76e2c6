"""Nobody begins on a service while a repair or an adoption still removes something of it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rollout.lease import LEASE_S, this_process
from rollout.leased import leased
from rollout.store import LeaseHeld, Store, StoreError
from rollout.wiring import Installation
from tests.core.scene import RIVAL


class Beats:
    """Counts renewals, and fails the first ones as told; `came` is set at each one that came through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail: int = 0) -> None:
        self.came, self.tried, self._real = threading.Event(), 0, Store.renew_lease
        beats = self

        def renew(store: Store, service: str, epoch: int, now: float, lease_s: float = LEASE_S) -> None:
            beats.tried += 1
            if beats.tried <= fail:
                raise StoreError("busy")
            try:
                beats._real(store, service, epoch, now, lease_s)
            finally:
                beats.came.set()

        monkeypatch.setattr(Store, "renew_lease", renew)


@pytest.mark.parametrize("fail", [0, 2])
def test_the_lease_lasts_as_long_as_the_work(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, fail: int
) -> None:
    """A deletion that takes longer than the lease removes a side on which a new rollout began."""
    store, clock, beats = installation.store, installation.clock, Beats(monkeypatch, fail)
    with leased(store, "shop", this_process(), clock, every_s=0.001):
        clock.sleep(LEASE_S - 1)
        beats.came.clear()
        assert beats.came.wait(20)
        clock.sleep(LEASE_S - 1)
        with pytest.raises(LeaseHeld):
            store.take_lease("shop", RIVAL, clock.now())
    assert store.lease("shop") is None and beats.tried > fail
    assert threading.active_count() == 1 or all("lease of" not in each.name for each in threading.enumerate())


def test_the_lease_ends_with_work_that_fails(installation: Installation) -> None:
    """A repair that met an error blocks its service."""
    with pytest.raises(ValueError, match="x"), leased(installation.store, "shop", this_process(), installation.clock):
        raise ValueError("x")
    assert installation.store.lease("shop") is None


def test_a_lease_that_was_taken_over_is_not_ended(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the old work frees a service that somebody else drives by now."""
    store, clock, beats = installation.store, installation.clock, Beats(monkeypatch)
    with leased(store, "shop", this_process(), clock, every_s=0.001):
        clock.sleep(10 * LEASE_S)
        store.db.all("UPDATE services SET holder = NULL WHERE name = 'shop'")
        store.take_lease("shop", RIVAL, clock.now())
        beats.came.clear()
        beats.came.wait(5)
    held = store.lease("shop")
    assert held and held[0] == RIVAL


def test_all_work_outside_rollouts_has_the_one_lease() -> None:
    """One place forgets to renew it."""
    sources = [path for path in Path("rollout").rglob("*.py") if ".take_lease(" in path.read_text()]
    assert sorted(path.name for path in sources) == ["job.py", "leased.py"]
