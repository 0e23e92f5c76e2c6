"""What the balancer was told: weights, targets and the revision they have. Pure; files are in store.py."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

SLOTS = ("blue", "green")
MAX_TARGETS = 256
MAX_TOKEN = 256


class InvalidState(ValueError):
    """What was asked for makes no sense, whatever the state is now."""


class Unservable(ValueError):
    """What was asked for is well formed, but would send clients to a slot that nobody serves."""


class StaleRevision(ValueError):
    """The writer had seen another revision than the one that is in force."""


@dataclass(frozen=True)
class State:
    """One generation of the route.

    revision: counts up by at least one for each applied write. weights: slot → 0..100, relative to their sum,
    which is never 0. targets: slot → addresses `ip:port`. token: what the last writer called its write.
    Raises InvalidState or Unservable: no instance stands for an empty route.
    """

    revision: int
    weights: Mapping[str, int]
    targets: Mapping[str, tuple[str, ...]]
    token: str | None = None

    def __post_init__(self) -> None:
        _check_weights(self.weights)
        _check_slots(self.targets, "targets")
        everything = [address for slot in SLOTS for address in self.targets[slot]]
        if len(set(everything)) != len(everything):
            raise Unservable("an address is listed twice; each target belongs to one slot, once")
        for slot in SLOTS:
            if self.weights[slot] > 0 and not self.targets[slot]:
                raise Unservable(f"{slot} has weight {self.weights[slot]} but no target to serve it")

    def with_weights(self, weights: Mapping[str, int], token: str) -> State:
        return replace(self, revision=self.revision + 1, weights=dict(weights), token=token)

    def with_targets(self, slot: str, addresses: Sequence[str], token: str) -> State:
        targets = {**self.targets, slot: tuple(addresses)}
        return replace(self, revision=self.revision + 1, targets=targets, token=token)

    def to_json(self) -> dict[str, object]:
        targets = {slot: list(self.targets[slot]) for slot in SLOTS}
        return {
            "revision": self.revision,
            "weights": {slot: self.weights[slot] for slot in SLOTS},
            "targets": targets,
            "token": self.token,
        }


def parse_state(document: object) -> State:
    """A State from the JSON of `State.to_json`. Raises InvalidState or Unservable."""
    fields = _object(document, {"revision", "weights", "targets", "token"}, "state")
    targets = _object(fields["targets"], set(SLOTS), "targets")
    token = fields["token"]
    return State(
        revision=parse_revision(fields["revision"]),
        weights=parse_weights(fields["weights"]),
        targets={slot: parse_addresses(targets[slot]) for slot in SLOTS},
        token=None if token is None else parse_token(token),
    )


def parse_weights(document: object) -> dict[str, int]:
    """{"blue": 0..100, "green": 0..100}, both named, not both 0. Raises InvalidState."""
    fields = _object(document, set(SLOTS), "weights")
    weights: dict[str, int] = {}
    for slot in SLOTS:
        value = fields[slot]
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidState(f"weights.{slot}: {value!r} is not a whole number")
        weights[slot] = value
    _check_weights(weights)
    return weights


def parse_addresses(document: object) -> tuple[str, ...]:
    """A list of `ip:port`, without repeats, possibly empty. Raises InvalidState."""
    if not isinstance(document, list | tuple):
        raise InvalidState("addresses: a list of ip:port is needed")
    if len(document) > MAX_TARGETS:
        raise InvalidState(f"addresses: {len(document)} are more than the {MAX_TARGETS} allowed")
    addresses = tuple(parse_address(item) for item in document)
    if len(set(addresses)) != len(addresses):
        raise InvalidState("addresses: one is listed twice")
    return addresses


def parse_address(document: object) -> str:
    """`127.0.0.1:8001` or `[::1]:8001` in its canonical form. Names are refused: what they mean can change.

    Raises InvalidState, also for addresses that cannot be an instance (unspecified, multicast, link-local).
    """
    if not isinstance(document, str):
        raise InvalidState(f"address {document!r}: text like 127.0.0.1:8001 is needed")
    host, colon, port = document.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise InvalidState(f"address {document!r}: the port is missing or not in 1..65535")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        ip = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise InvalidState(f"address {document!r}: {host!r} is not an IP address (names are refused)") from None
    if (ip.version == 6) != bracketed or getattr(ip, "scope_id", None):
        raise InvalidState(f"address {document!r}: write IPv4 bare and IPv6 in brackets, without a zone")
    mapped = getattr(ip, "ipv4_mapped", None)
    if mapped is not None or ip.is_unspecified or ip.is_multicast or ip.is_link_local or ip.is_reserved:
        raise InvalidState(f"address {document!r}: an instance cannot have this address")
    return f"[{ip}]:{int(port)}" if ip.version == 6 else f"{ip}:{int(port)}"


def parse_token(document: object) -> str:
    """The writer's name for its write: 1 to 256 printable characters. Raises InvalidState."""
    if not isinstance(document, str) or not 0 < len(document) <= MAX_TOKEN or not document.isprintable():
        raise InvalidState(f"token: text of 1 to {MAX_TOKEN} printable characters is needed")
    return document


def parse_revision(document: object) -> int:
    """A revision, 0 or more. Raises InvalidState."""
    if not isinstance(document, int) or isinstance(document, bool) or document < 0:
        raise InvalidState(f"revision: {document!r} is not a whole number of 0 or more")
    return document


def parse_slot(document: object) -> str:
    """`blue` or `green`. Raises InvalidState."""
    if document not in SLOTS:
        raise InvalidState(f"slot {document!r} is unknown; there are {' and '.join(SLOTS)}")
    return str(document)


def split_address(address: str) -> tuple[str, int]:
    """(host, port) of a checked address; brackets are taken off."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _check_weights(weights: Mapping[str, int]) -> None:
    _check_slots(weights, "weights")
    for slot in SLOTS:
        if not 0 <= weights[slot] <= 100:
            raise InvalidState(f"weights.{slot}: {weights[slot]} is not in 0..100")
    if sum(weights.values()) == 0:
        raise InvalidState("weights: both are 0, which would leave clients with nobody to answer")


def _check_slots(mapping: Mapping[str, object], what: str) -> None:
    if set(mapping) != set(SLOTS):
        raise InvalidState(f"{what}: exactly {' and '.join(SLOTS)} are needed, not {sorted(mapping)}")


def _object(document: object, keys: set[str], what: str) -> dict[str, object]:
    if not isinstance(document, dict):
        raise InvalidState(f"{what}: a JSON object is needed")
    if set(document) != keys:
        found = sorted(str(key) for key in document)
        raise InvalidState(f"{what}: exactly the keys {sorted(keys)} are needed, not {found}")
    return document
