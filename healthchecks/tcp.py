"""Does a TCP port of each running instance (and of the test route) take connections, and speak as it should?

A refused connection, hanging up too early and other bytes than expected are a fail. No connection or too few bytes
within `subject.timeout_s`, which bounds the whole ask, is unknown. Severity: the share of the places that did not
do as expected.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from healthchecks import sources
from healthchecks.addresses import Pinned, Refused
from healthchecks.base import Subject, Verdict
from healthchecks.connect import NoConnection, connect
from healthchecks.deadline import Deadline
from healthchecks.findings import Finding, ask_each, name_of, running, sum_up
from healthchecks.guard import guarded
from providers.base import Instance

MOST_BYTES = 4096
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[rnt0\\]|.|$)", re.DOTALL)
_MEANT = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


def octets(text: str) -> bytes:
    r"""Text as bytes (UTF-8), where \r, \n, \t, \0, \\ and \xNN stand for one; ValueError for other escapes."""
    made, end = b"", 0
    for match in _ESCAPE.finditer(text):
        made += text[end : match.start()].encode()
        end, escape = match.end(), match.group(1)
        if escape.startswith("x") and len(escape) == 3:
            made += bytes.fromhex(escape[1:])
        elif escape in _MEANT:
            made += _MEANT[escape]
        else:
            raise ValueError("after a backslash comes r, n, t, 0, xNN (two digits) or a second backslash")
    return made + text[end:].encode()


@dataclass(frozen=True)
class Options:
    r"""`port` is asked at each running instance (`each_instance`); None: the one that its service has.

    With `test_route` the test route's port is asked too. `send` is sent after the connection was made, and what comes
    back has to begin with `expect`: text in which \r, \n, \t, \0, \\ and \xNN stand for single bytes. Both are empty:
    a connection is enough.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    port: int | None = None
    send: str = ""
    expect: str = ""
    each_instance: bool = True
    test_route: bool = False

    def __post_init__(self) -> None:
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ValueError("port is from 1 to 65535")
        if not self.each_instance and not self.test_route:
            raise ValueError("each_instance or test_route: there is nothing else to ask")
        if max(len(octets(self.send)), len(octets(self.expect))) > MOST_BYTES:
            raise ValueError(f"send and expect have at most {MOST_BYTES} bytes")


Place = tuple[str, Callable[[Deadline], Sequence[Pinned]]]


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    places, findings = list[Place](), list[Finding]()
    if options.test_route:
        route = subject.readings.test_route(subject.slot)
        places.append(("test route", lambda deadline: sources.of_test_route(route.url, deadline)))
    if options.each_instance:
        instances, finding = running(subject)
        places += [_instance(instance, options.port) for instance in instances]
        findings += [finding] if finding else []
    with Deadline(subject.timeout_s) as deadline:
        findings += ask_each(places, lambda place: _ask_at(place, options, deadline))
    return sum_up(findings)


def _instance(instance: Instance, port: int | None) -> Place:
    return name_of(instance), lambda _: [sources.of_port(instance, port)]


def _ask_at(place: Place, options: Options, deadline: Deadline) -> Finding:
    where, at = place
    try:
        judged = at(deadline)
        with connect(judged, deadline) as connection:
            return _talk(where, connection, octets(options.send), octets(options.expect), deadline)
    except Refused as refused:
        return Finding(where, "unknown", f"was not asked: {refused}")
    except NoConnection as none:
        return Finding(where, none.answer, str(none))


def _talk(where: str, connection: socket.socket, send: bytes, expect: bytes, deadline: Deadline) -> Finding:
    said = b""
    try:
        connection.sendall(send)
        while len(said) < len(expect) and expect.startswith(said):
            connection.settimeout(max(deadline.left, 0.001))
            more = connection.recv(len(expect) - len(said))
            if not more:
                break
            said += more
    except TimeoutError:
        return Finding(where, "unknown", _too_few(said, expect))
    except OSError as error:
        return Finding(where, "unknown" if not deadline.left else "fail", f"hung up ({type(error).__name__})")
    if said == expect:
        return Finding(where, "pass", "")
    if not expect.startswith(said):
        return Finding(where, "fail", f"said {said[:40]!r}, which is not as expected")
    if not deadline.left:
        return Finding(where, "unknown", _too_few(said, expect))
    return Finding(where, "fail", f"hung up after {len(said)} of {len(expect)} bytes")


def _too_few(said: bytes, expect: bytes) -> str:
    return f"said {len(said)} of {len(expect)} bytes in time"
