"""The built-in balancer as a balancer of `provider: local`. Standard library only: the emergency path uses it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from providers.local.balancer import launcher, store
from providers.local.balancer.client import BalancerClient
from providers.local.balancer.identity import recorded


class Builtin:
    name = "builtin"

    def client(self, directory: Path, timeout_s: float) -> BalancerClient:
        return BalancerClient(directory, timeout_s)

    def ensure_running(self, directory: Path, timeout_s: float) -> None:
        launcher.ensure_running(directory, timeout_s)

    def stop(self, directory: Path, timeout_s: float) -> None:
        launcher.stop(directory, timeout_s)

    def on_file(self, directory: Path) -> Mapping[str, int]:
        return store.load(directory)[0].weights

    def put_on_file(self, directory: Path, weights: Mapping[str, int], token: str, timeout_s: float) -> None:
        try:
            opened = store.StateStore.open(directory, timeout_s)
        except TimeoutError:
            # A worker that lives but does not answer holds the state: nobody is served by it.
            launcher.stop(directory, timeout_s)
            opened = store.StateStore.open(directory, timeout_s)
        try:
            opened.save(opened.state.with_weights(weights, token))
        finally:
            opened.close()

    def condition(self, directory: Path) -> str | None:
        if recorded(directory / launcher.PARENT) is not None:
            return None
        worker = recorded(directory / launcher.WORKER)
        serves = "its worker still serves what it has" if worker else "nobody is served"
        return f"its balancer is dead, and {serves}"
