"""What can go wrong between a caller and AWS: said for an operation, done to its next calls, in process and over HTTP.

with wire(account) as line:
    line.fail("ModifyListener", code="Throttling", times=1)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ConnectionClosedError
from moto.core.botocore_stubber import BotocoreStubber, MockRawResponse
from moto.core.request import normalize_request

from tests.aws.calls import Answer, Call, read_call, refusal_of
from tests.aws.stubs import Answers

BY_HAND = "by-hand"
"""Mark of a person's own client: lines neither see nor disturb its calls."""


class Cut(Exception):
    """The connection is cut; no answer arrives."""


Apply = Callable[[], Answer]
Fault = Callable[[Call, Apply], Answer]


@dataclass
class _Planned:
    operation: str
    fault: Fault
    times: int
    skip: int

    def takes(self, call: Call) -> bool:
        """Counts this call; is it one of those that go wrong?"""
        if self.operation not in ("*", call.operation, call.name):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return self.times >= 0


@dataclass
class Line:
    """`after`: so many calls of the operation go through first; `times`: so many then go wrong. An operation is named
    as AWS does (ModifyListener), with its API before it where two have it (elbv2.DescribeTags), or `*` for all."""

    sleep: Callable[[float], None] = lambda seconds: None
    calls: list[Call] = field(default_factory=list)
    _planned: list[_Planned] = field(default_factory=list)
    _last: dict[str, Answer] = field(default_factory=dict)
    _expired: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # ---- what is to go wrong ----------------------------------------------------------------------------------

    def fail(
        self,
        operation: str,
        code: str = "Throttling",
        status: int = 400,
        times: int = 1,
        after: int = 0,
        text: str = "",
    ) -> None:
        """Refused with this code; nothing is applied."""

        def refuse(call: Call, apply: Apply) -> Answer:
            return refusal_of(call, code, text or f"{call.operation} fails as the test wants it", status)

        self.plan(operation, refuse, times, after)

    def deny(self, operation: str, times: int = 1_000_000, after: int = 0) -> None:
        """The caller may not do this."""
        ec2 = operation.startswith("ec2.")
        self.fail(operation, "UnauthorizedOperation" if ec2 else "AccessDenied", 403, times, after)

    def error(self, operation: str, times: int = 1, after: int = 0) -> None:
        """500; nothing is applied."""
        self.fail(operation, "InternalFailure", 500, times, after)

    def lose(self, operation: str, times: int = 1, after: int = 0) -> None:
        """Applied, but the answer never arrives."""

        def applied(call: Call, apply: Apply) -> Answer:
            apply()
            raise Cut(call.name)

        self.plan(operation, applied, times, after)

    def drop(self, operation: str, times: int = 1, after: int = 0) -> None:
        """Lost on its way: neither applied nor answered."""

        def lost(call: Call, apply: Apply) -> Answer:
            raise Cut(call.name)

        self.plan(operation, lost, times, after)

    def stale(self, operation: str, times: int = 1, after: int = 0) -> None:
        """A read answers what it answered the time before to the same parameters."""
        self.plan(operation, lambda call, apply: self._last.get(_question(call)) or apply(), times, after)

    def slow(self, operation: str, seconds: float, times: int = 1, after: int = 0) -> None:
        """The answer takes this long (of the clock that `sleep` moves)."""

        def late(call: Call, apply: Apply) -> Answer:
            answer = apply()
            self.sleep(seconds)
            return answer

        self.plan(operation, late, times, after)

    def before(self, operation: str, deed: Callable[[], object], times: int = 1, after: int = 0) -> None:
        """Somebody else does this just before the call arrives."""

        def meanwhile(call: Call, apply: Apply) -> Answer:
            deed()
            return apply()

        self.plan(operation, meanwhile, times, after)

    def expire(self) -> None:
        """From now on the credentials have expired, until `login`."""
        self._expired = True

    def login(self) -> None:
        self._expired = False

    def plan(self, operation: str, fault: Fault, times: int = 1, after: int = 0) -> None:
        with self._lock:
            self._planned.append(_Planned(operation, fault, times, after))

    def clear(self) -> None:
        """Nothing goes wrong any more; calls so far are forgotten."""
        with self._lock:
            self._planned.clear()
            self.calls.clear()
            self._expired = False

    # ---- what was asked ---------------------------------------------------------------------------------------

    def count(self, operation: str) -> int:
        return len(self.asked(operation))

    def asked(self, operation: str) -> list[Call]:
        return [call for call in list(self.calls) if operation in (call.operation, call.name)]

    @property
    def writes(self) -> list[Call]:
        return [call for call in list(self.calls) if not call.reads]

    # ---- the way of one call ----------------------------------------------------------------------------------

    def handle(self, call: Call, apply: Apply) -> Answer:
        """Raises Cut where no answer is to arrive."""
        with self._lock:
            self.calls.append(call)
            fault = next((one.fault for one in list(self._planned) if one.takes(call)), None)
            self._planned = [one for one in self._planned if one.times > 0]
        if self._expired:
            return refusal_of(call, "ExpiredToken", "The security token included in the request is expired", 403)
        answer = fault(call, apply) if fault else apply()
        if call.reads:
            self._last[_question(call)] = answer
        return answer


def _question(call: Call) -> str:
    return f"{call.name} {sorted(call.parameters.items(), key=str)}"


class Wire:
    """Between callers and moto: what moto lacks is answered, and what lines have planned is done."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.lines: list[Line] = []

    def handle(self, call: Call, apply: Apply) -> Answer:
        def answered() -> Answer:
            return self.answers.answer(call) or apply()

        way: Apply = answered
        for line in self.lines if not call.by_hand else ():
            way = _through(line, call, way)
        return way()


def _through(line: Line, call: Call, apply: Apply) -> Apply:
    return lambda: line.handle(call, apply)


@contextmanager
def in_process_wire(answers: Answers) -> Iterator[Wire]:
    """All clients of this process go through the wire that this yields."""
    between, original = Wire(answers), BotocoreStubber.__call__

    def call_of(self: Any, event_name: str, request: AWSPreparedRequest, **more: Any) -> AWSResponse | None:
        found = read_call(normalize_request(request)) if self.enabled else None
        if found is None:
            return original(self, event_name, request, **more)

        def apply() -> Answer:
            answer = original(self, event_name, request, **more)
            assert answer is not None
            return answer.status_code, dict(answer.headers), answer.content

        try:
            status, headers, body = between.handle(found, apply)
        except Cut as cut:
            raise ConnectionClosedError(endpoint_url=request.url) from cut
        return AWSResponse(request.url, status, headers, MockRawResponse(body))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(BotocoreStubber, "__call__", call_of)
        yield between


@contextmanager
def wire(account: Any, sleep: Callable[[float], None] = lambda seconds: None) -> Iterator[Line]:
    """A line to this account (of `in_process`, or a server): faults last until the end."""
    line = Line(sleep)
    account.wire.lines.append(line)
    try:
        yield line
    finally:
        account.wire.lines.remove(line)
