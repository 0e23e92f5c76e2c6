"""Shapes of the control API's answers, shared by both ends; types only."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class TargetAnswer(TypedDict):
    """healthy: None until the first check passed or failed for good. since: unix seconds."""

    address: str
    healthy: bool | None
    reason: str
    since: float


class CountersAnswer(TypedDict):
    """What became of the requests of one slot since `counters_id` changed.

    requests: all that came to an end or got an answer's head. responses: status class → heads from targets.
    failed: the balancer answered 502/503/504, or broke off, because of the target. retries: refused or reset
    attempts, which another one followed. fallbacks: requests meant for this slot that the other one served;
    they count as requests there. client_gone: clients that left first. cut: broken off by a cut.
    latency_ms_sum: milliseconds from a request's arrival to its answer's head, added up over `responses`.
    """

    requests: int
    responses: dict[str, int]
    failed: int
    in_flight: int
    latency_ms_sum: float
    retries: int
    fallbacks: int
    client_gone: int
    cut: int


class StateAnswer(TypedDict):
    """at: unix seconds. mark: the hold mark as it was written, None if there is none, or {"unreadable": why}.

    notice: None, or why the state on disk is not the one that was last written. Only of a switch: `waited_s`, for how
    many seconds no side took new work; `unsure`, why nobody can say which side does.
    """

    revision: int
    weights: dict[str, int]
    targets: dict[str, list[TargetAnswer]]
    token: str | None
    mark: dict[str, object] | None
    counters: dict[str, CountersAnswer]
    test_counters: dict[str, CountersAnswer]
    counters_id: str
    notice: str | None
    at: float
    waited_s: NotRequired[float]
    unsure: NotRequired[str]
