"""When work may be done: in the windows, if there are any, and never in a blackout.

Several demands (a service's and a campaign's) hold together: work may be done while each of them allows it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rollout.calendar.windows import Blackout, Span, Window

YEAR_S = 366 * 86_400.0
NEVER_AFTER_S = 5 * YEAR_S
"""What does not open for so long never opens."""
STEPS_S = (8 * 86_400.0, 40 * 86_400.0, 400 * 86_400.0, NEVER_AFTER_S)
"""How far is looked ahead: what opens soon is found without looking through years."""
LOOK_AHEAD_S = 40 * 86_400.0
"""What closes later than this does not close, as far as a rollout is concerned."""


@dataclass(frozen=True, slots=True)
class Hours:
    """`windows` has one tuple for each demand; an empty one demands nothing."""

    windows: tuple[tuple[Window, ...], ...] = ()
    blackouts: tuple[Blackout, ...] = ()

    def __and__(self, other: Hours) -> Hours:
        return Hours(self.windows + other.windows, self.blackouts + other.blackouts)

    @property
    def is_always(self) -> bool:
        """Nothing is demanded."""
        return not any(self.windows) and not self.blackouts

    def spans(self, since: float, until: float) -> Iterator[Span]:
        """When it is open from an instant on, in order, cut at `until`; what touches is one span.

        What is open already begins when its window opened, or at 0 where there is none.
        """
        spans: Iterator[Span] = iter((Span(0.0, until),))
        for demanded in filter(None, self.windows):
            spans = _both(spans, _merged((window.spans(since) for window in demanded), until))
        left = _without(spans, _merged((blackout.spans(since) for blackout in self.blackouts), until))
        return (span for span in left if span.closes > since)

    def open_span(self, at: float) -> Span | None:
        """The span that is open at an instant, begun at `at` or before; None where it is closed."""
        found = next(self.spans(at, at + LOOK_AHEAD_S), None)
        return found if found and found.opens <= at else None

    def is_open(self, at: float) -> bool:
        found = next(self.spans(at, at + 1.0), None)  # when it closes is another, far longer question
        return found is not None and found.opens <= at

    def closes_at(self, at: float) -> float | None:
        """When what is open at `at` closes; None where it does not for LOOK_AHEAD_S, or is closed already."""
        found = self.open_span(at)
        return found.closes if found and found.closes < at + LOOK_AHEAD_S else None

    def next_open(self, at: float, needed_s: float = 0.0) -> Span | None:
        """The first span from `at` on that has `needed_s` left; None where none comes within five years."""
        for ahead_s in STEPS_S:
            for span in self.spans(at, at + ahead_s):
                is_cut = span.closes >= at + ahead_s and span.opens > at + ahead_s / 2
                if is_cut and ahead_s != NEVER_AFTER_S:
                    break  # it is longer than that: looked at again from further away
                left = span.closes - max(span.opens, at)
                if left > 0 and left >= needed_s:
                    return Span(max(span.opens, at), span.closes)
        return None

    def blackout_at(self, at: float) -> tuple[Blackout, Span] | None:
        """The blackout in force at an instant that ends last."""
        found = [(each, span) for each in self.blackouts if (span := next(each.spans(at), None)) and span.opens <= at]
        return max(found, key=lambda each: each[1].closes, default=None)


def _merged(many: Iterable[Iterator[Span]], until: float) -> Iterator[Span]:
    """All spans in order up to an instant; what touches or overlaps is one."""
    present: Span | None = None
    for span in heapq.merge(*many):
        if span.opens >= until:
            break
        if present is None:
            present = span
        elif span.opens <= present.closes:
            present = Span(present.opens, max(present.closes, span.closes))
            if present.closes >= until:
                break
        else:
            yield present
            present = span
    if present:
        yield Span(present.opens, min(present.closes, until))


def _both(one: Iterator[Span], other: Iterator[Span]) -> Iterator[Span]:
    """What two orderly rows of spans have in common."""
    first, second = next(one, None), next(other, None)
    while first and second:
        opens, closes = max(first.opens, second.opens), min(first.closes, second.closes)
        if opens < closes:
            yield Span(opens, closes)
        if first.closes <= second.closes:
            first = next(one, None)
        else:
            second = next(other, None)


def _without(spans: Iterator[Span], taken: Iterator[Span]) -> Iterator[Span]:
    """What is left of an orderly row of spans without another."""
    away = next(taken, None)
    for span in spans:
        opens = span.opens
        while away and away.opens < span.closes:
            if away.closes <= opens:
                away = next(taken, None)
                continue
            if away.opens > opens:
                yield Span(opens, away.opens)
            opens = max(opens, away.closes)
            if opens >= span.closes:
                break
            away = next(taken, None)
        if opens < span.closes:
            yield Span(opens, span.closes)
