"""The owner's commands in the place of a balancer. Standard library only: the emergency path uses it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from providers.local.balancer import store
from providers.local.balancer.client import BalancerError, Unreachable
from providers.local.balancer.launcher import LaunchError
from providers.local.switch.client import SwitchClient
from providers.local.switch.model import Switch


class Switched:
    """There is no process to run: every call asks the commands."""

    name = "switch"

    def client(self, directory: Path, timeout_s: float) -> SwitchClient:
        return SwitchClient(directory, timeout_s)

    def ensure_running(self, directory: Path, timeout_s: float) -> None:
        return

    def stop(self, directory: Path, timeout_s: float) -> None:
        return

    def on_file(self, directory: Path) -> Mapping[str, int]:
        return store.load(directory)[0].weights

    def put_on_file(self, directory: Path, weights: Mapping[str, int], token: str, timeout_s: float) -> None:
        """Switch at once: whoever is in the middle of a switch finds its lock gone and its command ended, and stops."""
        try:
            try:
                SwitchClient(directory, timeout_s).set_weights(weights, expected_revision=None, token=token)
            except Unreachable:
                store.seize(directory)
                SwitchClient(directory, timeout_s).set_weights(weights, expected_revision=None, token=token)
        except BalancerError as error:
            raise LaunchError(str(error)) from None

    def condition(self, directory: Path) -> str | None:
        """None while nothing is half done; else what an interrupted switch left."""
        try:
            client = SwitchClient(directory)
            if not client.interrupted:
                return None
            state = client.state()
        except (BalancerError, store.StateUnusable) as error:
            return f"which side works is not known: {error}"
        return f"{client.interrupted}; {state.get('unsure') or _told(state['targets'])}"


def written(switch: Switch, folder: Path) -> dict[str, Any]:
    """What config.json says of it."""
    return {"kind": Switched.name, "switch": switch.to_json(), "folder": str(folder)}


def _told(targets: Mapping[str, Any]) -> str:
    said = {slot: sorted({target["reason"] for target in found}) for slot, found in targets.items() if found}
    return ", ".join(f"{slot}: {', '.join(reasons)}" for slot, reasons in said.items())
