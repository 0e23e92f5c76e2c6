"""Is the certificate good that each running instance shows (or the test route, or a place that is named)?

It is valid for the name, not expired and not about to be, and its chain ends at what this host trusts or in
`ca_file`. A certificate that is not, and something that does not speak TLS, is a fail. Where there is no connection,
or no handshake within `subject.timeout_s` (which bounds the whole ask), nothing is known about the certificate:
whether something listens is for `tcp` to ask. Severity: the share of the places with a bad certificate.

The chain is verified against this host's own clock, `min_days` against the rollout's. How long the certificates of
the authorities hold is not looked at.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from healthchecks import sources
from healthchecks.addresses import Pinned, Refused
from healthchecks.base import Subject, Verdict
from healthchecks.connect import NoConnection, connect
from healthchecks.deadline import Deadline
from healthchecks.findings import Finding, ask_each, name_of, running, sum_up
from healthchecks.guard import guarded, short
from providers.base import Instance

DAY_S = 86_400


@dataclass(frozen=True)
class Options:
    """`name` is what the certificate has to be valid for (None: the host in `address`); it is sent as SNI.

    Asked are all running instances at `port` (None: the one that their service has), and with `test_route` the test
    route; or, instead of the slot, `address` (host:port), which is public or, with `allow_private`, may be in a
    private network. A certificate that ends within `min_days` fails. `ca_file` has the authorities to trust, in PEM;
    None: those that this host trusts.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    name: str | None = None
    port: int | None = None
    test_route: bool = False
    address: str | None = None
    allow_private: bool = False
    min_days: int = 14
    ca_file: str | None = field(default=None, metadata={"path": True})

    def __post_init__(self) -> None:
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ValueError("port is from 1 to 65535")
        if self.min_days < 0:
            raise ValueError("min_days is at least 0")
        if self.address is None:
            if not self.name:
                raise ValueError("name: say for which name the certificates of the instances have to be valid")
            if self.allow_private:
                raise ValueError("allow_private is for address only: instances and test routes may be private anyway")
            return
        sources.raise_if_never_address(self.address, self.allow_private)
        if self.test_route or self.port is not None:
            raise ValueError("address is asked instead of the slot: leave out port and test_route")


Place = tuple[str, Callable[[Deadline], Sequence[Pinned]]]


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    places, findings = list[Place](), list[Finding]()
    if options.address is not None:
        places = [_own(options.address, options.allow_private)]
    else:
        instances, finding = running(subject)
        places += [_instance(instance, options.port) for instance in instances]
        findings += [finding] if finding else []
        if options.test_route:
            route = subject.readings.test_route(subject.slot)
            places.append(("test route", lambda deadline: sources.of_test_route(route.url, deadline)))
    try:
        trusted = ssl.create_default_context(cafile=options.ca_file)
    except (OSError, ssl.SSLError) as error:
        return Verdict.unknown(f"ca_file cannot be read: {short(error)}")
    with Deadline(subject.timeout_s) as deadline:
        findings += ask_each(places, lambda place: _ask_at(place, options, trusted, subject.now, deadline))
    return sum_up(findings)


def _own(address: str, allow_private: bool) -> Place:
    return short(address, 80), lambda deadline: sources.of_address(address, allow_private, deadline)


def _instance(instance: Instance, port: int | None) -> Place:
    return name_of(instance), lambda _: [sources.of_port(instance, port)]


def _ask_at(place: Place, options: Options, trusted: ssl.SSLContext, now: float, deadline: Deadline) -> Finding:
    where, at = place
    try:
        found = at(deadline)
        name = options.name or found[0].host
        with connect(found, deadline) as plain:
            plain.settimeout(max(deadline.left, 0.001))
            with trusted.wrap_socket(plain, server_hostname=name) as connection:
                deadline.hold(connection)
                return _judge(where, connection, options.min_days, now)
    except Refused as refused:
        return Finding(where, "unknown", f"was not asked: {refused}")
    except NoConnection as none:
        return Finding(where, "unknown", str(none))
    except ssl.SSLCertVerificationError as error:
        return Finding(where, "fail", f"shows a certificate that is not good: {short(error.verify_message)}")
    except (TimeoutError, ConnectionError, ssl.SSLEOFError) as error:
        return Finding(where, "unknown", f"did not finish the handshake ({type(error).__name__})")
    except ssl.SSLError as error:
        if not deadline.left:
            return Finding(where, "unknown", "did not finish the handshake in time")
        return Finding(where, "fail", f"does not speak TLS as it should: {short(error.reason or error, 80)}")


def _judge(where: str, connection: ssl.SSLSocket, min_days: int, now: float) -> Finding:
    certificate: Mapping[str, Any] = connection.getpeercert() or {}
    ends = ssl.cert_time_to_seconds(certificate["notAfter"])
    facts = ("ends", datetime.fromtimestamp(ends, UTC).isoformat()), ("protocol", connection.version())
    days = (ends - now) / DAY_S
    if days < 0:
        return Finding(where, "fail", "shows a certificate that is not good: it has expired", facts)
    if days < min_days:
        return Finding(where, "fail", f"shows a certificate that ends in {days:.1f} days; {min_days} are wanted", facts)
    return Finding(where, "pass", "", facts)
