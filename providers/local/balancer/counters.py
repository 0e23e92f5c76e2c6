"""What became of requests, by slot, and which are in flight. In memory: a new worker begins anew."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from providers.local.balancer.answers import CountersAnswer
from providers.local.balancer.state import SLOTS

CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")


@dataclass
class SlotCounters:
    """See CountersAnswer for what each one counts."""

    requests: int = 0
    responses: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CLASSES, 0))
    failed: int = 0
    in_flight: int = 0
    latency_ms_sum: float = 0.0
    retries: int = 0
    fallbacks: int = 0
    client_gone: int = 0
    cut: int = 0

    def answered(self, status: int, seconds: float) -> None:
        self.requests += 1
        self.responses[CLASSES[min(max(status // 100, 1), 5) - 1]] += 1
        self.latency_ms_sum += seconds * 1000

    def broke_off(self, status: int) -> None:
        """What `answered` had counted was no whole answer: it failed."""
        self.responses[CLASSES[min(max(status // 100, 1), 5) - 1]] -= 1
        self.failed += 1

    def lost(self) -> None:
        """The target's fault, before any answer."""
        self.requests += 1
        self.failed += 1

    def to_json(self) -> CountersAnswer:
        return CountersAnswer(
            requests=self.requests,
            responses=dict(self.responses),
            failed=self.failed,
            in_flight=self.in_flight,
            latency_ms_sum=round(self.latency_ms_sum, 3),
            retries=self.retries,
            fallbacks=self.fallbacks,
            client_gone=self.client_gone,
            cut=self.cut,
        )


class Counters:
    """The counters of one port (traffic or test)."""

    def __init__(self) -> None:
        self._slots = {slot: SlotCounters() for slot in SLOTS}

    def __getitem__(self, slot: str) -> SlotCounters:
        return self._slots[slot]

    def to_json(self) -> dict[str, CountersAnswer]:
        return {slot: counters.to_json() for slot, counters in self._slots.items()}


@dataclass(eq=False)
class Flight:
    """One request that a slot is serving."""

    task: asyncio.Task[object]
    transport: asyncio.Transport | None
    cut: bool = False
    answered: bool = False


class Flights:
    """Everything in flight, of both ports, so that a slot can be cut."""

    def __init__(self) -> None:
        self._slots: dict[str, set[Flight]] = {slot: set() for slot in SLOTS}

    @contextmanager
    def on(self, slot: str, counters: SlotCounters, transport: asyncio.Transport | None) -> Iterator[Flight]:
        """The running task is a flight on this slot while inside. A cut ends it with CancelledError."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # handlers always run in a task
        flight = Flight(task, transport)
        self._slots[slot].add(flight)
        counters.in_flight += 1
        try:
            yield flight
        finally:
            counters.in_flight -= 1
            self._slots[slot].discard(flight)
            if flight.cut:
                counters.cut += 1

    def cut(self, slot: str) -> int:
        """Break off what is in flight on a slot; returns how many requests that were."""
        flights = list(self._slots[slot])
        for flight in flights:
            flight.cut = True
            reset(flight.transport)
            flight.task.cancel()
        return len(flights)


def reset(transport: asyncio.Transport | None) -> None:
    """Close a connection so that its client cannot take what came so far for the whole answer."""
    if transport is None:
        return
    channel = transport.get_extra_info("socket")
    if channel is not None:
        # Closing with this option sends a reset: without it an answer of unknown length just seems to end.
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
