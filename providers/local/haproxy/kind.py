"""HAProxy as a balancer of `provider: local`. Standard library only: the emergency path uses it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from providers.local.balancer import store
from providers.local.balancer.client import BalancerError
from providers.local.haproxy import launcher
from providers.local.haproxy.cli import Cli
from providers.local.haproxy.client import HaproxyClient, disk_entry
from providers.local.haproxy.weights import MAP, entry_of, file_text

LOOK_S, CALL_S = 0.5, 1.0


class Haproxy:
    name = "haproxy"

    def client(self, directory: Path, timeout_s: float) -> HaproxyClient:
        return HaproxyClient(directory, timeout_s)

    def ensure_running(self, directory: Path, timeout_s: float) -> None:
        launcher.ensure_running(directory, timeout_s)

    def stop(self, directory: Path, timeout_s: float) -> None:
        launcher.stop(directory, timeout_s)

    def on_file(self, directory: Path) -> Mapping[str, int]:
        """By hand-edited weights where HAProxy tells them, or will start with them; else by what was declared."""
        state = store.load(directory)[0]
        try:
            entry = Cli(directory, time.monotonic() + LOOK_S).entry()
        except BalancerError:
            entry = disk_entry(directory)
            if not entry.plain:
                return state.weights
        ours = [state, store.previous(directory)]
        return state.weights if entry in [entry_of(each) for each in ours if each] else entry.weights

    def put_on_file(self, directory: Path, weights: Mapping[str, int], token: str, timeout_s: float) -> None:
        try:
            held = store.StateStore.open(directory, timeout_s)
        except TimeoutError:
            # A command that was frozen in the middle of its write; it finds its lock gone, and stops there.
            store.seize(directory)
            held = store.StateStore.open(directory, timeout_s)
        try:
            state = held.state.with_weights(weights, token)
            held.save(state)
            store.write_atomic(directory / MAP, file_text(entry_of(state)).encode())
        finally:
            held.close()
        # One that answers after all goes on, and loses no request.
        with suppress(BalancerError):
            HaproxyClient(directory, CALL_S).set_weights(weights, expected_revision=None, token=token)
            return
        launcher.stop(directory, timeout_s)

    def condition(self, directory: Path) -> str | None:
        return None if launcher.find(directory) else "its balancer is dead, and nobody is served"
