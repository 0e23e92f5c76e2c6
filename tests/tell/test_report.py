"""What the report says for each turn that a rollout can take: a reader has only this page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from providers.base import HoldMark
from rollout.decide import decide_roll_back
from rollout.tell.case import case_of
from rollout.tell.document import Block, Document, Facts, Ours, Paragraph, Section, Table, listed, own, parts
from rollout.tell.dossier import dossier
from rollout.tell.html import page
from rollout.tell.markdown import text_of
from rollout.tell.report import DECISIONS, OUTCOMES, document_of
from tests.core.scene import ROLLOUT, World, phase_is
from tests.core.test_job import failing_live
from tests.tell.kit import HOSTILE, Shape, a_ledger, case_now, entry, is_plain
from tests.tell.test_markdown import shape


def markdown(world: World, **more: Any) -> str:
    """The report as it is now."""
    return text_of(document_of(dossier(case_now(world), **more)))


def part(text: str, title: str) -> str:
    """One part of it."""
    found = [each for each in text.split("\n## ") if each.startswith(title)]
    assert len(found) == 1, title
    return found[0]


def turn_back(world: World, kind: Any, **more: Any) -> None:
    """A person's word."""
    asked = {"reason": "slow pages", "actor": "oncall@host", "at": world.clock.now(), **more}
    decide_roll_back(world.store, world.provider, ROLLOUT, kind=kind, **asked)


# What went wrong


@pytest.mark.parametrize(("kind", "words"), [("abort", "a person's abort"), ("rollback", "a person's rollback")])
def test_a_persons_decision_is_told_as_one(world: World, kind: str, words: str) -> None:
    """It looks as if the program had turned back by itself, and the patch is blamed."""
    world.drive(phase_is("shifting"))
    turn_back(world, kind, ref="INC-9")
    world.drive()
    told = part(markdown(world), "What went wrong")
    assert "by `oncall@host`" in told and words in told and "`slow pages`" in told and "ticket `INC-9`" in told
    assert "denied" not in told and "forced" not in told


def test_a_forced_decision_says_so(world: World) -> None:
    """Traffic went to a side that was not fit, and the record does not say that somebody wanted it."""
    world.drive(phase_is("shifting"))
    world.cloud.switches.health_lies["shop/blue"] = "unhealthy"
    turn_back(world, "rollback", force=True)
    assert "forced, although the original was not seen fit" in part(markdown(world), "What went wrong")


def test_a_mark_that_was_left_with_the_traffic_is_named(world: World) -> None:
    """An emergency rollback without the store is told as a failure of the patch."""
    world.drive(phase_is("shifting"))
    mark: HoldMark = world.mark("bad release")
    world.drive()
    told = part(markdown(world), "What went wrong")
    assert "a hold mark that was left with the traffic" in told and f"`{mark.by}`" in told and "bad release" in told


def test_a_halt_and_what_became_of_it(world: World) -> None:
    """A night's halt is not on the report, because it ended well."""
    world.drive(phase_is("shifting"))
    world.edit(30)
    world.drive()
    text = markdown(world)
    assert "halted: only a person can decide" in part(text, "Summary")
    assert "someone else changed the route" in part(text, "What went wrong")
    assert "found there" in part(text, "Traffic") and "blue 70 %, green 30 %" in part(text, "Summary")


def test_warnings_while_warm_are_on_the_report(world: World) -> None:
    """The patch failed while it was warm, nobody turned it back, and the report says that all was well."""
    world.drive(phase_is("warm"))
    world.asking(failing_live)
    for _ in range(4):
        world.passes(10.0)
        world.job()
    assert "warned, while warm" in part(markdown(world), "What went wrong")


def test_a_rollout_closed_by_a_person_says_so(world: World) -> None:
    """The service was taken down in the middle, and the report shows a rollout that ended by itself."""
    data = {"outcome": "aborted", "by": "ops@host", "reason": "the service was taken down"}
    world.store.decide(ROLLOUT, world.row.head_seq, "closed", data, world.clock.now(), outcome="aborted")
    told = part(markdown(world), "What went wrong")
    assert "closed by a person: `the service was taken down`" in told and "by `ops@host`" in told


def test_an_adoption_is_told_with_who_and_why(world: World) -> None:
    """Somebody took a changed route as right, and nobody can say who."""
    world.drive(phase_is("shifting"))
    world.edit(100)
    said = {"by": "ops@host", "reason": "it is right so", "route": {"blue": 0, "green": 100}, "active": "green"}
    world.store.decide(ROLLOUT, world.row.head_seq, "adopted", said, world.clock.now())
    text = markdown(world)
    assert "a person took what served as it was: `it is right so`" in part(text, "What went wrong")
    assert "taken as it is" in page(document_of(dossier(case_now(world))))
    assert "It is over" in part(text, "Way back")


