"""The emergency path of the local provider: standard library only, no engine, no settings, no store.

`target` is what `Traffic.card_target` wrote into the rollback card. A balancer that is dead or frozen is no
obstacle: the route is written to its file, and it is started again.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from providers.contract.errors import Invalid, NotFound, Transient
from providers.contract.slots import SLOTS, Slot, Weights
from providers.local import balancers, revision
from providers.local.balancer import client, launcher, store
from providers.local.balancer.answers import StateAnswer
from providers.local.balancer.config import CONFIG
from providers.local.balancer.mark import MARK
from providers.local.balancer.state import InvalidState, Unservable, split_address
from providers.local.by_hand import by_hand as by_hand
from providers.local.records import Records

SERVICES_AT_ONCE = 16
CALL_S = 1.5
START_S = 10.0
STOP_S = 1.0
PROBE_S = 0.3


def read(target: Mapping[str, Any]) -> dict[str, Any]:
    """Weights, revision and mark; for each slot healthy, unhealthy and unknown (not judged yet) targets, and requests.

    Starts the balancer if it is dead; if that fails, the file and a look at the targets' ports answer, and `unproven`
    says why nobody serves by that. Raises NotFound, Transient.
    """
    folder = _folder(target)
    balancer, why = balancers.of(folder), "it does not answer"
    for _ in range(2):
        try:
            return _seen(folder, balancer.client(folder, CALL_S).state())
        except client.Unreachable:
            try:
                balancer.ensure_running(folder, START_S)
            except launcher.LaunchError as error:
                why = str(error)
                break
        except client.Refused as error:
            raise Transient(f"service {target['service']}: {error}") from None
    return {**_from_file(folder), "unproven": f"the balancer does not run: {why}"}


def put_back(target: Mapping[str, Any], weights: Weights, token: str) -> dict[str, Any]:
    """Declare these weights, whatever is declared now, and say what is there then.

    Raises NotFound, Invalid; Transient when the balancer does not start again, after the file was written.
    """
    folder, wanted = _folder(target), _checked(weights)
    balancer = balancers.of(folder)
    try:
        answer = balancer.client(folder, CALL_S).set_weights(wanted, expected_revision=None, token=token)
        return _seen(folder, answer)
    except client.Conflict as error:
        raise Transient(f"service {target['service']}: {error}; ask again") from None
    except client.Refused as error:
        if error.status < 500:
            raise Invalid(f"service {target['service']}: {error}") from None
    except client.Unreachable:
        pass
    try:
        balancer.put_on_file(folder, wanted, token, STOP_S)
        balancer.ensure_running(folder, START_S)
    except (InvalidState, Unservable) as error:
        raise Invalid(f"service {target['service']}: {error}") from None
    except (launcher.LaunchError, store.StateUnusable, OSError) as error:
        raise Transient(f"service {target['service']}: {error}") from None
    return read(target)


def set_mark(target: Mapping[str, Any], mark: Mapping[str, Any] | None, token: str) -> None:
    """Leave a hold mark beside the route, or clear it (None). The same mark twice is one mark, so `token` is unused."""
    path = _folder(target) / MARK
    if mark is None:
        path.unlink(missing_ok=True)
    else:
        store.write_atomic(path, json.dumps(dict(mark)).encode() + b"\n")


def cut(target: Mapping[str, Any], slot: Slot, token: str) -> int:
    """End what is open on a slot; how many requests that were. The same again is harmless, so `token` is unused.

    Raises NotFound, Invalid, Transient.
    """
    folder = _folder(target)
    try:
        return balancers.of(folder).client(folder, CALL_S).cut(slot)
    except client.Refused as error:
        raise Invalid(f"service {target['service']}: {error}") from None
    except client.Unreachable as error:
        raise Transient(f"service {target['service']}: {error}") from None


def matches(target: Mapping[str, Any], named: str) -> bool:
    """Is this an instance of the service's (id or process id), an address or port of one, or where the service listens?

    Read from files; starts nothing. Raises NotFound, Transient.
    """
    folder = _folder(target)
    bare = named.removeprefix("http://").removeprefix(":").rstrip("/")
    try:
        state, _ = store.load(folder)
        config = json.loads((folder / CONFIG).read_bytes())
        records = Records(folder.parent / "instances").all()
    except (store.StateUnusable, OSError, ValueError, TypeError) as error:
        raise Transient(f"{folder}: {error}") from None
    listening = [str(config[key]) for key in ("listen", "test_listen") if config.get(key)]
    addresses = [*listening, *(each for slot in SLOTS for each in state.targets[slot])]
    instances = [name for each in records for name in (each.id, str(each.pid))]
    return bare in {*addresses, *(each.rpartition(":")[2] for each in addresses), *instances}


def _folder(target: Mapping[str, Any]) -> Path:
    folder = Path(target["dir"])
    if folder.parent.name != target["service"] or not (folder / store.STATE).parent.is_dir():
        raise NotFound(f"service {target['service']} has no balancer in {folder}")
    return folder


def _checked(weights: Weights) -> dict[str, int]:
    shares = [weights.get(slot, -1) for slot in SLOTS]
    if set(weights) != set(SLOTS) or min(shares) < 0 or sum(shares) != 100:
        raise Invalid(f"weights {dict(weights)}: both slots with 0 to 100 that add up to 100 are needed")
    return {slot: weights[slot] for slot in SLOTS}


def _from_file(folder: Path) -> dict[str, Any]:
    try:
        state, _ = store.load(folder)
        mark = json.loads((folder / MARK).read_bytes()) if (folder / MARK).exists() else None
    except (store.StateUnusable, OSError, ValueError) as error:
        raise Transient(f"{folder}: {error}") from None
    counted = cast(StateAnswer, {"revision": state.revision, "mark": mark})
    return {
        "weights": dict(state.weights),
        "revision": revision.of(folder, counted),
        "mark": mark,
        **_counts({slot: [_reachable(address) for address in state.targets[slot]] for slot in SLOTS}),
        "in_flight": dict.fromkeys(SLOTS),  # nobody counts
    }


def _reachable(address: str) -> bool | None:
    """None: no answer, neither yes nor no."""
    try:
        socket.create_connection(split_address(address), PROBE_S).close()
    except TimeoutError:
        return None
    except OSError:
        return False
    return True


def _counts(said: Mapping[Slot, list[bool | None]]) -> dict[str, dict[Slot, int]]:
    words = {"healthy": True, "unhealthy": False, "unknown": None}
    return {word: {slot: said[slot].count(meant) for slot in SLOTS} for word, meant in words.items()}


def _seen(folder: Path, state: StateAnswer) -> dict[str, Any]:
    return {
        "weights": {slot: state["weights"][slot] for slot in SLOTS},
        "revision": revision.of(folder, state),
        "mark": state["mark"],
        **_counts({slot: [target["healthy"] for target in state["targets"][slot]] for slot in SLOTS}),
        "in_flight": {slot: _in_flight(state, slot) for slot in SLOTS},
    }


def _in_flight(state: StateAnswer, slot: Slot) -> int:
    return state["counters"][slot]["in_flight"] if slot in state["counters"] else 0
