"""The report's data: complete, the same each time, honest about what is not known or was tampered with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from healthchecks.advisories.ledger import Change, Entry, Gap, Ledger
from healthchecks.base import Subject, Verdict
from rollout.plan import CheckSpec
from rollout.tell.case import case_of
from rollout.tell.dossier import dossier
from rollout.tell.html import page
from rollout.tell.ledger import ledger_told
from rollout.tell.markdown import text_of
from rollout.tell.report import document_of
from rollout.tell.sentences import generic, short, told
from tests.core.scene import ROLLOUT, World, a_plan, phase_is
from tests.core.test_job import failing_live
from tests.tell.kit import a_ledger, case_now, entry


def report(world: World, **more: Any) -> dict[str, Any]:
    """The data of it."""
    return dossier(case_now(world), **more)


def both(data: dict[str, Any]) -> tuple[str, str]:
    """As a page and as Markdown."""
    return page(document_of(data)), text_of(document_of(data))


# The whole


def test_the_same_journal_is_the_same_report(world: World) -> None:
    """Two copies of one report differ, and nobody can say whether one was edited."""
    world.asking(failing_live)
    world.drive()
    first, data = both(report(world)), json.dumps(report(world))
    world.passes(86400.0)
    assert both(report(world)) == first and json.dumps(report(world)) == data


def test_a_good_rollout_is_reported(world: World) -> None:
    """The change manager asks what was done, and the report does not say."""
    world.drive()
    data = report(world)
    summary = data["summary"]
    assert (summary["outcome"], summary["actor"], summary["reason"]) == ("promoted", "tester", "because")
    assert summary["original"]["images"] == {"": "base-1"} and summary["replacement"]["images"] == {"memory": "base-2"}
    assert summary["traffic"] == {"blue": 0, "green": 100} and summary["turned_back_at"] is None
    assert summary["opened_at"] == "2026-01-01T00:00:00.000Z" and summary["duration_s"] == pytest.approx(85.2, abs=0.1)
    assert [gate["step"] for gate in data["gates"]] == ["preflight", "proof", "live:1:50", "live:2:100", "bake"]
    assert {gate["outcome"] for gate in data["gates"]} == {"passed"} and data["wrong"] == []
    assert data["way_back"]["state"] == "over" and data["way_back"]["command"] is None
    assert data["integrity"] == {
        "state": "whole",
        "problem": "",
        "entries": world.row.head_seq,
        "head": world.row.head_hash,
    }
    for text in both(data):
        assert "Nothing: every step was done" in text and world.row.head_hash in text and "base-1" in text


def test_a_rollback_says_what_went_wrong_and_how_fast_it_was_back(world: World) -> None:
    """The postmortem has to be written from memory."""
    world.asking(failing_live)
    world.drive()
    data = report(world)
    failed, decided = data["wrong"]
    assert failed["step"] == "live:1:50" and "errors under traffic" in failed["reason"]
    assert (decided["decision"], decided["by"], decided["image_denied"]) == ("gate", "rollout", True)
    assert decided["readiness"] == "blue: 2 of 2 healthy"
    assert data["summary"]["back_s"] == 0.0 and data["summary"]["confirmed_s"] == 5.0
    gate = data["gates"][-1]
    assert (gate["outcome"], gate["on"]) == ("failed", "green")
    (verdict,) = gate["verdicts"]
    assert verdict["on"]["summary"] == "errors under traffic" and verdict["beside"]["answer"] == "pass"
    assert data["way_back"]["state"] == "used"
    assert [mark["text"] for mark in data["traffic"]["marks"]] == ["turning back"]


def test_an_open_rollout_can_be_reported_at_every_step(world: World) -> None:
    """The report of a rollout that hangs cannot be made, which is when it is asked for."""
    for _ in range(200):
        data = report(world, card=world.cards.read("shop"))
        html, markdown = both(data)
        assert json.dumps(data) and "shop-1" in html and "shop-1" in markdown
        if world.row.closed_at is not None:
            return
        world.passes(max(0.0, world.row.due_at - world.clock.now()))
        world.job()
    raise AssertionError("it never ended")


def test_the_way_back_is_offered_while_the_journal_has_one(world: World) -> None:
    """A reader types a rollback that will be refused, or does not know of one that would work."""
    assert report(world)["way_back"]["state"] == "not written yet"
    world.drive(phase_is("shifting"))
    told = report(world)["way_back"]
    assert (told["state"], told["until"], told["command"]) == ("open", None, "rollout rollback shop")
    world.drive(phase_is("warm"))
    assert report(world)["way_back"]["until"].startswith("2026-01-01T00:01:15")
    assert "rollout rollback shop" in both(report(world))[0]


def test_approvals_are_named_and_bound_to_the_plan(tmp_path: Path) -> None:
    """An approval of another plan passes for one of this."""
    world = World(tmp_path, a_plan(approval="required"))
    world.drive(lambda world: world.row.outcome == "waiting_approval")
    assert "asked for, and not given" in both(report(world))[1]
    for bound in ("another", world.row.plan_hash):
        data = {"by": "boss@host", "plan_hash": bound, "ref": "CHG-7"}
        world.store.decide(ROLLOUT, world.row.head_seq, "approved", data, world.clock.now())
    first, second = report(world)["summary"]["approvals"]
    assert (first["of_this_plan"], second["of_this_plan"], second["by"], second["ref"]) == (
        False,
        True,
        "boss@host",
        "CHG-7",
    )
    assert both(report(world))[1].count("but of another plan") == 1


def test_secrets_are_references_and_stay_references(tmp_path: Path) -> None:
    """A report that goes to an auditor carries a password."""
    plan = a_plan()
    service = replace(plan.service, options={"token": {"env": "SHOP_TOKEN"}})
    world = World(tmp_path, replace(plan, service=service))
    assert report(world)["plan"]["options"] == {"token": {"env": "SHOP_TOKEN"}}
    assert '{"token": {"env": "SHOP_TOKEN"}}' in both(report(world))[1]


# By hand


def test_the_card_is_told_in_plain_words(world: World) -> None:
    """On the night on which nothing works, the way back is a JSON file that nobody understands."""
    world.drive(phase_is("warm"))
    data = report(world, card=world.cards.read("shop"))
    html, markdown = both(data)
    for text in (html, markdown):
        assert (
            "blue has 2 healthy units" in text and "blue 100 %, green 0 %" in text and "Read them back for 5 s" in text
        )
    assert '"service": "shop"' in markdown
    commands = ["vendor route --to blue=100", "vendor check"]
    with_commands = both(report(world, card=world.cards.read("shop"), by_hand=commands))[1]
    assert "vendor route --to blue=100\nvendor check" in with_commands and '"service": "shop"' not in with_commands


def test_a_closed_card_is_no_way_back(world: World) -> None:
    """A reader moves traffic to a side that was given up."""
    world.drive()
    text = both(report(world, card=world.cards.read("shop")))[1]
    assert "no way back any more" in text and "Declare these weights" not in text
    assert "By hand" not in both(report(world))[1]


# Integrity


def test_a_changed_entry_is_told_on_the_report_itself(world: World) -> None:
    """A report that was made from an edited journal looks like any other."""
    world.drive()
    case = case_now(world)
    edited = [replace(each, data={**each.data, "actor": "nobody"}) if each.seq == 1 else each for each in case.entries]
    data = dossier(case_of(case.row, edited))
    assert data["integrity"]["state"] == "broken" and "entry 1" in data["integrity"]["problem"]
    assert all("BROKEN" in text for text in both(data))
    cut = dossier(case_of(case.row, case.entries[:-1]))
    assert cut["integrity"]["state"] == "broken" and "its head says" in cut["integrity"]["problem"]


def test_a_pruned_journal_still_gives_a_report(world: World) -> None:
    """After the retention time, nobody can say what was patched."""
    world.drive()
    data = dossier(case_of(replace(world.row, pruned_at=world.clock.now()), []))
    assert data["integrity"]["state"] == "pruned" and data["integrity"]["head"] == world.row.head_hash
    for text in both(data):
        assert "pruned" in text and "base-2" in text


@pytest.mark.parametrize(
    "broken",
    [
        entry("done", "swap:1:50", value={"weights": None}),
        entry("verdict_changed", "x"),
        entry("roll_back_decided", forced=True),
        entry("ended", "x"),
        entry("entered", "warm", more=[{"deep": 1}]),
        entry("warned", "x", about="failing"),
        entry("captured_by_aliens", "x", numbers=[1, 2], who={"a": 1}),
        entry("waiting", "proof", gate="replacement"),
        entry("ended", "proof", outcome="failed", verdicts=["text", {"evidence": {}, "check": 3}]),
    ],
)
def test_an_odd_entry_is_told_by_its_name(world: World, broken: Any) -> None:
    """One entry that a later release wrote, or somebody damaged, keeps the report from being made."""
    world.drive()
    case = case_now(world)
    entries = [*case.entries, replace(broken, seq=case.journal.head + 1)]
    assert all("Timeline" in text for text in both(dossier(case_of(case.row, entries))))
    assert told(broken) or broken.kind in ("waiting", "done", "ended", "entered")


def test_unknown_kinds_are_told_with_all_that_is_plain_in_them() -> None:
    """What a later release did is left out of the record."""
    new = entry("moved_house", "shop", by="me", reason="rent", to="green", list=["a", 1], deep={"x": 1}, empty="")
    assert generic(new) == "moved house shop by me: rent (list a, 1, to green)"
    assert told(new) == generic(new)


def test_digests_are_short_where_people_read_them() -> None:
    """A line is full of one number, and the next name does not fit."""
    assert short(f"at sha256:{'ab' * 32}, base-1") == "at sha256:abababababab, base-1"


# The ledger


def test_the_ledger_of_the_real_check_is_told_host_by_host(tmp_path: Path) -> None:
    """Fixed advisories are counted, and nobody knows on which host."""
    change = Change("PyPI", "flask", ("1.0",), ("2.0",))
    fixed = Entry("CVE-1", ("CVE-1",), "bad", (change,), ("2.0",), ("h1", "h2"), ())
    left = Entry("CVE-2", ("CVE-2",), "less bad", (change,), (), ("h1",), ("n1",))
    gap = Gap("replacement", ("n2",), "", "no agent")
    ledger = Ledger((fixed,), (left,), (), (), (gap,), "d1g", 7, "2027-01-01").to_dict()

    def ask(spec: CheckSpec, subject: Subject) -> Verdict:
        return Verdict.passed("fine", **ledger)

    world = World(tmp_path, ask=ask)
    world.drive()
    found = report(world)["security"]
    assert found["counts"] == {"fixed": 1, "remaining": 1, "introduced": 0, "unknown": 1}
    hosts = {each["host"]: (each["side"], each["fixed"], each["remaining"], each["unknown"]) for each in found["hosts"]}
    assert hosts == {
        "h1": ("original", ["CVE-1"], ["CVE-2"], []),
        "h2": ("original", ["CVE-1"], [], []),
        "n1": ("replacement", [], ["CVE-2"], []),
        "n2": ("replacement", [], [], ["no agent"]),
    }
    assert found["advisories"][0]["packages"] == ["flask 1.0 → 2.0"]
    assert "see the security ledger" in both(report(world))[1]


def test_counts_are_those_of_the_check_when_its_list_was_cut(world: World) -> None:
    """A large fleet's gain is told too small."""
    ledger = {**a_ledger("x"), "cut": True, "counts": {"fixed": 900, "remaining": 1, "introduced": 1, "unknown": 2}}
    verdicts = [{"check": "v", "answer": "pass", "finding": "pass", "summary": "s", "evidence": ledger}]
    case = case_of(world.row, [entry("ended", "proof", outcome="passed", why="x", verdicts=verdicts)])
    found = ledger_told(case)
    assert found is not None and found["counts"]["fixed"] == 900 and found["cut"]
    assert "The lists are cut" in both(dossier(case))[1]


@pytest.mark.parametrize("odd", [None, 3, "text", [3, None], {"a": 1}, [{"packages": 3, "original_hosts": {"a": 1}}]])
def test_a_ledger_of_another_shape_is_shown_as_text(world: World, odd: Any) -> None:
    """A check from outside whose evidence looks like a ledger breaks every report."""
    evidence = dict.fromkeys(("fixed", "remaining", "introduced", "undecided", "unknown", "unseen", "counts"), odd)
    verdicts = [{"check": "v", "answer": "pass", "finding": "pass", "summary": "s", "evidence": evidence}]
    case = case_of(world.row, [entry("ended", "proof", outcome="passed", why="x", verdicts=verdicts)])
    assert all("Security" in text for text in both(dossier(case)))
    assert case.counts is not None