def test_every_outcome_and_decision_has_words() -> None:
    """A reader meets a word of the program's own."""
    from typing import get_args

    from rollout import exits
    from rollout.decide import Kind

    assert set(DECISIONS) == set(get_args(Kind))
    assert set(OUTCOMES) == set(exits._BY_OUTCOME)


def test_a_decision_of_a_later_kind_is_told_by_its_name(world: World) -> None:
    """A report of a later release's journal cannot be made."""
    world.asking(failing_live)
    world.drive()
    entries = [
        replace(each, data={**each.data, "kind": "full_moon"}) if each.kind == "roll_back_decided" else each
        for each in world.journal.entries
    ]
    assert "because of full moon" in text_of(document_of(dossier(case_of(world.row, entries))))


# Parts that are not there


def test_what_was_not_done_is_said(world: World) -> None:
    """An empty part reads as if all of it had gone well."""
    text = markdown(world)
    assert "No gate was reached." in text and "No route was read" in text and "There is none yet" in text
    assert "the gain of this patch is not proven here" in text and "not known" in part(text, "Summary")


def test_a_gate_in_the_middle_shows_what_it_has_seen(world: World) -> None:
    """A gate that hangs has no evidence until it has failed."""
    world.drive(lambda world: bool(world.entries("verdict_changed")))
    text = part(markdown(world), "Gates")
    assert "not decided yet" in text and "`balancer on blue`" in text and "It is asked every 2 s" in text


def test_the_rule_of_a_gate_that_passed_stands_in_the_plan_only(world: World) -> None:
    """The same five lines stand ten times in one report."""
    world.drive()
    text = markdown(world)
    assert "It is asked every" not in part(text, "Gates")
    assert part(text, "Plan").count("It is asked every") == 4


def test_the_plan_says_what_was_to_be_done(world: World) -> None:
    """An auditor cannot compare what was approved with what was done."""
    told = part(markdown(world), "Plan")
    for needed in (world.row.plan_hash, "50 % → 100 %", "`safe`", "`drain`", "Gate live", "`balancer`", "approval 7 d"):
        assert needed in told


@pytest.mark.parametrize("part_of_it", ["fixed", "remaining", "introduced", "undecided"])
def test_every_class_of_the_ledger_is_listed(world: World, part_of_it: str) -> None:
    """What a patch brought in is counted, and not named."""
    verdicts = [{"check": "v", "answer": "pass", "finding": "pass", "summary": "s", "evidence": a_ledger("it")}]
    case = case_of(world.row, [entry("ended", "proof", outcome="passed", why="x", verdicts=verdicts)])
    told = part(text_of(document_of(dossier(case))), "Security")
    assert f"| {part_of_it} | `CVE-" in told and "What could not be judged" in told and "7 records" in told
    assert "| `new-1 it` | `replacement` `green` | – | 1 | `CVE-4 it` | – |" in told


# What a document is made of


def test_our_words_keep_the_blanks_around_quotations() -> None:
    """Words and quotations run together."""
    assert own("  and ", str.upper) == "  AND " and own("  ", str.upper) == "  " and own("", str.upper) == ""
    assert parts("one") == ("one",) and parts(("one", "two")) == ("one", "two")


def test_a_list_of_nothing_is_a_dash() -> None:
    """An empty cell reads as if something were missing."""
    assert listed([]) == "–"
    assert listed(["a", "b"]) == ("a", ", ", "b")
    assert [isinstance(each, Ours) for each in listed(["a", "b"])] == [False, True, False]


@pytest.mark.parametrize("text", HOSTILE)
def test_even_our_own_words_are_escaped(text: str) -> None:
    """A name that was taken for ours, such as a side's, opens the page to whoever may set it."""
    blocks: list[Block] = [Facts([(f"x{text}", Ours(f"x{text}"))]), Paragraph(Ours(f"x{text}"))]
    plain: list[Block] = [Facts([("a", Ours("x"))]), Paragraph(Ours("x"))]
    blocks.append(Table([f"x{text}"], [[Ours(f"x{text}")]]))
    plain.append(Table(["a"], [[Ours("x")]]))
    hostile = Document("Report", f"x{text}", [Section(f"x{text}", blocks)])
    harmless = Document("Report", "x", [Section("x", plain)])
    assert Shape(page(hostile)).tags == Shape(page(harmless)).tags
    assert is_plain(page(hostile)) and is_plain(text_of(hostile))
    kinds = [kind for kind in shape(text_of(hostile)) if kind != "text_special"]
    assert kinds.count("code_inline") == 1 and kinds.count("td_open") == 1 and kinds.count("paragraph_open") == 2
