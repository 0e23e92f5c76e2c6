"""Does the replacement open nothing that the original does not?

Every place where a host of the replacement listens has to be one where a host of the original does: the same port and
address, or an address that the original's wildcard already had. A service's own port, which each instance has for
itself, is called `service`. Fewer are fine: what the service needs to be reached is for other checks. A host of
either side of which nobody can say where it listens is unknown, unless something else was opened already. Severity:
the share of the replacement's hosts that opened something.

Asked about the original, it judges only whether its hosts can be read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, ClassVar

from healthchecks.base import Subject, Verdict
from healthchecks.guard import guarded, short
from providers.base import HostInventory, Slot

SHOWN = 20
_ENTRY = re.compile(r"(tcp|udp)/(\*|[0-9.]+|\[[0-9a-fA-F:.]+\]):(\*|service|ephemeral|[0-9]{1,5})")


@dataclass(frozen=True)
class Options:
    """`allow` has what the replacement may open beyond the original, such as `tcp/127.0.0.1:9100`.

    `*` stands for any address or any port: `udp/*:8125`, `tcp/127.0.0.1:*`.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    allow: Sequence[str] = ()

    def __post_init__(self) -> None:
        for entry in self.allow:
            if not _ENTRY.fullmatch(entry):
                raise ValueError("allow has entries such as tcp/127.0.0.1:9100, udp/*:8125 or tcp/[::1]:*")


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    ours, unclear = _hosts(subject, subject.slot)
    evidence: dict[str, Any] = {"listening": _all_of(ours)[:SHOWN]}
    if subject.role == "original":
        return _readable(len(ours), unclear, evidence)
    theirs, unclear_beside = _hosts(subject, subject.beside)
    known = {entry for host in theirs for entry in host.listening or ()}
    opened = {host.host: _beyond(host.listening or (), known, options.allow) for host in ours}
    opened = {host: entries for host, entries in opened.items() if entries}
    evidence |= {"listening_beside": _all_of(theirs)[:SHOWN], "opened": _shown(opened)}
    # Beside hosts that nobody read nothing can be said to be new.
    if opened and not unclear_beside:
        return Verdict.failed(_summary(opened), severity=len(opened) / len(ours), **evidence)
    if problems := [*unclear_beside, *unclear]:
        return Verdict.unknown(_first(problems), **evidence, trouble=[short(each) for each in problems[:SHOWN]])
    return Verdict.passed(f"{len(ours)} hosts listen nowhere but where the original does", **evidence)


def covered(entry: str, known: Set[str], allow: Sequence[str] = ()) -> bool:
    """Was this open already, at the same address or at all addresses of its kind, or is it allowed?"""
    if entry in known:
        return True
    protocol, address, port = _split(entry)
    wildcard = "[::]" if address.startswith("[") else "0.0.0.0"  # noqa: S104 - named, not listened on
    if f"{protocol}/{wildcard}:{port}" in known:
        return True
    return any(
        allowed[0] == protocol and allowed[1] in ("*", address) and allowed[2] in ("*", port)
        for allowed in map(_split, allow)
    )


def _split(entry: str) -> tuple[str, str, str]:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise ValueError(f"{short(entry, 80)} is no place to listen, such as tcp/127.0.0.1:9100")
    return match.group(1), match.group(2), match.group(3)


def _beyond(entries: Sequence[str], known: Set[str], allow: Sequence[str]) -> list[str]:
    return sorted(entry for entry in set(entries) if not covered(entry, known, allow))


def _hosts(subject: Subject, slot: Slot) -> tuple[Sequence[HostInventory], list[str]]:
    """The hosts of a slot, and why not all of them can be judged."""
    hosts = subject.readings.inventory(slot)
    missing = len(subject.readings.instances(slot)) - len(hosts)
    unclear = [f"{missing} instances of {slot} have no inventory"] if missing > 0 else []
    unclear += [_unread(host) for host in hosts if host.listening is None]
    return hosts, unclear if hosts else [f"{slot} has no hosts"]


def _unread(host: HostInventory) -> str:
    why = f" ({short(host.problem)})" if host.problem else ""
    return f"where {short(host.host, 80)} listens is not known{why}"


def _all_of(hosts: Sequence[HostInventory]) -> list[str]:
    return sorted({short(entry, 80) for host in hosts for entry in host.listening or ()})


def _shown(opened: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {short(host, 80): list(entries[:SHOWN]) for host, entries in list(opened.items())[:SHOWN]}


def _readable(hosts: int, unclear: Sequence[str], evidence: Mapping[str, Any]) -> Verdict:
    if unclear:
        return Verdict.unknown(_first(unclear), **evidence)
    return Verdict.passed(f"where {hosts} hosts listen is known", **evidence)


def _summary(opened: Mapping[str, Sequence[str]]) -> str:
    host, entries = next(iter(opened.items()))
    more = f" (and {len(opened) - 1} more hosts)" if len(opened) > 1 else ""
    return f"{short(host, 80)} opens {', '.join(entries[:5])}, which the original does not{more}"


def _first(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{texts[0]} (and {len(texts) - 1} more)"
