"""When is a gate passed? Pure arithmetic over verdicts and time, kept apart so that it can be tested alone.

A look at a gate is one of four findings:
  pass      every check passes
  fail      a check fails on the replacement and, at the same time, not on the original or clearly less there
  ambient   a check fails on both sides about alike: the trouble is not the patch's; hold and tell
  unknown   a check could not tell: blocks, and past its limit fails
A gate passes after `passes` passing looks in a row and `soak_s` of observed time. Only time between two looks
that passed and lie close together was observed: a gap above two intervals (and the time that the checks themselves
took) starts the soak again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from healthchecks.base import Verdict

Finding = Literal["pass", "fail", "ambient", "unknown"]
Outcome = Literal["open", "passed", "failed"]

CLEARLY_WORSE = 0.05
"""So much more of a failing replacement fails than of a failing original (in severity, 0 to 1) before it is blamed.

Two sides in the same storm never fail by the same share: with few requests or hosts a few points are chance. More
than that is the patch's: waiting would leave traffic on a broken side because the other has a small trouble."""


@dataclass(frozen=True, slots=True)
class GateRule:
    """`failures` failing looks in a row fail the gate; so do `unknown_limit_s` of not knowing, and the deadline.

    `timeout_s` is how long one check may take to answer; then it is unknown.
    """

    passes: int = 3
    failures: int = 2
    interval_s: float = 5.0
    deadline_s: float = 300.0
    unknown_limit_s: float = 60.0
    soak_s: float = 0.0
    timeout_s: float = 5.0  # what a plan means that was made before there was a choice


@dataclass(frozen=True, slots=True)
class GateState:
    """What is kept between two looks.

    The deadline does not count `lost_s`: gaps as long as the deadline itself, in which nobody drove. Nor does it count
    `discarded_s`, what a soak that had to begin again had cost: of that no more than one soak, so that every gate ends.
    """

    passes: int = 0
    failures: int = 0
    observed_s: float = 0.0
    unknown_since: float | None = None
    looked_at: float | None = None
    lost_s: float = 0.0
    discarded_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> GateState:
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Asked:
    """One check's verdict on the side it was asked about and, where that failed, on the side beside it."""

    check: str
    verdict: Verdict
    beside: Verdict | None = None

    @property
    def finding(self) -> Finding:
        """Ambient only if the side beside fails as well, and not clearly less."""
        if self.verdict.answer != "fail":
            return self.verdict.answer
        if self.beside is None or self.beside.answer != "fail":
            return "fail"
        return "fail" if self.verdict.severity > self.beside.severity + CLEARLY_WORSE else "ambient"


def finding_of(asked: Sequence[Asked]) -> Finding:
    """The worst finding counts; a gate without checks proves nothing and is unknown."""
    found = {each.finding for each in asked} or {"unknown"}
    order: tuple[Finding, ...] = ("fail", "unknown", "ambient", "pass")
    return next(finding for finding in order if finding in found)


def judge(
    rule: GateRule, state: GateState, finding: Finding, started_at: float, now: float, took_s: float = 0.0
) -> tuple[GateState, Outcome, str]:
    """The next state, whether the gate is decided, and why in words. `took_s` is how long this look has taken."""
    after = _observe(rule, state, finding, now, took_s)
    if after.failures >= rule.failures:
        return after, "failed", f"failed {after.failures} times in a row"
    unknown_s = now - after.unknown_since if after.unknown_since is not None else 0.0
    if unknown_s > rule.unknown_limit_s:
        return after, "failed", f"unknown for {unknown_s:.0f} s; the limit is {rule.unknown_limit_s:.0f} s"
    if finding == "pass" and after.passes >= rule.passes and after.observed_s >= rule.soak_s:
        return after, "passed", f"{after.passes} passes, {after.observed_s:.0f} s observed"
    if now - started_at - after.lost_s - min(after.discarded_s, rule.soak_s) >= rule.deadline_s:
        return after, "failed", f"not passed within {rule.deadline_s:.0f} s (last look: {finding})"
    return (
        after,
        "open",
        f"{finding}; {min(after.passes, rule.passes)} of {rule.passes} passes, "
        f"{after.observed_s:.0f} of {rule.soak_s:.0f} s",
    )


def _observe(rule: GateRule, state: GateState, finding: Finding, now: float, took_s: float) -> GateState:
    together_s = 2 * rule.interval_s + took_s  # slow checks are no gap: somebody was looking all the while
    gap = now - state.looked_at if state.looked_at is not None else None
    looked = replace(state, looked_at=now)
    if gap is not None and gap > together_s:
        nobody_drove_s = gap if gap >= rule.deadline_s else 0.0
        discarded_s = state.discarded_s + state.observed_s + (gap - nobody_drove_s)
        looked = replace(looked, lost_s=state.lost_s + nobody_drove_s, discarded_s=discarded_s)
    elif finding in ("unknown", "ambient"):
        looked = replace(looked, discarded_s=state.discarded_s + state.observed_s)
    if finding == "pass":
        close_together = gap is not None and 0 <= gap <= together_s and state.passes > 0
        return replace(
            looked,
            passes=state.passes + 1 if close_together or gap is None else 1,
            failures=0,
            observed_s=state.observed_s + (gap or 0.0) if close_together else 0.0,
            unknown_since=None,
        )
    if finding == "fail":
        return replace(looked, passes=0, failures=state.failures + 1, observed_s=0.0, unknown_since=None)
    since = state.unknown_since if state.unknown_since is not None else now
    return replace(looked, passes=0, observed_s=0.0, unknown_since=since if finding == "unknown" else None)
